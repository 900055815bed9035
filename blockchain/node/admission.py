"""Admission: what enters the pool, and what is written, answered and told of it (docs/protocol.md §10).

Transactions come from a client, from a peer, or from the store at the start. Whatever was acknowledged is durable
first; what it replaced goes in the same write, with its story. What a client is refused is written before it is told.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidTransaction
from blockchain.node.chain import Chain
from blockchain.node.entry import ending, received, refusal_event
from blockchain.node.gossip import Gossip
from blockchain.node.peers import Peer
from blockchain.primitives.transaction import VerifiedTransaction, decode_transaction
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    PendingTransaction,
    Reply,
    Store,
    SubmissionResult,
    TransactionAccepted,
    TransactionsDeclined,
    TransactionsSubmitted,
    TransactionStory,
    Write,
)

FOR_WANT_OF_ROOM: Final = frozenset({"pool_full", "sender_full", "pool_busy", "waited_too_long"})  # others may have it


class Entered(Struct, frozen=True):
    """What one input brought into the pool, what ended for it, what never came in, and what to say of each."""

    added: list[VerifiedTransaction]
    ended: list[TransactionStory]
    refused: list[TransactionStory]
    effects: list[Effect]


class Admission:
    """The way into the pool of one chain. Peers are told of what is new through `gossip`."""

    def __init__(self, chain: Chain, gossip: Gossip, store: Store) -> None:
        self._chain = chain
        self._gossip = gossip
        self._store = store
        self._declined: Counter[str] = Counter()  # of peers, by code, since the last tick

    def on_tick(self, now: int) -> list[Effect]:
        """Let go of what has waited for too long; and one line for all that peers sent in vain since the last tick."""
        effects = _ended(self._chain.pool.give_up(now))
        if self._declined:  # they may send thousands
            effects.append(Emit(TransactionsDeclined(self._declined.total(), tuple(sorted(self._declined.items())))))
            self._declined.clear()
        return effects

    def restore(self, now: int) -> list[Effect]:
        """What was acknowledged before the node stopped; verified then, so not again."""
        ended: list[TransactionStory] = []
        for pending in self._store.pending():
            verified = VerifiedTransaction(pending.id, pending.raw, decode_transaction(pending.raw))
            story = pending.story or (received(now, from_client=False),)
            try:
                ended += self._chain.pool.add(verified, now, must_apply=False, story=story)
            except InvalidTransaction as error:  # it will never be final: durably gone, with its reason
                ended.append(TransactionStory(pending.id, (*story, ending(error.code, error.why, now))))
        return _ended(ended)

    def submit(self, given: TransactionsSubmitted, now: int) -> list[Effect]:
        """A client's transactions: durable first, then acknowledged, then gossiped."""
        results = []
        entered = Entered([], [], [], [])
        for verified in given.transactions:
            try:
                self._add(verified, entered, now, must_apply=True)
                results.append(SubmissionResult(verified.id))
            except InvalidTransaction as error:
                refused = TransactionStory(verified.id, (ending(error.code, error.why, now),))
                entered.refused.append(refused)
                entered.effects.append(refusal_event(refused))
                results.append(SubmissionResult(verified.id, error.code, error.why))
        reply = Reply(given.token, tuple(results))
        return [*entered.effects, *self._kept(entered), reply, *self._announced(entered)]

    def receive(self, peer: Peer, transactions: tuple[VerifiedTransaction, ...], now: int) -> list[Effect]:
        """A peer's transactions. One that does not apply is nobody's fault."""
        ids = tuple(verified.id for verified in transactions)
        peer.note_known(ids)
        self._gossip.on_arrived(ids)
        entered = Entered([], [], [], [])
        for verified in transactions:
            try:
                self._add(verified, entered, now, must_apply=False)
            except InvalidTransaction as error:
                self._gossip.on_declined(verified.id)
                self._declined[error.code] += 1
                if error.code not in FOR_WANT_OF_ROOM:
                    peer.note_useless()
        return [*entered.effects, *self._kept(entered), *self._announced(entered)]

    def _add(self, verified: VerifiedTransaction, entered: Entered, now: int, *, must_apply: bool) -> None:
        """To the pool, unless it is there, or final, already. Raises InvalidTransaction."""
        if self._chain.pool.get(verified.id) is not None or self._store.locate(verified.id) is not None:
            return
        entered.ended.extend(self._chain.pool.add(verified, now, must_apply=must_apply))
        entered.added.append(verified)
        transaction = verified.transaction
        event = TransactionAccepted(verified.id, transaction.sender, transaction.nonce, transaction.kind)
        entered.effects.append(Emit(event))

    def _kept(self, entered: Entered) -> list[Effect]:
        """One write: what replaces a transaction is never without it, and what was replaced at once does not stay."""
        if not entered.added and not entered.refused:
            return []
        pool = self._chain.pool
        batch = Batch(
            pending_added=tuple(PendingTransaction(one.id, one.raw, pool.story(one.id)) for one in entered.added),
            pending_removed=tuple(story.id for story in entered.ended),
            ended=tuple(entered.ended),
            refused=tuple(entered.refused),
        )
        return [Write(batch), *(refusal_event(story) for story in entered.ended)]

    def _announced(self, entered: Entered) -> list[Effect]:
        return self._gossip.announce(verified.id for verified in entered.added)


def _ended(stories: list[TransactionStory]) -> list[Effect]:
    """In one write they leave the pool for good."""
    if not stories:
        return []
    batch = Batch(pending_removed=tuple(story.id for story in stories), ended=tuple(stories))
    return [Write(batch), *(refusal_event(story) for story in stories)]
