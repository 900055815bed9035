"""Admission: what enters the pool, and what is written, answered and told of it (docs/protocol.md §10).

Transactions come from a client, from a peer, or from the store at the start. Whatever was acknowledged is durable
first; what it replaced goes in the same write, with its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidTransaction
from blockchain.node.chain import Chain
from blockchain.node.gossip import Gossip
from blockchain.node.mempool import refusal_event
from blockchain.node.peers import Peer
from blockchain.primitives.transaction import VerifiedTransaction, decode_transaction, transaction_id
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    RefusedTransaction,
    Reply,
    Store,
    SubmissionResult,
    TransactionAccepted,
    TransactionRefused,
    TransactionsDeclined,
    TransactionsSubmitted,
    Write,
)

FOR_WANT_OF_ROOM: Final = frozenset({"pool_full", "sender_full"})  # another node's pool may have had it


class Entered(Struct, frozen=True):
    """What one input brought into the pool, what that replaced there, and what to say of each; filled one by one."""

    added: list[VerifiedTransaction]
    replaced: list[RefusedTransaction]
    effects: list[Effect]


class Admission:
    """The way into the pool of one chain. Peers are told of what is new through `gossip`."""

    def __init__(self, chain: Chain, gossip: Gossip, store: Store) -> None:
        self._chain = chain
        self._gossip = gossip
        self._store = store
        self._declined: Counter[str] = Counter()  # of peers, by code, since the last tick

    def on_tick(self) -> list[Effect]:
        """One line for all that peers sent in vain since the last tick: they may send thousands."""
        if not self._declined:
            return []
        event = TransactionsDeclined(self._declined.total(), tuple(sorted(self._declined.items())))
        self._declined.clear()
        return [Emit(event)]

    def restore(self, now: int) -> list[Effect]:
        """What was acknowledged before the node stopped; verified then, so not again."""
        effects: list[Effect] = []
        for raw in self._store.pending():
            transaction = decode_transaction(raw)
            verified = VerifiedTransaction(transaction_id(self._chain.genesis_hash, raw), raw, transaction)
            try:
                self._chain.pool.add(verified, now, must_apply=False)
            except InvalidTransaction as error:  # it will never be final: durably gone, with its reason
                reason = RefusedTransaction(verified.id, error.code, error.why, now)
                effects.append(Write(Batch(pending_removed=(reason.id,), refused=(reason,))))
                effects.append(refusal_event(reason))
        return effects

    def submit(self, given: TransactionsSubmitted, now: int) -> list[Effect]:
        """A client's transactions: durable first, then acknowledged, then gossiped."""
        results = []
        entered = Entered([], [], [])
        for verified in given.transactions:
            try:
                self._add(verified, entered, now, must_apply=True)
                results.append(SubmissionResult(verified.id))
            except InvalidTransaction as error:
                entered.effects.append(Emit(TransactionRefused(verified.id, error.code, error.why)))
                results.append(SubmissionResult(verified.id, error.code, error.why))
        reply = Reply(given.token, tuple(results))
        return [*entered.effects, *_kept(entered), reply, *self._announced(entered)]

    def receive(self, peer: Peer, transactions: tuple[VerifiedTransaction, ...], now: int) -> list[Effect]:
        """A peer's transactions. One that does not apply is nobody's fault."""
        ids = tuple(verified.id for verified in transactions)
        peer.note_known(ids)
        self._gossip.on_arrived(ids)
        entered = Entered([], [], [])
        for verified in transactions:
            try:
                self._add(verified, entered, now, must_apply=False)
            except InvalidTransaction as error:
                self._gossip.on_declined(verified.id)
                self._declined[error.code] += 1
                if error.code not in FOR_WANT_OF_ROOM:
                    peer.note_useless()
        return [*entered.effects, *_kept(entered), *self._announced(entered)]

    def _add(self, verified: VerifiedTransaction, entered: Entered, now: int, *, must_apply: bool) -> None:
        """To the pool, unless it is there, or final, already. Raises InvalidTransaction."""
        if self._chain.pool.get(verified.id) is not None or self._store.locate(verified.id) is not None:
            return
        replaced = self._chain.pool.add(verified, now, must_apply=must_apply)
        entered.added.append(verified)
        if replaced is not None:
            entered.replaced.append(replaced)
        transaction = verified.transaction
        event = TransactionAccepted(verified.id, transaction.sender, transaction.nonce, transaction.kind)
        entered.effects.append(Emit(event))

    def _announced(self, entered: Entered) -> list[Effect]:
        return self._gossip.announce(verified.id for verified in entered.added)


def _kept(entered: Entered) -> list[Effect]:
    """One write: what replaces a transaction is never without it, and what was replaced at once does not stay."""
    if not entered.added:
        return []
    batch = Batch(
        pending_added=tuple((verified.id, verified.raw) for verified in entered.added),
        pending_removed=tuple(reason.id for reason in entered.replaced),
        refused=tuple(entered.replaced),
    )
    return [Write(batch), *(refusal_event(reason) for reason in entered.replaced)]
