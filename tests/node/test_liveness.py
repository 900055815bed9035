"""Stalls and who is on line, in ticks: an idle chain is never stalled, and the missing have names."""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.node.core import STATUS_MS, Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.liveness import OFFLINE_MS, STALL_ROUNDS, Liveness, stall_limit_ms
from blockchain.node.messages import VerifiedVotes
from blockchain.node.reader import status_of
from blockchain.node.store import MemoryStore
from blockchain.primitives.address import format_address
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Signature, SigningKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Announcement, Vote, VoteStep
from blockchain.seams import (
    PeerConnected,
    PeerId,
    Signed,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
)
from tests.node.one_chain import KEYS, NOW, spec_with
from tests.samples import address, wallet

MEMBERS = ValidatorSet([Validator(Address(key.public_key), key.public_key, 100) for key in KEYS])
FIRST, SECOND, THIRD = (member.address for member in MEMBERS.validators)


def test_the_wait_is_counted_while_a_block_of_one_height_is_awaited() -> None:
    liveness = Liveness()
    seen = []
    for height, is_awaited in [(1, True), (1, True), (1, True), (2, True), (2, True), (2, False), (2, True), (2, True)]:
        liveness.on_tick(1_000, height, is_awaited)
        seen.append(liveness.stalled_ms(height))
    assert seen == [0, 1_000, 2_000, 0, 1_000, 0, 1_000, 2_000]


def test_a_block_ends_a_stall_at_once_and_not_with_the_next_tick() -> None:
    liveness = Liveness()
    for _ in range(3):
        liveness.on_tick(1_000, 1, is_awaited=True)
    assert liveness.stalled_ms(1) == 2_000
    assert liveness.stalled_ms(2) == 0


def test_an_idle_chain_is_never_stalled() -> None:
    liveness = Liveness()
    for _ in range(1_000):
        liveness.on_tick(1_000, 1, is_awaited=False)
    assert liveness.stalled_ms(1) == 0


def test_the_limit_is_a_stated_multiple_of_a_round() -> None:
    parameters = Parameters(propose_timeout_ms=300, prevote_timeout_ms=100, precommit_timeout_ms=50)
    assert stall_limit_ms(parameters) == STALL_ROUNDS * 450


def test_who_has_not_announced_itself_for_a_while_is_off_line() -> None:
    liveness = Liveness()
    assert liveness.offline(MEMBERS) == ()
    liveness.note_members(MEMBERS)
    liveness.on_tick(OFFLINE_MS - 1, 1, is_awaited=False)
    liveness.on_heard(SECOND)
    assert liveness.offline(MEMBERS) == ()
    liveness.on_tick(1, 1, is_awaited=False)
    assert liveness.offline(MEMBERS) == (FIRST, THIRD)
    liveness.on_heard(THIRD)
    liveness.on_tick(OFFLINE_MS - 1, 1, is_awaited=False)
    assert liveness.offline(MEMBERS) == (FIRST, SECOND)


def test_those_who_left_the_set_are_forgotten() -> None:
    liveness = Liveness()
    stranger = Address(SigningKey(b"\x77" * 32).public_key)
    for one in (FIRST, stranger, SECOND, THIRD):
        liveness.on_heard(one)
    liveness.note_members(MEMBERS)
    assert set(liveness._heard_ms) == {FIRST, SECOND, THIRD}


def test_who_comes_into_the_set_has_as_long_as_anybody_to_be_heard() -> None:
    """Else its first precommits would be nobody's to wait for (protocol §4.4)."""
    liveness = Liveness()
    before = ValidatorSet(MEMBERS.validators[:2])
    liveness.note_members(before, before)
    liveness.on_tick(OFFLINE_MS, 1, is_awaited=False)
    assert liveness.offline(MEMBERS) == (FIRST, SECOND)
    liveness.note_members(before, MEMBERS)
    liveness.on_tick(OFFLINE_MS - 1, 2, is_awaited=False)
    assert not liveness.is_offline(THIRD)
    liveness.on_tick(1, 2, is_awaited=False)
    assert liveness.is_offline(THIRD)


# ------------------------------------------------------------------------------------------------ in the core


def _tick(core: Core, seconds: int) -> None:
    for _ in range(seconds * 1_000 // STATUS_MS):
        core.handle(TimerFired(TimerKey(TimerKind.STATUS)), NOW)  # the clock of the machine stands still


def _core() -> Core:
    spec = spec_with(block_threshold=1)
    core = Core(spec, MemoryStore(), frozenset())
    core.handle(Started((), 1), NOW)
    core.handle(PeerConnected(PeerId(b"\x01" * 32), "localhost:1", False), NOW)
    return core


def test_a_node_names_the_missing_validators_and_the_stake_that_is_needed() -> None:
    core = _core()
    _tick(core, 16)
    view = status_of(core)
    assert (view.stalled_ms, view.consensus.offline) == (0, tuple(m.address for m in core.chain.validators.validators))
    assert view.consensus.waiting_for == "pool holds 0 of 1"  # nothing is awaited

    on_line = core.chain.validators.validators[0].address
    core.handle(Signed(Announcement(on_line, 1, NOW, Signature(bytes(64)))), NOW)
    paid = wallet("a", core.chain.genesis_hash).transfer(address("b"), 1, 0)
    core.handle(TransactionsSubmitted(Token(1), (paid,)), NOW)
    _tick(core, 2)
    view = status_of(core)
    assert view.stalled_ms == 2_000
    missing = [member.address for member in core.chain.validators.validators[1:]]
    assert list(view.consensus.offline) == missing
    named = ", ".join(format_address(one) for one in missing)
    assert view.consensus.waiting_for == f"validators: 100 of the 201 stake needed are on line, without {named}"


def test_a_vote_is_a_sign_of_life() -> None:
    """A validator whose clock went back is not news by its announcements, and still there."""
    core = _core()
    _tick(core, 16)
    voter = core.chain.validators.validators[1].address
    vote = Vote(core.chain.height, 0, VoteStep.PREVOTE, None, -1, voter, Signature(bytes(64)))
    core.handle(MessageReceived(PeerId(b"\x01" * 32), VerifiedVotes((vote,))), NOW)
    assert voter not in status_of(core).consensus.offline
    assert len(status_of(core).consensus.offline) == len(core.chain.validators) - 1


def test_who_has_just_left_the_set_stays_away_while_its_last_precommit_may_be_waited_for() -> None:
    core = _core()
    leaver = Validator(Address(SigningKey(b"\x77" * 32).public_key), SigningKey(b"\x77" * 32).public_key, 100)
    with_it = ValidatorSet([*core.chain.validators.validators, leaver])
    core.chain.head = replace(core.chain.head, validators=with_it)  # the set of the block before
    _tick(core, 16)
    assert core.liveness.is_offline(leaver.address)
