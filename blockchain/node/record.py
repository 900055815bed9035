"""What each validator did over the newest blocks: draws, blocks, signatures, and whether its luck is believable.

Pure functions over the chain's turns (`turns.py`) and what this node saw (`timeline.py`). A *win* is the draw of round
0, which is what chance decides; whether its block came is told apart, as forged or let pass. Signed is what the
parents' certificates in the bodies hold, which is the same at every node. No rule uses anything of this; the floats are
for people. The cost grows with the blocks of the window, and with what happened in them, not with all the validators.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from math import exp, lgamma, log, log1p
from typing import Final

from msgspec import Struct

from blockchain.node.timeline import HeightSeen
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import Turn

MISSED_LISTED_MAX: Final = 100  # of one validator, the newest
_NEGLIGIBLE: Final = 1e-17  # a term that no longer changes a sum


class Missed(Struct, frozen=True):
    """A height whose certificate, in its child's body, lacks this validator, and why as far as this node knows.

    `offline`: no precommit came, nor any other word for a while. `silent`: no precommit came, though there had been a
    word of it. `nil`: its precommit was for nil. `late`: it came `late_ms` after this node had a certificate.
    `left_out`: it was here in time, and the next forger had not got it, or left it out. "": this node did not see that
    height live.
    """

    height: int
    reason: str = ""
    late_ms: int | None = None


class Record(Struct, frozen=True):
    """Of one validator, over the window. `expected`, `p_value` are for people; None where there is nothing to tell."""

    draws: int  # heights at which it had stake
    expected: float
    wins: int
    p_value: float | None
    forged: int
    let_pass: int  # draws, of any round, after which the block was built in a later one
    certificates: int  # of heights at which it had stake
    missed: tuple[Missed, ...]  # newest first; cut
    missed_count: int
    earned_forging: int  # rewards, in the smallest unit
    earned_signing: int
    lost: int  # penalties


class RecordFacts(Struct, frozen=True):
    """What records are made of, of one moment: for any thread. `members` are the set of the newest turn's height."""

    turns: tuple[Turn, ...]
    members: ValidatorSet
    offline: frozenset[Address]


def records_of(
    facts: RecordFacts, addresses: Iterable[Address], reasons: Mapping[int, Missed] | None = None
) -> dict[Address, Record]:
    """`reasons` are those of the missed heights, where one validator is asked for."""
    did = _Deeds(facts.turns)
    stakes = _Stakes(facts.turns, facts.members)
    return {address: _record(address, did, stakes, reasons or {}) for address in addresses}


def _record(address: Address, did: _Deeds, stakes: _Stakes, reasons: Mapping[int, Missed]) -> Record:
    draws, expected, certificates = stakes.sums(address)
    wins, missed = did.wins[address], did.missed[address]
    return Record(
        draws=draws,
        expected=expected,
        wins=wins,
        p_value=p_value(wins, draws, expected / draws) if draws else None,
        forged=did.forged[address],
        let_pass=did.let_pass[address],
        certificates=certificates,
        missed=tuple(reasons.get(height, Missed(height)) for height in missed[: -MISSED_LISTED_MAX - 1 : -1]),
        missed_count=len(missed),
        earned_forging=did.earned[address],
        earned_signing=stakes.earned_signing(address, missed),
        lost=did.lost[address],
    )


class _Deeds:
    """What validators did, counted in one pass."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self.wins: Counter[Address] = Counter()
        self.forged: Counter[Address] = Counter()
        self.let_pass: Counter[Address] = Counter()
        self.missed: defaultdict[Address, list[int]] = defaultdict(list)
        self.earned: Counter[Address] = Counter()
        self.lost: Counter[Address] = Counter()
        for turn in turns:
            self.earned[turn.forger] += turn.earned
            for loss in turn.lost:
                self.lost[loss.address] += loss.amount
            self.wins[turn.drawn[0]] += 1
            self.forged[turn.forger] += 1
            self.let_pass.update(turn.drawn[: turn.round])
            for address in turn.absent:
                self.missed[address].append(turn.height - 1)


class _Stakes:
    """How much stake each had at which heights: stretches between two changes, found backwards from the newest."""

    def __init__(self, turns: tuple[Turn, ...], members: ValidatorSet) -> None:
        self._turns = turns
        self._members = members
        self._last = len(turns) - 1
        # Before height 1 there is nobody to sign; else the first turn tells of the certificate before it too.
        self._first = -1 if turns and turns[0].height > 1 else 0
        self._shares = [0.0, *accumulate(1 / turn.total_stake for turn in turns)]  # of one unit, up to a turn
        self._changes: defaultdict[Address, list[tuple[int, int]]] = defaultdict(
            list
        )  # (turn, stake before), backwards
        for at in range(self._last, -1, -1):
            for before in turns[at].changed:
                self._changes[before.address].append((at, before.stake))

    def sums(self, address: Address) -> tuple[int, float, int]:
        """The draws in which it had lots, how many it should have won, and the certificates that it could be in."""
        draws, expected, certificates = 0, 0.0, 0
        for at, end, stake in self._stretches(address):
            first = max(at, 0)
            draws += end - first + 1
            expected += stake * (self._shares[end + 1] - self._shares[first])
            certificates += min(end, self._last - 1) - at + 1
        return draws, expected, certificates

    def earned_signing(self, address: Address, missed: Iterable[int]) -> int:
        """What its signatures earned: paid with the block after the one that it signed (protocol §3.5)."""
        unsigned = set(missed)
        return sum(
            turn.for_signers * stake // turn.parents_stake
            for at, end, stake in self._stretches(address)
            for turn in self._turns[at + 1 : end + 2]
            if turn.for_signers and turn.height - 1 not in unsigned
        )

    def _stretches(self, address: Address) -> Iterator[tuple[int, int, int]]:
        """From which turn to which, both included, it had which stake, newest first; none without stake."""
        stake, end = self._members.stake_of(address), self._last
        for at, before in [*self._changes[address], (self._first, 0)]:
            if stake > 0 and end >= at:
                yield at, end, stake
            stake, end = before, at - 1


def p_value(wins: int, draws: int, share: float) -> float:
    """How often chance alone gives a number of wins that is as far off, in its direction; doubled for both, at most 1.

    The exact binomial test with the mean share over the window. Where the share changed meanwhile the true spread is
    smaller (Hoeffding 1956), so that the value errs on the side of chance.
    """
    if not 0 < share < 1:
        return 1.0  # whoever has all stake wins each draw
    step = 1 if wins >= draws * share else -1
    odds = share / (1 - share)
    term = exp(
        lgamma(draws + 1)
        - lgamma(wins + 1)
        - lgamma(draws - wins + 1)
        + wins * log(share)
        + (draws - wins) * log1p(-share)
    )
    tail, at = term, wins
    while 0 <= at + step <= draws and term > _NEGLIGIBLE * tail:
        term *= (draws - at) / (at + 1) * odds if step > 0 else at / (draws - at + 1) / odds
        tail, at = tail + term, at + step
    return min(1.0, 2 * tail)


def reasons_of(heights: Iterable[HeightSeen], address: Address) -> dict[int, Missed]:
    """By height: why a precommit of this validator may be missing there, of the heights that this node saw decided."""
    return {seen.height: missed for seen in heights if (missed := _reason(seen, address)) is not None}


def _reason(seen: HeightSeen, address: Address) -> Missed | None:
    index = seen.members.index.get(address)
    decided = None if seen.decided_round is None else seen.rounds.get(seen.decided_round)
    if seen.final is None or seen.is_synced or index is None or decided is None:
        return None
    came = decided.precommits.came(index)
    if came is None:
        return Missed(seen.height, "offline" if address in seen.offline else "silent")
    if decided.precommits.is_nil(index):
        return Missed(seen.height, "nil")
    if came > seen.final:
        return Missed(seen.height, "late", came - seen.final)
    return Missed(seen.height, "left_out")
