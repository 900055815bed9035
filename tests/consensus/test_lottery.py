"""The lottery: wins in proportion to stake, at a cost that stake does not change, and nobody twice before all were.

A draw is a hash scaled to the line of lots. Where a test must choose the hash itself it puts another function in the
place of `tagged_hash`; nothing else is replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from math import log2
from typing import TypeVar, overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.consensus import lottery as rules
from blockchain.consensus.lottery import Draw, Lottery, first_seed, next_seed, vrf_alpha
from blockchain.primitives.crypto import Address, Hash32, PublicKey, tagged_hash
from blockchain.primitives.validators import Validator, ValidatorSet

Cell = TypeVar("Cell")

GENESIS = Hash32(b"\x42" * 32)
SEED = first_seed(GENESIS)
REFERENCES = 2**256
DRAWS = 1_000_001

STAKES = (1, 2, 3, 5, 8, 13, 21, 34, 100, 313)
# The chi-square statistic exceeds these once in a thousand times by chance; the draws are the same at every run.
CHI_SQUARE_9, CHI_SQUARE_11 = 27.88, 31.26

# The first draws of GENESIS with STAKES, written down.
FIRST_FORGERS = [13, 313, 34, 21]  # by stake
FIRST_REFERENCE = Hash32(bytes.fromhex("0eceebc542e324527d5a5abc43b98396e6b40d9de871eae51bb1dde229fdbd29"))
FIRST_POINT = 28
SECOND_SEED = "a165e4302233f08e877548fe9d3db1548814c05c6039618dbee4da495e0a3f74"  # after an output of 64 zero bytes


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


def set_of(*stakes: int) -> ValidatorSet:
    return ValidatorSet(Validator(address(at), PublicKey(address(at)), stake) for at, stake in enumerate(stakes))


def lottery_of(*stakes: int, height: int = 1) -> Lottery:
    return Lottery(GENESIS, SEED, height, set_of(*stakes))


def chi_square(observed: Counter[Cell], chances: dict[Cell, Fraction]) -> float:
    total = sum(observed.values())
    assert sum(chances.values()) == 1 and set(observed) <= set(chances)
    return float(sum((observed[cell] - total * chance) ** 2 / (total * chance) for cell, chance in chances.items()))


@contextmanager
def references(numbers: Sequence[int]) -> Iterator[None]:
    """The reference hashes of the draws to come."""
    given_numbers = iter(numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "tagged_hash", lambda *_: Hash32(next(given_numbers).to_bytes(32, "big")))
        yield


# ------------------------------------------------------------------------------------------------ proportion


def test_over_a_million_draws_wins_match_the_stakes() -> None:
    """The first draw of a million heights; by chi-square with nine degrees of freedom."""
    validators = set_of(*STAKES)
    number = validators.index
    wins = Counter(number[Lottery(GENESIS, SEED, height, validators).forger(0)] for height in range(DRAWS))
    chances = {at: Fraction(stake, sum(STAKES)) for at, stake in enumerate(STAKES)}
    assert sum(wins.values()) == DRAWS
    assert chi_square(wins, chances) < CHI_SQUARE_9


def test_a_stake_that_is_a_hundredth_off_would_be_seen() -> None:
    """The same measure refuses wins that match other stakes: what the largest has beyond its share is 3 of 313."""
    wins = Counter({at: DRAWS * stake // sum(STAKES) for at, stake in enumerate(STAKES)})
    wrong = (*STAKES[:-2], STAKES[-2] - 3, STAKES[-1] + 3)
    chances = {at: Fraction(stake, sum(wrong)) for at, stake in enumerate(wrong)}
    assert chi_square(wins, chances) > CHI_SQUARE_9


def test_the_second_draw_is_in_proportion_among_those_left() -> None:
    """Pairs of forgers of rounds 0 and 1: eleven degrees of freedom."""
    stakes = (1, 2, 3, 4)
    validators = set_of(*stakes)
    pairs: Counter[tuple[int, int]] = Counter()
    for height in range(100_000):
        lottery = Lottery(GENESIS, SEED, height, validators)
        pairs[validators.index[lottery.forger(0)], validators.index[lottery.forger(1)]] += 1
    total = sum(stakes)
    chances = {
        (one, other): Fraction(stakes[one], total) * Fraction(stakes[other], total - stakes[one])
        for one in range(4)
        for other in range(4)
        if one != other
    }
    assert chi_square(pairs, chances) < CHI_SQUARE_11


@pytest.mark.parametrize("stakes", [(1,), (1, 1), (2, 1), (1, 2, 3), (3, 1, 1, 2), (5, 7, 1), (1,) * 13, (10, 1, 10)])
def test_every_lot_has_its_owner_and_all_lots_are_alike(stakes: tuple[int, ...]) -> None:
    """At the first and the last reference of each lot. Lots differ in size by at most one reference of 2²⁵⁶."""
    total = sum(stakes)
    owners = [at for at, stake in enumerate(stakes) for _ in range(stake)]
    sizes = set()
    for lot, owner in enumerate(owners):
        first, after = -(-lot * REFERENCES // total), -(-(lot + 1) * REFERENCES // total)
        sizes.add(after - first)
        for reference in (first, after - 1):
            with references([reference]):
                draw = lottery_of(*stakes).draw(0)
            assert draw.point == lot and draw.forger == address(owner)
            assert draw.interval == (owners.index(owner), owners.index(owner) + stakes[owner])
    assert sizes <= {REFERENCES // total, REFERENCES // total + 1}


@pytest.mark.parametrize("stakes", [(1, 1), (2, 1), (1, 2, 3), (3, 1, 1, 2)])
def test_every_lot_that_is_left_has_its_owner(stakes: tuple[int, ...]) -> None:
    """The same in round 1, whoever has won round 0."""
    owners = [at for at, stake in enumerate(stakes) for _ in range(stake)]
    for winner in range(len(stakes)):
        first = owners.index(winner) * REFERENCES // len(owners) + 1
        left = [owner for owner in owners if owner != winner]
        for lot, owner in enumerate(left):
            reference = -(-lot * REFERENCES // len(left))
            with references([first, reference]):
                draw = lottery_of(*stakes).draw(1)
            assert draw.left_out == (address(winner),)
            assert draw.forger == address(owner) and owners[draw.point] == owner


def test_the_line_is_in_address_order_whatever_the_order_given() -> None:
    forwards = set_of(*STAKES)
    backwards = ValidatorSet(reversed(forwards.validators))
    for height in range(50):
        one, other = (Lottery(GENESIS, SEED, height, each) for each in (forwards, backwards))
        assert one.draw(3) == other.draw(3)


# ------------------------------------------------------------------------------------------------ cost


class CountedLine(Sequence[int]):
    """The cumulative stakes, with a count of how often one of them was read."""

    def __init__(self, line: Sequence[int]) -> None:
        self._line = line
        self.reads = 0

    def __len__(self) -> int:
        return len(self._line)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...
    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        self.reads += 1
        return self._line[at]


def cost(stakes: Sequence[int], height: int, rounds: int = 1) -> tuple[int, int]:
    """Hashes made and stakes read for the first draws of a height."""
    validators = set_of(*stakes)
    line = CountedLine(validators.cumulative)
    validators.cumulative = line  # type: ignore[assignment]  # a tuple that counts
    hashes = 0

    def counted_hash(tag: str, genesis_hash: bytes, message: bytes) -> Hash32:
        nonlocal hashes
        hashes += 1
        return tagged_hash(tag, genesis_hash, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "tagged_hash", counted_hash)
        Lottery(GENESIS, SEED, height, validators).draw(rounds - 1)
    return hashes, line.reads


@pytest.mark.parametrize("rounds", [1, 5])
def test_the_cost_of_a_draw_does_not_depend_on_the_amount_of_stake(rounds: int) -> None:
    """The same shares of 500 and of 5 × 10¹⁷ units: as many hashes, as many steps, in every height."""
    for height in range(100):
        small = cost(STAKES, height, rounds)
        assert small == cost([stake * 10**15 for stake in STAKES], height, rounds)
        assert small[0] == rounds


def test_the_cost_of_a_draw_is_the_logarithm_of_the_number_of_validators() -> None:
    for count in (1, 10, 100, 1_000, 10_000):
        reads = max(cost([7] * count, height)[1] for height in range(20))
        assert reads <= log2(count) + 3  # bisection, and the winner's own interval


def test_a_draw_is_made_once() -> None:
    """Asked again, or in another order, no hash is made anew within a cycle."""
    lottery = lottery_of(*STAKES)
    draws = [lottery.draw(round) for round in range(len(STAKES))]
    with references([]):
        assert [lottery.draw(round) for round in reversed(range(len(STAKES)))] == draws[::-1]


# ------------------------------------------------------------------------------------------------ rounds


@pytest.mark.parametrize("height", range(20))
def test_nobody_is_drawn_twice_until_all_were_and_then_all_come_back(height: int) -> None:
    """In each cycle of as many rounds as there are validators."""
    lottery = lottery_of(*STAKES, height=height)
    everybody = [address(at) for at in range(len(STAKES))]
    cycles = [[lottery.forger(round) for round in range(at, at + len(STAKES))] for at in (0, 10, 20)]
    assert [sorted(forgers) for forgers in cycles] == [everybody] * 3
    assert cycles[0] != cycles[1], "the next cycle is drawn anew"
    assert lottery.draw(10).left_out == () == lottery.draw(0).left_out


def test_a_cycle_that_was_left_can_be_asked_for_again() -> None:
    lottery = lottery_of(*STAKES)
    draws = [lottery.draw(round) for round in range(25)]
    assert [lottery.draw(round) for round in (3, 24, 0, 12)] == [draws[at] for at in (3, 24, 0, 12)]


def test_one_validator_forges_every_round() -> None:
    lottery = lottery_of(9)
    assert [lottery.draw(round).interval for round in range(3)] == [(0, 9)] * 3


def test_a_height_without_validators_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="without validators"):
        Lottery(GENESIS, SEED, 1, ValidatorSet(()))


def naive_draws(stakes: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Each winner, and those left out: on a list of lots from which the winners' are struck."""
    left_out: list[int] = []
    for number in numbers:
        if len(left_out) == len(stakes):
            left_out = []
        lots = [at for at, stake in enumerate(stakes) if at not in left_out for _ in range(stake)]
        winner = lots[number * len(lots) >> 256]
        yield winner, list(left_out)
        left_out.append(winner)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.lists(st.integers(0, REFERENCES - 1) | st.sampled_from([0, REFERENCES - 1]), min_size=1, max_size=20),
)
def test_left_out_lots_are_as_if_struck_from_a_list(stakes: list[int], numbers: list[int]) -> None:
    lottery = lottery_of(*stakes)
    with references(numbers):
        for round, (winner, left_out) in enumerate(naive_draws(stakes, numbers)):
            draw = lottery.draw(round)
            start, end = draw.interval
            assert draw.forger == address(winner) and draw.left_out == tuple(map(address, left_out))
            assert start <= draw.point < end
            assert (start, end) == (sum(stakes[:winner]), sum(stakes[: winner + 1]))


# ------------------------------------------------------------------------------------------------ what it hangs on


def test_a_draw_hangs_on_chain_seed_height_and_round() -> None:
    """And on nothing else: the reference is H("lottery", genesis, (seed, height, round))."""
    validators = set_of(1)
    seeds = [SEED, Hash32(b"\x01" * 32)]
    drawn = {
        Lottery(genesis, seed, height, validators).draw(round).reference
        for genesis in (GENESIS, Hash32(b"\x43" * 32))
        for seed in seeds
        for height in (1, 2)
        for round in (0, 1)
    }
    assert len(drawn) == 16
    one, other = (Lottery(GENESIS, SEED, 1, set_of(*stakes)).draw(0).reference for stakes in ((1,), (5, 6)))
    assert one == other


def test_the_next_seed_hangs_on_seed_and_output() -> None:
    output = bytes(64)
    seeds = {
        next_seed(GENESIS, SEED, output),
        next_seed(GENESIS, SEED, output[:-1] + b"\x01"),
        next_seed(GENESIS, Hash32(b"\x01" * 32), output),
        next_seed(Hash32(b"\x43" * 32), SEED, output),
        SEED,
    }
    assert len(seeds) == 5


def test_what_the_forger_proves_has_no_round() -> None:
    """One output a height and validator: (genesis, seed, height) and nothing that a forger could choose."""
    proven = {
        vrf_alpha(GENESIS, SEED, 1),
        vrf_alpha(GENESIS, SEED, 2),
        vrf_alpha(GENESIS, Hash32(bytes(32)), 1),
        vrf_alpha(Hash32(b"\x43" * 32), SEED, 1),
    }
    assert len(proven) == 4
    assert vrf_alpha(GENESIS, SEED, 1) == vrf_alpha(GENESIS, SEED, 1)


def test_the_first_draws_of_a_chain_do_not_change() -> None:
    """Written down, because another answer is another chain."""
    lottery = lottery_of(*STAKES)
    draws = [lottery.draw(round) for round in range(4)]
    assert [STAKES[int.from_bytes(draw.forger, "big")] for draw in draws] == FIRST_FORGERS
    assert draws[0] == Draw(FIRST_REFERENCE, FIRST_POINT, draws[0].forger, draws[0].interval, ())
    assert next_seed(GENESIS, SEED, bytes(64)).hex() == SECOND_SEED
