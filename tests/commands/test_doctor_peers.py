"""doctor and other nodes: what it asks the seeds before a start, and a node that runs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, main
from blockchain.commands import checks_peers, probe
from blockchain.commands.checks_peers import check_agents, check_clocks, check_reach, check_running
from blockchain.commands.probe import FRESH_MS, Ear
from blockchain.config import NodeConfig
from blockchain.genesis import dump_genesis
from blockchain.node.dial_back import Reachable
from blockchain.node.messages import (
    FRAME_BYTES_MAX,
    Announce,
    Dialled,
    DialMe,
    GetTime,
    Time,
    decode_frame,
    encode_frame,
)
from blockchain.node.views import NetworkView
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.vote import Announcement, sign_message
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import generate_key, write_key_file
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import FrameReceived, P2PLimits, PeerEvent, PeerUp
from blockchain.seams import DialOutcome
from tests.api.fake_node import SPEC as FAKE_SPEC
from tests.commands.fake_api import running_api
from tests.commands.stored_chain import SPEC, flags
from tests.node.one_chain import KEYS

WAIT_SECONDS = 60
LIMITS = P2PLimits(message_bytes_max=FRAME_BYTES_MAX, close_s=0.5)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def announced(time_ms: int, key: SigningKey = KEYS[0], instance: int = 77) -> Announcement:
    said = sign_message(Announcement(Address(key.public_key), instance, time_ms), key, SPEC.hash)
    assert isinstance(said, Announcement)
    return said


@dataclass
class Seed:
    """How a node answers: its clock, what becomes of a dial that it is asked for, and what it tells by itself."""

    genesis_hash: Hash32 = SPEC.hash
    ahead_ms: int = 0
    dialled: DialOutcome = "reached"
    agent: str = checks_peers.OWN_AGENT
    says: Sequence[bytes] = ()

    async def serve(self, started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        events: asyncio.Queue[PeerEvent] = asyncio.Queue(64)
        p2p = P2P(
            node_key=generate_key(), genesis_hash=self.genesis_hash, listen_host="127.0.0.1", listen_port=0,
            advertise=None, limits=LIMITS, events=events, log=getLogger("test"), agent=self.agent,
        )  # fmt: skip
        await p2p.start()
        stop = asyncio.Event()
        started.set_result((p2p.port, asyncio.get_running_loop(), stop))
        answering = asyncio.create_task(self._answer(p2p, events))
        await stop.wait()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        await p2p.stop()

    async def _answer(self, p2p: P2P, events: asyncio.Queue[PeerEvent]) -> None:
        while True:
            match await events.get():
                case PeerUp(peer_id=peer):
                    for frame in self.says:
                        p2p.send(peer, frame)
                case FrameReceived(peer_id=peer, data=frame):
                    match decode_frame(frame).message:
                        case GetTime(asked_ms=asked_ms):
                            p2p.send(peer, encode_frame(SPEC.hash, Time(asked_ms, now_ms() + self.ahead_ms)))
                        case DialMe():
                            p2p.send(peer, encode_frame(SPEC.hash, Dialled(self.dialled)))


@contextmanager
def listening(seed: Seed) -> Iterator[str]:
    """Its address, while it runs in a thread of its own."""
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(seed.serve(started)))
    thread.start()
    port, loop, stop = started.result(WAIT_SECONDS)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_SECONDS)


@pytest.fixture(name="settings")
def settings_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags of a validator that has not run yet; nobody is listened to for long."""
    (tmp_path / "genesis.json").write_bytes(dump_genesis(SPEC))
    write_key_file(tmp_path / "key.pem", KEYS[0], None)
    monkeypatch.setattr(probe, "LISTEN_SECONDS", 0.2)
    monkeypatch.setattr(probe, "PROBE_SECONDS", 30.0)  # a machine that is busy may take its time
    return [*flags(tmp_path), f"--key_file={tmp_path / 'key.pem'}", "--node_port=0", "--api_port=0"]


def report(capsys: pytest.CaptureFixture[str], settings: list[str]) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit code, and the findings by what they are about."""
    code = main(["doctor", "--json", *settings])
    captured = capsys.readouterr()
    assert captured.err == ""
    told = json.loads(captured.out)
    assert told["is_fit"] is (code == 0)
    found: dict[str, list[dict[str, str]]] = {}
    for finding in told["findings"]:
        assert finding.keys() == {"level", "what", "text", "fix"}
        assert finding["fix"] or finding["level"] in ("ok", "skip"), finding
        found.setdefault(finding["what"], []).append(finding)
    return code, found


def levels(findings: list[dict[str, str]]) -> list[str]:
    return [finding["level"] for finding in findings]


# ------------------------------------------------------------------------------------------------ seeds


def test_seeds_are_asked_for_chain_and_version(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(Seed(agent="blockchain/0.0.1")) as same, listening(Seed(Hash32(bytes(32)))) as other:
        code, found = report(capsys, [*settings, f"--seeds={same},{other},127.0.0.1:1"])
    assert code == EXIT_FAILED
    assert levels(found["seeds"]) == ["ok", "fail", "warn"]
    assert "other_chain" in found["seeds"][1]["text"] and "genesis hash" in found["seeds"][1]["fix"]
    assert levels(found["versions"]) == ["warn"] and "blockchain/0.0.1" in found["versions"][0]["text"]
    assert levels(found["clock"]) == ["ok"] and "give or take" in found["clock"][0]["text"]
    assert levels(found["reachability"]) == ["skip"], "it advertises nothing"
    assert levels(found["key"]) == ["ok", "ok"] and "not seen live" in found["key"][1]["text"]
    assert not (tmp_path / "data").exists()


def test_the_clocks_of_three_seeds_say_whose_is_wrong(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Seed(ahead_ms=20_000)) as one, listening(Seed(ahead_ms=19_000)) as two, listening(Seed()) as three:
        code, found = report(capsys, [*settings, f"--seeds={one},{two},{three}"])
    assert code == EXIT_FAILED and levels(found["clock"]) == ["fail"]
    assert "behind those of 3 others" in found["clock"][0]["text"] and "NTP" in found["clock"][0]["fix"]


def reachability(capsys: pytest.CaptureFixture[str], settings: list[str], seed: str) -> dict[str, str]:
    """What is said of it, on a port that nobody else takes meanwhile."""
    found = {"level": "skip"}
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        _, told = report(capsys, [*settings, "--ip=127.0.0.1", f"--node_port={port}", f"--seeds={seed}"])
        (found,) = told["reachability"]
        if found["level"] != "skip":
            break
    return found


def test_a_seed_tells_whether_it_reaches_this_node(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Seed()) as yes, listening(Seed(dialled="no_answer")) as no:
        found = reachability(capsys, settings, yes)
        assert found["level"] == "ok" and "at 127.0.0.1:" in found["text"]
        found = reachability(capsys, settings, no)
        assert found["level"] == "warn" and "firewall" in found["fix"]


def test_a_warning_fails_when_it_is_to_be_strict(settings: list[str]) -> None:
    assert main(["doctor", *settings, "--seeds=127.0.0.1:1"]) == 0
    assert main(["doctor", "--strict", *settings, "--seeds=127.0.0.1:1"]) == EXIT_FAILED


def test_a_key_that_is_seen_live_fails(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An announcement that a seed kept from this node's own last run is none; nor is another's."""
    kept = [announced(now_ms() - 1_000), announced(now_ms() + 60_000, KEYS[1])]
    frames = [b"garbage", *(encode_frame(SPEC.hash, Announce(said)) for said in kept)]
    with listening(Seed(says=frames)) as seed:
        code, found = report(capsys, [*settings, f"--seeds={seed}"])
        assert code == 0 and levels(found["key"]) == ["ok", "ok"]
    live = encode_frame(SPEC.hash, Announce(announced(now_ms() + 60_000)))
    with listening(Seed(says=[*frames, live])) as seed:
        code, found = report(capsys, [*settings, f"--seeds={seed}"])
    assert code == EXIT_FAILED and levels(found["key"]) == ["ok", "fail"]
    assert "instance 77" in found["key"][1]["text"] and "do not start" in found["key"][1]["fix"]


def test_what_says_that_a_key_is_alive() -> None:
    begun, ann, bob = 1_000_000, b"a", b"b"
    own = {KEYS[0].public_key}
    assert Ear(own, SPEC.hash, begun).is_alive(announced(begun + 1), ann, begun + 2)
    assert not Ear(own, SPEC.hash, begun).is_alive(announced(begun + 1, KEYS[1]), ann, begun + 2)
    ear = Ear(own, SPEC.hash, begun)
    assert not ear.is_alive(announced(begun - 9_000), ann, begun)
    assert not ear.is_alive(announced(begun - 9_000), ann, begun), "the same once more"
    assert not ear.is_alive(announced(begun - 4_000), bob, begun), "bob has kept a newer one than ann"
    assert ear.is_alive(announced(begun - 4_000), ann, begun + 5_000), "a clock that is behind"
    assert not ear.is_alive(announced(begun - FRESH_MS), ann, begun + 1), "replayed"


def test_a_busy_port_and_a_file_that_cannot_be_read_leave_the_rest(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(Seed()) as seed, socket.create_server(("127.0.0.1", 0)) as busy:
        more = ["--ip=127.0.0.1", f"--node_port={busy.getsockname()[1]}", f"--seeds={seed}"]
        code, found = report(capsys, [*settings, *more])
        assert code == EXIT_FAILED and levels(found["seeds"]) == ["ok"] and levels(found["ports"]) == ["fail"]
        assert levels(found["reachability"]) == ["skip"]
        (tmp_path / "admitted").write_text("nobody")
        code, found = report(capsys, [*settings, f"--admit={tmp_path / 'admitted'}", f"--seeds={seed}"])
        assert levels(found["seeds"]) == ["skip"] and levels(found["key"]) == ["fail"]


# ------------------------------------------------------------------------------------------------ a running node


def running(url: str) -> NodeConfig:
    return NodeConfig(ip="127.0.0.1", api_port=int(url.rpartition(":")[2]), advertise="127.0.0.1:8010")


def test_a_node_that_runs_is_asked_for_its_peers() -> None:
    with running_api() as (url, node):
        found = {finding.what: finding for finding in check_running(running(url), FAKE_SPEC)}
        assert [found[what].level for what in ("peers", "versions", "clock", "reachability")] == [
            "ok", "warn", "ok", "ok",
        ]  # fmt: skip
        node.network = NetworkView(None, 1, "no", "0 of 1 peers that tried reached this node")
        found = {finding.what: finding for finding in check_running(running(url), FAKE_SPEC)}
        assert found["reachability"].level == "warn"
        assert [finding.level for finding in check_running(running(url), SPEC)] == ["fail"]
    assert [finding.level for finding in check_running(running(url), FAKE_SPEC)] == ["warn"]


def test_doctor_beside_a_node_asks_it(settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FolderLock.take(tmp_path / "data")
    with running_api() as (url, _):
        more = ["--ip=127.0.0.1", f"--api_port={url.rpartition(':')[2]}"]
        _, found = report(capsys, [*settings, *more])
    lock.release()
    assert "node of another chain" in found["peers"][0]["text"] and "seeds" not in found


# ------------------------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("offsets", "found"),
    [
        ([], ["skip"]),
        ([10], ["ok"]),
        ([10, -2_600], ["ok", "warn"]),
        ([2_504, 9_000], ["ok", "warn"]),
        ([10, 20, 10**9], ["ok"]),
        ([-2_600, -2_700, 0], ["warn"]),
        ([6_000, 7_000, 0, 6_000], ["fail"]),
    ],
)
def test_clocks_against_the_allowed_drift(offsets: list[int], found: list[str]) -> None:
    clocks = [(f"node-{number}", offset, 5) for number, offset in enumerate(offsets)]
    assert [finding.level for finding in check_clocks(clocks, 5_000)] == found


def test_versions_and_reachability() -> None:
    assert [finding.level for finding in check_agents([("a", checks_peers.OWN_AGENT)])] == ["ok"]
    assert list(check_agents([])) == []
    (found,) = check_agents([("a", ""), ("b", "other/1")])
    assert found.level == "warn" and "b runs other/1" in found.text
    assert [check_reach(Reachable(verdict, "why"), "host:1").level for verdict in ("yes", "no", "unknown")] == [
        "ok", "warn", "skip",
    ]  # fmt: skip
