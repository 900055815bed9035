"""What may happen to a chain's stake, one action at a time, with every choice left to `choose`.

Hypothesis chooses, and can shrink what it found; or a seeded generator does, which plays fifty times as many blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address
from blockchain.primitives.scalars import INTEGER_MAX
from tests.ledger.stake_pair import Pair
from tests.samples import BAD_KEYS, address, key, spec_of

T = TypeVar("T")
OWNERS = sorted(bytes(address(f"staker {n}")) for n in range(8))
ISSUER = OWNERS[7]
KEYS = [bytes(key(f"spare {n}").public_key) for n in range(8)] + OWNERS[:2] + [bytes(BAD_KEYS["of order 8"])]
PROOF = bytes(64)  # the proof is checked with the signature, before the ledger
STAKES = ((300, 200, 11, 10), (30, 400, 300), (10, 150, 140), (60,), (100, 100, 100), (1, 30, 33, 40), (7, 61))
ENVELOPES = (*((0, 0, None), (1, 0, None), (13, 0, 0)) * 9, (0, 1, None), (0, -1, None), (0, 0, -1))


class Choose(Protocol):
    def __call__(self, options: Sequence[T], /) -> T: ...


def spec_from(choose: Choose) -> ChainSpec:
    """A chain at the edge of its parameters; `check_genesis` would refuse many of them."""
    stakes = choose(STAKES)
    balance = choose((900, 300, 50))
    held = sum(stakes) + balance * len(OWNERS)
    options: dict[str, Sequence[Any]] = {
        "stake_delay": (0, 1, 2, 3),
        "unbonding_blocks": (2, 3, 6),
        "unbonding_ms": (3, 401, 4_000),  # sums of three of the steps below, and more
        "validators_max": (4, 5) if len(stakes) > 3 else (3, 4),
        "stake_min": (1, 10),
        "stake_step_max_bp": (None, 1_000, 3_333),
        "reward_per_block": (0, 7, 100),
        "reward_forger_bp": (0, 3_000, 3_333, 10_000),
        "slash_bp": (1, 1_000, 3_333, 10_000),
        "evidence_reward_bp": (0, 500, 900),
        "absence_window": (10, 10, 12, None),
        "absence_share_bp": (5_000, 7_500),
        "absence_slash_bp": (0, 100),
        "pause_blocks_max": (4, 3, 0),
        "pause_interval": (8, 9),
        "active_share_min_bp": (6_667, 6_667, 9_000),
        "supply_max": (2**53 - 1, held + 1_000, held + 40, held),
    }
    return spec_of(
        issuer=ISSUER,
        accounts=tuple(GenesisAccount(address(f"staker {n}"), balance) for n in range(8)),
        validators=tuple(GenesisValidator(Address(OWNERS[n]), stake) for n, stake in enumerate(stakes)),
        parameters={name: choose(values) for name, values in options.items()},
    )


def seldom(action: Callable[[Choose], None]) -> Callable[[Choose], None]:
    def maybe(choose: Choose) -> None:
        if choose((False, False, True)):
            action(choose)

    return maybe


class Play:
    """One chain, and the actions on it."""

    def __init__(self, choose: Choose) -> None:
        spec = spec_from(choose)
        self.pair = Pair(spec)
        smallest = sorted(spec.validators, key=lambda one: one.stake)[: choose((0, 1, 2))]
        self.lazy = {bytes(one.address) for one in smallest}  # who does not sign, so that windows fill

    @property
    def actions(self) -> list[Callable[[Choose], None]]:
        stakes = [self.stake, self.stake, self.stake_anything, self.unstake, self.leave]
        keepers = [self.rotate, self.pause, self.resume]
        blocks = [self.block, self.block, self.blocks, self.blocks]
        coins = [seldom(self.stake_in_small_coins), seldom(self.leave_in_small_coins)]
        return [*stakes, *keepers, *blocks, *coins, self.money, self.convict, self.restart]

    def _send(self, choose: Choose, sender: bytes, kind: str, *fields: Any) -> None:
        """Mostly with the right nonce, seldom too late; the fee is small or none."""
        fee, off, life = choose(
            (*[(0, 0, None), (1, 0, None), (13, 0, 0)] * 9, (0, 1, None), (0, -1, None), (0, 0, -1))
        )
        nonce = max(0, self.pair.model.nonce.get(sender, 0) + off)
        expiry = None if life is None else self.pair.height + life
        self.pair.apply(sender, nonce, fee, expiry, (kind, *fields))

    def _staker(self, choose: Choose) -> bytes:
        return choose([*sorted(self.pair.model.stakers), OWNERS[6]])

    def _amount(self, choose: Choose) -> int:
        amounts: list[int] = [*range(1, 14), 20, 30, 33, 60, 61, 100, 101, 250, 400, INTEGER_MAX]
        return choose(amounts)

    def money(self, choose: Choose) -> None:
        kind, sender = choose(
            (("TRANSFER", OWNERS[0]), ("EXCHANGE", ISSUER), ("TRANSFER", OWNERS[5]), ("EXCHANGE", OWNERS[1]))
        )
        self._send(choose, sender, kind, choose(OWNERS), self._amount(choose))

    def stake(self, choose: Choose) -> None:
        """An amount that is there, under the account's key."""
        sender = choose(OWNERS)
        most = max(1, self.pair.model.balance[sender] - 13)
        self._send(choose, sender, "STAKE", min(self._amount(choose), most), None, None)

    def stake_anything(self, choose: Choose) -> None:
        named = choose([*KEYS, None])
        self._send(choose, choose(OWNERS), "STAKE", self._amount(choose), named, None if named is None else PROOF)

    def unstake(self, choose: Choose) -> None:
        self._send(choose, self._staker(choose), "UNSTAKE", self._amount(choose))

    def leave(self, choose: Choose) -> None:
        """With all of its stake, or all but a little."""
        sender = self._staker(choose)
        self._send(choose, sender, "UNSTAKE", max(1, self.pair.model.stake_of(sender) - choose((0, 0, 1, 10))))

    def rotate(self, choose: Choose) -> None:
        self._send(choose, self._staker(choose), "ROTATE", choose(KEYS), PROOF)

    def pause(self, choose: Choose) -> None:
        """The smallest validator mostly: others may not."""
        smallest = (self.pair.model.candidates() or [OWNERS[6]])[-1]
        self._send(
            choose, choose((smallest, smallest, smallest, self._staker(choose))), "PAUSE", choose((1, 2, 3, 4, 5))
        )

    def resume(self, choose: Choose) -> None:
        stakers = self.pair.model.stakers
        away = [owner for owner, one in sorted(stakers.items()) if one.suspension is not None or one.pause is not None]
        self._send(choose, choose([*away, OWNERS[0]]), "RESUME")

    def convict(self, choose: Choose) -> None:
        """A block with evidence; not often, or soon nobody is left."""
        stakers = sorted(self.pair.model.stakers)
        accused = choose((set(), set(), set(), {choose(stakers)}, {choose(stakers), choose(stakers)}))
        self._finish(choose, accused, self.lazy)

    def stake_in_small_coins(self, choose: Choose) -> None:
        sender = choose(OWNERS)
        for _ in range(choose((3, 17))):
            self._send(choose, sender, "STAKE", choose((1, 10)), None, None)

    def leave_in_small_coins(self, choose: Choose) -> None:
        sender = self._staker(choose)
        for _ in range(choose((3, 18))):
            self._send(choose, sender, "UNSTAKE", 1)
            self._finish(choose, set(), self.lazy)

    def block(self, choose: Choose) -> None:
        self._finish(choose, set(), {choose(OWNERS), choose(OWNERS)} | choose((set(), self.lazy)))

    def blocks(self, choose: Choose) -> None:
        """In which those who are away stay away."""
        for _ in range(choose((1, 2, 3, 7))):
            self._finish(choose, set(), self.lazy)

    def restart(self, choose: Choose) -> None:
        """The second ledger comes up from its records."""
        if not self.pair.applied:
            self.pair.twin.reload()

    def _finish(self, choose: Choose, accused: set[bytes], away: set[bytes]) -> None:
        pair, stakers = self.pair, self.pair.model.stakers
        seats = sorted(pair.model.sets[pair.height])
        offenders = [owner for owner in sorted(accused) if owner in stakers and not stakers[owner].is_out]
        signers = self._quorum(away) if pair.height > 1 else []
        pair.finish(pair.time_ms + choose((1, 2, 399, 900)), choose(seats), offenders, signers)

    def _quorum(self, away: set[bytes]) -> list[bytes]:
        """Of the parent's set all but `away`, the smallest first, as far as more than two thirds are left."""
        parents = {owner: stake for owner, (_, stake) in self.pair.model.sets[self.pair.height - 1].items()}
        signers = set(parents)
        for owner in sorted(away & signers, key=lambda owner: (parents[owner], owner)):
            if 3 * sum(parents[each] for each in signers - {owner}) > 2 * sum(parents.values()):
                signers -= {owner}
        return sorted(signers)
