"""doctor: it finds what is wrong before a node is started, says what to do, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from logging import getLogger
from pathlib import Path

import httpx
import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.commands import checks, clock
from blockchain.commands.keyring import keys_folder
from blockchain.commands.probe import probe
from blockchain.config import NodeConfig, load_config
from blockchain.errors import UnsafeLibrary
from blockchain.genesis import dump_genesis
from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import generate_key, write_key_file
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import P2PLimits
from tests.api.fake_node import FakeNode
from tests.commands.fake_api import running_api
from tests.commands.stored_chain import SPEC, flags, make_chain, sql
from tests.commands.test_cli import stderr_line
from tests.node.one_chain import KEYS

WAIT_SECONDS = 60


@pytest.fixture(name="settings")
def settings_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags of a node that is fit: a chain of its own, a store, a validator's key, free ports."""
    make_chain(tmp_path)
    write_key_file(tmp_path / "key.pem", KEYS[0], None)
    monkeypatch.setattr(checks, "SYNC_MS_WARN", 1e9)  # whatever the disk of the tests is like
    monkeypatch.setattr(checks, "FREE_BYTES_WARN", 0)
    monkeypatch.setattr(checks, "FREE_BYTES_FAIL", 0)
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
    assert "not checked  clock: against another machine's" in told
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
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        more = ["--ip=127.0.0.1", f"--api_port={busy.getsockname()[1]}"]
        assert "already in use" in report(capsys, [*settings, *more], EXIT_FAILED)
        lock = FolderLock.take(tmp_path / "data")
        told = report(capsys, [*settings, *more])
        assert "this node is running" in told and "`blockchain peers`" in told
        lock.release()
    lock = FolderLock.take(tmp_path / "data")
    assert "but not on these ports" in report(capsys, settings, EXIT_FAILED)
    lock.release()


def test_a_disk_without_room_and_a_slow_one(
    settings: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SYNC_MS_WARN", -1)
    assert "use a faster disk" in report(capsys, settings)
    monkeypatch.setattr(checks, "FREE_BYTES_WARN", 2**90)
    assert "WARN         disk" in report(capsys, settings)
    monkeypatch.setattr(checks, "FREE_BYTES_FAIL", 2**80)
    assert "FAIL         disk" in report(capsys, settings, EXIT_FAILED)


def test_a_data_folder_on_another_machine(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(checks, "_MOUNTS", mounts)
    assert "is on nfs4" in report(capsys, settings, EXIT_FAILED)
    monkeypatch.setattr(checks, "_MOUNTS", tmp_path / "none")
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
    genesis = tmp_path / "other" / "genesis.json"
    genesis.write_bytes(dump_genesis(FakeNode().spec))
    same = [f"--data_dir={tmp_path / 'other'}", f"--genesis={genesis}", *settings[3:]]
    with running_api() as (url, _):
        ahead = clock.clock_ahead_ms(url)
        assert ahead is not None and abs(ahead) < 60_000, "it is the same clock, and its header may be a little old"
        monkeypatch.setattr(checks, "clock_ahead_ms", lambda url: 0)
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
            monkeypatch.setattr(checks, "clock_ahead_ms", lambda url, ahead=ahead: ahead)
            found = list(checks.check_other_node(url, SPEC))
            assert [one.level for one in found if one.what == "clock"] == [level]


@contextmanager
def listening_peer(genesis_hash: bytes) -> Iterator[str]:
    """The address of a node's peer-to-peer port, in a thread of its own."""
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        p2p = P2P(
            node_key=generate_key(), genesis_hash=genesis_hash, listen_host="127.0.0.1", listen_port=0, advertise=None,
            limits=P2PLimits(message_bytes_max=FRAME_BYTES_MAX), events=asyncio.Queue(64), log=getLogger("test"),
        )  # fmt: skip
        await p2p.start()
        stop = asyncio.Event()
        started.set_result((p2p.port, asyncio.get_running_loop(), stop))
        await stop.wait()
        await p2p.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, loop, stop = started.result(WAIT_SECONDS)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_SECONDS)


def test_seeds_are_asked_for_their_chain(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening_peer(SPEC.hash) as same, listening_peer(bytes(32)) as other:
        found = probe([same, other, "127.0.0.1:1"], SPEC.hash, tmp_path / "nowhere")
        assert found[same] == "" and "other_chain" in found[other] and found["127.0.0.1:1"] != ""
        told = report(capsys, [*settings, f"--seeds={same},{other},127.0.0.1:1"], EXIT_FAILED)
    assert f"ok           seeds: {same} is of this chain" in told
    assert f"FAIL         seeds: {other}: other_chain" in told
    assert "WARN         seeds: 127.0.0.1:1" in told
    assert not (tmp_path / "nowhere").exists()


def test_settings_that_cannot_be_are_refused_as_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--node_port=x"]) == EXIT_USAGE
    assert stderr_line(capsys)
    assert main(["doctor", f"--genesis={tmp_path / 'none'}"]) == EXIT_FAILED
    assert "cannot be read" in stderr_line(capsys)
