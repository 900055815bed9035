"""Keys that come and go (protocol §5.6): two of one validator, from one height to the next; and one held elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.evidence import author_of
from blockchain.consensus.record import decode_record
from blockchain.consensus.signing import step_of
from blockchain.consensus.voice import ASKED_AGAIN_MAX
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import PublicKey, Signature
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Proposal, Step, Vote, VoteStep
from blockchain.seams import (
    Broadcast,
    Effect,
    PoolChanged,
    ProposalReceived,
    ProveVrf,
    Sign,
    SignatureRefused,
    SignerRegained,
    SigningRecord,
    SignRefused,
    Started,
    VrfRefused,
    Write,
)
from tests.consensus.bench import (
    HEIGHT,
    KEYS,
    PEER,
    SET,
    WHO,
    App,
    Bench,
    block_of,
    events,
    of,
    proposal_of,
    signed,
    turns,
    vote_of,
)
from tests.samples import GENESIS_HASH, PRECOMMIT, PREVOTE, key

ME = 3
OLD, NEW = KEYS[ME].public_key, key("the next key").public_key
SWITCH = HEIGHT + 1
BLOCK = block_of()
V = BLOCK.id


def set_at(height: int) -> ValidatorSet:
    """The fourth validator's key is another one from the height of the switch on."""
    mine = PublicKey(NEW if height >= SWITCH else OLD)
    return ValidatorSet(replace(one, key=mine) if one.address == WHO[ME] else one for one in SET.validators)


class RotatingApp(App):
    """The application of a chain on which the fourth validator has announced a rotation."""

    def __init__(self, height: int) -> None:
        super().__init__(height, set_at(height))
        self.parent_validators = set_at(height - 1)

    def finalize(self, *given: Any) -> list[Effect]:
        effects = super().finalize(*given)
        self.validators, self.parent_validators = set_at(self.height), self.validators
        return effects


def bench_at(height: int, *held: PublicKey) -> Bench:
    """An engine that is not started."""
    bench = Bench(ME, RotatingApp(height))
    bench.keys = frozenset(held)
    bench.engine = BftEngine(bench.app, turns, GENESIS_HASH, Parameters(), bench.keys)
    return bench


def propose(bench: Bench, block: VerifiedBlock) -> list[Effect]:
    return bench.give(ProposalReceived(proposal_of(block, height=block.header.height), block, PEER))


def signs(effects: list[Effect]) -> list[tuple[Any, PublicKey]]:
    return [(effect.message, effect.key) for effect in of(Sign, effects)]


def record(held: PublicKey, last: Vote | Proposal | None = None) -> SigningRecord:
    if last is None:
        return SigningRecord(held)
    return SigningRecord(held, last.height, last.round, step_of(last), signed(last))


def mine(step: VoteStep, height: int, round: int = 0) -> Vote:
    return replace(vote_of(ME, step, None, round=round, height=height), signature=Signature(bytes(64)))


def restarted(bench: Bench, effects: list[Effect], *records: SigningRecord) -> tuple[Bench, list[Effect]]:
    """Another process over what the last write made durable."""
    batches = [write.batch for write in of(Write, effects)]
    raw = next((batch.round_record for batch in reversed(batches) if batch.round_record is not None), None)
    again = bench_at(bench.engine.current.height, *(one.key for one in records))
    if raw is not None:
        stored = decode_record(raw)
        blocks = {block_id: bench.engine.current.blocks[block_id] for block_id in stored.block_ids()}
        again.engine.restore(stored, blocks)
    return again, again.give(Started(records))


def at_the_switch() -> tuple[Bench, list[Effect]]:
    """The height of the switch has begun, and its first vote is asked for."""
    bench = bench_at(HEIGHT, OLD, NEW)
    bench.start()
    propose(bench, BLOCK)
    bench.precommits(V)
    assert bench.engine.current.height == SWITCH
    return bench, propose(bench, block_of(height=SWITCH, time_ms=bench.now + 1))


@pytest.mark.parametrize("held", [(OLD, NEW), (NEW, OLD)])
def test_it_votes_across_the_switch_each_time_with_the_key_of_the_height(held: tuple[PublicKey, ...]) -> None:
    bench = bench_at(HEIGHT, *held)
    bench.start()
    assert bench.engine.key == OLD
    [(vote, used)] = signs(propose(bench, BLOCK))
    assert (vote.height, used) == (HEIGHT, OLD)
    bench.precommits(V)
    assert (bench.engine.key, bench.engine.validator) == (NEW, WHO[ME])
    [(vote, used)] = signs(propose(bench, block_of(height=SWITCH)))
    assert (vote.height, used) == (SWITCH, NEW)


@pytest.mark.parametrize(("held", "until"), [(OLD, HEIGHT), (NEW, SWITCH)])
def test_with_one_of_the_two_it_votes_on_its_side_of_the_switch_only(held: PublicKey, until: int) -> None:
    bench = bench_at(HEIGHT, held)
    bench.start()
    before = signs(propose(bench, BLOCK))
    bench.precommits(V)
    after = signs(propose(bench, block_of(height=SWITCH)))
    assert [len(before), len(after)] == [int(held == OLD), int(held == NEW)]
    assert {used for _, used in before + after} == {held}


@pytest.mark.parametrize(("height", "used"), [(HEIGHT, OLD), (SWITCH, NEW)])
def test_it_proves_the_vrf_with_the_key_of_the_height(height: int, used: PublicKey) -> None:
    bench = bench_at(height, OLD, NEW)
    bench.app.is_due = True
    bench.start()
    [asked] = of(ProveVrf, bench.to_round(ME))
    assert (asked.height, asked.key) == (height, used)


def test_an_answer_that_comes_after_the_switch_is_dropped() -> None:
    bench = bench_at(HEIGHT, OLD, NEW)
    bench.start()
    late = propose(bench, BLOCK)
    bench.precommits(V)
    assert bench.sign(late) == [] and bench.engine.current.signed == []


# ------------------------------------------------------------------------------------------------ starting again


def test_restarted_before_the_switch_it_goes_on_with_the_old_key_and_then_the_new_one() -> None:
    bench = bench_at(HEIGHT, OLD, NEW)
    bench.start()
    effects = propose(bench, BLOCK)
    [(prevote, _)] = signs(effects)
    again, started_again = restarted(bench, effects, record(OLD), record(NEW))
    assert signs(started_again) == [(prevote, OLD)], "the signer may still give it"
    again, started_again = restarted(bench, effects, record(OLD, prevote), record(NEW))
    assert signs(started_again) == [] and Broadcast(signed(prevote)) in started_again
    again.precommits(V)
    assert {used for _, used in signs(propose(again, block_of(height=SWITCH)))} == {NEW}


def test_restarted_at_the_switch_the_old_keys_record_is_of_the_past() -> None:
    bench, effects = at_the_switch()
    [(prevote, _)] = signs(effects)
    old = record(OLD, mine(PRECOMMIT, HEIGHT))
    again, started_again = restarted(bench, effects, old, record(NEW))
    assert signs(started_again) == [(prevote, NEW)]
    assert again.engine.key == NEW


def test_restarted_at_the_switch_what_the_new_keys_signer_alone_remembers_counts() -> None:
    bench, effects = at_the_switch()
    [(prevote, _)] = signs(effects)
    again, started_again = restarted(bench, effects, record(OLD, mine(PRECOMMIT, HEIGHT)), record(NEW, prevote))
    assert Broadcast(signed(prevote)) in started_again and signs(started_again) == []
    assert again.engine.current.signed == [signed(prevote)]


def test_restarted_after_the_switch_with_the_new_key_alone_it_goes_on() -> None:
    bench, effects = at_the_switch()
    [(prevote, _)] = signs(effects)
    _, started_again = restarted(bench, effects, record(NEW))
    assert signs(started_again) == [(prevote, NEW)]


def test_restarted_after_the_switch_with_the_old_key_alone_it_sends_what_it_has_and_asks_for_nothing() -> None:
    bench, effects = at_the_switch()
    [(prevote, _)] = signs(effects)
    effects = bench.sign(effects)
    for one in (0, 1, 2):
        effects += bench.vote(vote_of(one, PREVOTE, None, height=SWITCH))
    again, started_again = restarted(bench, effects, record(OLD, mine(PRECOMMIT, HEIGHT)))
    assert Broadcast(signed(prevote)) in started_again
    assert again.engine.validator is None
    assert signs(started_again + again.to_round(2)) == []


@pytest.mark.parametrize(("held", "other"), [(OLD, NEW), (NEW, OLD)])
def test_a_store_behind_the_record_of_either_key_is_silent_with_both_up_to_that_height(
    held: PublicKey, other: PublicKey
) -> None:
    """A data folder put back from a copy that is older than the switch; one of the two signed long after it."""
    bench = bench_at(HEIGHT, OLD, NEW)
    bench.start(record(held, mine(PRECOMMIT, SWITCH)), record(other, mine(PREVOTE, HEIGHT - 1)))
    assert signs(propose(bench, BLOCK)) == []
    bench.precommits(V)
    first = block_of(height=SWITCH)
    assert signs(propose(bench, first)) == []
    for one in (0, 1, 2):
        bench.vote(vote_of(one, PRECOMMIT, first.id, height=SWITCH))
    assert {used for _, used in signs(propose(bench, block_of(height=SWITCH + 1)))} == {NEW}


def test_the_later_of_two_records_counts_in_whatever_order_they_come() -> None:
    for records in ((mine(PREVOTE, SWITCH), mine(PREVOTE, SWITCH + 4)), (mine(PREVOTE, SWITCH + 4), None)):
        bench = bench_at(SWITCH, OLD, NEW)
        bench.start(record(NEW, records[0]), record(OLD, records[1]))
        bench.app.height = SWITCH + 4
        assert signs(propose(bench, block_of(height=SWITCH))) == []


def test_a_signature_of_this_height_by_the_key_of_another_one_silences_and_is_not_passed_on() -> None:
    """The very vote that this node asked the new key for, signed by the old one: its signature is good for nobody."""
    bench, effects = at_the_switch()
    [(prevote, _)] = signs(effects)
    again, started_again = restarted(bench, effects, record(OLD, prevote), record(NEW))
    assert of(Broadcast, started_again) == [] and again.engine.current.signed == []
    assert signs(started_again) == []


def test_of_two_validators_whose_keys_it_holds_it_votes_for_the_first_alone() -> None:
    bench = Bench(ME)
    held = frozenset({KEYS[1].public_key, KEYS[2].public_key})
    bench.engine = BftEngine(bench.app, turns, GENESIS_HASH, Parameters(), held)
    bench.give(Started(tuple(SigningRecord(one) for one in held)))
    assert [(author_of(vote), used) for vote, used in signs(propose(bench, BLOCK))] == [(WHO[1], KEYS[1].public_key)]


# ------------------------------------------------------------------------------------------------ a key elsewhere


def regained(bench: Bench, last: Vote | Proposal | None = None) -> list[Effect]:
    return bench.give(SignerRegained(record(KEYS[ME].public_key, last)))


def refused(bench: Bench, effects: list[Effect]) -> list[Effect]:
    """The signer is lost: it refuses all that these effects ask for."""
    return [e for asked in of(Sign, effects) for e in bench.give(SignRefused(asked.message, "it is not there"))]


def voting() -> Bench:
    bench = Bench(ME)
    bench.start()
    return bench


def test_a_signer_that_is_back_is_asked_again_for_what_it_has_not_signed() -> None:
    bench = voting()
    [(prevote, used)] = signs(effects := propose(bench, BLOCK))
    assert signs(refused(bench, effects)) == []
    assert signs(regained(bench)) == [(prevote, used)]


def test_it_is_asked_upwards_and_not_for_what_lies_below_its_record() -> None:
    bench = voting()
    first = propose(bench, BLOCK)
    more = bench.prevotes(V, who=[0, 1, 2])
    [(prevote, used)], [(precommit, _)] = signs(first), signs(more)
    refused(bench, first + more)
    assert signs(regained(bench)) == [(prevote, used), (precommit, used)]
    assert signs(regained(bench, prevote)) == [(precommit, used)]


def test_what_it_signed_and_this_node_was_not_told_counts_and_leaves() -> None:
    bench = voting()
    [(prevote, _)] = signs(effects := propose(bench, BLOCK))
    refused(bench, effects)
    effects = regained(bench, prevote)
    assert Broadcast(signed(prevote)) in effects and signs(effects) == []
    assert bench.engine.current.signed == [signed(prevote)]
    assert of(Broadcast, regained(bench, prevote)) == [], "once"


def test_the_vote_that_it_had_kept_can_be_the_one_that_decides() -> None:
    bench = voting()
    propose(bench, BLOCK)
    [(precommit, _)] = signs(effects := bench.prevotes(V, who=[0, 1, 2]))
    refused(bench, effects)
    bench.precommits(V, who=[0, 1])
    regained(bench, precommit)
    assert bench.engine.current.height == SWITCH


def test_only_the_newest_are_asked_for_again() -> None:
    bench = voting()
    for number in range(30):
        refused(bench, bench.timeout(Step.PROPOSE, number))
        bench.precommits(None, who=[0, 1, 2], round=number)
        refused(bench, bench.timeout(Step.PRECOMMIT, number))
    rounds = [message.round for message, _ in signs(regained(bench))]
    assert rounds == list(range(30 - ASKED_AGAIN_MAX, 30))


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_signer_that_has_signed_for_another_node_meanwhile_is_asked_for_nothing_up_to_there(ahead: int) -> None:
    bench = voting()
    effects = propose(bench, BLOCK)
    refused(bench, effects)
    other = replace(vote_of(ME, PRECOMMIT, block_of(salt=1).id, height=HEIGHT + ahead), signature=Signature(bytes(64)))
    assert signs(regained(bench, other)) == []
    assert signs(bench.prevotes(V, who=[0, 1, 2])) == []


def test_a_signer_that_is_back_in_another_height_owes_nothing() -> None:
    bench = voting()
    [(prevote, _)] = signs(effects := propose(bench, BLOCK))
    refused(bench, effects)
    bench.precommits(V)
    assert signs(regained(bench, prevote)) == []
    assert bench.engine.current.signed == []


def test_the_key_that_does_not_sign_at_this_height_is_asked_for_nothing_when_it_is_back() -> None:
    bench, effects = at_the_switch()
    refused(bench, effects)
    assert signs(bench.give(SignerRegained(record(OLD, mine(PRECOMMIT, HEIGHT))))) == []
    assert {used for _, used in signs(bench.give(SignerRegained(record(NEW))))} == {NEW}


def test_a_mute_engine_asks_for_nothing_again() -> None:
    bench = voting()
    refused(bench, propose(bench, BLOCK))
    bench.engine.voice.mute()
    assert signs(regained(bench)) == []


def forging() -> Bench:
    """It is drawn for round 0, and has asked for its proof."""
    bench = Bench(0)
    bench.app.is_due = True
    assert len(of(ProveVrf, bench.start())) == 1
    return bench


def test_a_proof_that_is_refused_is_asked_for_when_the_signer_is_back_and_not_before() -> None:
    bench = forging()
    refusal = VrfRefused(HEIGHT, 0, "it is not there")
    effects = bench.give(refusal)
    assert of(ProveVrf, effects) == [] and events(SignatureRefused, effects)[0].step is Step.PROPOSE
    assert of(ProveVrf, bench.give(PoolChanged())) == []
    again = bench.give(SignerRegained(record(KEYS[0].public_key)))
    assert [(one.height, one.key) for one in of(ProveVrf, again)] == [(HEIGHT, KEYS[0].public_key)]
    assert len(bench.prove()) > 0 and len(bench.app.built) == 1


def test_a_proof_that_is_refused_is_asked_for_in_the_next_round_that_it_forges() -> None:
    bench = forging()
    bench.give(VrfRefused(HEIGHT, 0, "it is not there"))
    assert of(ProveVrf, bench.to_round(3)) == [], "others forge"
    assert len(of(ProveVrf, bench.to_round(4))) == 1


def test_a_refusal_for_a_height_that_is_over_says_nothing() -> None:
    assert forging().give(VrfRefused(HEIGHT - 1, 0, "it is not there")) == []
