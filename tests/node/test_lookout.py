"""What a core takes for a sign that somebody else uses its key, and what not; and how it looks through its store."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus.height import HeightInProgress
from blockchain.node.core import Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.lookout import CAREFUL, Caution
from blockchain.node.messages import Status, VerifiedAnnouncement, VerifiedEvidence, VerifiedProposal, VerifiedVotes
from blockchain.node.reader import status_of
from blockchain.node.sightings import BLOCKS_AT_ONCE
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import (
    Announcement,
    ConflictingVotes,
    Proposal,
    Signable,
    Step,
    Vote,
    VoteStep,
    sign_message,
)
from blockchain.seams import (
    Effect,
    Emit,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    SetTimer,
    Sign,
    Signed,
    SigningRecord,
    SigningStopped,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
)
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A, BLOCK_B

SPEC = spec_with()
OWN = KEYS[0]
ME = Address(OWN.public_key)
OTHER = Address(KEYS[1].public_key)
PEER = PeerId(b"p" * 32)
INSTANCE = 7
LAST = Vote(5, 1, VoteStep.PREVOTE, BLOCK_A, -1, ME)  # what the record holds


def signed(message: Signable) -> Signable:
    return sign_message(message, OWN, SPEC.hash)


def vote(height: int = 5, round: int = 1, step: VoteStep = VoteStep.PREVOTE, value: Hash32 | None = BLOCK_A) -> Vote:
    said = signed(Vote(height, round, step, value, -1, ME))
    assert isinstance(said, Vote)
    return said


def record_of(message: Vote) -> SigningRecord:
    return SigningRecord(OWN.public_key, message.height, message.round, Step(message.step), vote())


class Bench:
    """A core whose chain stands at height 4, so that 5 is in progress, and whose record ends in the middle of that."""

    def __init__(self, record: SigningRecord | None = None, caution: Caution = CAREFUL, blocks: int = 4) -> None:
        node = Node(SPEC)
        self.blocks = [node.grow(node.pay("a", nonce)) for nonce in range(blocks)]
        assert isinstance(node.store, MemoryStore)
        self.core = Core(SPEC, node.store, frozenset({OWN.public_key}), caution=caution)
        self.effects: list[Effect] = []
        self.feed(Started((record_of(LAST) if record is None else record,), INSTANCE))
        self.feed(PeerConnected(PEER, ""))

    def feed(
        self, given: Started | PeerConnected | PeerDisconnected | MessageReceived | TimerFired | Signed, now: int = NOW
    ) -> None:
        self.effects += self.core.handle(given, now)

    def hear(self, *votes: Vote) -> str:
        self.feed(MessageReceived(PEER, VerifiedVotes(votes)))
        return self.why

    @property
    def why(self) -> str:
        return status_of(self.core).silent

    def stops(self) -> list[str]:
        events = [effect.event for effect in self.effects if isinstance(effect, Emit)]
        return [event.why for event in events if isinstance(event, SigningStopped)]


# ------------------------------------------------------------------------------------------------ votes and proposals


@pytest.mark.parametrize(
    "said",
    [
        vote(),
        vote(round=0, value=BLOCK_B),
        vote(round=0, step=VoteStep.PRECOMMIT),
        vote(height=4, round=9, step=VoteStep.PRECOMMIT),
    ],
    ids=["the last", "before it, whatever it was", "another step before it", "of the head"],
)
def test_what_the_record_holds_is_no_alarm(said: Vote) -> None:
    bench = Bench()
    assert bench.hear(said) == "" and bench.stops() == []


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            vote(value=None),
            "a prevote of height 5, round 1, heard of peer 7070707070707070; the record ends at height 5",
        ),
        (vote(step=VoteStep.PRECOMMIT), "a precommit of height 5, round 1"),
        (vote(round=2), "a prevote of height 5, round 2"),
    ],
    ids=["another vote in the last place", "the next step", "a later round"],
)
def test_a_vote_that_the_record_does_not_hold_stops_this_run(said: Vote, what: str) -> None:
    bench = Bench()
    assert what in bench.hear(said) and "--sign_anew" in bench.why
    assert bench.hear(vote(round=3)) == bench.why and len(bench.stops()) == 1, "the first reason stays"
    assert bench.core.engine.voice.is_mute
    assert "until it is started again" in status_of(bench.core).consensus.waiting_for


def test_others_votes_are_theirs() -> None:
    said = sign_message(Vote(5, 7, VoteStep.PREVOTE, None, -1, OTHER), KEYS[1], SPEC.hash)
    assert isinstance(said, Vote)
    assert Bench().hear(said) == ""


def test_what_the_signer_has_given_since_is_held() -> None:
    bench = Bench()
    own = vote(step=VoteStep.PRECOMMIT)
    bench.feed(Signed(own))
    assert bench.hear(own) == "" and bench.hear(vote(round=2)) != ""


def test_a_proposal_that_the_record_does_not_hold_stops_it_too() -> None:
    bench = Bench()
    proposal = signed(Proposal(5, 2, -1, bench.blocks[0].id, ME))
    assert isinstance(proposal, Proposal)
    bench.feed(MessageReceived(PEER, VerifiedProposal(proposal, bench.blocks[0])))
    assert "a proposal of height 5, round 2, heard of peer" in bench.why


def test_evidence_against_it_stops_it_whatever_the_record_holds() -> None:
    bench = Bench()
    evidence = ConflictingVotes(vote(round=0), vote(round=0, value=BLOCK_B))
    bench.feed(MessageReceived(PEER, VerifiedEvidence(evidence)))
    assert "evidence against it of height 5, ConflictingVotes" in bench.why


# ------------------------------------------------------------------------------------------------ announcements


def heard(bench: Bench, said: Announcement) -> str:
    bench.feed(MessageReceived(PEER, VerifiedAnnouncement(said)))
    return bench.why


@pytest.mark.parametrize(
    ("instance", "time_ms", "key", "stops"),
    [
        (8, NOW, 0, True),
        (8, NOW + 3_600_000, 0, True),
        (8, NOW + 86_400_001, 0, False),
        (8, NOW - 1, 0, False),
        (INSTANCE, NOW + 1, 0, False),
        (8, NOW, 1, False),
    ],
    ids=[
        "another process",
        "with a clock far ahead",
        "of a past with a wrong clock",
        "of before",
        "its own",
        "of a key that it no longer has",
    ],
)
def test_an_announcement_of_another_process_stops_it(instance: int, time_ms: int, key: int, stops: bool) -> None:
    bench = Bench()
    said = sign_message(Announcement(ME, instance, time_ms), KEYS[key], SPEC.hash)
    assert isinstance(said, Announcement)
    assert ("another process has its key: instance 8" in heard(bench, said)) is stops
    is_wanted = bench.core.context(PEER).is_news(replace(said, time_ms=NOW + 3_600_000))
    assert is_wanted, "what may stop it is verified, whatever others would pass on"


def test_who_heard_of_another_process_says_at_once_that_it_is_there_and_goes_on_saying_so() -> None:
    bench = Bench()
    announce = TimerKey(TimerKind.ANNOUNCE)
    bench.feed(TimerFired(announce), NOW)
    own = signed(Announcement(ME, INSTANCE, NOW))
    bench.feed(Signed(own), NOW)
    said = signed(Announcement(ME, 8, NOW))
    assert isinstance(said, Announcement)
    before = len(bench.effects)
    bench.feed(MessageReceived(PEER, VerifiedAnnouncement(said)), NOW + 1_000)
    assert SetTimer(announce, 1_500) in bench.effects[before:], "as soon as the others pass it on"
    bench.feed(TimerFired(announce), NOW + 2_500)
    asked = [effect.message for effect in bench.effects if isinstance(effect, Sign)]
    assert asked[-1] == Announcement(ME, INSTANCE, NOW + 2_500)


# ------------------------------------------------------------------------------------------------ the store


def record_at(height: int) -> SigningRecord:
    return SigningRecord(OWN.public_key, height, 0, Step.PRECOMMIT)


def test_the_store_is_looked_through_down_to_the_record() -> None:
    assert Bench(record_at(4)).why == ""
    bench = Bench(record_at(3))
    assert "height 4, round 0, in" in bench.why and "the record ends at height 3, round 0, precommit" in bench.why


def test_a_long_chain_is_looked_through_bit_by_bit_and_nothing_is_signed_before_the_end() -> None:
    """What it forged shows, where no certificate has its precommits."""
    node = Node(SPEC)
    for nonce in range(2 * BLOCKS_AT_ONCE + 1):
        node.add(node.pay("a", nonce))
        block = node.build()
        certificate = node.certificate(block)
        others = tuple(entry for entry in certificate.precommits if entry.index > 0)
        node.perform(node.chain.finalize(block, replace(certificate, precommits=others), 0, NOW))
    core = Core(SPEC, node.store, frozenset({OWN.public_key}))
    look, steps = TimerKey(TimerKind.LOOK), 1
    effects = core.handle(Started((SigningRecord(OWN.public_key),), INSTANCE), NOW)
    while SetTimer(look, 0) in effects:
        assert core.engine.voice.is_mute and status_of(core).silent
        effects = core.handle(TimerFired(look), NOW)
        steps += 1
    assert steps == 3 and "in the header of block" in status_of(core).silent


def test_an_empty_record_waits_until_it_has_heard_where_the_others_are() -> None:
    bench = Bench(SigningRecord(OWN.public_key, is_new=True), blocks=0)
    assert "no peer has told its height yet" in bench.why
    bench.feed(MessageReceived(PEER, Status(3, 0, Step.PROPOSE, ())))
    assert "peers are at height 2" in bench.why
    bench.feed(MessageReceived(PEER, Status(1, 0, Step.PROPOSE, ())))
    assert bench.why == ""


class Crowd:
    """A validator that looks for 10 s, beside one honest peer that is level with it."""

    def __init__(self, record: SigningRecord | None = None) -> None:
        self.bench = Bench(record, Caution(look_ms=10_000))
        self.tell(PEER, self.height)

    @property
    def height(self) -> int:
        return self.bench.core.chain.height

    def tell(self, peer: PeerId, height: int) -> None:
        self.bench.feed(MessageReceived(peer, Status(height, 0, Step.PROPOSE, ())))

    def come(self, name: int, height: int) -> PeerId:
        peer = PeerId(name.to_bytes(32, "big"))
        self.bench.feed(PeerConnected(peer, ""))
        self.tell(peer, height)
        return peer

    def leave(self, peer: PeerId) -> None:
        self.bench.feed(PeerDisconnected(peer))

    def tick(self, count: int = 1) -> str:
        for _ in range(count):
            self.bench.feed(TimerFired(TimerKey(TimerKind.STATUS)))
        return self.bench.why


def test_liars_who_come_one_after_the_other_do_not_keep_a_validator_from_signing() -> None:
    crowd = Crowd()
    liar, seconds = crowd.come(1, 1_000), 0
    while crowd.tick() and seconds < 40:
        if seconds % 3 == 2:  # before it fails to answer
            successor = crowd.come(seconds, 1_000)
            crowd.leave(liar)
            liar = successor
        seconds += 1
    assert 10 <= seconds < 20 and crowd.bench.why == ""


def test_who_was_there_when_it_had_listened_is_waited_for() -> None:
    crowd = Crowd()
    assert "for 1 s more" in crowd.tick(9)
    ahead = crowd.come(1, crowd.height + 1)
    assert "catches up" in crowd.tick(4)
    crowd.tell(ahead, crowd.height)
    assert crowd.bench.why == ""


def test_where_nobody_is_level_whoever_comes_is_waited_for() -> None:
    crowd = Crowd()
    crowd.tell(PEER, crowd.height + 1)
    assert "catches up" in crowd.tick(11)
    crowd.come(1, crowd.height + 7)
    crowd.leave(PEER)
    assert "catches up" in crowd.tick(2)


def test_who_goes_on_as_another_validator_looks_around_first() -> None:
    """It was silent for that one, and heard nothing of what another process announced for it."""
    node, caution = Node(SPEC), Caution(look_ms=10_000)
    held = tuple(SigningRecord(one.public_key, is_new=True) for one in KEYS[:2])
    core = Core(SPEC, node.store, frozenset(record.key for record in held), caution=caution)
    core.handle(Started(held, INSTANCE), NOW)
    core.handle(PeerConnected(PEER, ""), NOW)
    core.handle(MessageReceived(PEER, Status(1, 0, Step.PROPOSE, ())), NOW)
    for _ in range(10):
        core.handle(TimerFired(TimerKey(TimerKind.STATUS)), NOW)
    assert status_of(core).silent == "" and core.engine.validator == ME
    current = core.engine.current
    without_me = ValidatorSet(one for one in current.validators.validators if one.address != ME)
    keys = frozenset(record.key for record in held)
    core.engine.current = HeightInProgress(current.height, without_me, current.forgers, keys)  # as after evidence
    core.handle(TimerFired(TimerKey(TimerKind.STATUS)), NOW)
    assert core.engine.validator == OTHER and "listens for others" in status_of(core).silent


def test_without_the_check_nothing_is_looked_at() -> None:
    bench = Bench(record_at(1), Caution(is_on=False))
    assert bench.hear(vote(round=3)) == "" and not bench.core.engine.voice.is_mute
