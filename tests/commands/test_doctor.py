"""doctor: it finds what is wrong before a node is started, says what to do, and changes nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import httpx
import pytest
from msgspec.structs import replace

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.client import Client
from blockchain.commands import checks, checks_disk, checks_peers, clock
from blockchain.commands.keyring import keys_folder
from blockchain.commands.validator_keys import record_of
from blockchain.config import NodeConfig, load_config
from blockchain.demo_chain import demo_spec
from blockchain.errors import UnsafeLibrary
from blockchain.primitives.block import decode_block
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.primitives.vote import Vote, VoteStep
from blockchain.runtime import sqlite_look
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import write_key_file
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite_look import read_growth
from tests.api.fake_node import FakeNode
from tests.commands.fake_api import running_api
from tests.commands.stored_chain import SPEC, flags, make_chain, sql
from tests.commands.test_cli import stderr_line
from tests.node.one_chain import KEYS

WAIT_SECONDS = 60
NEW = SigningKey(b"\x77" * 32)


@pytest.fixture(name="settings")
def settings_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags of a node that is fit: a chain of its own, a store, a validator's key, free ports."""
    make_chain(tmp_path)
    write_key_file(tmp_path / "key.pem", KEYS[0], None)
    monkeypatch.setattr(checks_disk, "SYNC_PART", 1e-9)  # whatever the disk of the tests is like
    monkeypatch.setattr(checks_disk, "WORST_PART", 1e-9)
    monkeypatch.setattr(checks_disk, "FREE_BYTES_WARN", 0)
    monkeypatch.setattr(checks_disk, "FREE_BYTES_FAIL", 0)
    return [*flags(tmp_path), f"--key_file={tmp_path / 'key.pem'}", "--node_port=0", "--api_port=0", "--seeds=none"]


def report(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    assert main(["doctor", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_a_node_that_is_fit(settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    told = report(capsys, settings)
    assert "FAIL" not in told and "WARN" not in told
    assert "not checked  clock: no other node's is known: name a node's API with --url" in told
    for text in (
        "height 5",
        SPEC.hash.hex(),
        "its signing record fits",
        "are free",
        "msgspec",
        "none: this node waits",
    ):
        assert text in told
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    beside = {tmp_path / "data" / f"chain.db-{which}" for which in ("wal", "shm")}  # SQLite's, as of any reader
    assert {path: raw for path, raw in after.items() if path not in beside} == before


def test_a_key_that_came_after_genesis_warns_until_it_has_signed(tmp_path: Path) -> None:
    key_file = tmp_path / "new.pem"
    write_key_file(key_file, NEW, None)
    given = {"key_file": str(key_file), "data_dir": str(tmp_path / "data")}
    config = load_config(given, {"BLOCKCHAIN_ENV_FILE": ""}, tmp_path)
    assert [one.level for one in checks.check_key(config, SPEC)[0]] == ["ok", "warn"]
    named = replace(SPEC, validators=(replace(SPEC.validators[0], key=NEW.public_key),))
    assert [one.level for one in checks.check_key(config, named)[0]] == ["ok"]  # a genesis may name another key
    signer = Signer(NEW, SPEC.hash, record_of(key_file, NEW.public_key, config, SPEC))
    signer.load()
    signer.sign(Vote(1, 0, VoteStep.PREVOTE, None, -1, Address(NEW.public_key)))
    assert checks.check_key(config, SPEC)[0][1:] == []


def key_of_everybody(folder: Path, arguments: list[str]) -> None:
    path = folder / "public.pem"
    path.write_bytes((keys_folder() / "staker_private_key.pem").read_bytes())
    path.chmod(0o600)
    arguments.append(f"--key_file={path}")


def open_key(folder: Path, arguments: list[str]) -> None:
    (folder / "key.pem").chmod(0o644)


def damaged_record(folder: Path, arguments: list[str]) -> None:
    (folder / f"key.{SPEC.chain_id}-{SPEC.hash.hex()[:8]}.signing_record").write_bytes(b"damaged" * 20)


def other_store(folder: Path, arguments: list[str]) -> None:
    sql(folder / "data" / "chain.db", "UPDATE meta SET value = zeroblob(32) WHERE name = 'genesis_hash'")


def short_token(folder: Path, arguments: list[str]) -> None:
    (folder / "token").write_text("short")
    (folder / "token").chmod(0o600)
    arguments.append(f"--admin_token_file={folder / 'token'}")


def nobody_admitted(folder: Path, arguments: list[str]) -> None:
    (folder / "admitted").write_text("# nobody yet\n")
    arguments.append(f"--admit={folder / 'admitted'}")


def file_for_a_folder(folder: Path, arguments: list[str]) -> None:
    arguments.append(f"--data_dir={folder / 'genesis.json'}")


def file_above_the_folder(folder: Path, arguments: list[str]) -> None:
    arguments.append(f"--data_dir={folder / 'genesis.json' / 'data'}")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(open_key, "chmod 600", marks=pytest.mark.skipif(os.name == "nt", reason="no modes there")),
        (key_of_everybody, "public knowledge"),
        (damaged_record, "is damaged"),
        (other_store, "belongs to another chain"),
        (short_token, "32 to 1024"),
        (nobody_admitted, "names no node id"),
        (file_for_a_folder, "genesis.json is a file"),
        (file_above_the_folder, "genesis.json is a file"),
    ],
)
def test_what_is_wrong_fails_with_what_to_do(
    harm: Callable[[Path, list[str]], None],
    why: str,
    settings: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harm(tmp_path, settings)
    told = report(capsys, settings, EXIT_FAILED)
    assert [line for line in told.splitlines() if line.startswith("FAIL") and why in line], told


def test_a_busy_port_fails_unless_it_is_the_nodes_own(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        more = ["--ip=127.0.0.1", f"--api_port={busy.getsockname()[1]}"]
        assert "already in use" in report(capsys, [*settings, *more], EXIT_FAILED)
        lock = FolderLock.take(tmp_path / "data")
        monkeypatch.setattr(checks_peers, "API_SECONDS", 0.1)
        told = report(capsys, [*settings, *more])
        assert "this node is running" in told and "its API does not answer" in told
        lock.release()
    lock = FolderLock.take(tmp_path / "data")
    assert "but not on these ports" in report(capsys, settings, EXIT_FAILED)
    lock.release()


def test_a_disk_without_room_and_a_slow_one(
    settings: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_disk, "SYNC_PART", 1e9)
    assert "use a faster disk" in report(capsys, settings)
    monkeypatch.setattr(checks_disk, "FREE_BYTES_WARN", 2**90)
    assert "WARN         disk" in report(capsys, settings)
    monkeypatch.setattr(checks_disk, "FREE_BYTES_FAIL", 2**80)
    assert "FAIL         disk" in report(capsys, settings, EXIT_FAILED)


def test_a_data_folder_on_another_machine(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(checks_disk, "_MOUNTS", mounts)
    assert "is on nfs4" in report(capsys, settings, EXIT_FAILED)
    monkeypatch.setattr(checks_disk, "_MOUNTS", tmp_path / "none")
    assert "not checked  data folder" in report(capsys, settings)


def test_a_block_from_the_future_is_a_wrong_clock(tmp_path: Path) -> None:
    make_chain(tmp_path)
    config = config_of(tmp_path)
    levels = [finding.level for finding in checks.check_store(config, SPEC, now_ms=1_000_000)]
    assert levels == ["ok", "fail"]


def config_of(folder: Path) -> NodeConfig:
    return load_config({"data_dir": str(folder / "data")}, {"BLOCKCHAIN_ENV_FILE": ""}, folder)


def test_an_unsafe_library_fails(
    settings: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsafe() -> None:
        raise UnsafeLibrary("Ed25519 answers wrongly")

    monkeypatch.setattr(checks, "check_library", unsafe)
    assert "FAIL         signatures" in report(capsys, settings, EXIT_FAILED)


def test_the_clock_and_chain_of_another_node(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    same = [f"--data_dir={tmp_path / 'other'}", *settings[1:]]
    monkeypatch.setattr(clock, "_SECONDS", WAIT_SECONDS)  # a machine that stands still is no node that does not answer
    monkeypatch.setattr(checks_peers, "Client", partial(Client, timeout=WAIT_SECONDS))
    with running_api() as (url, _):
        ahead = clock.clock_ahead_ms(url)
        assert ahead is not None and abs(ahead) < 60_000, "it is the same clock, and its header may be a little old"
        monkeypatch.setattr(checks_peers, "clock_ahead_ms", lambda url: 0)
        with monkeypatch.context() as patched:  # the fake's chain is too small to be one
            patched.setattr("blockchain.commands.run.read_spec", lambda path: FakeNode().spec)
            told = report(capsys, [*same, f"--url={url}"])
        assert f"{url} is of this chain" in told and "ok           clock: within 2 s" in told
        told = report(capsys, [*settings, f"--url={url}"], EXIT_FAILED)
        assert f"FAIL         other node: {url} is of another chain" in told
    assert "nothing was compared" in report(capsys, [*settings, f"--url={url}"])


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999 00:00:00 GMT", "Mon, 01 Jan 2020 00:00:00 -9959", "no"])
def test_a_node_that_lies_about_its_clock_without_end(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[bytes]:
        raise AssertionError("the body says nothing of the clock")
        yield b""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Date": date}, content=endless())

    monkeypatch.setattr("httpx.Client", partial(httpx.Client, transport=httpx.MockTransport(answer)))
    assert clock.clock_ahead_ms("http://node") is None


def test_the_difference_of_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_api() as (url, _):
        for ahead, level in ((1_000, "ok"), (-3_000, "warn"), (9_000, "fail"), (None, "skip")):
            monkeypatch.setattr(checks_peers, "clock_ahead_ms", lambda url, ahead=ahead: ahead)
            found = list(checks_peers.check_other_node(url, SPEC))
            assert [one.level for one in found if one.what == "clock"] == [level]


def test_settings_that_cannot_be_are_refused_as_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--node_port=x"]) == EXIT_USAGE
    assert stderr_line(capsys)
    assert main(["doctor", f"--genesis={tmp_path / 'none'}"]) == EXIT_FAILED
    assert "cannot be read" in stderr_line(capsys)


# ------------------------------------------------------------------------------------------------ who can ask the API


def levels_of_api(folder: Path, spec: ChainSpec = SPEC, **given: str | None) -> list[str]:
    config = load_config(given, {"BLOCKCHAIN_ENV_FILE": ""}, folder)
    return [finding.level for finding in checks.check_api(config, spec)]


def test_an_api_open_to_the_world_is_told_with_its_fix(tmp_path: Path) -> None:
    assert levels_of_api(tmp_path) == levels_of_api(tmp_path, ip="127.0.0.1", admin_token_file="token") == ["ok"]
    assert levels_of_api(tmp_path, ip="0.0.0.0") == levels_of_api(tmp_path, ip="::") == ["warn"]
    assert levels_of_api(tmp_path, demo_spec(), ip="0.0.0.0") == levels_of_api(tmp_path, ip="192.168.0.7") == ["ok"]
    for ip in ("0.0.0.0", "192.168.0.7", "node-1.example.org"):
        assert levels_of_api(tmp_path, ip=ip, admin_token_file="token") == ["warn"]
        assert levels_of_api(tmp_path, ip=ip, admin_token_file="token", api_ip="localhost") == ["ok"]


def test_a_node_warns_at_its_start_of_what_costs_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_disk, "FREE_BYTES_FAIL", 2**80)
    monkeypatch.setattr(checks, "OPEN_FILES_MIN", 0)
    config = load_config({"data_dir": str(tmp_path / "data"), "ip": "::"}, {"BLOCKCHAIN_ENV_FILE": ""}, tmp_path)
    found = [finding for finding in checks.check_at_start(config, SPEC) if finding.level != "ok"]
    assert [(finding.what, finding.level) for finding in found] == [("API", "warn"), ("disk", "fail")]
    assert not (tmp_path / "data").exists()


# ------------------------------------------------------------------------------------------------ room and growth


def test_how_fast_a_store_grows_is_told_when_it_is_known(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_growth(tmp_path / "data", SPEC.hash) == 0, "five blocks tell nothing"
    monkeypatch.setattr(sqlite_look, "GROWTH_BLOCKS_MIN", 4)
    assert read_growth(tmp_path / "data", SPEC.hash) == 0, "nor do some ms"
    monkeypatch.setattr(sqlite_look, "GROWTH_SPAN_MIN_MS", 1)
    size = (tmp_path / "data" / "chain.db").stat().st_size
    with closing(apsw.Connection(str(tmp_path / "data" / "chain.db"))) as connection:
        raws = [raw for (raw,) in connection.execute("SELECT raw FROM blocks WHERE height IN (1, 5) ORDER BY height")]
    oldest, newest = (decode_block(raw).header.time_ms for raw in raws)
    assert read_growth(tmp_path / "data", SPEC.hash) == size * 4 // 5 * 86_400_000 // (newest - oldest) > 0
    told = report(capsys, settings)
    assert "a day: room for 0 days" in told and "WARN         disk" in told


def test_a_slow_write_is_told_against_the_time_outs_of_votes(
    settings: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_disk, "sync_ms", lambda _: [1.0, 2.0, 900.0])
    monkeypatch.setattr(checks_disk, "WORST_PART", 4)
    assert "takes 2.0 ms, the slowest of 3 took 900.0 ms; with vote time-outs of 1000 ms" in report(capsys, settings)
