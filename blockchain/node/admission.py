"""Admission: what enters the pool, and what is written, answered and told of it (docs/protocol.md §10).

Transactions come from a client, from a peer, or from the store at the start. Whatever was acknowledged is durable
first; what it replaced goes in the same write, with its story. What a client is refused is written before it is told.
What a peer brought is written when it has waited for long (`unwritten.py`): mostly it is final before.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidTransaction, MalformedMessage, StoreError
from blockchain.node.chain import Chain
from blockchain.node.entry import ending, received, refusal_event
from blockchain.node.fresh import PassingOn
from blockchain.node.peers import Peer
from blockchain.node.relay import Relay
from blockchain.node.unwritten import Unwritten
from blockchain.primitives.transaction import VerifiedTransaction, decode_transaction
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    PendingTransaction,
    Reply,
    Store,
    Story,
    SubmissionResult,
    TransactionAccepted,
    TransactionsAccepted,
    TransactionsDeclined,
    TransactionsSubmitted,
    TransactionStory,
    Write,
)

LOOKS_MAX: Final = 500  # into the store between two ticks, for clients: each takes up to 0.4 ms in a long chain
CLOCK_SET_MS: Final = 60_000  # more between two ticks, or less than nothing: the clock was set, or the node stood still
# Others may have it: what this pool holds decides, and anybody can give two nodes two transactions with one nonce.
BY_WHAT_IS_HERE: Final = frozenset(
    {
        "pool_full",
        "sender_full",
        "pool_busy",
        "waited_too_long",
        "nonce_gap",
        "replacement_underpriced",
        "replacement_too_late",
    }
)


class Entered(Struct, frozen=True):
    """What one input brought into the pool, what ended for it, what never came in, and what to say of each."""

    added: list[VerifiedTransaction]
    ended: list[TransactionStory]
    refused: list[TransactionStory]
    effects: list[Effect]


class Admission:
    """The way into the pool of one chain. Peers are told of what is new through `relay`."""

    def __init__(self, chain: Chain, relay: Relay, passing_on: PassingOn, store: Store) -> None:
        self._chain = chain
        self._relay = relay
        self._store = store
        self.unwritten = Unwritten(chain.pool)
        self._passing_on = passing_on
        self._declined: Counter[str] = Counter()  # of peers, by code, since the last tick
        self._ticked_ms: int | None = None
        self._looks = 0  # into the store since the last tick

    def on_tick(self, now: int) -> list[Effect]:
        """Let go of what has waited for too long, write the rest; one line for all that peers sent in vain since."""
        passed_ms = 0 if self._ticked_ms is None else now - self._ticked_ms
        if not 0 <= passed_ms <= CLOCK_SET_MS:
            self._chain.pool.on_clock_set(passed_ms)
        self._ticked_ms = now
        self._looks = 0
        self._passing_on.on_tick()
        effects = _ended(self._chain.pool.give_up(now)) or self.unwritten.flush(now)
        if self._declined:  # they may send thousands
            effects.append(Emit(TransactionsDeclined(self._declined.total(), tuple(sorted(self._declined.items())))))
            self._declined.clear()
        return effects

    def restore(self, now: int) -> list[Effect]:
        """What was acknowledged before the node stopped; verified then, so not again."""
        self._chain.pool.expect_many()
        pending = self._store.pending()
        ended, refused = self._restore_some(pending, now)
        early = [one for one, error in refused if error.code == "nonce_gap"]  # what replaced another comes last
        more, still = self._restore_some(early, now)
        never = [*((one, error) for one, error in refused if error.code != "nonce_gap"), *still]
        stories = [TransactionStory(one.id, (*_story_of(one, now), ending(e.code, e.why, now))) for one, e in never]
        return _ended([*ended, *more, *stories])  # durably gone, each with its reason

    def _restore_some(
        self, pending: list[PendingTransaction], now: int
    ) -> tuple[list[TransactionStory], list[tuple[PendingTransaction, InvalidTransaction]]]:
        """The stories of what made room for others, and what did not come in."""
        ended: list[TransactionStory] = []
        refused = []
        for one in pending:
            verified = _taken_up(one)
            try:
                ended += self._chain.pool.add(verified, now, must_apply=False, story=_story_of(one, now))
            except InvalidTransaction as error:
                refused.append((one, error))
        return ended, refused

    def submit(self, given: TransactionsSubmitted, now: int) -> list[Effect]:
        """A client's transactions: gossiped, made durable, then acknowledged."""
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
        told = self._passing_on.hand_out([one for one in entered.added if self._chain.pool.get(one.id) is not None])
        return [*_accepted(entered.added), *entered.effects, *told, *self._kept(entered), reply]

    def receive(
        self, peer: Peer, transactions: tuple[VerifiedTransaction, ...], now: int, *, is_fresh: bool = False
    ) -> list[Effect]:
        """A peer's transactions, asked for or fresh. One that does not apply is nobody's fault.

        What became final long ago has a used nonce like others: the store is not asked, which would take much longer.
        """
        ids = tuple(verified.id for verified in transactions)
        peer.note_known(ids)
        self._relay.on_arrived(ids)
        entered = Entered([], [], [], [])
        for verified in transactions:
            try:
                self._add(verified, entered, now, must_apply=False)
            except InvalidTransaction as error:
                self._relay.on_declined(verified.id)
                self._declined[error.code] += 1
                is_behind = error.code == "nonce_used" and peer.height < self._chain.height
                if error.code not in BY_WHAT_IS_HERE and not is_behind:
                    peer.note_useless()
        effects = [
            *self._relay.want_more(peer),
            *_accepted(entered.added),
            *self._announced(peer, entered, is_fresh=is_fresh),
        ]
        if not entered.ended:
            self.unwritten.add(entered.added)
            return effects
        return [*effects, *self._kept(entered)]

    def _add(self, verified: VerifiedTransaction, entered: Entered, now: int, *, must_apply: bool) -> None:
        """To the pool, unless it is there, or final, already. Raises InvalidTransaction."""
        pool = self._chain.pool
        if pool.get(verified.id) is not None:
            return
        try:
            entered.ended.extend(pool.add(verified, now, must_apply=must_apply))
        except InvalidTransaction:  # as what is final: its nonce is used
            if self._is_final(verified, of_client=must_apply):
                return
            raise
        entered.added.append(verified)

    def _is_final(self, verified: VerifiedTransaction, *, of_client: bool) -> bool:
        """The store is asked for clients alone, and for used nonces alone: no other can be, and to look takes long.

        Raises InvalidTransaction where that was done too often: anybody can send what is final again and again.
        """
        transaction = verified.transaction
        if transaction.nonce >= self._chain.next_nonce(transaction.sender):
            return False
        if verified.id in self._chain.newly_final:
            return True
        if not of_client:
            return False  # as far as the pool has to know: it refuses a used nonce
        if self._looks >= LOOKS_MAX:
            raise InvalidTransaction("pool_busy", "too many with used nonces came in this second; try again")
        self._looks += 1
        return self._store.locate(verified.id) is not None

    def _kept(self, entered: Entered) -> list[Effect]:
        """One write: what replaces a transaction is never without it, and what was replaced at once does not stay."""
        if not entered.added and not entered.refused:
            return []
        pool = self._chain.pool
        batch = Batch(
            pending_added=tuple(
                PendingTransaction(one.id, one.raw, pool.story(one.id))
                for one in entered.added
                if pool.get(one.id) is not None
            ),
            pending_removed=tuple(story.id for story in entered.ended if pool.get(story.id) is None),  # it may be back
            ended=tuple(entered.ended),
            refused=tuple(entered.refused),
        )
        return [Write(batch), *(refusal_event(story) for story in entered.ended)]

    def _announced(self, peer: Peer, entered: Entered, *, is_fresh: bool) -> list[Effect]:
        ids = [verified.id for verified in entered.added]
        return self._passing_on.take(peer, ids) if is_fresh else self._relay.announce(ids)


def _accepted(added: list[VerifiedTransaction]) -> list[Effect]:
    """A word of what came in, however much came together: a line for each would cost more than to take it in."""
    if len(added) > 1:
        return [Emit(TransactionsAccepted(tuple(verified.id for verified in added)))]
    return [
        Emit(TransactionAccepted(one.id, one.transaction.sender, one.transaction.nonce, one.transaction.kind))
        for one in added
    ]


def _story_of(pending: PendingTransaction, now: int) -> Story:
    """An older store tells none."""
    return pending.story or (received(now, from_client=False),)


def _taken_up(pending: PendingTransaction) -> VerifiedTransaction:
    """Raises StoreError."""
    try:
        return VerifiedTransaction(pending.id, pending.raw, decode_transaction(pending.raw))
    except MalformedMessage as error:
        raise StoreError(f"a pending transaction is damaged: {error}") from None


def _ended(stories: list[TransactionStory]) -> list[Effect]:
    """In one write they leave the pool for good."""
    if not stories:
        return []
    batch = Batch(pending_removed=tuple(story.id for story in stories), ended=tuple(stories))
    return [Write(batch), *(refusal_event(story) for story in stories)]
