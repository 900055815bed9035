"""The sealed file of a move: it opens with its password alone, and nothing in it is believed before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nacl.exceptions
import pytest

from blockchain.errors import HistoryRefused
from blockchain.primitives.crypto import Hash32
from blockchain.runtime import moving
from blockchain.runtime.keystore import KEY_FILE_BYTES_MAX
from blockchain.runtime.moving import (
    MEMORY_BYTES_MAX,
    MOVE_BYTES_MAX,
    OPERATIONS_MAX,
    MovedKey,
    moved_key,
    open_move,
    read_move,
    seal_move,
)
from tests.runtime.test_history import LOCKED, OTHER
from tests.runtime.test_signer import CHAIN, KEY

SECRET = b"-----BEGIN PRIVATE KEY-----"
KEYS = (moved_key(LOCKED, SECRET),)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "OPERATIONS", 1)
    monkeypatch.setattr(moving, "MEMORY_BYTES", 8_192)


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "validator.move"
    path.write_bytes(seal_move(CHAIN, 3, KEYS, b"open sesame"))
    return path


def opened(path: Path, password: bytes = b"open sesame") -> tuple[MovedKey, ...]:
    return open_move(path, read_move(path, CHAIN), password)


def test_what_was_sealed_is_opened(path: Path) -> None:
    assert opened(path) == KEYS
    assert opened(path)[0].record(CHAIN) == LOCKED
    head = read_move(path, CHAIN).head
    assert (head.number, head.public_keys) == (3, (KEY.public_key.hex(),))
    assert SECRET not in path.read_bytes() and SECRET.hex().encode() not in path.read_bytes()


def test_two_of_the_same_are_sealed_differently() -> None:
    first, second = (json.loads(seal_move(CHAIN, 1, KEYS, b"x")) for _ in range(2))
    assert first["sealed"] != second["sealed"]
    assert first["head"]["nonce"] != second["head"]["nonce"]
    assert first["head"]["password_hash"]["salt"] != second["head"]["password_hash"]["salt"]


def test_the_work_of_a_password_is_that_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashing = json.loads(seal_move(CHAIN, 1, KEYS, b"x"))["head"]["password_hash"]
    assert (hashing["operations"], hashing["memory_bytes"]) == (3, 64 * 1024**2)


def test_a_wrong_password(path: Path) -> None:
    for password in (b"open sesam", b"", b"open sesame\n"):
        with pytest.raises(HistoryRefused, match="the password is wrong, or the file is damaged"):
            opened(path, password)


def changed(path: Path, *names: str, value: Any) -> None:
    whole = json.loads(path.read_bytes())
    place = whole
    for name in names[:-1]:
        place = place[name]
    assert place[names[-1]] != value
    place[names[-1]] = value
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("head", "number"), 4),
        (("head", "public_keys"), [OTHER.public_key.hex()]),
        (("head", "nonce"), "00" * 24),
        (("head", "password_hash", "salt"), "00" * 16),
        (("head", "password_hash", "operations"), 2),
        (("sealed",), "00" * 100),
    ],
)
def test_what_stands_in_clear_is_authenticated(path: Path, names: tuple[str, ...], value: Any) -> None:
    changed(path, *names, value=value)
    with pytest.raises(HistoryRefused, match="the password is wrong, or the file is damaged"):
        opened(path)


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("head", "password_hash", "operations"), OPERATIONS_MAX + 1),
        (("head", "password_hash", "operations"), 0),
        (("head", "password_hash", "memory_bytes"), MEMORY_BYTES_MAX + 1),
        (("head", "password_hash", "memory_bytes"), 8_191),
        (("head", "password_hash", "name"), "scrypt"),
        (("head", "password_hash", "salt"), "00"),
        (("head", "version"), 2),
        (("head", "more"), 1),
        (("more",), 1),
        (("head", "public_keys"), []),
        (("head", "public_keys"), ["00" * 32] * 3),
        (("head", "number"), 2**32),
        (("sealed",), "zz" * 32),
        (("sealed",), "00"),
        (("sealed",), "00" * 50_000),
    ],
)
def test_what_is_out_of_bounds_is_refused_before_any_work(path: Path, names: tuple[str, ...], value: Any) -> None:
    whole = json.loads(path.read_bytes())
    place = whole
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    path.write_text(json.dumps(whole))
    with pytest.raises(HistoryRefused, match="no moved validator") as refused:
        read_move(path, CHAIN)
    assert "\n" not in str(refused.value)


def test_what_is_no_move(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for raw in (b"", b"\xff", b"[" * 100_000, b'{"head": 1}'):
        path.write_bytes(raw)
        with pytest.raises(HistoryRefused, match="no moved validator"):
            read_move(path, CHAIN)
    path.write_bytes(b" " * (MOVE_BYTES_MAX + 1))
    with pytest.raises(HistoryRefused, match="larger than"):
        read_move(path, CHAIN)


def test_a_move_of_another_chain_is_told_without_a_password(path: Path) -> None:
    with pytest.raises(HistoryRefused, match=f"of another chain \\(genesis {CHAIN.hex()}\\)"):
        read_move(path, Hash32(b"\x0d" * 32))


def test_a_history_in_it_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validator.move"
    someone = MovedKey(OTHER.public_key, SECRET, LOCKED.message, LOCKED.precommit_round, LOCKED.precommit_value)
    path.write_bytes(seal_move(CHAIN, 1, (someone,), b"x"))
    with pytest.raises(HistoryRefused, match="does not bear the key's signature"):
        opened(path, b"x")


def test_the_largest_move_fits_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "validator.move"
    path.write_bytes(seal_move(CHAIN, 1, (moved_key(LOCKED, bytes(KEY_FILE_BYTES_MAX)),) * 2, b"x"))
    assert path.stat().st_size <= MOVE_BYTES_MAX
    assert len(opened(path, b"x")) == 2


def test_a_machine_without_the_memory_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr("nacl.pwhash.argon2id.kdf", fails)
    with pytest.raises(HistoryRefused, match="MiB of memory, which are not there"):
        opened(path)
