"""What validators did: against a slow count by hand, with sets that change at any height; and luck as a p-value."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from blockchain.ledger.records import account_of
from blockchain.node import record as record_module
from blockchain.node.record import Missed, RecordFacts, p_value, reasons_of, records_of
from blockchain.node.timeline import HeightSeen
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate
from blockchain.seams import Loss, StakeBefore, Turn
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A, address, certificate_of, key, wallet

PEOPLE = [address(name) for name in "abcd"]
Stakes = tuple[int, ...]  # of each of PEOPLE; 0: not in the set


def set_with(stakes: Stakes) -> ValidatorSet:
    members = zip(PEOPLE, stakes, strict=True)
    return ValidatorSet(Validator(one, PublicKey(one), stake) for one, stake in members if stake)


def changed(before: Stakes, after: Stakes) -> tuple[StakeBefore, ...]:
    both = zip(PEOPLE, before, after, strict=True)
    return tuple(StakeBefore(one, old) for one, old, new in both if old != new)


chains = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=12
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(chains, st.integers(1, 5), st.data())
def test_counts_are_those_of_a_slow_count(stakes: list[Stakes], first: int, data: st.DataObject) -> None:
    """`stakes` are those of height first - 1 (if there is one), first, …; who is drawn and absent is anybody."""
    turns, absent_of = [], {}
    for at, (before, after) in enumerate(pairwise(stakes)):
        height = first + at
        members = [one for one, stake in zip(PEOPLE, after, strict=True) if stake]
        parents = [one for one, stake in zip(PEOPLE, before, strict=True) if stake]
        drawn = data.draw(st.permutations(members))[: data.draw(st.integers(1, len(members)))]
        absent_of[height - 1] = data.draw(st.sets(st.sampled_from(parents))) if height > 1 else set()
        round = len(drawn) - 1
        turn = Turn(
            height,
            round,
            drawn[-1],
            sum(after),
            tuple(drawn),
            tuple(absent_of[height - 1]),
            changed(before, after),
            parents_stake=sum(before),
            earned=data.draw(st.integers(0, 9)),
            for_signers=data.draw(st.integers(0, 100)),
            lost=tuple(Loss(one, data.draw(st.integers(1, 9))) for one in absent_of[height - 1]),
        )
        of_genesis = replace(turn, absent=(), changed=(), parents_stake=0, for_signers=0, lost=())
        turns.append(turn if height > 1 else of_genesis)
    facts = RecordFacts(tuple(turns), set_with(stakes[-1]), frozenset())
    told = records_of(facts, PEOPLE)
    for index, one in enumerate(PEOPLE):
        own = [stake[index] for stake in stakes[1:]]
        record = told[one]
        assert record.draws == sum(stake > 0 for stake in own)
        expected = sum(Fraction(stake, sum(everybody)) for stake, everybody in zip(own, stakes[1:], strict=True))
        assert record.expected == pytest.approx(float(expected))
        assert record.wins == sum(turn.drawn[0] == one for turn in turns)
        assert record.forged == sum(turn.forger == one for turn in turns)
        assert record.let_pass == sum(one in turn.drawn[:-1] for turn in turns)
        signable = stakes[1:-1] if first == 1 else stakes[:-1]
        assert record.certificates == sum(stake[index] > 0 for stake in signable)
        assert record.earned_forging == sum(turn.earned for turn in turns if turn.forger == one)
        assert record.lost == sum(loss.amount for turn in turns for loss in turn.lost if loss.address == one)
        assert record.earned_signing == sum(
            turn.for_signers * stake[index] // turn.parents_stake
            for turn, stake in zip(turns, stakes, strict=False)
            if turn.height > 1 and one not in turn.absent
        )
        missed = [height for height, absent in absent_of.items() if one in absent]
        assert [each.height for each in record.missed] == missed[::-1] and record.missed_count == len(missed)


def test_only_so_many_missed_heights_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "MISSED_LISTED_MAX", 2)
    a, b = PEOPLE[:2]
    turns = tuple(Turn(height, 0, a, 2, (a,), (b,), ()) for height in range(2, 7))
    facts = RecordFacts(turns, set_with((1, 1, 0, 0)), frozenset())
    record = records_of(facts, [b], {5: Missed(5, "late", 3)})[b]
    assert record.missed == (Missed(5, "late", 3), Missed(4)) and record.missed_count == 5


@pytest.mark.parametrize(("wins", "draws", "share"), [(3, 10, 0.25), (0, 10, 0.25), (10, 10, 0.5), (7, 40, 0.05)])
def test_the_p_value_is_twice_the_smaller_tail(wins: int, draws: int, share: float) -> None:
    def chance(at: int) -> float:
        return comb(draws, at) * share**at * (1 - share) ** (draws - at)

    tail = range(wins, draws + 1) if wins >= draws * share else range(wins + 1)
    assert p_value(wins, draws, share) == pytest.approx(min(1.0, 2 * sum(chance(at) for at in tail)), rel=1e-9)


def test_what_chance_does_all_the_time_has_a_p_value_of_one_and_what_it_never_does_of_none() -> None:
    assert p_value(5, 5, 1.0) == 1.0 and p_value(250, 1_000, 0.25) > 0.9
    assert p_value(1_000, 1_000, 0.001) == 0.0 and p_value(400, 1_000, 0.25) < 1e-20


# ------------------------------------------------------------------------------------------------ of a real chain


def test_the_turns_of_a_chain_are_told_with_its_blocks() -> None:
    """Round 1 builds the second block, whose body lacks a precommit for the first; then a stake changes the set."""
    node = Node(spec_with(block_threshold=1, stake_delay=0))
    node.grow(node.pay("a", 0))
    full = node.chain.head.certificate
    node.add(wallet("b", node.spec.hash).stake(5, 0))
    block = node.chain.build_block(1, node.proof(1), two_of(full), NOW)
    node.perform(node.chain.finalize(block, node.certificate(block), 1, NOW))
    first, second = node.store.turns()
    assert (first.height, first.round, first.absent, first.changed, first.total_stake) == (1, 0, (), (), 300)
    assert (second.round, len(second.drawn), second.forger) == (1, 2, second.drawn[1])
    assert second.absent == (Address(KEYS[2].public_key),) and second.changed == ()
    node.keys = sorted([*KEYS, key("b")], key=lambda one: one.public_key)
    node.add(node.pay("a", 1))
    third = node.chain.build_block(0, node.proof(0), full_of(node), NOW + 9)
    node.chain.finalize(third, node.certificate(third), 0, NOW)
    newest = node.chain.turns.newest[-1]
    assert newest.changed == (StakeBefore(address("b"), 0),) and newest.total_stake == 305
    facts = RecordFacts(tuple(node.chain.turns.newest), node.chain.parent_validators, frozenset())
    of_b, of_last = records_of(facts, [address("b"), Address(KEYS[2].public_key)]).values()
    assert (of_b.draws, of_b.certificates) == (1, 0) and of_b.expected == pytest.approx(5 / 305)
    assert (of_last.draws, of_last.certificates, of_last.missed_count) == (3, 2, 1)


def test_what_signers_and_forgers_earned_is_what_the_ledger_paid() -> None:
    """Stakes of 100 each and a fee that does not divide: the tally and the balances agree to the unit."""
    node = Node(spec_with(block_threshold=1, reward_per_block=1_001))
    for nonce in range(4):
        node.add(node.pay("a", nonce, fee=3))
        certificate = two_of(node.chain.head.certificate) if nonce == 2 else node.chain.head.certificate
        block = node.chain.build_block(0, node.proof(0), certificate, NOW + nonce)
        node.perform(node.chain.finalize(block, node.certificate(block), 0, NOW + nonce))
    facts = RecordFacts(tuple(node.chain.turns.newest), node.chain.parent_validators, frozenset())
    people = [Address(one.public_key) for one in KEYS]
    told = records_of(facts, people)
    state = node.chain.state()
    assert sum(one.earned_signing for one in told.values()) > 1_000
    assert [told[one].earned_forging + told[one].earned_signing for one in people] == [
        account_of(state, one).balance for one in people
    ]


def two_of(certificate: Certificate) -> Certificate:
    return replace(certificate, precommits=certificate.precommits[:2])


def full_of(node: Node) -> Certificate:
    head = node.chain.head
    return certificate_of(dict(enumerate(KEYS)), head.height, head.id, genesis_hash=node.spec.hash)


# ------------------------------------------------------------------------------------------------ reasons


def test_why_a_precommit_is_missing() -> None:
    members = set_with((1, 1, 1, 1))
    seen = HeightSeen(7, members, 0, is_whole=True)
    found = seen.round(2)
    assert found is not None
    a, b, c, d = (members.validators[at].address for at in range(4))
    assert reasons_of([seen], a) == {}, "not decided yet"
    seen.final, seen.decided_round, seen.offline = 50, 2, frozenset({a})
    found.precommits.note(2, 40, None, 1)
    found.precommits.note(3, 62, BLOCK_A, 1)
    told = {one: reasons_of([seen], one)[7] for one in (a, b, c, d)}
    assert [told[one].reason for one in (a, b, c, d)] == ["offline", "silent", "nil", "late"]
    assert told[d].late_ms == 12
    found.precommits.note(1, 50, BLOCK_A, 1)
    assert reasons_of([seen], b)[7] == Missed(7, "left_out")
    assert reasons_of([seen], address("nobody")) == {}
    seen.is_synced = True
    assert reasons_of([seen], d) == {}
