"""What a final block tells of its validators, as values: the set from then on, who was drawn, who was absent."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from blockchain.primitives.scalars import AddressField, Amount, Height, PositiveAmount, Round
from blockchain.primitives.validators import Validator, ValidatorSet

DRAWN_MAX = 16  # rounds of a block whose forgers are told; more are a stalled chain, where everybody let one pass


class SetChange(Struct, frozen=True):
    """From `height` on, the set is `members`. `come` are new or have another stake or key; `gone` have left.

    In the first change that a store is told of, all members are new.
    """

    height: int
    members: ValidatorSet
    come: tuple[Validator, ...]
    gone: tuple[Validator, ...] = ()


class StakeBefore(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A validator whose stake is another than at the height before: what it was there, 0 of a new one."""

    address: AddressField
    stake: Amount


class Loss(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stake that a validator lost with this block."""

    address: AddressField
    amount: Amount


class Turn(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Whose turn it was at one height, and who was absent from the height before.

    `drawn` are the forgers of rounds 0, 1, … up to `round`, in which the block was built, `DRAWN_MAX` at most. `absent`
    are the members of the parent's set without a precommit in the parent's certificate *in this block*.
    """

    height: Height
    round: Round
    forger: AddressField
    total_stake: PositiveAmount
    drawn: Annotated[tuple[AddressField, ...], Meta(min_length=1, max_length=DRAWN_MAX)]
    absent: tuple[AddressField, ...]
    changed: tuple[StakeBefore, ...]
    parents_stake: Amount = 0  # of the parent's set; 0 of genesis
    earned: Amount = 0  # by the forger, for block and evidence
    for_signers: Amount = 0  # a signer's reward is floor(for_signers × its stake / parents_stake)
    lost: tuple[Loss, ...] = ()
