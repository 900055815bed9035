"""The pool: transactions that wait for a block (docs/protocol.md §10).

Each sender has a queue by nonce. A transaction is *ready* when it applies on the final state after everything that was
ready before it, in the order of arrival; the others wait, for a missing nonce or for money that is still to come. The
trigger counts what is ready; a forger takes by fee, then arrival, nonces in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidTransaction
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Stake, VerifiedTransaction
from blockchain.seams import Emit, Ledger, RefusedTransaction, State, TransactionRefused

TRANSACTIONS_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
SENDER_TRANSACTIONS_MAX: Final = 1_000
NONCE_GAP_MAX: Final = 1_000  # how far ahead of the next nonce a transaction may be kept
REPLACEMENT_PERCENT: Final = 10  # by how much a replacement's fee must exceed the old one, and by at least 1


class Entry(Struct, frozen=True):
    """A transaction in the pool; `arrival` counts additions, `time_ms` is the wall time of its own."""

    verified: VerifiedTransaction
    arrival: int
    time_ms: int

    @property
    def sender(self) -> Address:
        return self.verified.transaction.sender

    @property
    def nonce(self) -> int:
        return self.verified.transaction.nonce


class Mempool:
    """All pending transactions of one chain, on the final state that it was last given."""

    def __init__(self, ledger: Ledger, state: State, height: int) -> None:
        self._ledger = ledger
        self._state = state
        self._height = height  # of the block that a transaction could stand in next
        self._entries: dict[Hash32, Entry] = {}
        self._queues: dict[Address, dict[int, Entry]] = {}
        self._arrivals = 0
        self._bytes = 0
        self._scratch = state.child()
        self._ready: dict[Hash32, Entry] = {}
        self._waiting: dict[Hash32, Entry] = {}  # all others, in the order of arrival
        self.protected: frozenset[Hash32] = frozenset()  # in a block of the height in progress: not to be replaced

    # ------------------------------------------------------------------------------------------------ reading

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[VerifiedTransaction]:
        """In the order of arrival."""
        return (entry.verified for entry in self._entries.values())

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def ready_count(self) -> int:
        """How many transactions apply now, one after the other."""
        return len(self._ready)

    @property
    def oldest_ready_ms(self) -> int | None:
        """When the ready transaction that has waited longest arrived."""
        return min((entry.time_ms for entry in self._ready.values()), default=None)

    def get(self, transaction_id: Hash32) -> VerifiedTransaction | None:
        entry = self._entries.get(transaction_id)
        return None if entry is None else entry.verified

    def next_nonce(self, sender: Address) -> int:
        """The first nonce of this sender that is neither final nor in the pool."""
        nonce = self._ledger.next_nonce(self._state, sender)
        queue = self._queues.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    # ------------------------------------------------------------------------------------------------ adding

    def add(self, verified: VerifiedTransaction, now: int, *, must_apply: bool) -> RefusedTransaction | None:
        """Add a transaction; returns the one that it replaced, or that had to make room for it, if there is one.

        `must_apply`: refuse it too when it does not apply yet for another reason than a gap in nonces; a peer's is
        kept waiting then, since what it depends on may come a moment later from elsewhere. Raises InvalidTransaction
        with a stable code.
        """
        transaction = verified.transaction
        self._ledger.check(transaction, self._height)
        expected = self._check_nonce(transaction.sender, transaction.nonce)
        old = self._queues.get(transaction.sender, {}).get(transaction.nonce)
        if old is not None:
            self._check_replacement(old, verified)
        else:
            self._check_sender(transaction.sender)
        if must_apply and transaction.nonce == expected:
            self._ledger.apply(self._scratch.child(), transaction, self._height)
        was_ready = old is not None and old.verified.id in self._ready
        gone = self._make_room(verified, expected, now) if old is None else self._replace(old, verified, now)
        self._insert(Entry(verified, self._arrivals, now))
        if was_ready:
            self._rebuild()
        else:
            self._advance([transaction.sender])  # what is ready stays so: nobody pays with what only waits
        return gone

    def _check_nonce(self, sender: Address, nonce: int) -> int:
        """The nonce that would be ready next, unless this one cannot be kept at all."""
        final = self._ledger.next_nonce(self._state, sender)
        if nonce < final:
            raise InvalidTransaction("nonce_used", f"nonce {nonce} is used; the next is {final}")
        expected = self._ledger.next_nonce(self._scratch, sender)
        if nonce > expected + NONCE_GAP_MAX:
            raise InvalidTransaction("nonce_gap", f"nonce {nonce} is too far ahead; the next is {expected}")
        return expected

    def _check_replacement(self, old: Entry, new: VerifiedTransaction) -> None:
        fee = old.verified.transaction.fee
        minimum = fee + max(1, fee * REPLACEMENT_PERCENT // 100)
        if new.transaction.fee < minimum:
            raise InvalidTransaction(
                "replacement_underpriced", f"nonce {old.nonce} is taken; replacing it costs a fee of {minimum}"
            )
        if old.verified.id in self.protected:
            raise InvalidTransaction("replacement_too_late", f"nonce {old.nonce} stands in a proposed block")

    def _check_sender(self, sender: Address) -> None:
        if len(self._queues.get(sender, {})) >= SENDER_TRANSACTIONS_MAX:
            raise InvalidTransaction("sender_full", f"{SENDER_TRANSACTIONS_MAX} transactions of this sender wait")

    def _make_room(self, new: VerifiedTransaction, expected: int, now: int) -> RefusedTransaction | None:
        """In a full pool what applies now takes the place of what waits, the last that came.

        Waiting costs nobody anything: else accounts without money could fill the pool, and it would stay full.
        """
        if len(self._entries) < TRANSACTIONS_MAX and self._bytes + len(new.raw) <= BYTES_MAX:
            return None
        waiting = (entry.verified for entry in reversed(self._waiting.values()))
        last = next((verified for verified in waiting if verified.id not in self.protected), None)
        is_next = new.transaction.nonce == expected and self._try(self._scratch.child(), new)
        if last is None or not is_next or self._bytes - len(last.raw) + len(new.raw) > BYTES_MAX:
            raise InvalidTransaction("pool_full", f"the pool holds {len(self._entries)} transactions; try later")
        self._remove(self._entries[last.id])
        return RefusedTransaction(last.id, "evicted", "the pool was full, and this one did not apply yet", now)

    def _replace(self, old: Entry, new: VerifiedTransaction, now: int) -> RefusedTransaction:
        self._remove(old)
        return RefusedTransaction(old.verified.id, "replaced", f"replaced by {new.id.hex()}", now)

    def _insert(self, entry: Entry) -> None:
        self._arrivals += 1
        self._entries[entry.verified.id] = entry
        self._waiting[entry.verified.id] = entry
        self._queues.setdefault(entry.sender, {})[entry.nonce] = entry
        self._bytes += len(entry.verified.raw)

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.verified.id]
        self._waiting.pop(entry.verified.id, None)
        self._ready.pop(entry.verified.id, None)
        self._bytes -= len(entry.verified.raw)
        queue = self._queues[entry.sender]
        del queue[entry.nonce]
        if not queue:
            del self._queues[entry.sender]

    # ------------------------------------------------------------------------------------------------ readiness

    def _rebuild(self) -> None:
        """Find anew what is ready, in the order of arrival."""
        self._scratch = self._state.child()
        self._ready = {}
        self._waiting = dict(self._entries)
        self._advance(dict.fromkeys(entry.sender for entry in self._entries.values()))

    def _advance(self, senders: Iterable[Address]) -> None:
        """Make ready what applies now, oldest first; whoever is paid by it may become ready in turn."""
        heap = [entry for sender in senders if (entry := self._next_of(sender, self._scratch)) is not None]
        order = [(entry.arrival, entry.sender) for entry in heap]
        heapify(order)
        while order:
            _, sender = heappop(order)
            entry = self._next_of(sender, self._scratch)
            if entry is None or not self._try(self._scratch, entry.verified):
                continue
            self._ready[entry.verified.id] = entry
            del self._waiting[entry.verified.id]
            for touched in {entry.sender, recipient_of(entry.verified)}:
                following = self._next_of(touched, self._scratch)
                if following is not None:
                    heappush(order, (following.arrival, touched))

    def _next_of(self, sender: Address, state: State) -> Entry | None:
        """The sender's transaction in the pool that could apply next on `state`."""
        queue = self._queues.get(sender)
        return None if queue is None else queue.get(self._ledger.next_nonce(state, sender))

    def _try(self, state: State, verified: VerifiedTransaction) -> bool:
        try:
            self._ledger.apply(state, verified.transaction, self._height)
        except InvalidTransaction:
            return False
        return True

    # ------------------------------------------------------------------------------------------------ forging

    def select(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes: by fee, then arrival, nonces in order."""
        chosen: list[VerifiedTransaction] = []
        heap = [self._rank(entry) for sender in self._queues if (entry := self._next_of(sender, state)) is not None]
        heapify(heap)
        size = 0
        while heap and len(chosen) < count_max:
            sender = heappop(heap)[2]
            entry = self._next_of(sender, state)
            if entry is None or size + len(entry.verified.raw) > bytes_max or not self._try(state, entry.verified):
                continue
            chosen.append(entry.verified)
            size += len(entry.verified.raw)
            for touched in {sender, recipient_of(entry.verified)}:
                following = self._next_of(touched, state)
                if following is not None:
                    heappush(heap, self._rank(following))
        return chosen

    def select_ready(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """The same, in the order in which they became ready: as many as the trigger counts, where there is room."""
        chosen: list[VerifiedTransaction] = []
        size = 0
        for entry in self._ready.values():
            size += len(entry.verified.raw)
            if len(chosen) == count_max or size > bytes_max:
                break
            self._ledger.apply(state, entry.verified.transaction, self._height)
            chosen.append(entry.verified)
        return chosen

    @staticmethod
    def _rank(entry: Entry) -> tuple[int, int, Address]:
        return -entry.verified.transaction.fee, entry.arrival, entry.sender

    # ------------------------------------------------------------------------------------------------ a new block

    def on_block(self, state: State, height: int, included: Iterable[Hash32], now: int) -> list[RefusedTransaction]:
        """The final state is now `state`; `height` may come next. Returns what can never apply any more, and why."""
        for transaction_id in included:
            entry = self._entries.get(transaction_id)
            if entry is not None:
                self._remove(entry)
        self._state = state
        self._height = height
        self.protected = frozenset()
        refused = [reason for entry in list(self._entries.values()) if (reason := self._dead(entry, now))]
        for reason in refused:
            self._remove(self._entries[reason.id])
        self._rebuild()
        return refused

    def _dead(self, entry: Entry, now: int) -> RefusedTransaction | None:
        transaction = entry.verified.transaction
        if entry.nonce < self._ledger.next_nonce(self._state, entry.sender):
            why = f"another transaction of its sender took nonce {entry.nonce}"
            return RefusedTransaction(entry.verified.id, "nonce_used", why, now)
        if transaction.expiry is not None and transaction.expiry < self._height:
            why = f"it expired at height {transaction.expiry}"
            return RefusedTransaction(entry.verified.id, "expired", why, now)
        return None


def recipient_of(verified: VerifiedTransaction) -> Address:
    """Whose balance grows by it: the one that may be able to pay something now."""
    payload = verified.transaction.payload
    return verified.transaction.sender if isinstance(payload, Stake) else payload.recipient


def refusal_event(reason: RefusedTransaction) -> Emit:
    """To be said of a transaction that left the pool without becoming final."""
    return Emit(TransactionRefused(reason.id, reason.code, reason.why))
