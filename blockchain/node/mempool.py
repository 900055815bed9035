"""The pool: transactions that wait for a block (docs/protocol.md §10).

Each sender has a queue by nonce. `Readiness` holds them and says what a block could take now; here is what is let in,
what replaces what, what goes when the pool is full or time is over, and the story that each of them leaves behind.
Nothing in a block of the height in progress is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import WAITS, Entry, ended, entry_of, note_proposed, received, replacement_fee
from blockchain.node.eviction import Candidates
from blockchain.node.held import Held
from blockchain.node.queues import Queue
from blockchain.node.readiness import Readiness
from blockchain.node.tried import Tried
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Transaction, VerifiedTransaction
from blockchain.seams import Ledger, Settlement, Stage, State, Story, TransactionStory

TRANSACTIONS_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
SENDER_TRANSACTIONS_MAX: Final = 1_000
NONCE_GAP_MAX: Final = 1_000  # how far ahead of the next nonce a transaction may be kept
SMALL_STEPS_MAX: Final = 8  # in one place, of what peers bring: else each unit of fee would go through all pools
WAIT_MAX_MS: Final = 3_600_000  # an hour: who leaves a gap fills it within moments, or never
WAIT_CHECK_MS: Final = 10_000  # between two looks at what has waited too long
GIVEN_UP_MAX: Final = 10_000  # ids that waited too long, not to be taken from peers again; the newest
PROTECTED_MAX: Final = 200_000  # ids, until the height is final; who forges in vain may name any number, of bad blocks


class Mempool:
    """All pending transactions of one chain, on the final state that it was last given."""

    def __init__(self, ledger: Ledger, state: State, height: int) -> None:
        self._ledger = ledger
        self._state = state
        self._height = height  # of the block that a transaction could stand in next
        self._held = Held()
        self._entries = self._held.entries
        self._candidates = Candidates()
        self._readiness = Readiness(ledger, state, height, self._candidates)
        self._trials = self._readiness.trials
        self._fresh: list[Entry] = []  # came in, and it was not noted yet whether they wait
        self._expects_many = False
        self._came: Story = ()
        self._came_at: tuple[int, bool] | None = None
        self._arrivals = 0
        self._now = 0  # wall time of the newest change
        self._waits_checked = 0
        self._given_up: dict[Hash32, None] = {}
        self._tried = Tried()
        self.protected: frozenset[Hash32] = frozenset()  # in a block of the height in progress: not to be touched

    # ------------------------------------------------------------------------------------------------ reading

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[VerifiedTransaction]:
        """In the order of arrival."""
        return (entry.verified for entry in self._entries.values())

    @property
    def bytes(self) -> int:
        return self._held.bytes

    @property
    def ready_count(self) -> int:
        """How many transactions apply now, one after the other."""
        self._have_come()
        return len(self._readiness.ready)

    @property
    def oldest_ready_ms(self) -> int | None:
        """When the ready transaction that has waited longest was received."""
        oldest = self._readiness.oldest
        return None if oldest is None else oldest.received_ms

    def get(self, transaction_id: Hash32) -> VerifiedTransaction | None:
        entry = self._entries.get(transaction_id)
        return None if entry is None else entry.verified

    def received_ms(self, transaction_id: Hash32) -> int | None:
        """When one that is here came, by the wall clock."""
        entry = self._entries.get(transaction_id)
        return None if entry is None else entry.received_ms

    def holder_of(self, sender: Address, nonce: int) -> VerifiedTransaction | None:
        """The transaction in the pool that has this nonce of this sender."""
        entry = self._at(sender, nonce)
        return None if entry is None else entry.verified

    def _at(self, sender: Address, nonce: int) -> Entry | None:
        queue = self._readiness.queues.get(sender)
        return None if queue is None else queue.entries.get(nonce)

    def trial_state(self, transaction: Transaction) -> State:
        """What this transaction can be tried on: the final state, and what is ready in the pool.

        In the place of one that has its nonce: the final state and what is ready of its own sender before it. To find
        anew what all others would do then takes too long for a question.
        """
        sender, nonce = transaction.sender, transaction.nonce
        is_taken = self._at(sender, nonce) is not None
        return self._trials.state_before(sender, nonce) if is_taken else self._trials.state_after_all()

    def story(self, transaction_id: Hash32) -> Story:
        """What it went through; nothing for one that is not here. The reason for which it waits is today's."""
        entry = self._entries.get(transaction_id)
        if entry is None:
            return ()
        self._have_come()
        if entry.place >= 0:
            return entry.story
        code, why = self._trials.why_waiting(entry)
        newest = max(number for number, stage in enumerate(entry.story) if stage.name == "waiting")
        waits = Stage("waiting", entry.story[newest].time_ms, code=code, why=why)
        return (*entry.story[:newest], waits, *entry.story[newest + 1 :])

    def next_nonce(self, sender: Address) -> int:
        """The first nonce of this sender that is neither final nor in the pool."""
        _, nonce = self._readiness.nonces(sender)
        while self._at(sender, nonce) is not None:
            nonce += 1
        return nonce

    def nonce_max(self, sender: Address) -> int:
        """The highest nonce of this sender that is kept at this moment."""
        _, expected = self._readiness.nonces(sender)
        return expected + NONCE_GAP_MAX

    def select(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes: by fee, then arrival, nonces in order."""
        return self._readiness.select(state, count_max, bytes_max)

    def select_ready(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """The same, in the order in which they became ready: as many as the trigger counts, where there is room."""
        return self._readiness.select_ready(state, count_max, bytes_max)

    # ------------------------------------------------------------------------------------------------ adding

    def add(
        self, verified: VerifiedTransaction, now: int, *, must_apply: bool, story: Story = ()
    ) -> list[TransactionStory]:
        """Add a transaction; returns the stories of those that it replaced, or that had to make room for it.

        `must_apply`: a client's, refused too when it does not apply yet for another reason than a gap in nonces. A
        peer's is kept waiting then, since what it depends on may come a moment later from elsewhere. `story`: of one
        that comes back from the store. Raises InvalidTransaction with a stable code; nothing has changed then.
        """
        self._now = now
        transaction = verified.transaction
        self._ledger.check(transaction, self._height)
        story = story or self._received(now, from_client=must_apply)
        entry = entry_of(verified, self._arrivals, story, self._ledger.cost(transaction))
        queue = self._readiness.queues.get(entry.sender)
        is_crowded = self._is_crowded(entry, queue)
        gone: list[TransactionStory] = []
        if is_crowded or not self._readiness.add_next(entry, queue):
            queue = queue or self._readiness.queue_of(entry.sender)
            is_next = _check_nonce(entry, queue)
            old = queue.entries.get(entry.nonce)
            if old is not None:
                gone = self._replace(old, entry, must_apply=must_apply, is_next=is_next)
            elif is_crowded:
                gone = self._squeeze_in(entry, queue, must_apply=must_apply, is_next=is_next)
            else:
                self._readiness.add(entry, queue, must_apply=must_apply)
        self._enter(entry)
        return gone

    def _received(self, now: int, *, from_client: bool) -> Story:
        """The same object for all that come in together: the store writes it once a block."""
        if self._came_at != (now, from_client):
            self._came_at, self._came = (now, from_client), (received(now, from_client=from_client),)
        return self._came

    def _is_crowded(self, new: Entry, queue: Queue | None) -> bool:
        """Whether something but the ledger and its nonce may refuse it, beside what its sender has here."""
        return (
            len(self._entries) >= TRANSACTIONS_MAX
            or self._held.bytes + new.size > BYTES_MAX
            or (queue is not None and len(queue.entries) >= SENDER_TRANSACTIONS_MAX)
            or new.id in self._given_up
        )

    def _squeeze_in(self, entry: Entry, queue: Queue, *, must_apply: bool, is_next: bool) -> list[TransactionStory]:
        """Where there is no room: what applies may make some. Returns the stories of what went for it."""
        applies = is_next and self._applies(entry, must_apply=must_apply)
        if len(queue.entries) >= SENDER_TRANSACTIONS_MAX:
            raise InvalidTransaction("sender_full", f"{SENDER_TRANSACTIONS_MAX} transactions of this sender wait")
        # Peers offer what they hold again and again: what was given up here would wait in one pool or another.
        if not applies and not must_apply and entry.id in self._given_up:
            raise InvalidTransaction("waited_too_long", "it waited here before, until its time was over")
        gone = self._make_room(entry, applies=applies)
        self._readiness.add(entry, self._readiness.queue_of(entry.sender), must_apply=False)
        return gone

    def _applies(self, entry: Entry, *, must_apply: bool) -> bool:
        try:
            self._trials.check(entry)
        except InvalidTransaction:
            if must_apply:
                raise
            return False
        return True

    # ------------------------------------------------------------------------------------------------ replacing

    def _replace(self, old: Entry, new: Entry, *, must_apply: bool, is_next: bool) -> list[TransactionStory]:
        """Put `new` in the place of `old`; returns the story of that one."""
        if is_next and must_apply:
            self._trials.check(new)
        self._check_replacement(old, new, must_apply=must_apply)
        if self._readiness.exchange(old, new):
            self._tried.count(1, self._now)
        else:
            if old.place >= 0 and must_apply:
                depending = self._trials.depending_on(old)
                self._tried.count(len(depending), self._now)  # whether or not it is taken
                self._trials.check_in_place_of(old, new, depending)
            self._tried.count(self._readiness.remove([old]), self._now)
            self._readiness.add(new, self._readiness.queue_of(new.sender), must_apply=False)
        self._held.leave(old)
        return [ended(old, "replaced", f"replaced by {new.id.hex()}", self._now)]

    def _check_replacement(self, old: Entry, new: Entry, *, must_apply: bool) -> None:
        """Whether `new` may take the place of `old`; pools that hear the same choose the same (protocol §10.4)."""
        minimum = replacement_fee(old.fee)
        is_full_step = new.fee >= minimum
        is_better = (new.fee, old.id) > (old.fee, new.id)  # of equal fees the lower id
        if not is_full_step and (must_apply or not is_better or old.small_steps >= SMALL_STEPS_MAX):
            raise InvalidTransaction(
                "replacement_underpriced", f"nonce {old.nonce} is taken; replacing it costs a fee of {minimum}"
            )
        if old.id in self.protected:
            raise InvalidTransaction("replacement_too_late", f"nonce {old.nonce} stands in a proposed block")
        if self._held.bytes - old.size + new.size > BYTES_MAX:
            raise self._full()
        if old.place >= 0:
            self._tried.check(self._now)
        new.small_steps = old.small_steps + (not is_full_step)

    # ------------------------------------------------------------------------------------------------ making room

    def _make_room(self, new: Entry, *, applies: bool) -> list[TransactionStory]:
        """In a full pool what applies takes the place of what waits, or of what is ready for a lower fee.

        Waiting costs nobody anything: else accounts without money could fill the pool, and it would stay full.
        """
        count = len(self._entries) + 1 - TRANSACTIONS_MAX
        size = self._held.bytes + new.size - BYTES_MAX
        if count <= 0 and size <= 0:
            return []
        held = self._entries.values()
        victims = self._candidates.choose(new, count, size, held, self.protected) if applies else []
        if not victims:
            raise self._full()
        if any(victim.place >= 0 for victim in victims):
            self._tried.check(self._now)
        why = f"the pool was full, and {new.id.hex()} came, which "
        ends = [why + ("pays more" if victim.place >= 0 else "does not have to wait") for victim in victims]
        self._tried.count(self._readiness.remove(victims), self._now)
        for victim in victims:
            self._held.leave(victim)
        return [ended(victim, "evicted", end, self._now) for victim, end in zip(victims, ends, strict=True)]

    def _full(self) -> InvalidTransaction:
        return InvalidTransaction("pool_full", f"the pool holds {len(self._entries)} transactions; try later")

    # ------------------------------------------------------------------------------------------------ the books

    def _enter(self, entry: Entry) -> None:
        """It is among the ready or the waiting by now."""
        self._arrivals += 1
        self._held.enter(entry)
        if entry.place == WAITS:
            self._fresh.append(entry)
        if not self._expects_many and (self._fresh or self._readiness.has_lost):
            self._note_waiting()

    def expect_many(self) -> None:
        """What comes now is looked at together, later: no story tells of a wait for what comes a moment later."""
        self._expects_many = True

    def _have_come(self) -> None:
        """They have all come."""
        if self._expects_many:
            self._expects_many = False
            self._note_waiting()

    def _note_waiting(self) -> None:
        """What came may wait now, and what was ready may be so no more."""
        for entry in self._fresh:
            if entry.place == WAITS:
                entry.note_waiting(self._now, *self._trials.why_waiting(entry))
        self._fresh.clear()
        for entry in self._readiness.lost():
            entry.note_waiting(self._now, *self._trials.why_waiting(entry), was_ready=True)

    # ------------------------------------------------------------------------------------------------ a proposal

    def note_proposed(self, transactions: Iterable[VerifiedTransaction], height: int, round: int, now: int) -> None:
        """A block with these was proposed: until this height is final nothing touches them."""
        stage = Stage("proposed", now, height, round)
        entries = self._entries
        note_proposed([entries[each] for each in self.protect(transactions) if each in entries], stage)

    def protect(self, transactions: Iterable[VerifiedTransaction]) -> frozenset[Hash32]:
        """Until this height is final nothing touches these; returns their ids."""
        ids = frozenset(verified.id for verified in transactions)
        self.protected |= ids
        if len(self.protected) > PROTECTED_MAX:  # of those that are not here nothing can be taken
            self.protected &= self._entries.keys()
        return ids

    # ------------------------------------------------------------------------------------------------ a new block

    def on_block(
        self, state: State, height: int, included: Sequence[VerifiedTransaction], settlement: Settlement, now: int
    ) -> list[TransactionStory]:
        """The final state is now `state`; `height` may come next. Returns what can never apply any more, and why.

        Looks at what is in the block, at whom its end paid and at what expires, not at the whole pool.
        """
        self._now = now
        overtaken = []
        for verified in included if self._entries else ():
            transaction = verified.transaction
            entry = self._entries.get(verified.id) or self._at(transaction.sender, transaction.nonce)
            if entry is None:
                continue
            self._held.leave(entry)
            if entry.id != verified.id:
                overtaken.append(entry)
        expired = [entry for last in range(self._height, height) for entry in self._held.leave_expired(last)]
        self._height = height
        self._readiness.on_block(state, height, included, [*overtaken, *expired], settlement)
        self.protected = frozenset()
        self._note_waiting()
        why = "another transaction of its sender took nonce"
        return [
            *(ended(one, "nonce_used", f"{why} {one.nonce}", now) for one in overtaken),
            *(ended(one, "expired", f"it expired at height {one.verified.transaction.expiry}", now) for one in expired),
        ]

    # ------------------------------------------------------------------------------------------------ time

    def on_clock_set(self, passed_ms: int) -> None:
        """The clock says that so much time has passed, and it has not, or not here: nobody has waited for it."""
        for entry in self._readiness.waiting.values():
            entry.waits_since += passed_ms

    def give_up(self, now: int) -> list[TransactionStory]:
        """End what has waited longer than `WAIT_MAX_MS`: nothing pends for ever behind a gap. Returns their stories."""
        self._now = now
        if 0 <= now - self._waits_checked < WAIT_CHECK_MS:
            return []
        self._waits_checked = now
        waiting = self._readiness.waiting.values()
        late = [e for e in waiting if now - e.waits_since >= WAIT_MAX_MS and e.id not in self.protected]
        gone = []
        for entry in late:
            code, why = self._trials.why_waiting(entry)
            gone.append(ended(entry, "waited_too_long", f"it waited for {WAIT_MAX_MS // 1_000} s: {why} ({code})", now))
            self._given_up[entry.id] = None
            self._held.leave(entry)
        self._readiness.remove(late)
        for transaction_id in list(self._given_up)[:-GIVEN_UP_MAX]:
            del self._given_up[transaction_id]
        return gone


def _check_nonce(new: Entry, queue: Queue) -> bool:
    """Whether it could be ready next; it raises where its nonce cannot be kept at all."""
    nonce = new.nonce
    if nonce < queue.final:
        raise InvalidTransaction("nonce_used", f"nonce {nonce} is used; the next is {queue.final}")
    if nonce > queue.next + NONCE_GAP_MAX:
        raise InvalidTransaction("nonce_gap", f"nonce {nonce} is too far ahead; the next is {queue.next}")
    return nonce == queue.next
