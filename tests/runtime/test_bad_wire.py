"""Bad input on the wire: each with its reason in the log, and nothing else changed. A whole node, and real sockets.

A table for each moment: before the handshake, as the one who dials and as the one who is dialled; after it, frames
that are no messages of this protocol, and messages that break a rule. Tests wait on conditions, never on time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from blockchain.errors import ChannelClosed, HandshakeFailed
from blockchain.node.messages import (
    FRAME_BYTES_MAX,
    Accuse,
    GetBlocks,
    GetPeers,
    Have,
    Message,
    ProposedBlock,
    Transactions,
    Votes,
    Want,
    decode_frame,
    encode_frame,
)
from blockchain.primitives import codec
from blockchain.primitives.chain import GenesisValidator
from blockchain.primitives.crypto import Address, Hash32, Signature, SigningKey
from blockchain.primitives.vote import ConflictingVotes, Proposal
from blockchain.runtime.handshake import HANDSHAKE_FRAME_BYTES_MAX, WIRE_VERSION, Handshake, Identity, Role
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.seldom import Seldom
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.runtime.raw_peer import RawPeer, connect_raw, dial_raw, dialling
from tests.runtime.scenarios import run
from tests.samples import OTHER_CHAIN, PREVOTE, keys_in_order, signed, spec_of, vote, wallet

KEYS = keys_in_order(2)
SPEC = spec_of(validators=tuple(GenesisValidator(Address(held.public_key), 100) for held in KEYS))
CHAIN = SPEC.hash
OWN, PEER, VICTIM = (SigningKey(bytes([number]) * 32) for number in (201, 202, 203))
LIMITS = P2PLimits(message_bytes_max=FRAME_BYTES_MAX, retry_first_s=0.01, retry_max_s=0.05, close_s=0.5)
HASTY = P2PLimits(message_bytes_max=FRAME_BYTES_MAX, handshake_s=0.2, close_s=0.5)


class Lines(logging.Handler):
    """What the node has logged of peers."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def told(self, event: str) -> list[dict[str, object]]:
        found = [vars(record) for record in self.records]
        return [each for each in found if event in (each.get("evt.name"), each.get("event"))]

    async def until(self, event: str) -> dict[str, object]:
        while not self.told(event):
            await asyncio.sleep(0.002)
        return self.told(event)[0]


class Bench(NamedTuple):
    node: NodeService
    lines: Lines

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.node.p2p.port}"

    def state(self) -> tuple[object, ...]:
        """Everything of the chain that a peer could have changed."""
        status = self.node.status()
        return status.height, status.head, status.pool, status.consensus, self.node.pending()


@asynccontextmanager
async def running(folder: Path, limits: P2PLimits = LIMITS) -> AsyncIterator[Bench]:
    """A node that follows, on a chain of two validators; in the end nothing of its chain has changed."""

    make_p2p = partial(p2p_on_a_free_port, OWN, CHAIN, limits=limits)
    store = SqliteStore.open(folder, CHAIN)
    node = NodeService(SPEC, store, (), make_p2p, PeerId(OWN.public_key))
    lines = Lines()
    log = logging.getLogger("blockchain")
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    await node.p2p.start()
    try:
        await node.start()
        bench = Bench(node, lines)
        before = bench.state()
        yield bench
        assert bench.state() == before and store.head() == 0
    finally:
        await node.stop()
        await node.p2p.stop()
        store.close()
        log.removeHandler(lines)
        log.setLevel(level)


# ------------------------------------------------------------------------------------------------ messages


def drawn_and_other() -> tuple[SigningKey, SigningKey]:
    """The forger of (1, 0), and the other validator."""
    from blockchain.genesis import ENGINES
    from blockchain.node.chain import Chain
    from blockchain.node.store import MemoryStore

    selection = ENGINES[SPEC.engine](CHAIN)
    chain = Chain(SPEC, selection, MemoryStore())
    forger = selection.forgers(chain.seed, 1, chain.validators).forger(0)
    first, second = KEYS
    return (first, second) if Address(first.public_key) == forger else (second, first)


FORGER, OTHER = drawn_and_other()
STRANGER = SigningKey(bytes([204]) * 32)
NO_SIGNATURE = Signature(bytes(64))
GOOD_VOTE = vote(KEYS[0], 1, PREVOTE, None, genesis_hash=CHAIN)
PAY = wallet("a", CHAIN).transfer(Address(KEYS[0].public_key), 1, 0)
ELSEWHERE = wallet("a", OTHER_CHAIN).transfer(Address(KEYS[0].public_key), 1, 0)


def proposal(by: SigningKey) -> Proposal:
    unsigned = Proposal(1, 0, -1, Hash32(b"\xaa" * 32), Address(by.public_key))
    return signed(unsigned, by, CHAIN)


def frame(message: Message) -> bytes:
    return encode_frame(CHAIN, message)


def plain(*message: object, beside: tuple[object, ...] = ()) -> bytes:
    """A canonical frame of anything, beyond what the types allow."""
    return codec.encode((CHAIN, message, *beside))


ASK = frame(GetBlocks(1, 1))
MALFORMED = {
    "nothing": b"",
    "garbage": b"\xc1garbage",
    "truncated": ASK[:-1],
    "trailing bytes": ASK + b"\xc0",
    "a number in more bytes than it needs": ASK[:-1] + b"\xcc\x01",
    "an extra element in the message": plain("get_peers", 1),
    "an extra element in the envelope": plain("get_peers", beside=(1,)),
    "an extra element in a vote": plain("votes", ((*codec.decode(codec.encode(GOOD_VOTE), tuple, bytes_max=999), 1),)),
    "an unknown kind": plain("get_money"),
    "a number that is none": plain("get_blocks", 1.0, 1),
    "a boolean for a number": plain("get_blocks", 1, True),
    "beyond a maximum": plain("get_blocks", 1, 101),
    "an empty list": plain("votes", ()),
    "too long a list": plain("have", tuple(bytes(32) for _ in range(5_001))),
}

BROKEN_RULES = {
    "a message of another chain": (encode_frame(OTHER_CHAIN, GetPeers()), "wrong_chain"),
    "a vote with a wrong signature": (frame(Votes((replace(GOOD_VOTE, signature=NO_SIGNATURE),))), "bad_signature"),
    "a vote of another chain": (
        frame(Votes((vote(KEYS[0], 1, PREVOTE, None, genesis_hash=OTHER_CHAIN),))),
        "bad_signature",
    ),
    "a vote of a stranger": (frame(Votes((vote(STRANGER, 1, PREVOTE, None, genesis_hash=CHAIN),))), "not_a_validator"),
    "a vote that cannot be": (
        frame(Votes((vote(KEYS[0], 1, PREVOTE, None, polka_round=0, genesis_hash=CHAIN),))),
        "bad_vote",
    ),
    "a proposal with a wrong signature": (
        frame(ProposedBlock(replace(proposal(FORGER), signature=NO_SIGNATURE), b"\x90")),
        "bad_signature",
    ),
    "a proposal of who was not drawn": (frame(ProposedBlock(proposal(OTHER), b"\x90")), "wrong_forger"),
    "a proposal of a block that is none": (frame(ProposedBlock(proposal(FORGER), b"\x90")), "malformed"),
    "evidence of nothing": (frame(Accuse(ConflictingVotes(GOOD_VOTE, GOOD_VOTE))), "bad_evidence"),
}

BAD_TRANSACTIONS = {
    "a wrong signature": PAY.raw[:-64] + bytes(64),
    "of another chain": ELSEWHERE.raw,
    "truncated": PAY.raw[:-1],
    "trailing bytes": PAY.raw + b"\xc0",
}


async def closed_with(peer: RawPeer) -> str:
    """What the node says when it closes."""
    try:
        while True:
            await peer.receive()
    except ChannelClosed as error:
        return error.why


async def check_banned(bench: Bench, peer: RawPeer, key: SigningKey, reason: str, case: str = "") -> None:
    """It is told why, it stays out, and its address (this machine's) is not blamed for it."""
    told = await bench.lines.until("peer_penalized")
    assert (told["peer"], told["reason"]) == (key.public_key.hex(), reason) and told["why"], case
    assert await closed_with(peer) == reason, case
    peer.vanish()
    last = bench.node.bans()[-1]
    assert (last.peer, last.address, last.reason, last.times) == (PeerId(key.public_key), "", reason, 1), case
    with pytest.raises(HandshakeFailed) as caught:
        await dial_raw(bench.address, key, CHAIN)
    assert (caught.value.reason, caught.value.why) == ("refused", "banned"), case
    (await dial_raw(bench.address, VICTIM, CHAIN)).vanish()


def test_a_message_that_breaks_a_rule_bans_its_peer(tmp_path: Path) -> None:
    table = {case: (bad, "malformed") for case, bad in MALFORMED.items()} | BROKEN_RULES

    async def scenario() -> None:
        async with running(tmp_path) as bench:
            for number, (case, (bad, reason)) in enumerate(table.items()):
                key = SigningKey(bytes([number]) * 32)
                bench.lines.records.clear()
                peer = await dial_raw(bench.address, key, CHAIN)
                await peer.send(bad)
                await check_banned(bench, peer, key, reason, case)
            assert len(bench.node.bans()) == len(table)

    run(scenario())


@pytest.mark.parametrize("raw", BAD_TRANSACTIONS.values(), ids=BAD_TRANSACTIONS.keys())
def test_a_bad_transaction_that_was_asked_for_bans_its_peer(tmp_path: Path, raw: bytes) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            peer = await dial_raw(bench.address, PEER, CHAIN)
            await peer.send(frame(Have((PAY.id,))))
            while not isinstance(decode_frame(await peer.receive()).message, Want):
                pass
            await peer.send(frame(Transactions((raw,))))
            await check_banned(bench, peer, PEER, "bad_transaction")

    run(scenario())


def test_what_nobody_asked_for_is_not_looked_at_and_bans_only_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            peer = await dial_raw(bench.address, PEER, CHAIN)
            unasked = frame(Transactions((BAD_TRANSACTIONS["a wrong signature"],)))
            await peer.send(unasked)
            assert (await bench.lines.until("peer_penalized"))["reason"] == "unasked"
            (score,) = (view.score for view in bench.node.peers())
            assert 0 < score <= 5 and bench.node.bans() == []
            with contextlib.suppress(ConnectionClosed):
                while not bench.node.bans():
                    await peer.send(unasked)
                    await asyncio.sleep(0)
            await check_banned(bench, peer, PEER, "unasked")

    run(scenario())


# ------------------------------------------------------------------------------------------------ frames


@pytest.mark.parametrize(
    ("misdeed", "why"),
    [
        (lambda peer: peer.send(bytes(FRAME_BYTES_MAX + 100)), "1009"),
        (lambda peer: peer.socket.send(b"garbage"), "not what the peer sealed"),
        (lambda peer: peer.socket.send(b""), "not what the peer sealed"),
        (lambda peer: peer.socket.send("text"), "text frame"),
    ],
    ids=["over the limit", "garbage", "empty", "text"],
)
def test_a_frame_that_no_peer_seals_ends_the_connection(
    tmp_path: Path, misdeed: Callable[[RawPeer], Coroutine[None, None, None]], why: str
) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            peer = await dial_raw(bench.address, PEER, CHAIN)
            try:
                await misdeed(peer)
            except ConnectionClosed:
                assert why == "1009"  # cut while it was still sending
            assert why in str((await bench.lines.until("peer_left"))["why"])
            peer.vanish()

    run(scenario())


# ------------------------------------------------------------------------------------------------ handshakes


class Thief(SigningKey):
    """Says that it is somebody else, and signs with what it has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "public_key", VICTIM.public_key)


async def say(socket: ClientConnection | ServerConnection, *frames: bytes) -> None:
    for each in frames:
        await socket.send(each)


def hello(**changes: bytes) -> bytes:
    """A good hello, some of it replaced."""
    good = dialling(PEER, CHAIN).send()[0]
    return good[:4] + changes.get("version", good[4:6]) + changes.get("genesis", good[6:38]) + good[38:]


async def send_hello_of_another_chain(socket: ClientConnection) -> None:
    await say(socket, hello(genesis=OTHER_CHAIN))


async def send_hello_of_another_version(socket: ClientConnection) -> None:
    await say(socket, hello(version=(WIRE_VERSION + 1).to_bytes(2, "big")))


async def send_stolen_id(socket: ClientConnection) -> None:
    handshake = Handshake(Role.DIALLER, Identity(Thief(PEER.seed), CHAIN), b"\x01" * 32, b"\x02" * 32)
    await say(socket, *handshake.send())
    for _ in range(2):
        handshake.receive(await socket.recv(decode=False))
    await say(socket, *handshake.send())


async def reflect_hello(socket: ClientConnection) -> None:
    await say(socket, hello(genesis=CHAIN)[:38] + bytes(OWN.public_key) + bytes(64))


async def reflect_proof(socket: ClientConnection) -> None:
    await say(socket, hello())
    await socket.recv()
    await say(socket, await socket.recv(decode=False))


async def send_garbage(socket: ClientConnection) -> None:
    await say(socket, b"GET / HTTP/1.1")


async def send_garbage_for_a_proof(socket: ClientConnection) -> None:
    await say(socket, hello(), bytes(100))


async def send_too_much(socket: ClientConnection) -> None:
    await say(socket, bytes(HANDSHAKE_FRAME_BYTES_MAX + 1))


async def send_truncated_hello(socket: ClientConnection) -> None:
    await say(socket, hello()[:-1])


async def send_trailing_bytes(socket: ClientConnection) -> None:
    await say(socket, hello() + b"\x00")


async def send_text(socket: ClientConnection) -> None:
    await socket.send("hello")


async def send_message_instead_of_a_proof(socket: ClientConnection) -> None:
    handshake = dialling(PEER, CHAIN)
    await say(socket, *handshake.send())
    handshake.receive(await socket.recv(decode=False))
    await say(socket, handshake.channel.seal(frame(GetPeers())))


async def go_away(socket: ClientConnection) -> None:
    await say(socket, hello())
    await socket.close()


BAD_HANDSHAKES: list[tuple[Callable[[ClientConnection], Coroutine[None, None, None]], str]] = [
    (send_hello_of_another_chain, "other_chain"),
    (send_hello_of_another_version, "other_version"),
    (send_stolen_id, "bad_proof"),
    (reflect_hello, "own_id"),
    (reflect_proof, "bad_frame"),
    (send_garbage, "not_hello"),
    (send_garbage_for_a_proof, "bad_frame"),
    (send_too_much, "closed"),
    (send_truncated_hello, "not_hello"),
    (send_trailing_bytes, "not_hello"),
    (send_text, "text_frame"),
    (send_message_instead_of_a_proof, "bad_proof"),
    (go_away, "closed"),
]


def test_a_handshake_that_fails_is_logged_with_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            for attempt, reason in BAD_HANDSHAKES:
                bench.lines.records.clear()
                bench.node.p2p._seldom = Seldom()  # each of them is to be seen
                async with connect_raw(bench.address) as socket:
                    await attempt(socket)
                    told = await bench.lines.until("peer_refused")
                assert told["reason"] == reason and told["why"], attempt
                assert bench.node.peers() == [] and bench.node.bans() == [], attempt

    run(scenario())


def test_silence_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, HASTY) as bench, connect_raw(bench.address):
            told = await bench.lines.until("peer_refused")
            assert (told["reason"], told["why"]) == ("too_slow", "no handshake within 0.2 s")

    run(scenario())


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
NO_FRAME = b"\x83\x80\x00\x00\x00\x00"  # of an opcode that there is not


@pytest.mark.parametrize("refused", [b"Origin: https://example.org\r\n", b"Sec-WebSocket-Version: 12\r\n", b""])
def test_what_is_no_frame_right_behind_the_request_is_cut_off_without_a_traceback(
    tmp_path: Path, refused: bytes
) -> None:
    """Found by fuzzing: the library answered on a connection that it had given up, and logged its own assertion."""

    async def scenario() -> None:
        async with running(tmp_path) as bench:
            host, _, port = bench.address.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.closing(writer):
                writer.write(REQUEST + refused + b"\r\n" + NO_FRAME)
                with contextlib.suppress(ConnectionResetError):
                    assert b"101" not in await reader.read()
            (await dial_raw(bench.address, PEER, CHAIN)).vanish()
            assert not [record.getMessage() for record in bench.lines.records if record.levelno >= logging.ERROR]

    run(scenario())


# ------------------------------------------------------------------------------------------------ who is dialled


def listening(key: SigningKey, genesis_hash: bytes) -> Handshake:
    return Handshake(Role.LISTENER, Identity(key, genesis_hash), b"\x03" * 32, b"\x04" * 32)


async def answer_of_another_chain(socket: ServerConnection) -> None:
    other = listening(PEER, OTHER_CHAIN)
    with pytest.raises(HandshakeFailed):
        other.receive(await socket.recv(decode=False))
    await say(socket, *other.send())


async def answer_of_another_version(socket: ServerConnection) -> None:
    await socket.recv()
    await say(socket, hello(version=(WIRE_VERSION + 1).to_bytes(2, "big")))


async def answer_with_a_stolen_id(socket: ServerConnection) -> None:
    thief = listening(Thief(PEER.seed), CHAIN)
    thief.receive(await socket.recv(decode=False))
    await say(socket, *thief.send())


async def answer_with_its_own_words(socket: ServerConnection) -> None:
    await say(socket, await socket.recv(decode=False))


async def answer_garbage(socket: ServerConnection) -> None:
    await say(socket, b"SSH-2.0-OpenSSH")


async def answer_too_much(socket: ServerConnection) -> None:
    await say(socket, bytes(HANDSHAKE_FRAME_BYTES_MAX + 1))


async def stay_silent(socket: ServerConnection) -> None:
    await socket.recv()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answer_of_another_chain, "other_chain: this node is on chain"),
        (
            answer_of_another_version,
            f"other_version: this node speaks version {WIRE_VERSION}, the peer version {WIRE_VERSION + 1}",
        ),
        (answer_with_a_stolen_id, "bad_proof: the peer did not prove to be"),
        (answer_with_its_own_words, "own_id: this is the node itself"),
        (answer_garbage, "not_hello: the peer does not speak this protocol"),
        (answer_too_much, "closed: cut off"),
        (stay_silent, "too_slow: no handshake within 0.2 s"),
    ],
)
def test_why_a_dial_failed_is_in_the_log_and_in_the_status(
    tmp_path: Path, answer: Callable[[ServerConnection], Coroutine[None, None, None]], why: str
) -> None:
    async def bad_listener(socket: ServerConnection) -> None:
        try:
            await answer(socket)
            await socket.wait_closed()
        except ConnectionClosed:
            return

    async def scenario() -> None:
        limits = HASTY if answer is stay_silent else LIMITS
        async with serve(bad_listener, "127.0.0.1", 0) as server, running(tmp_path, limits) as bench:
            address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            bench.node.p2p.dial(address)
            told = await bench.lines.until("dial_failed")
            assert told["peer_address"] == address and cast(str, told["why"]).startswith(why)
            (dial,) = bench.node.dials()
            assert (dial.address, dial.is_connected) == (address, False)
            assert dial.last_error.startswith(why) and dial.last_attempt_ms is not None and dial.attempts >= 1
            assert bench.node.peers() == []

    run(scenario())
