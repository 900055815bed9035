"""Where passwords of key files come from: files, the environment, a terminal; and what is said when there is none."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.commands.keyring import PROJECT
from blockchain.runtime.keystore import is_encrypted, read_key_file, write_key_file
from tests.commands.test_cli import stderr_line
from tests.samples import key

KEY = key(1)

needs_modes = pytest.mark.skipif(os.name == "nt", reason="no modes on Windows")
needs_pty = pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals on Windows")


@pytest.fixture(autouse=True)
def no_password_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCKCHAIN_PASSWORD", "BLOCKCHAIN_NEW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="few_rounds", autouse=True)
def few_rounds_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real number is held by test_keystore; here it would only take time."""
    monkeypatch.setattr("blockchain.runtime.keystore.KDF_ROUNDS", 1_000)


def secret(folder: Path, text: str, name: str = "password") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


Typing = Callable[..., list[str]]


@pytest.fixture(name="typing")
def typing_fixture(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """A terminal at which these lines are typed, one a prompt; it returns the list that takes the prompts."""

    def terminal(*lines: str) -> list[str]:
        prompts: list[str] = []
        left = iter(lines)

        def typed(prompt: str) -> str:
            prompts.append(prompt)
            line = next(left, None)
            if line is None:
                raise EOFError
            return line

        monkeypatch.setattr("blockchain.commands.passwords._is_terminal", lambda: True)
        monkeypatch.setattr("getpass.getpass", typed)
        return prompts

    return terminal


# ------------------------------------------------------------------------------------------------------ new keys


def test_a_new_key_is_encrypted_with_the_password_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = secret(tmp_path, "open sesame\nsecond line\n")
    assert main(["keys", "generate", str(tmp_path / "key.pem"), "--password-file", str(password)]) == 0
    said = capsys.readouterr()
    assert said.err == "" and "sesame" not in said.out
    assert is_encrypted(tmp_path / "key.pem")
    read_key_file(tmp_path / "key.pem", b"open sesame")


def test_a_new_key_is_encrypted_with_the_password_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "sésame")
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == 0
    read_key_file(tmp_path / "key.pem", "sésame".encode())
    password = secret(tmp_path, "of the file")
    assert main(["keys", "generate", str(tmp_path / "other.pem"), f"--password_file={password}"]) == 0
    read_key_file(tmp_path / "other.pem", b"of the file")  # what is named wins


def test_a_new_key_is_encrypted_with_what_is_typed_twice(tmp_path: Path, typing: Typing) -> None:
    prompts = typing("sésame", "sésame")
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == 0
    assert len(prompts) == 2 and str(tmp_path / "key.pem") in prompts[0]
    read_key_file(tmp_path / "key.pem", "sésame".encode())


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("one", "another"), "differ"),
        (("",), "empty password"),
        ((), "empty password"),
        (("one",), "differ"),
        (("x" * 1_025,), "at most 1024 bytes"),
    ],
)
def test_what_is_typed_wrongly_makes_no_key(
    tmp_path: Path, typing: Typing, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...], why: str
) -> None:
    typing(*lines)
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == EXIT_FAILED
    assert why in stderr_line(capsys)
    assert os.listdir(tmp_path) == []


def test_without_a_terminal_and_a_password_no_key_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == EXIT_USAGE
    line = stderr_line(capsys)
    assert "--password_file" in line and "BLOCKCHAIN_PASSWORD" in line
    assert os.listdir(tmp_path) == []


def test_a_password_is_no_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "generate", str(tmp_path / "key.pem"), "--password=x"]) == EXIT_USAGE
    assert "unrecognized" in capsys.readouterr().err
    both = ["--no_password", "--password_file=x"]
    assert main(["keys", "generate", str(tmp_path / "key.pem"), *both]) == EXIT_USAGE


def test_an_existing_file_is_told_before_anybody_types(
    tmp_path: Path, typing: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = typing("one", "one")
    write_key_file(tmp_path / "key.pem", KEY, None)
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == EXIT_FAILED
    assert "never overwritten" in stderr_line(capsys) and prompts == []


# -------------------------------------------------------------------------------------------------- password files


@needs_modes
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_password_file_that_others_may_touch_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    password = secret(tmp_path, "open sesame")
    password.chmod(mode)
    assert main(["keys", "generate", str(tmp_path / "key.pem"), f"--password_file={password}"]) == EXIT_USAGE
    line = stderr_line(capsys)
    assert f"password file {password} cannot be used: others may read or change it" in line
    assert "chmod 600" in line and "sesame" not in line
    assert not (tmp_path / "key.pem").exists()


@pytest.mark.parametrize("text", ["", "\n", "\nsecond", "x" * 1_025])
def test_a_password_file_without_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    password = secret(tmp_path, text)
    assert main(["keys", "generate", str(tmp_path / "key.pem"), f"--password_file={password}"]) == EXIT_USAGE
    assert "first line has to be a password" in stderr_line(capsys)


def test_a_password_of_the_environment_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "x" * 1_025)
    assert main(["keys", "generate", str(tmp_path / "key.pem")]) == EXIT_USAGE
    assert "xxx" not in stderr_line(capsys)


# ------------------------------------------------------------------------------------------------ another password


@pytest.fixture(name="encrypted")
def encrypted_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    write_key_file(path, KEY, b"old")
    return path


def test_a_password_is_changed(encrypted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = secret(tmp_path, "old"), secret(tmp_path, "new", "new")
    flags = [f"--password_file={old}", f"--new_password_file={new}"]
    assert main(["keys", "password", str(encrypted), *flags]) == 0
    assert KEY.public_key.hex() in capsys.readouterr().out
    assert read_key_file(encrypted, b"new") == KEY
    assert sorted(os.listdir(tmp_path)) == ["key.pem", "new", "password"]
    if os.name != "nt":
        assert stat.S_IMODE(encrypted.stat().st_mode) == 0o600
    assert main(["keys", "password", str(encrypted), *flags]) == EXIT_FAILED  # it is not the old one any more
    assert "the password is wrong" in stderr_line(capsys)


def test_a_password_is_changed_at_a_terminal_or_by_the_environment(
    encrypted: Path, typing: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = typing("old", "new", "new")
    assert main(["keys", "password", str(encrypted)]) == 0
    assert len(prompts) == 3
    assert read_key_file(encrypted, b"new") == KEY
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "new")
    monkeypatch.setenv("BLOCKCHAIN_NEW_PASSWORD", "newer")
    assert main(["keys", "password", str(encrypted)]) == 0
    assert read_key_file(encrypted, b"newer") == KEY


def test_a_plain_key_is_encrypted_and_made_plain_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    write_key_file(path, KEY, None)
    monkeypatch.setenv("BLOCKCHAIN_NEW_PASSWORD", "new")
    assert main(["keys", "password", str(path)]) == 0
    assert is_encrypted(path)
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "new")
    assert main(["keys", "password", str(path), "--no_password"]) == 0
    assert "WARNING" in capsys.readouterr().err
    assert read_key_file(path) == KEY


def test_a_wrong_password_is_told_before_a_new_one_is_typed(
    encrypted: Path, typing: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = typing("wrong", "new", "new")
    before = encrypted.read_bytes()
    assert main(["keys", "password", str(encrypted)]) == EXIT_FAILED
    line = stderr_line(capsys)
    assert "the password is wrong" in line and "wrong\n" not in line
    assert len(prompts) == 1 and encrypted.read_bytes() == before


def test_the_old_file_is_there_when_the_new_one_cannot_be(
    encrypted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "old")
    monkeypatch.setenv("BLOCKCHAIN_NEW_PASSWORD", "new")
    before = encrypted.read_bytes()
    for failing in ("blockchain.runtime.atomic_file.sync", "blockchain.runtime.atomic_file.rename"):
        with monkeypatch.context() as patch:
            patch.setattr(failing, no_space)
            assert main(["keys", "password", str(encrypted)]) == EXIT_FAILED
        assert "cannot be replaced: No space left" in stderr_line(capsys)
        assert encrypted.read_bytes() == before and os.listdir(tmp_path) == ["key.pem"]


@needs_modes
def test_a_link_stays_a_link(encrypted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(encrypted)
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "old")
    monkeypatch.setenv("BLOCKCHAIN_NEW_PASSWORD", "new")
    assert main(["keys", "password", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink() and read_key_file(encrypted, b"new") == KEY


@needs_modes
def test_a_file_of_somebody_else_is_not_replaced(
    encrypted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: encrypted.stat().st_uid + 1)
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "old")
    monkeypatch.setenv("BLOCKCHAIN_NEW_PASSWORD", "new")
    assert main(["keys", "password", str(encrypted)]) == EXIT_FAILED
    assert "belongs to another user" in stderr_line(capsys)


# ----------------------------------------------------------------------------------------------------- a real terminal


@needs_pty
def test_at_a_real_terminal_nothing_that_is_typed_is_shown(tmp_path: Path) -> None:
    import pty

    command = [sys.executable, "-m", "blockchain", "keys", "generate", str(tmp_path / "key.pem")]
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, cwd=PROJECT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            shown = b""
            for prompt in (b"New password", b"once more"):
                shown += read_until(ours, prompt)
                os.write(ours, b"open sesame\n")
            shown += read_until(ours, b"public key")
            assert process.wait(60) == 0
    finally:
        os.close(ours)
    assert b"sesame" not in shown
    read_key_file(tmp_path / "key.pem", b"open sesame")


def read_until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 1_024)
    return shown
