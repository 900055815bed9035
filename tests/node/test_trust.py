"""Weak subjectivity and the durable halt: what a node may vote on is decided at its start, and remembered."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import ConfigError, InvalidBlock
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.node.core import Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import Status, VerifiedBlocks
from blockchain.node.reader import status_of
from blockchain.node.store import MemoryStore
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Certificate, Step
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    Halted,
    PeerConnected,
    PeerId,
    Penalize,
    Sign,
    SigningRecord,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
    Trusted,
    TrustMissing,
    Write,
)
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A

UNBONDING_MS = 1_000_000
LENGTH = 4
LATE = NOW + UNBONDING_MS + LENGTH  # a block is a millisecond later than its parent
PEER = PeerId(b"p" * 32)


class Chain:
    """Blocks of one chain, made by the test."""

    def __init__(self) -> None:
        self.node = Node(spec_with(unbonding_ms=UNBONDING_MS))
        self.blocks: list[VerifiedBlock] = []
        self.certificates: list[Certificate] = []
        for nonce in range(LENGTH):
            self.blocks.append(self.node.grow(self.node.pay("a", nonce)))
            self.certificates.append(self.node.chain.head.certificate)

    def checkpoint(self, height: int) -> Vouched:
        return Vouched(Checkpoint(height, self.blocks[height - 1].id))

    def stored(self, height: int) -> MemoryStore:
        """A store with the first blocks of it."""
        other = Node(self.node.spec)
        for block, certificate in list(zip(self.blocks, self.certificates, strict=True))[:height]:
            other.perform(other.chain.import_block(block, certificate, NOW))
        assert isinstance(other.store, MemoryStore)
        return other.store


CHAIN = Chain()


class Bench:
    """A validator's core over a store, started at some time."""

    def __init__(self, store: MemoryStore, now: int, vouched: Vouched | None = None) -> None:
        self.store = store
        self.now = now
        self.core = Core(CHAIN.node.spec, store, frozenset({KEYS[0].public_key}), vouched or Vouched())
        self.effects: list[Effect] = []
        record = SigningRecord(KEYS[0].public_key, LENGTH, step=Step.PRECOMMIT)  # all of the chain is its own doing
        self.perform(self.core.handle(Started((record,), 1), now))
        self.perform(self.core.handle(PeerConnected(PEER, ""), now))

    def perform(self, effects: list[Effect]) -> None:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Write):
                self.store.write(effect.batch)

    def receive(self, message: Status | VerifiedBlocks) -> None:
        self.perform(self.core.handle(MessageReceived(PEER, message), self.now))

    def sync(self, last: int) -> None:
        """Up to this height, from the one peer."""
        first = self.core.chain.height
        self.receive(Status(last + 1, 0, Step.PROPOSE, ()))
        self.perform(self.core.handle(TimerFired(TimerKey(TimerKind.STATUS)), self.now))
        assert self.core.sync.awaited_from(PEER) == first
        self.receive(VerifiedBlocks(first, tuple(CHAIN.blocks[first - 1 : last]), CHAIN.certificates[last - 1]))

    def signs(self) -> bool:
        """Whether it asks for a vote, once there is a block to vote on."""
        node = Node(CHAIN.node.spec)
        node.store = self.store
        node.load()
        before = len(self.effects)
        pay = node.pay("a", node.chain.head.height)
        self.perform(self.core.handle(TransactionsSubmitted(Token(1), (pay,)), self.now))
        self.perform(self.core.handle(TimerFired(TimerKey(TimerKind.PROPOSE, node.chain.height, 0)), self.now))
        asked = [effect for effect in self.effects[before:] if isinstance(effect, Sign)]
        return bool(asked)

    def told(self, form: type[TrustMissing] | type[Trusted] | type[Halted]) -> list[object]:
        return [e.event for e in self.effects if isinstance(e, Emit) and isinstance(e.event, form)]


def test_a_chain_that_is_young_enough_is_trusted() -> None:
    bench = Bench(CHAIN.stored(2), NOW + UNBONDING_MS)
    assert status_of(bench.core).untrusted == "" and bench.told(TrustMissing) == []
    assert bench.signs()


@pytest.mark.parametrize("height", [0, 2])
def test_a_chain_that_is_too_old_is_followed_without_voting(height: int) -> None:
    bench = Bench(CHAIN.stored(height), LATE)
    status = status_of(bench.core)
    assert bench.told(TrustMissing) == [TrustMissing(status.untrusted)]
    assert ("block 2" if height else "genesis") in status.untrusted and "--checkpoint" in status.untrusted
    assert "trust" in status.consensus.waiting_for
    assert not bench.signs()
    bench.sync(LENGTH)
    assert bench.core.chain.head.height == LENGTH, "it follows all the same"
    assert not bench.signs() and bench.told(Trusted) == []


def test_what_was_synced_without_trust_stays_untrusted_after_a_new_start() -> None:
    """Even at a time at which the head itself would be young enough."""
    bench = Bench(CHAIN.stored(1), LATE)
    bench.sync(3)
    again = Bench(bench.store, NOW)
    assert "block 1" in status_of(again.core).untrusted and not again.signs()
    assert again.store.untrusted_above() == 1


@pytest.mark.parametrize("vouched", [Vouched(genesis=True), CHAIN.checkpoint(1), CHAIN.checkpoint(3)])
def test_whoever_vouches_later_makes_it_trusted_for_good(vouched: Vouched) -> None:
    bench = Bench(CHAIN.stored(1), LATE)
    bench.sync(3)
    assert Bench(bench.store, NOW, vouched).signs()
    assert bench.store.untrusted_above() is None
    assert status_of(Bench(bench.store, NOW).core).untrusted == ""


def test_a_checkpoint_below_the_newest_trusted_block_says_nothing_new() -> None:
    bench = Bench(CHAIN.stored(2), LATE, CHAIN.checkpoint(1))
    assert "block 2" in status_of(bench.core).untrusted and not bench.signs()


def test_a_checkpoint_that_is_reached_makes_the_chain_trusted() -> None:
    bench = Bench(CHAIN.stored(1), LATE, CHAIN.checkpoint(3))
    assert status_of(bench.core).untrusted == "the checkpoint at height 3 is not reached yet"
    assert status_of(bench.core).sync.waiting_for == "no peer has height 2" and status_of(bench.core).sync.target == 3
    bench.sync(2)
    assert bench.told(Trusted) == [] and not bench.signs()
    bench.sync(4)
    assert bench.told(Trusted) == [Trusted(3, CHAIN.blocks[2].id)] and status_of(bench.core).untrusted == ""
    assert bench.store.untrusted_above() is None
    assert bench.signs()


def test_who_serves_another_block_than_the_checkpoints_is_a_liar_and_nothing_is_taken_over() -> None:
    """Whether or not the chain is old."""
    bench = Bench(CHAIN.stored(1), NOW, Vouched(Checkpoint(3, BLOCK_A)))
    bench.sync(4)
    [penalty] = [effect for effect in bench.effects if isinstance(effect, Penalize)]
    assert (penalty.peer, penalty.reason) == (PEER, "wrong_checkpoint")
    assert bench.core.chain.head.height == 1
    bench.core.peers.clear()
    assert "1 answer held another block than the checkpoint's" in status_of(bench.core).sync.waiting_for


def test_another_block_than_the_checkpoints_is_no_block_for_agreement_either() -> None:
    node = Node(CHAIN.node.spec)
    chain = type(node.chain)(node.spec, node.chain.selection, MemoryStore(), Checkpoint(1, BLOCK_A))
    with pytest.raises(InvalidBlock, match="not the checkpoint's"):
        chain.check_block(CHAIN.blocks[0])


@pytest.mark.parametrize("height", [1, 2])
def test_a_checkpoint_that_differs_from_the_store_is_an_error_of_one_line(height: int) -> None:
    with pytest.raises(ConfigError, match=f"checkpoint {height}:aaaa.*is not of the chain in the store") as caught:
        Bench(CHAIN.stored(2), NOW, Vouched(Checkpoint(height, BLOCK_A)))
    assert "\n" not in str(caught.value)


def test_a_demo_is_trusted_however_old_it_is() -> None:
    spec = replace(CHAIN.node.spec, demo=True)
    core = Core(spec, MemoryStore(), frozenset())
    assert Emit not in {type(e) for e in core.trust.on_started(LATE)} and core.trust.why == ""


# ------------------------------------------------------------------------------------------------ a halt


def test_a_halt_outlasts_a_new_start() -> None:
    store = CHAIN.stored(2)
    assert Bench(store, NOW).signs()
    store = CHAIN.stored(2)
    store.write(Batch(halted="two blocks of height 2 are certified"))
    bench = Bench(store, NOW)
    assert bench.told(Halted) == [Halted("two blocks of height 2 are certified")]
    assert status_of(bench.core).is_halted == "two blocks of height 2 are certified"
    assert not bench.signs()
    announced = bench.core.handle(TimerFired(TimerKey(TimerKind.ANNOUNCE)), NOW)
    assert not [effect for effect in announced if isinstance(effect, Sign)], "nor does it say to be on line"
    bench.receive(Status(LENGTH + 1, 0, Step.PROPOSE, ()))
    bench.perform(bench.core.handle(TimerFired(TimerKey(TimerKind.STATUS)), NOW))
    assert bench.core.sync.awaited_from(PEER) == 0, "nor does it ask for blocks"


@pytest.mark.parametrize(("unbonding_ms", "age"), [(60_000, "60 s"), (1_814_400_000, "21 days")])
def test_the_age_that_is_too_old_is_in_words(unbonding_ms: int, age: str) -> None:
    node = Node(spec_with(unbonding_ms=unbonding_ms))
    core = Core(node.spec, node.store, frozenset(), Vouched())
    core.handle(Started((), 1), node.spec.time_ms + unbonding_ms + 1)
    assert f"genesis, the newest that it trusts, is older than {age}: start with" in core.trust.why
