"""What would become of a transaction if it were handed in now (docs/protocol.md §3, §10). Nothing changes.

A picture like those of `reader`: a pure function of the core and of the store as readers see it. It is no promise: the
next block, or the next transaction in the pool, may change it.
"""

from __future__ import annotations

from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import account_of, stakeholder
from blockchain.node.ahead import Finals
from blockchain.node.core import Core
from blockchain.node.entry import replacement_fee
from blockchain.node.views import AccountChange, DryRunView, Holdings
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Transaction, parties_of
from blockchain.seams import State

_GAP: Final = "nonce_gap"


def dry_run_of(core: Core, finals: Finals, transaction: Transaction, transaction_id: Hash32) -> DryRunView:
    """`outcome` is "known" (it is pending or final here), "applies", "waits" (for a nonce) or "refused"."""
    chain = core.chain
    if chain.pool.get(transaction_id) is not None or finals.locate(transaction_id) is not None:
        return DryRunView("known", chain.height)
    replaced = chain.pool.holder_of(transaction.sender, transaction.nonce)
    replaces = None if replaced is None else replaced.id
    parties = tuple(dict.fromkeys(parties_of(transaction)))
    try:
        if replaced is not None:
            _check_fee(transaction.fee, replaced.transaction.fee)
        state = chain.pool.trial_state(transaction)
        before = [_holdings(state, one) for one in parties]
        chain.ledger.apply(state, transaction, chain.height)
    except InvalidTransaction as error:
        may_wait = error.code == _GAP and transaction.nonce <= chain.pool.nonce_max(transaction.sender)
        outcome = "waits" if may_wait else "refused"
        return DryRunView(outcome, chain.height, error.code, error.why, replaces)
    changes = tuple(AccountChange(one, was, _holdings(state, one)) for one, was in zip(parties, before, strict=True))
    return DryRunView("applies", chain.height, replaces=replaces, changes=changes)


def _check_fee(fee: int, replaced_fee: int) -> None:
    least = replacement_fee(replaced_fee)
    if fee < least:
        raise InvalidTransaction("replacement_underpriced", f"its nonce is taken; replacing it costs a fee of {least}")


def _holdings(state: State, address: Address) -> Holdings:
    account, holder = account_of(state, address), stakeholder(state, address)
    return Holdings(
        account.balance,
        account.nonce,
        0 if holder is None else holder.staked,
        0 if holder is None else holder.unbonding_amount,
    )
