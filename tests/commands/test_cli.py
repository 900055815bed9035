"""The command line as a whole: spelling, exit codes, and errors of one line."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockchain import __version__, cli
from blockchain.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, build_parser, main
from blockchain.commands.arguments import read_settings
from blockchain.commands.ending import SIGNALS
from blockchain.errors import InvalidGenesis
from blockchain.primitives.chain import ChainSpec

ROOT = Path(__file__).resolve().parents[2]


def stderr_line(captured: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, which has to be one line that begins with the program's name."""
    text = captured.readouterr().err
    assert text.startswith("blockchain: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


def make_command_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)


@pytest.mark.parametrize("flag", ["--node_port=1", "--node-port=1"])
def test_flags_work_with_underscores_and_with_hyphens(flag: str) -> None:
    assert build_parser().parse_args(["run", flag]).node_port == "1"


def test_only_the_name_of_a_flag_is_respelled() -> None:
    arguments = build_parser().parse_args(["run", "--key-file=./my-keys/a-b.pem", "--data-dir", "some-where"])
    assert (arguments.key_file, arguments.data_dir) == ("./my-keys/a-b.pem", "some-where")
    assert build_parser().parse_args(["keys", "show", "--", "--a-b"]).file == Path("--a-b")


def test_a_flag_is_not_understood_by_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--node=1"]) == EXIT_USAGE
    assert "--node=1" in capsys.readouterr().err


def test_settings_come_from_the_flags_and_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLOCKCHAIN_API_PORT", "7")
    monkeypatch.setenv("BLOCKCHAIN_SERVICE", "environment")
    found = read_settings(build_parser().parse_args(["run", "--service=flag"]))
    assert (found.api_port, found.service) == (7, "flag")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"blockchain {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--fly"], ["send"], ["keys"], ["genesis"], ["tx"]])
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == EXIT_USAGE
    assert "usage: blockchain" in capsys.readouterr().err


def test_a_wrong_setting_is_2_and_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reset", "--node_port=abc"]) == EXIT_USAGE
    assert "--node_port" in stderr_line(capsys)


@pytest.mark.parametrize(
    "error",
    [InvalidGenesis("two\nlines"), FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), OSError()],
)
def test_an_expected_error_is_1_and_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_command_raise(monkeypatch, error)
    assert main([]) == EXIT_FAILED
    stderr_line(capsys)


def test_our_own_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    make_command_raise(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main([])


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_command_raise(monkeypatch, KeyboardInterrupt())
    assert main([]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe whose reader is gone, as POSIX has it")
def test_a_reader_that_went_away_is_no_noise() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "blockchain", "genesis", "show"],
            cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_FAILED, b"")


@pytest.mark.parametrize("command", [["run_node.py"], ["-m", "blockchain", "run"]])
def test_the_scripts_are_the_commands(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--node-port=x"], cwd=ROOT, capture_output=True, check=False, timeout=60, text=True
    )
    assert done.returncode == EXIT_USAGE
    assert done.stderr.startswith("blockchain: --node_port is 'x'") and done.stderr.count("\n") == 1


@pytest.fixture(name="own_signals")
def own_signals_fixture() -> Iterator[None]:
    """What a test's process does on signals, whatever a command that ran in it has set."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_node_gets_its_settings_and_its_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[object, ChainSpec]] = []

    async def run_node(config: object, spec: ChainSpec) -> int:
        given.append((config, spec))
        return 7

    monkeypatch.setattr("blockchain.commands.node.run_node", run_node)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--node_port=8011"]) == 7
    ((config, spec),) = given
    assert getattr(config, "node_port", None) == 8011
    assert spec.chain_id == "demo"


@pytest.mark.parametrize("script", ["run_node.py", "sample_transactions.py"])
def test_outside_the_environment_one_line_says_what_to_do(script: str) -> None:
    bare = [sys.executable, "-S", str(Path(cli.__file__).parents[1] / script)]  # -S: no installed packages
    ended = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert ended.returncode == EXIT_FAILED and ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and "is not installed here: activate" in ended.stderr
