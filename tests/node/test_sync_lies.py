"""A node that joins has two sources, one of which lies; frames as on the wire, the cores those of production."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import pytest
from msgspec.structs import replace

from blockchain.errors import PeerFault
from blockchain.node.core import Core
from blockchain.node.inputs import Input, MessageFaulty, MessageReceived
from blockchain.node.messages import Blocks, GetBlocks, Status, decode_frame, encode_frame
from blockchain.node.reader import status_of
from blockchain.node.store import MemoryStore
from blockchain.node.verify import verify_frame
from blockchain.primitives import codec
from blockchain.primitives.block import Block, block_id, decode_block
from blockchain.primitives.chain import ChainSpec, GenesisValidator
from blockchain.primitives.crypto import Address, Signature
from blockchain.primitives.vote import Certificate, CommitSignature, Step
from blockchain.seams import (
    Halt,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    Penalize,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Write,
)
from tests.node.one_chain import NOW, Node
from tests.samples import BLOCK_A, certificate_of, keys_in_order, spec_of

SIX: Final = keys_in_order(6)  # of which four are exactly two thirds
LENGTH: Final = 12
LIAR, HONEST = PeerId(b"2" * 32), PeerId(b"1" * 32)  # of equals the greater id is asked first
SECONDS: Final = 60
STATUS_TIMER: Final = TimerFired(TimerKey(TimerKind.STATUS))

Lie = Callable[[Blocks], Blocks | None]


@cache
def spec() -> ChainSpec:
    return spec_of(validators=tuple(GenesisValidator(Address(key.public_key), 100) for key in SIX))


@cache
def source() -> Node:
    """A chain of LENGTH blocks, made final by all six."""
    node = Node(spec(), SIX)
    for nonce in range(LENGTH):
        node.grow(node.pay("a", nonce))
    return node


# ------------------------------------------------------------------------------------------------ the lies


def with_seal(answer: Blocks, change: Callable[[Certificate], Certificate]) -> Blocks:
    assert answer.certificate is not None
    return replace(answer, certificate=change(answer.certificate))


def with_precommits(change: Callable[[tuple[CommitSignature, ...]], tuple[CommitSignature, ...]]) -> Lie:
    return lambda answer: with_seal(answer, lambda seal: replace(seal, precommits=change(seal.precommits)))


def with_block(answer: Blocks, at: int, change: Callable[[Block], Block]) -> Blocks:
    raws = list(answer.blocks)
    raws[at] = codec.encode(change(decode_block(raws[at])))
    return replace(answer, blocks=tuple(raws))


def forged_block(answer: Blocks) -> Blocks:
    """Another block in the middle, and what follows as it was."""
    middle = len(answer.blocks) // 2
    return with_block(answer, middle, lambda block: replace(block, header=replace(block.header, time_ms=NOW + 9_000)))


def forged_last_block(answer: Blocks) -> Blocks:
    """Another block at the end, and a certificate that names it, with signatures for the right one."""
    forged = decode_block(answer.blocks[-1])
    forged = replace(forged, header=replace(forged.header, time_ms=NOW + 9_000))
    changed = replace(answer, blocks=(*answer.blocks[:-1], codec.encode(forged)))
    return with_seal(changed, lambda seal: replace(seal, block_id=block_id(forged.header, spec().hash)))


def changed_signature(answer: Blocks) -> Blocks:
    """One byte of one transaction's signature."""

    def change(block: Block) -> Block:
        raw = bytearray(block.transactions[0])
        raw[-1] ^= 1
        return replace(block, transactions=(bytes(raw), *block.transactions[1:]))

    return with_block(answer, 0, change)


def garbage(entries: tuple[CommitSignature, ...]) -> tuple[CommitSignature, ...]:
    return (*entries[:-1], replace(entries[-1], signature=Signature(bytes(64))))


LIES: Final[dict[str, tuple[str, Lie]]] = {
    "a forged block": ("bad_certificate", forged_block),
    "a forged block at the end": ("bad_certificate", forged_last_block),
    "a certificate of exactly two thirds": ("bad_certificate", with_precommits(lambda entries: entries[:4])),
    "a certificate with a repeated signer": (
        "bad_certificate",
        with_precommits(lambda entries: (*entries[:4], entries[3])),
    ),
    "a last signature that is garbage, beyond two thirds": ("bad_certificate", with_precommits(garbage)),
    "a body with one byte of a signature changed": ("malformed", changed_signature),
    "an empty range": ("not_served", lambda answer: replace(answer, blocks=(), certificate=None)),
    "an endless stall": ("not_served", lambda _: None),
}


# ------------------------------------------------------------------------------------------------ the run


class Joining:
    """A new node, an honest core with the whole chain, and a peer that is asked first and answers with a lie."""

    def __init__(self, lie: Lie) -> None:
        self.lie = lie
        self.now = NOW
        self.penalties: list[Penalize] = []
        self.halts: list[Halt] = []
        self.store = MemoryStore()
        self.node = Core(spec(), self.store, frozenset())
        self.honest = Core(spec(), source().store, frozenset())
        self.honest.handle(Started((), 1), NOW)
        self.honest.handle(PeerConnected(LIAR, ""), NOW)
        self.feed(Started((), 1))
        for peer in (LIAR, HONEST):
            self.feed(PeerConnected(peer, ""))

    def run(self) -> None:
        for _ in range(SECONDS):
            for peer in (LIAR, HONEST):
                self.receive(peer, encode_frame(spec().hash, Status(LENGTH + 1, 0, Step.PROPOSE, ())))
            self.now += 1_000
            self.feed(STATUS_TIMER)
            self.honest.handle(STATUS_TIMER, self.now)

    def feed(self, given: Input) -> None:
        for effect in self.node.handle(given, self.now):
            match effect:
                case Write(batch=batch):
                    self.store.write(batch)
                case Send(peers=peers, frame=frame):
                    for peer in peers:
                        self.answer(peer, frame)
                case SetTimer(key=key, delay_ms=0) if key.kind is TimerKind.SYNC:
                    self.feed(TimerFired(key))
                case Penalize(peer=peer):
                    self.penalties.append(effect)
                    self.feed(PeerDisconnected(peer))
                case Halt():
                    self.halts.append(effect)
                case _:
                    pass

    def receive(self, peer: PeerId, frame: bytes) -> None:
        if peer not in self.node.peers:
            return
        try:
            message = verify_frame(frame, self.node.context(peer))
        except PeerFault as fault:
            self.feed(MessageFaulty(peer, fault))
            return
        self.feed(MessageReceived(peer, message))

    def answer(self, peer: PeerId, frame: bytes) -> None:
        asked = decode_frame(frame).message
        if not isinstance(asked, GetBlocks):
            return
        for effect in self.honest.handle(MessageReceived(LIAR, asked), self.now):
            assert isinstance(effect, Send)
            answer = decode_frame(effect.frame).message
            if isinstance(answer, Blocks):
                told = self.lie(answer) if peer == LIAR else answer
                if told is not None:
                    self.receive(peer, encode_frame(spec().hash, told))


@pytest.mark.parametrize("what", LIES)
def test_a_liar_is_refused_and_banned_and_the_chain_fetched_from_the_other(what: str) -> None:
    reason, lie = LIES[what]
    joining = Joining(lie)
    joining.run()
    assert [(penalty.peer, penalty.reason) for penalty in joining.penalties] == [(LIAR, reason)]
    assert joining.node.chain.head == source().chain.head and joining.store.head() == LENGTH
    assert joining.halts == [] and joining.node.halted == ""


def test_without_a_lie_nobody_is_banned() -> None:
    joining = Joining(lambda answer: answer)
    joining.run()
    assert joining.penalties == [] and joining.node.chain.head == source().chain.head


def test_a_wrong_state_root_signed_by_the_validators_halts_the_node_for_good_and_bans_nobody() -> None:
    stored = source().store.block(1)
    assert stored is not None
    block = decode_block(stored.raw)
    wrong = replace(block, header=replace(block.header, state_root=BLOCK_A))
    wrong_id = block_id(wrong.header, spec().hash)
    seal = certificate_of(dict(enumerate(SIX)), 1, wrong_id, genesis_hash=spec().hash)
    joining = Joining(lambda answer: replace(answer, blocks=(codec.encode(wrong),), certificate=seal))
    joining.run()
    [halt] = joining.halts
    assert "state_root" in halt.why and joining.penalties == []
    status = status_of(joining.node)
    assert (status.height, status.is_halted) == (0, halt.why)
    assert halt.why in status.consensus.waiting_for
    joining.node = Core(spec(), joining.store, frozenset())
    joining.halts.clear()
    joining.feed(Started((), 2))
    joining.feed(PeerConnected(HONEST, ""))
    joining.run()
    assert status_of(joining.node).is_halted == halt.why and joining.store.head() == 0
