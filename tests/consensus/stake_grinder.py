"""A forger with a third of the stake that moves its stake about so as to win the next draws.

Its blocks hold whatever helps it: stake moved from one of its accounts to another, accounts that join and leave, new
validator keys, evidence against an account that it gives up. It knows what a real one would know: every set that is
closed, every output of its own keys, and nothing of an honest forger's output before its block. The lottery and the
closing of sets are the real ones; a VRF output is a hash of key, seed and height here, which is as unknown to others.

It is given more than real ones have: no step for new stake, endless reserves, no fees, and the whole of a third.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha512
from itertools import islice
from math import sqrt
from random import Random
from typing import Any

from blockchain.consensus.lottery import Lottery, next_seed
from blockchain.errors import InvalidTransaction
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.records import account_of
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate
from tests.ledger.stake_pair import ZERO, header_of, transaction_of
from tests.samples import GENESIS_HASH, TIME_MS, address, key, spec_of

HONEST, MINE = 8, 9  # accounts with stake at the beginning, on the line by turns: mine, honest, mine, …
LOTS_HONEST, LOTS_MINE = 4_500, 2_000  # of each: 36,000 and 18,000
MOVES = (1, 3, 8, 8)  # eighths of an account's stake
EXPENDABLE = 2  # accounts that it may convict itself
FREE = {"stake_step_max_bp": None, "absence_window": None, "stake_min": 10, "unbonding_blocks": 1, "unbonding_ms": 1}


@dataclass(frozen=True)
class Variant:
    """What it could put into its block."""

    payloads: tuple[tuple[Address, tuple[Any, ...]], ...] = ()
    offenders: tuple[Address, ...] = ()


NOTHING = Variant()


@dataclass
class Result:
    heights: int = 0
    wins: int = 0
    expected: float = 0.0  # the sum of its shares of the stake, height by height
    variance: float = 0.0
    longest: int = 0  # its longest run of heights

    @property
    def share(self) -> float:
        return self.wins / self.heights

    @property
    def fair(self) -> float:
        return self.expected / self.heights

    @property
    def sigma(self) -> float:
        """The standard deviation of `share`, for a forger that knew nothing of a draw when its set was closed."""
        return sqrt(self.variance) / self.heights

    def __str__(self) -> str:
        return (
            f"{self.share:.3f} of {self.heights} heights with {self.fair:.3f} of the stake, runs up to {self.longest}"
        )


class Grinder:
    """One chain and its adversary. `tries`: how many variants of a block it looks at."""

    def __init__(self, delay: int, seed: int, *, tries: int, withholds: bool = False) -> None:
        self.delay, self.tries, self.withholds = delay, tries, withholds
        self.random = Random(seed)
        line = sorted(address(f"line {n}") for n in range(HONEST + MINE))
        fresh = [address(f"fresh {n}") for n in range(4)]
        self.mine = [*line[::2], *fresh]
        self.expendable = [fresh[-1 - n] for n in range(EXPENDABLE)]
        spec = spec_of(
            accounts=tuple(GenesisAccount(owner, 2**40) for owner in self.mine),
            validators=(
                *(GenesisValidator(owner, LOTS_MINE) for owner in line[::2]),
                *(GenesisValidator(owner, LOTS_HONEST) for owner in line[1::2]),
            ),
            parameters={"stake_delay": delay, **FREE},
        )
        self.ledger = AccountLedger(spec)
        self.final = FinalState()
        overlay = Overlay(self.final)
        self.ledger.genesis(overlay)
        self.final.commit(overlay)
        first = self.ledger.validators(Overlay(self.final), 0, None)
        self.sets = dict.fromkeys(range(delay + 2), first)  # from the parent of the height in progress on
        self.height, self.seed = 1, Hash32(sha512(b"%d" % seed).digest()[:32])
        self.keys = 0
        self.run = 0

    def play(self, heights: int) -> Result:
        result = Result()
        for _ in range(heights):
            self._play_height(result)
        return result

    def _play_height(self, result: Result) -> None:
        validators = self.sets[self.height]
        lottery = Lottery(GENESIS_HASH, self.seed, self.height, validators)
        forger = self._forger(lottery)
        share = sum(validators.stake_of(owner) for owner in self.mine) / validators.total
        result.heights += 1
        result.expected += share
        result.variance += share * (1 - share)
        is_mine = forger in self.mine
        self.run = self.run + 1 if is_mine else 0
        result.wins += is_mine
        result.longest = max(result.longest, self.run)
        following = self._next_seed(self.seed, self.height, forger)
        variants = islice(self._variants(), self.tries) if is_mine else iter(())
        overlay, closed = self._close(forger, self._best(forger, following, variants))
        self.final.commit(overlay)
        self.sets[self.height + 1 + self.delay] = closed
        del self.sets[self.height - 1]
        self.height, self.seed = self.height + 1, following

    def _forger(self, lottery: Lottery) -> Address:
        """Who forges: the first drawn; or, of its own that are drawn before all others, whose output serves it best."""
        first = lottery.forger(0)
        if not self.withholds or first not in self.mine:
            return first
        options = [first]
        while len(options) < MINE and lottery.forger(len(options)) in self.mine:
            options.append(lottery.forger(len(options)))
        return max(options, key=lambda mine: self._run_after(self._next_seed(self.seed, self.height, mine)))

    def _run_after(self, seed: Hash32) -> int:
        """How many of the next heights it surely wins, where `seed` is the next one's."""
        for height in range(self.height + 1, self.height + 1 + self.delay):
            forger = Lottery(GENESIS_HASH, seed, height, self.sets[height]).forger(0)
            if forger not in self.mine:
                return height - self.height - 1
            seed = self._next_seed(seed, height, forger)
        return self.delay

    def _next_seed(self, seed: Hash32, height: int, forger: Address) -> Hash32:
        validator = self.sets[height].get(forger)
        assert validator is not None
        output = sha512(validator.key + seed + height.to_bytes(8, "big")).digest()
        return next_seed(GENESIS_HASH, seed, output)

    def _best(self, forger: Address, following: Hash32, variants: Iterator[Variant]) -> Variant:
        """The first variant that wins the height whose set this block closes; by a guess where that is not known."""
        seed = following
        for height in range(self.height + 1, self.height + 1 + self.delay):
            winner = Lottery(GENESIS_HASH, seed, height, self.sets[height]).forger(0)
            if winner in self.mine:
                seed = self._next_seed(seed, height, winner)
            else:  # nobody knows its output yet
                seed = Hash32(sha512(b"a guess" + seed).digest()[:32])
        closes = self.height + 1 + self.delay
        for variant in variants:
            try:
                _, closed = self._close(forger, variant)
            except InvalidTransaction:
                continue  # say, a rotation while another one is pending
            if Lottery(GENESIS_HASH, seed, closes, closed).forger(0) in self.mine:
                self.expendable = [owner for owner in self.expendable if owner not in variant.offenders]
                return variant
        return NOTHING

    def _close(self, forger: Address, variant: Variant) -> tuple[Overlay, ValidatorSet]:
        """The state after such a block, and the set that it closes, by the real ledger."""
        overlay = Overlay(self.final)
        for sender, payload in variant.payloads:
            nonce = account_of(overlay, sender).nonce
            self.ledger.apply(overlay, transaction_of(sender, nonce, 0, None, payload), self.height)
        header = header_of(self.height, TIME_MS + self.height, forger)
        certificate = Certificate(self.height - 1, 0, ZERO, ())
        parents, validators = self.sets[self.height - 1], self.sets[self.height]
        self.ledger.finish_block(overlay, header, variant.offenders, certificate, parents, validators)
        closes = self.height + 1 + self.delay
        return overlay, self.ledger.validators(overlay, closes, self.sets[closes - 1])

    def _variants(self) -> Iterator[Variant]:
        """Nothing first; then stake moved between two of its accounts, seldom with another key or with evidence."""
        yield NOTHING
        newest = self.sets[self.height + self.delay]
        able = [owner for owner in self.mine if not self.ledger.is_out(Overlay(self.final), owner)]
        staked = [owner for owner in able if newest.stake_of(owner)]
        while True:
            sources = self.random.sample(staked, self.random.randint(1, min(3, len(staked))))
            target = self.random.choice([owner for owner in able if owner not in sources])
            amounts = [self._movable(newest.stake_of(source)) for source in sources]
            payloads: list[tuple[Address, tuple[Any, ...]]] = [
                *((source, ("UNSTAKE", amount)) for source, amount in zip(sources, amounts, strict=True)),
                (target, ("STAKE", sum(amounts), None, None)),
            ]
            if self.random.random() < 0.1:
                self.keys += 1
                payloads.append((target, ("ROTATE", key(f"ground {self.keys}").public_key, bytes(64))))
            yield Variant(tuple(payloads), self._offenders(newest, (*sources, target)))

    def _movable(self, stake: int) -> int:
        """Some of it, or all; never so much that less than `stake_min` is left."""
        amount = stake * self.random.choice(MOVES) // 8
        return stake if stake - amount < 10 else amount

    def _offenders(self, newest: ValidatorSet, busy: Sequence[Address]) -> tuple[Address, ...]:
        if self.random.random() > 0.02 or not self.expendable:
            return ()
        candidate = self.expendable[-1]
        return (candidate,) if candidate not in busy and newest.stake_of(candidate) else ()
