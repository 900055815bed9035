"""Who made a fork: single cases, and forks that more than a third of the stake makes against the real rules."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest
from msgspec.structs import replace

from blockchain.consensus import accountability
from blockchain.consensus.accountability import Findings, contradiction, find_guilty
from blockchain.consensus.commit import certificate_of as certificate_from
from blockchain.consensus.evidence import contradicts
from blockchain.consensus.tendermint import Action, Candidate, CastVote, Tendermint
from blockchain.errors import InvalidCertificate
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, ConflictingVotes, Evidence, ForgottenLock, Step, Vote, VoteStep
from tests.samples import BLOCK_A, BLOCK_B, GENESIS_HASH, PRECOMMIT, PREVOTE, certificate_of, set_of, vote

HEIGHT = 5
SET, KEYS = set_of([1, 1, 1, 1])
OTHER = Hash32(b"\xcc" * 32)


def certified(who: Iterable[int], block_id: Hash32, round: int = 0) -> Certificate:
    return certificate_of({one: KEYS[one] for one in who}, HEIGHT, block_id, round=round)


def prevotes(who: Iterable[int], block_id: Hash32 | None, round: int, polka: int = -1) -> list[Vote]:
    return [vote(KEYS[one], HEIGHT, PREVOTE, block_id, round=round, polka_round=polka) for one in who]


def found(first: Certificate, second: Certificate, votes: Iterable[Vote] = ()) -> Findings:
    findings = find_guilty(first, second, votes, SET, GENESIS_HASH)
    assert all(contradicts(one.evidence) for one in findings.guilty)
    assert findings == find_guilty(second, first, votes, SET, GENESIS_HASH), "their order is of no matter"
    return findings


def numbers(findings: Findings) -> tuple[list[int], list[int]]:
    """The indices of the guilty, and of those that claim what is not proven."""
    of = SET.index
    return (
        [of[one.validator.address] for one in findings.guilty],
        [of[one.validator.address] for one in findings.unproven],
    )


# ------------------------------------------------------------------------------------------------ single cases


def test_in_one_round_whoever_signed_both_is_guilty() -> None:
    findings = found(certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B))
    assert numbers(findings) == ([1, 2], []) and (findings.guilty_stake, findings.total) == (2, 4)
    evidence = findings.guilty[0].evidence
    assert isinstance(evidence, ConflictingVotes) and evidence.first.step is PRECOMMIT


def test_a_lock_that_was_forgotten_shows_in_the_prevotes_of_the_later_round() -> None:
    kept = prevotes((1, 2, 3), BLOCK_B, 2)
    findings = found(certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2), kept)
    assert numbers(findings) == ([1, 2], [])
    assert isinstance(findings.guilty[0].evidence, ForgottenLock)


def test_without_prevotes_all_that_signed_the_later_one_claim_what_nobody_shows() -> None:
    findings = found(certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2))
    assert numbers(findings) == ([], [1, 2, 3]) and findings.unproven_stake == 3
    claim = findings.unproven[0]
    assert (claim.vote.step, claim.value, claim.round) == (PRECOMMIT, BLOCK_B, 2)


def test_a_claim_that_nobody_can_show_is_not_proven() -> None:
    kept = prevotes((1, 2), BLOCK_B, 2, polka=1) + prevotes((3,), BLOCK_B, 2)
    findings = found(certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2), kept)
    assert numbers(findings) == ([], [1, 2])
    assert (findings.unproven[0].vote.step, findings.unproven[0].round) == (PREVOTE, 1)


def test_a_claim_that_is_shown_leads_to_the_round_before() -> None:
    kept = prevotes((1, 2, 3), BLOCK_B, 2, polka=1) + prevotes((1, 2, 3), BLOCK_B, 1)
    findings = found(certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2), kept)
    assert numbers(findings) == ([1, 2], [])


def test_two_polkas_of_the_first_round_are_two_prevotes_of_some() -> None:
    kept = prevotes((1, 2, 3), BLOCK_B, 2, polka=0) + prevotes((1, 2, 3), BLOCK_B, 0)
    both = kept + prevotes((0, 1, 2), BLOCK_A, 0)
    first, second = certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2)
    assert numbers(found(first, second, both)) == ([1, 2], [])
    assert numbers(found(first, second, kept)) == ([], [0, 1, 2]), "the first certificate's polka is not shown"


def test_what_is_of_no_use_is_counted_and_changes_nothing() -> None:
    good = prevotes((1, 2, 3), BLOCK_B, 2)
    stranger = vote(SigningKey(bytes(32)), HEIGHT, PREVOTE, BLOCK_B, round=2)
    bad = [
        stranger,
        replace(good[0], polka_round=1),  # its signature is of something else
        vote(KEYS[0], HEIGHT + 1, PREVOTE, BLOCK_B, round=2),
        vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_B, round=2, polka_round=2),  # a polka of its own future
    ]
    first, second = certified((0, 1, 2), BLOCK_A), certified((1, 2, 3), BLOCK_B, 2)
    findings = found(first, second, [*bad, *good, *good])
    assert findings.skipped == len(bad)
    assert replace(findings, skipped=0) == found(first, second, good)


@pytest.mark.parametrize(
    "second, said",
    [
        (certified((0, 1, 2), BLOCK_A, 1), "no fork"),
        (replace(certified((0, 1, 2), BLOCK_B), height=HEIGHT + 1), "two heights"),
        (certified((0, 1), BLOCK_B), "two thirds"),
    ],
)
def test_what_is_no_fork_is_refused(second: Certificate, said: str) -> None:
    with pytest.raises(InvalidCertificate, match=said):
        find_guilty(certified((0, 1, 2), BLOCK_A), second, (), SET, GENESIS_HASH)


def test_two_votes_that_go_together_are_no_contradiction() -> None:
    one, other = prevotes((0, 0), BLOCK_A, 1)
    assert contradiction(one, other) is None
    assert contradiction(prevotes((0,), BLOCK_B, 1)[0], one) is not None


def any_votes(random: Random, count: int) -> list[Vote]:
    """Of the last validator, in few places and for few values."""
    cast = []
    for _ in range(count):
        step, value, round = random.choice(list(VoteStep)), random.choice((BLOCK_A, BLOCK_B, None)), random.randrange(5)
        polka = random.randrange(-1, round) if step is PREVOTE and value is not None and round else -1
        cast.append(vote(KEYS[3], HEIGHT, step, value, round=round, polka_round=polka))
    return cast


def test_whatever_it_signed_it_is_guilty_where_two_of_its_votes_contradict_each_other() -> None:
    random = Random(4)
    first, second = certified((0, 1, 2), BLOCK_A), certified((0, 1, 2), BLOCK_B)
    seen = set()
    for count in (2, 3, 4, 5) * 30:
        cast = any_votes(random, count)
        is_guilty = any(contradiction(one, other) is not None for one, other in combinations(cast, 2))
        assert (3 in numbers(found(first, second, cast))[0]) == is_guilty
        seen.add(is_guilty)
    assert seen == {True, False}


def test_many_votes_of_one_validator_are_not_held_each_against_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liar may have signed any number: its file would keep whoever looks into it busy for hours."""
    cast = [*prevotes((3,), BLOCK_A, 0), *(one for round in range(1, 100) for one in prevotes((3,), BLOCK_A, round, 0))]
    cast += [vote(KEYS[3], HEIGHT, PRECOMMIT, BLOCK_A, round=round) for round in range(100)]
    compared = []

    def counted(evidence: Evidence) -> bool:
        compared.append(evidence)
        return contradicts(evidence)

    monkeypatch.setattr(accountability, "contradicts", counted)
    assert numbers(found(certified((0, 1, 2), BLOCK_A), certified((0, 1, 2), BLOCK_B), cast))[0] == [0, 1, 2]
    assert len(compared) <= 2 * (len(cast) + 6)  # `found` looks twice


# ------------------------------------------------------------------------------------------------ real rules


class Honest:
    """One honest validator: the real rules, and what it signed."""

    def __init__(self, key: SigningKey, validators: ValidatorSet) -> None:
        self.key = key
        self.rules = Tendermint(validators)
        self.cast: list[Vote] = []
        self.perform(self.rules.start_round(0))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, CastVote):
                mine = vote(
                    self.key,
                    HEIGHT,
                    action.step,
                    action.value,
                    round=action.round,
                    polka_round=action.polka_round,
                )
                self.cast.append(mine)
                self.take([mine])

    def take(self, votes: Iterable[Vote]) -> None:
        for each in votes:
            self.perform(self.rules.on_vote(each)[2])

    def propose(self, round: int, value: Hash32, valid_round: int) -> None:
        self.perform(self.rules.on_proposal(round, Candidate(value, valid_round, is_valid=True)))

    def leave(self, round: int) -> None:
        """Go on to the next round by the time-outs of this one."""
        for step in (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT):
            self.perform(self.rules.on_timeout(step, round))

    def prevotes(self) -> list[Vote]:
        """What it would keep: every prevote that it counted."""
        return [each for votes in self.rules.book.rounds.values() for each in votes.prevotes.votes.values()]


class Attack:
    """A hostile part that leads two groups of honest validators to two decisions, each in a round of its own.

    `groups` decide at `rounds`; in the rounds before, hostile votes and proposals are drawn. What hostile prevotes
    claim of earlier polkas is drawn too, from nothing to a lie.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        honest, hostile = rng.choice(((2, 2), (4, 3), (4, 4), (2, 3), (6, 5)))
        self.validators, keys = set_of([1] * (honest + hostile))
        rng.shuffle(keys)
        self.hostile = keys[:hostile]
        everybody = [Honest(each, self.validators) for each in keys[hostile:]]
        self.groups = everybody[: honest // 2], everybody[honest // 2 :]
        self.rounds = rng.randint(0, 1), rng.randint(0, 4)
        self.told: set[Vote] = set()

    def run(self) -> tuple[Certificate, Certificate] | None:
        """The two certificates, where both groups came to decide for different blocks."""
        values = BLOCK_A, BLOCK_B
        for group, value, last in zip(self.groups, values, self.rounds, strict=True):
            for round in range(last):
                self._play(group, round, self.rng.choice((value, BLOCK_A, OTHER)), is_last=False)
            self._play(group, last, value, is_last=True)
            if any(one.rules.decision is None for one in group):
                return None
        first, second = (self._certificate(group[0]) for group in self.groups)
        return None if first.block_id == second.block_id else (first, second)

    def _play(self, group: list[Honest], round: int, value: Hash32, *, is_last: bool) -> None:
        valid_round = self.rng.choice((-1, *(one.rules.valid_round for one in group)))
        if is_last:
            valid_round = max(one.rules.valid_round if one.rules.valid_value == value else -1 for one in group)
        steps = (PREVOTE, PRECOMMIT) if is_last else self.rng.choice(((), (PREVOTE,), (PREVOTE,)))
        for one in group:
            one.propose(round, value, valid_round)
        for step in steps:
            for key in self.hostile:
                polka = self.rng.randint(-1, round - 1) if step is PREVOTE else -1
                lie = vote(key, HEIGHT, step, value, round=round, polka_round=polka)
                for one in group:
                    one.take([lie])
            for one in group:
                for other in group:
                    one.take(other.cast)
        for one in group:
            if not is_last:
                one.take([each for other in group for each in other.cast])
                one.leave(round)

    def _certificate(self, one: Honest) -> Certificate:
        decision = one.rules.decision
        assert decision is not None
        precommits = one.rules.book.of(decision.round).precommits
        return certificate_from(HEIGHT, decision.round, decision.value, precommits, self.validators)


def test_of_every_fork_the_guilty_and_the_unproven_hold_more_than_a_third() -> None:
    forks, proven, lies, later = 0, 0, 0, 0
    for seed in range(60):
        rng = Random(f"fork {seed}")
        attack = Attack(rng)
        certificates = attack.run()
        if certificates is None:
            continue
        forks += 1
        later += certificates[0].round != certificates[1].round
        honest = [one for group in attack.groups for one in group]
        kept = [each for one in honest for each in one.prevotes()]
        whole = find_guilty(*certificates, kept, attack.validators, GENESIS_HASH)
        part = find_guilty(*certificates, kept[:: rng.choice((2, 3))], attack.validators, GENESIS_HASH)
        innocent = {Address(one.key.public_key) for one in honest}
        for findings in (whole, part):
            accused = {one.validator.address for one in findings.guilty}
            assert not accused & innocent, seed
            assert 3 * (findings.guilty_stake + findings.unproven_stake) > findings.total, seed
        assert not {one.validator.address for one in whole.unproven} & innocent, seed
        proven += 3 * whole.guilty_stake > whole.total
        lies += bool(whole.unproven)
    assert forks > 15 and later > 10 and proven > 10 and lies > 3, (forks, later, proven, lies)
