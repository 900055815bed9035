"""The lottery: who forges a height and round (docs/protocol.md §7).

Every unit of stake is a lot on one line, validators in address order. A reference hash of (seed, height, round) falls
on the line, and the owner of the lot it falls on is the forger: exactly proportional, integers only, by bisection
over cumulative stakes, so that the cost depends neither on the amount of stake nor (but for its logarithm) on the
number of validators. The seed comes from the VRF output of the parent's forger: nobody else knows it in time, and
nothing that a forger puts into its block changes it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final

from msgspec import Struct

from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Hash32, tagged, tagged_hash
from blockchain.primitives.validators import ValidatorSet

_SEED_TAG: Final = "seed"
_ALPHA_TAG: Final = "vrf"
_REFERENCE_TAG: Final = "lottery"


def first_seed(genesis_hash: Hash32) -> Hash32:
    """seed(1), from the genesis hash alone (protocol §7.1)."""
    return tagged_hash(_SEED_TAG, genesis_hash, b"")


def next_seed(genesis_hash: Hash32, seed: Hash32, output: bytes) -> Hash32:
    """seed(h + 1) from seed(h) and the 64-byte VRF *output* of h's forger, never the proof (protocol §7.1)."""
    return tagged_hash(_SEED_TAG, genesis_hash, seed + output)


def vrf_alpha(genesis_hash: Hash32, seed: Hash32, height: int) -> bytes:
    """What the forger of a height proves: without the round, so that a validator has one output a height."""
    return tagged(_ALPHA_TAG, genesis_hash, codec.encode((seed, height)))


class Draw(Struct, frozen=True):
    """One draw with everything it followed from: the material of a lottery receipt.

    `point` is on the line of all lots (0 ≤ point < total); the forger owns those from `interval[0]` on, before
    `interval[1]`. `left_out` are the forgers of earlier rounds, whose lots did not take part.
    """

    reference: Hash32
    point: int
    forger: Address
    interval: tuple[int, int]
    left_out: tuple[Address, ...]


class Lottery:
    """The draws of one height, made when they are asked for and kept: at most one a validator and cycle."""

    def __init__(self, genesis_hash: Hash32, seed: Hash32, height: int, validators: ValidatorSet) -> None:
        assert len(validators) > 0, "a height without validators"
        self._genesis_hash = genesis_hash
        self._seed = seed
        self._height = height
        self._validators = validators
        self._cycle = 0
        self._draws: list[Draw] = []  # of the cycle's rounds so far
        self._left_out: list[int] = []  # indexes of their winners, sorted
        self._left_out_stake = 0

    def forger(self, round: int) -> Address:
        return self.draw(round).forger

    def draw(self, round: int) -> Draw:
        """The draw of `round`: earlier forgers of its cycle are left out; when none is left, all come back."""
        cycle, position = divmod(round, len(self._validators))
        if cycle != self._cycle:
            self._begin_cycle(cycle)
        while len(self._draws) <= position:
            self._draw_next()
        return self._draws[position]

    def _begin_cycle(self, cycle: int) -> None:
        self._cycle = cycle
        self._draws = []
        self._left_out = []
        self._left_out_stake = 0

    def _draw_next(self) -> None:
        round = self._cycle * len(self._validators) + len(self._draws)
        message = codec.encode((self._seed, self._height, round))
        reference = tagged_hash(_REFERENCE_TAG, self._genesis_hash, message)
        total = self._validators.total - self._left_out_stake
        point = self._skip_left_out(int.from_bytes(reference, "big") * total >> 256)
        winner = bisect_right(self._validators.cumulative, point)
        validator = self._validators.validators[winner]
        end = self._validators.cumulative[winner]
        left_out = tuple(draw.forger for draw in self._draws)
        self._draws.append(Draw(reference, point, validator.address, (end - validator.stake, end), left_out))
        insort(self._left_out, winner)
        self._left_out_stake += validator.stake

    def _skip_left_out(self, point: int) -> int:
        """From a point on the line without the left-out lots to the same lot on the line of all."""
        for index in self._left_out:
            stake = self._validators.validators[index].stake
            if point >= self._validators.cumulative[index] - stake:
                point += stake
        return point
