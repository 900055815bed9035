"""What an account does with its own stake: STAKE, UNSTAKE, ROTATE, PAUSE and RESUME (docs/protocol.md §3.3).

Each function checks all before it changes anything, and raises InvalidTransaction with the first rule that is broken.
Whatever changes counts from the set that this block closes; `ledger.closing` makes it.
"""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import (
    Totals,
    add_to_totals,
    join_waiting,
    note_pause_end,
    owner_of,
    put_misses,
    put_owner,
    put_stakeholder,
    stakeholder,
    totals_of,
    touch,
)
from blockchain.ledger.terms import add_unbonding, away_budget, away_share, closed_by
from blockchain.primitives import vrf
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.records import (
    KEYS_MAX,
    UNBONDING_MAX,
    WAITING_MAX,
    KeyFrom,
    Pause,
    Stakeholder,
    Waiting,
)
from blockchain.primitives.scalars import VALIDATORS_MAX
from blockchain.primitives.transaction import Pause as PausePayload
from blockchain.primitives.transaction import Rotate, Stake, Unstake
from blockchain.seams import State

# ---------------------------------------------------------------------------------------------------- STAKE


def stake(state: State, parameters: Parameters, sender: Address, payload: Stake, height: int) -> None:
    """The amount has left the balance; it waits for its turn."""
    before = stakeholder(state, sender)
    key = payload.validator_key
    if before is None:
        holder = Stakeholder((KeyFrom(closed_by(parameters, height), PublicKey(sender) if key is None else key),))
        _check_key(state, holder.newest_key, (None, sender))
    else:
        holder = before
        _check_may_add(holder, key)
    if holder.staked == 0 and totals_of(state).stakers >= VALIDATORS_MAX:
        raise InvalidTransaction("validators_full", f"{VALIDATORS_MAX} accounts have staked, and no more may")
    if holder.staked + payload.amount < parameters.stake_min:
        raise _below_min(parameters)
    if len(holder.waiting) >= WAITING_MAX:
        raise InvalidTransaction("waiting_full", f"{WAITING_MAX} stakes of this account wait for their turn already")
    entry = Waiting(join_waiting(state, sender), payload.amount)
    put_stakeholder(state, sender, before, replace(holder, waiting=(*holder.waiting, entry)))
    if before is None:
        put_owner(state, holder.newest_key, sender)
    touch(state, sender)


def _check_may_add(holder: Stakeholder, key: PublicKey | None) -> None:
    if holder.is_out:
        raise InvalidTransaction("validator_out", "this account signed against itself, and can never validate again")
    if key is not None and key != holder.newest_key:
        raise InvalidTransaction("validator_key_fixed", "this account validates with another key: rotate it")


def _check_key(state: State, key: PublicKey, owners: tuple[Address | None, ...]) -> None:
    """`owners` are those that it may have; None: nobody."""
    if not vrf.is_key(key):
        raise InvalidTransaction("validator_key_invalid", "no validator can prove the lottery's output with this key")
    if owner_of(state, key) not in owners:
        raise InvalidTransaction("validator_key_used", "a validator has this key, or had it")


def _below_min(parameters: Parameters) -> InvalidTransaction:
    return InvalidTransaction("stake_below_min", f"a stake is at least {parameters.stake_min}")


# ---------------------------------------------------------------------------------------------------- UNSTAKE


def unstake(state: State, parameters: Parameters, sender: Address, payload: Unstake, height: int) -> None:
    """What waits goes first, the newest first; then what is bonded."""
    holder = stakeholder(state, sender)
    if holder is None or holder.is_out:
        raise _not_validator()
    if payload.amount > holder.staked:
        raise InvalidTransaction("stake_insufficient", f"the stake is {holder.staked}, less than {payload.amount}")
    if 0 < holder.staked - payload.amount < parameters.stake_min:
        raise _below_min(parameters)
    waiting, rest = _taken_from_waiting(holder.waiting, payload.amount)
    if rest and rest == holder.bonded and totals_of(state).candidates == 1:
        raise InvalidTransaction("last_validator", "the last validator cannot leave")
    leaves = closed_by(parameters, height)
    is_new = all(entry.leaves != leaves for entry in holder.unbonding)
    if is_new and len(holder.unbonding) >= UNBONDING_MAX:
        raise InvalidTransaction("unbonding_full", f"{UNBONDING_MAX} amounts of this account are unbonding already")
    bonded = holder.bonded - rest
    after = replace(
        holder,
        bonded=bonded,
        waiting=waiting,
        is_away=holder.is_away and bonded > 0,
        unbonding=add_unbonding(holder.unbonding, payload.amount, leaves),
    )
    put_stakeholder(state, sender, holder, after)
    touch(state, sender)


def _taken_from_waiting(waiting: tuple[Waiting, ...], amount: int) -> tuple[tuple[Waiting, ...], int]:
    """What still waits, and how much is still to be taken from what is bonded."""
    while waiting and amount >= waiting[-1].amount:
        amount -= waiting[-1].amount
        waiting = waiting[:-1]
    if not waiting or not amount:
        return waiting, amount
    newest = waiting[-1]
    return (*waiting[:-1], Waiting(newest.ticket, newest.amount - amount)), 0


def _not_validator() -> InvalidTransaction:
    return InvalidTransaction("not_validator", "this account has no stake that it could use")


# ---------------------------------------------------------------------------------------------------- ROTATE


def rotate(state: State, parameters: Parameters, sender: Address, payload: Rotate, height: int) -> None:
    holder = stakeholder(state, sender)
    if holder is None or holder.is_out or not holder.staked:
        raise _not_validator()
    if holder.keys[-1].height > height:
        raise InvalidTransaction("rotation_pending", f"the newest key counts from height {holder.keys[-1].height} on")
    if len(holder.keys) >= KEYS_MAX:
        raise InvalidTransaction("rotations_full", f"a validator has at most {KEYS_MAX} keys, one after the other")
    key = PublicKey(payload.validator_key)
    _check_key(state, key, (None,))
    put_owner(state, key, sender)
    keys = (*holder.keys, KeyFrom(closed_by(parameters, height), key))
    put_stakeholder(state, sender, holder, replace(holder, keys=keys))
    touch(state, sender)


# ---------------------------------------------------------------------------------------------------- PAUSE, RESUME


def pause(state: State, parameters: Parameters, sender: Address, payload: PausePayload, height: int) -> None:
    holder = stakeholder(state, sender)
    if holder is None or not holder.is_candidate:
        raise _not_validator()
    start = closed_by(parameters, height)
    _check_pause(parameters, holder, payload.blocks, start)
    _check_room(parameters, totals_of(state), holder.bonded)
    until = start + payload.blocks
    put_stakeholder(state, sender, holder, replace(holder, pause=Pause(start, until)))
    note_pause_end(state, until, sender)
    add_to_totals(state, inactive=holder.bonded)  # until the set is closed, so that two of one block share the budget
    touch(state, sender)


def _check_pause(parameters: Parameters, holder: Stakeholder, blocks: int, start: int) -> None:
    if holder.suspension is not None:
        raise InvalidTransaction("suspended", "a suspended validator comes back with RESUME")
    if blocks > parameters.pause_blocks_max:
        raise InvalidTransaction("pause_too_long", f"a pause has at most {parameters.pause_blocks_max} blocks")
    last = holder.pause
    if last is not None and start < last.start + parameters.pause_interval:
        raise InvalidTransaction(
            "pause_too_soon", f"the last pause began at {last.start}; the next may {parameters.pause_interval} later"
        )


def _check_room(parameters: Parameters, totals: Totals, bonded: int) -> None:
    budget = away_budget(parameters, totals.eligible)
    if bonded > away_share(budget) or totals.inactive + bonded > budget:
        raise InvalidTransaction(
            "pause_too_large",
            f"{totals.inactive} of at most {budget} are away, and one account may be {away_share(budget)} of it",
        )


def resume(state: State, parameters: Parameters, sender: Address, height: int) -> None:
    holder = stakeholder(state, sender)
    back = closed_by(parameters, height)
    is_paused = holder is not None and holder.pause is not None and holder.pause.until > back
    if holder is None or (holder.suspension is None and not is_paused):
        raise InvalidTransaction("not_suspended", "this account is neither suspended nor paused for longer")
    pause = replace(holder.pause, until=back) if is_paused and holder.pause is not None else holder.pause
    put_stakeholder(state, sender, holder, replace(holder, suspension=None, pause=pause))
    put_misses(state, sender, None)
    touch(state, sender)
