"""`run` on bad files: one clear line on standard error, no traceback, an exit code, and nothing changed.

Each case begins with a good key, genesis and chain, does one thing to them, and starts the node as the command line
does, in this process. tests/processes has a few of them with a real one.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

import apsw
import pytest
from msgspec.structs import replace

from blockchain import cli
from blockchain.commands import ending
from blockchain.commands.ending import ToldToEnd
from blockchain.commands.keyring import PROJECT
from blockchain.commands.validator_keys import record_path
from blockchain.demo_chain import demo_spec
from blockchain.genesis import dump_genesis
from blockchain.primitives import codec
from blockchain.runtime.keystore import write_key_file
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.sqlite_pending import PackedRow
from tests.commands.stored_chain import SPEC, make_chain, sql
from tests.node.one_chain import KEYS
from tests.samples import key, spec_of

Harm = Callable[[Path], list[str]]  # does it in a folder, and returns the flags to add

LOCKS: Final = ("lock.db", ".lock")
DEMO_KEY: Final = PROJECT / "keys" / "staker_private_key.pem"
NO_TRANSACTION: Final = codec.encode(PackedRow(bytes(32), (b"\0",), ((),), (0,)))  # a row of the pool
as_a_user = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="needs a user to whom a mode forbids something"
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make_chain(folder)
    write_key_file(folder / "key.pem", KEYS[0], None)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "node"))


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """`blockchain run`: the exit code and what stands on standard error. A node that starts is told to end at once."""

    async def told_already(_: ToldToEnd) -> None:
        return

    monkeypatch.setattr(ending, "SIGNALS", ())  # they are the tests' own
    monkeypatch.setattr(ToldToEnd, "wait", told_already)
    monkeypatch.setattr("blockchain.commands.node.configure_logging", lambda *_: None)  # of the whole process
    monkeypatch.setenv("BLOCKCHAIN_ENV_FILE", "")

    def run(folder: Path, *more: str) -> tuple[int, str]:
        flags = {
            "ip": "127.0.0.1",
            "node_port": "0",
            "api_port": "0",
            "seeds": "none",
            "key_file": str(folder / "key.pem"),
            "genesis": str(folder / "genesis.json"),
            "data_dir": str(folder / "data"),
        }
        flags |= dict(flag.removeprefix("--").split("=", 1) for flag in more)
        code = cli.main(["run", *(f"--{name}={value}" for name, value in flags.items())])
        return code, capsys.readouterr().err

    yield run
    logging.getLogger("blockchain").setLevel(logging.NOTSET)


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and hash of every file, locks aside."""
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), _hash(path))
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(LOCKS)
    }


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"


def test_the_good_files_are_good(folder: Path, run: Callable[..., tuple[int, str]]) -> None:
    assert run(folder) == (0, "")


# ------------------------------------------------------------------------------------------------ the harm


def key_text(text: str) -> Harm:
    def harm(folder: Path) -> list[str]:
        (folder / "key.pem").write_text(text)
        return []

    return harm


def key_of_openssl(kind: str) -> str:
    return f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n"


def removed(name: str) -> Harm:
    def harm(folder: Path) -> list[str]:
        (folder / name).unlink()
        return []

    return harm


def made_a_folder(name: str) -> Harm:
    def harm(folder: Path) -> list[str]:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
        (folder / name).mkdir()
        return []

    return harm


def with_bytes(name: str, raw: bytes) -> Harm:
    def harm(folder: Path) -> list[str]:
        (folder / name).write_bytes(raw)
        return []

    return harm


def flags(*given: str) -> Harm:
    return lambda folder: [one.format(folder=folder) for one in given]


def another_password(folder: Path) -> list[str]:
    (folder / "key.pem").unlink()
    write_key_file(folder / "key.pem", KEYS[0], b"one")
    (folder / "password").write_text("another\n")
    (folder / "password").chmod(0o600)
    return [f"--password_file={folder / 'password'}"]


def no_password(folder: Path) -> list[str]:
    (folder / "password").write_text("")
    return [*another_password(folder)[1:], f"--password_file={folder / 'nobody'}"]


def open_to_all(folder: Path) -> list[str]:
    (folder / "key.pem").chmod(0o644)
    return []


def folder_open_to_all(folder: Path) -> list[str]:
    folder.chmod(0o777)
    return []


def password_open_to_all(folder: Path) -> list[str]:
    more = another_password(folder)
    (folder / "password").chmod(0o640)
    return more


def not_typed(folder: Path) -> list[str]:
    another_password(folder)
    return []


def moved_away(folder: Path) -> list[str]:
    file = RecordFile(record_path(folder / "key.pem", folder / "data", SPEC), KEYS[0].public_key, SPEC.hash)
    file.write(replace(file.refresh(), moves=1, is_away=True))
    return []


def public_half(folder: Path) -> list[str]:
    whole = (folder / "key.pem").read_text()
    (folder / "key.pem").write_text(whole[whole.index("-----BEGIN PUBLIC") :])
    return []


def demo_key(folder: Path) -> list[str]:
    shutil.copy(DEMO_KEY, folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
    return []


def genesis_text(change: Callable[[str], str]) -> Harm:
    def harm(folder: Path) -> list[str]:
        file = folder / "genesis.json"
        before = file.read_text()
        after = change(before)
        assert after != before
        file.write_text(after)
        return []

    return harm


def genesis_parameter(name: str, value: object) -> Harm:
    def change(text: str) -> str:
        start = text.index(f'"{name}":')
        end = min(text.index(mark, start) for mark in ",\n}" if mark in text[start:])
        return text[:start] + f'"{name}": {value}' + text[end:]

    return genesis_text(change)


def of_another_chain(folder: Path) -> list[str]:
    (folder / "genesis.json").write_bytes(
        dump_genesis(spec_of(chain_id="another", parameters={"stake_min": 100, "stake_step_max_bp": 1_000}))
    )
    return []


def of_a_newer_version(folder: Path) -> list[str]:
    sql(folder / "data" / "chain.db", "UPDATE meta SET value = x'00000063' WHERE name = 'schema_version'")
    return []


def flipped_in_a_block(folder: Path) -> list[str]:
    file = folder / "data" / "chain.db"
    with closing(apsw.Connection(str(file))) as store:
        raw: bytes = store.execute("SELECT raw FROM blocks WHERE height = 3").get
    file.write_bytes(file.read_bytes().replace(raw[:200], raw[:100] + bytes([raw[100] ^ 1]) + raw[101:200]))
    return []


def last_page_torn(folder: Path) -> list[str]:
    file = folder / "data" / "chain.db"
    content = file.read_bytes()
    file.write_bytes(content[:-2048])
    return []


def last_page_empty(folder: Path) -> list[str]:
    file = folder / "data" / "chain.db"
    content = file.read_bytes()
    file.write_bytes(content[:-4096] + bytes(4096))
    return []


def truncated(size: int) -> Harm:
    def harm(folder: Path) -> list[str]:
        file = folder / "data" / "chain.db"
        file.write_bytes(file.read_bytes()[:size])
        return []

    return harm


def data_is_a_file(folder: Path) -> list[str]:
    (folder / "file").write_text("a letter")
    return [f"--data_dir={folder / 'file'}"]


def not_writable(folder: Path) -> list[str]:
    (folder / "data" / "chain.db").chmod(0o400)
    (folder / "data").chmod(0o500)
    return []


def record(folder: Path) -> Path:
    return record_path(folder / "key.pem", folder / "data", SPEC)


def record_of_garbage(folder: Path) -> list[str]:
    record(folder).write_bytes(b"garbage" * 20)
    return []


def record_of_another_key(folder: Path) -> list[str]:
    from blockchain.runtime.signer import Signer

    Signer(key("another"), SPEC.hash, record(folder)).load()
    return []


def record_is_a_folder(folder: Path) -> list[str]:
    record(folder).mkdir()
    return []


KEY_FILES: Final[dict[str, tuple[Harm, str]]] = {
    "missing": (removed("key.pem"), "key.pem: there is no such file: check the name"),
    "a folder": (made_a_folder("key.pem"), "key.pem: it is a folder"),
    "empty": (key_text(""), "key.pem: no PEM key in it"),
    "garbage": (with_bytes("key.pem", bytes(range(256))), "key.pem: no PEM key in it"),
    "huge": (with_bytes("key.pem", b"x" * 20_000), "key.pem: larger than"),
    "RSA": (key_text(key_of_openssl("RSA PRIVATE KEY")), "key.pem: a key of another kind (RSA)"),
    "EC": (key_text(key_of_openssl("EC PRIVATE KEY")), "key.pem: a key of another kind (EC)"),
    "a certificate": (key_text(key_of_openssl("CERTIFICATE")), "key.pem: no private key in it: name the file"),
    "a public key": (public_half, "key.pem: no private key in it: name the file of the private key"),
    "damaged": (key_text(key_of_openssl("PRIVATE KEY")), "key.pem: the private key in it is damaged: restore it"),
    "another password": (another_password, "key.pem: the password is wrong"),
    "no password file": (
        no_password,
        "nobody cannot be read: No such file or directory: check the name",
    ),
    "open to all": (open_to_all, "key.pem: others may read or change it (mode 0644): run `chmod 600` on it"),
    "a folder open to all": (folder_open_to_all, "everybody may change what is in this folder (mode 0777)"),
    "a password open to all": (
        password_open_to_all,
        "password cannot be used: others may read or change it (mode 0640)",
    ),
    "no password": (not_typed, "key.pem: it is encrypted: give its password with --password_file or BLOCKCHAIN_PASSW"),
    "moved away": (moved_away, "says that this validator was moved away (move 1): run it where that move was imported"),
    "public knowledge": (demo_key, "key.pem: it is public knowledge, good for a demo chain and for no other"),
}

GENESIS_FILES: Final[dict[str, tuple[Harm, str]]] = {
    "missing": (removed("genesis.json"), "genesis.json cannot be read: No such file or directory: check the name"),
    "a folder": (made_a_folder("genesis.json"), "genesis.json cannot be read: "),
    "empty": (with_bytes("genesis.json", b""), "genesis.json: Input data was truncated"),
    "garbage": (with_bytes("genesis.json", bytes(range(256))), "genesis.json: JSON is malformed"),
    "nested deeply": (with_bytes("genesis.json", b"[" * 100_000), "genesis.json: maximum recursion depth"),
    "not a number": (genesis_parameter("block_threshold", "NaN"), "genesis.json: JSON is malformed"),
    "no stake": (
        genesis_text(lambda text: text.replace('"stake": 100', '"stake": 0', 1)),
        "genesis.json: validators[0].stake: it has to be at least 1",
    ),
    "too much money": (
        genesis_text(lambda text: text.replace('"balance": 1000', f'"balance": {2**53 - 1}', 1)),
        "genesis.json: it hands out",
    ),
    "a name twice": (
        genesis_text(lambda text: text.replace('"chain_id"', '"demo": true, "demo": false, "chain_id"', 1)),
        "genesis.json: an object has the name 'demo' twice",
    ),
    "a parameter twice": (
        genesis_text(lambda text: text.replace('"stake_delay"', '"stake_delay": 9, "stake_delay"', 1)),
        "genesis.json: an object has the name 'stake_delay' twice",
    ),
    "a threshold that is never reached": (genesis_parameter("block_threshold", 1_001), "can never be reached"),
    "time-outs the wrong way round": (genesis_parameter("timeout_max_ms", 100), "no room to grow"),
    "no delay of stake": (genesis_parameter("stake_delay", 0), "or say demo"),
    "a heartbeat too fast": (genesis_parameter("heartbeat_ms", 1), "heartbeat_ms 1 floods"),
}

STORES: Final[dict[str, tuple[Harm, str]]] = {
    "of another chain": (of_another_chain, "chain.db belongs to another chain (genesis"),
    "of a newer version": (of_a_newer_version, "chain.db was written by a newer version of this program (format 99"),
    "a flipped byte in a block": (flipped_in_a_block, "chain.db is damaged (block 3): put back a copy"),
    "the last page torn": (last_page_torn, "chain.db is damaged (cut off at"),
    "the last page empty": (last_page_empty, "chain.db is damaged ("),
    "cut off after 100 bytes": (truncated(100), "chain.db is not a database: put back a copy"),
    "cut off after a page": (truncated(4096), "chain.db is damaged ("),
    "text": (with_bytes("data/chain.db", b"Dear Sir or Madam, " * 500), "chain.db is not a database"),
    "a folder": (made_a_folder("data/chain.db"), "chain.db: cannot open the store"),
    "a file for a data folder": (data_is_a_file, "file cannot be made: "),
    "a lock of text": (with_bytes("data/lock.db", b"locked " * 500), "lock.db is not a node's lock: remove it"),
    "a node key of garbage": (with_bytes("data/node_key.pem", b"garbage"), "node_key.pem"),
    "a signing record of garbage": (record_of_garbage, "signing_record is damaged (its checksum is wrong): restore it"),
    "a signing record of another key": (record_of_another_key, "signing_record belongs to another key"),
    "a folder for a signing record": (record_is_a_folder, "signing_record cannot be read"),
}

CASES: Final = {
    f"{what}: {name}": case
    for what, cases in (("key", KEY_FILES), ("genesis", GENESIS_FILES), ("store", STORES))
    for name, case in cases.items()
}


@pytest.mark.parametrize("harm, words", CASES.values(), ids=CASES.keys())
def test_is_one_clear_line_and_changes_nothing(
    harm: Harm, words: str, folder: Path, run: Callable[..., tuple[int, str]]
) -> None:
    if harm in (open_to_all, folder_open_to_all, password_open_to_all) and sys.platform == "win32":
        pytest.skip("Windows has no modes of this kind")
    more = harm(folder)
    before = contents(folder)
    code, said = run(folder, *more)
    assert code in (1, 2), said
    assert said.startswith("blockchain: ") and said.count("\n") == 1, said
    assert words in said
    assert contents(folder) == before


@pytest.mark.parametrize(
    "harm, words",
    [
        (
            f"UPDATE pending SET seq = 1, raw = x'{NO_TRANSACTION.hex()}', crc = {crc32(NO_TRANSACTION, 1)}",
            "transaction is damaged",
        ),
        ("UPDATE pending SET raw = x'00'", "is damaged (a row of pending transactions)"),
        ("INSERT INTO meta VALUES ('halted', 7)", "is damaged (why it halted)"),
    ],
)
def test_what_a_node_takes_up_at_its_start_is_one_clear_line_too(
    harm: str, words: str, folder: Path, run: Callable[..., tuple[int, str]]
) -> None:
    sql(folder / "data" / "chain.db", harm)
    code, said = run(folder)
    assert (code, said.count("\n")) == (1, 1)
    assert words in said


@as_a_user
def test_a_folder_that_may_not_be_written_is_one_clear_line(folder: Path, run: Callable[..., tuple[int, str]]) -> None:
    (folder / "data" / "chain.db").chmod(0o400)
    (folder / "data").chmod(0o500)
    before = contents(folder)
    code, said = run(folder)
    (folder / "data").chmod(0o700)
    assert code == 1 and said.count("\n") == 1
    assert "may this user write to the file and its folder?" in said
    (folder / "data").chmod(0o500)
    assert contents(folder) == before
    (folder / "data").chmod(0o700)


@pytest.mark.parametrize("harm", [truncated(0), with_bytes("data/chain.db-wal", b"garbage" * 10_000)], ids=["0", "WAL"])
def test_what_a_crash_may_leave_is_no_damage(harm: Harm, folder: Path, run: Callable[..., tuple[int, str]]) -> None:
    """A store whose making was cut off is empty, and a WAL that does not begin as one never held a commit."""
    harm(folder)
    assert run(folder) == (0, "")


def test_the_demo_key_of_a_checkout_is_good_for_the_demo_chain(
    tmp_path: Path, run: Callable[..., tuple[int, str]]
) -> None:
    shutil.copy(DEMO_KEY, tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o644)
    (tmp_path / "genesis.json").write_bytes(dump_genesis(demo_spec()))
    assert run(tmp_path) == (0, "")
