"""What of the pool a block could take now (docs/protocol.md §5.3, §10.1).

A transaction is *ready* when it applies on the final state after everything that became ready before it; the others
wait. What is ready is found once, and then kept up with little work for each addition and each block. Where something
ready goes without becoming final, all of it is found anew, once for however many go in one input.

Theory of operation. Take the kinds that concern stake away, and whatever order is tried, the same transactions become
ready: an account spends in nonce order, and the money of others only helps. So one that did not apply after all that is
ready will not apply before, and a block that takes some of what is ready leaves the rest ready, with the same balances
behind it. The end of a block pays accounts (protocol §3.5): what it paid is added to what is kept here, and whom it
paid is looked at again; what it mints may leave no room for one that mints, which is a reason for a new search.

The kinds of stake break this: of two accounts that name one validator key the first wins, and what they write, and
whether they apply, depends on the height. So a block is followed by a new search while one of them is ready, and those
that wait are tried again, so many of them a block: to wait costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import Entry
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Payment, VerifiedTransaction, parties_of
from blockchain.seams import Ledger, Settlement, State

SETTLED_MAX: Final = 10_000  # final transactions whose accounts the scratch state still holds, if no more are ready
TRIED_MAX: Final = 1_000  # waiting stakes tried for a block and after it: a full pool of them would take a second

Queues = Mapping[Address, Mapping[int, Entry]]


class Readiness:
    """The ready and the waiting of one pool. `queues` are the pool's: its entries by sender and nonce."""

    def __init__(self, ledger: Ledger, state: State, height: int, queues: Queues) -> None:
        self._ledger = ledger
        self._state = state
        self._height = height
        self._queues = queues
        self._scratch = state.child()  # the final state and all that is ready
        self._settled = 0
        self._stakes = 0  # of those that are ready
        self.ready: dict[Hash32, Entry] = {}
        self.waiting: dict[Hash32, Entry] = {}
        self._waiting_stakes: dict[Hash32, Entry] = {}  # those of the waiting that a height alone may make ready
        self.is_stale = False  # something ready went: all may be different

    # ------------------------------------------------------------------------------------------------ asking

    def next_nonce(self, sender: Address) -> int:
        """The nonce of this sender that could be ready next."""
        return self._ledger.next_nonce(self._scratch, sender)

    def state_after_all(self) -> State:
        """A child of the final state with all that is ready."""
        return self._scratch.child()

    def state_before(self, sender: Address, nonce: int) -> State:
        """A child of the final state with this sender's own transactions before this nonce, as far as they apply."""
        state = self._state.child()
        while (entry := self.next_of(sender, state)) is not None and entry.nonce < nonce:
            if not self._try(state, entry.verified):
                break
        return state

    def check(self, verified: VerifiedTransaction) -> None:
        """Raises InvalidTransaction if it does not apply after all that is ready."""
        self._ledger.apply(self._scratch.child(), verified.transaction, self._height)

    def check_in_place_of(self, old: Entry, new: VerifiedTransaction) -> None:
        """Raises InvalidTransaction if `new` does not apply in the place of `old`, which is ready."""
        state = self._state.child()
        for entry in self.ready.values():
            if entry.sender != old.sender or entry.nonce < old.nonce:
                self._try(state, entry.verified)  # what lived from the old one's money may fail
        self._ledger.apply(state, new.transaction, self._height)

    def why_waiting(self, entry: Entry) -> tuple[str, str]:
        """The code and the reason for which it waits at this moment."""
        expected = self.next_nonce(entry.sender)
        if entry.nonce > expected:
            is_here = expected in self._queues[entry.sender]
            return "nonce_gap", f"nonce {expected} {'waits too, and comes first' if is_here else 'is missing'}"
        try:
            self.check(entry.verified)
        except InvalidTransaction as error:
            return error.code, error.why
        return "nonce_gap", "others that came with it are looked at first"

    # ------------------------------------------------------------------------------------------------ changing

    def admit(self, entry: Entry) -> None:
        """A new entry of the queues. What is ready stays so: nobody pays with what only waits."""
        self.waiting[entry.id] = entry
        if _is_stake(entry):
            self._waiting_stakes[entry.id] = entry
        self._advance([entry.sender])

    def remove(self, entry: Entry) -> None:
        """It has left the queues without becoming final."""
        self.waiting.pop(entry.id, None)
        self._waiting_stakes.pop(entry.id, None)
        if self.ready.pop(entry.id, None) is not None:
            self._stakes -= _is_stake(entry)
            self.is_stale = True

    def refresh(self, entries: Mapping[Hash32, Entry]) -> list[Entry]:
        """Find anew what is ready of all the pool's entries, if need be; returns those that were and are no more."""
        if not self.is_stale:
            return []
        before = self.ready
        self._scratch = self._state.child()
        self._settled = 0
        self._stakes = 0
        self.ready = {}
        self.waiting = dict(entries)
        self._waiting_stakes = {entry.id: entry for entry in entries.values() if _is_stake(entry)}
        self.is_stale = False
        self._advance(self._queues)
        return [entry for entry in before.values() if entry.id in self.waiting]

    def on_block(
        self, state: State, height: int, transactions: Iterable[VerifiedTransaction], settlement: Settlement
    ) -> None:
        """`transactions` became final, and have left the queues; `height` may come next."""
        has_stakes = self._stakes > 0
        for verified in transactions:
            entry = self.ready.pop(verified.id, None)
            if entry is None:
                self.is_stale = True  # whatever it did, nobody counted on it
                self.waiting.pop(verified.id, None)
                self._waiting_stakes.pop(verified.id, None)
            else:
                self._stakes -= _is_stake(entry)
            self._settled += 1
        self._state = state
        self._height = height
        self.is_stale |= has_stakes or self._settled > max(SETTLED_MAX, len(self.ready))
        if not self.is_stale:
            self._settle(settlement)

    def _settle(self, settlement: Settlement) -> None:
        """Take up what the end of the block did; what waited for that is ready now."""
        if self.ready:
            self.is_stale = not self._ledger.repay(self._scratch, self._state, settlement)
        else:
            self._scratch = self._state.child()
            self._settled = 0
        if not self.is_stale:
            paid = (address for address, _ in settlement.paid)
            self._advance({*paid, *self._next_stakes()})

    def _next_stakes(self) -> list[Address]:
        """The senders of waiting stakes that were not tried for longest."""
        tried = list(islice(self._waiting_stakes.items(), TRIED_MAX))
        for transaction_id, _ in tried:
            self._waiting_stakes[transaction_id] = self._waiting_stakes.pop(transaction_id)
        return [entry.sender for _, entry in tried]

    # ------------------------------------------------------------------------------------------------ finding

    def _advance(self, senders: Iterable[Address]) -> None:
        """Make ready what applies now, oldest first; whoever is paid by it may become ready in turn."""
        entries = (self.next_of(sender, self._scratch) for sender in senders)
        order = [(entry.arrival, entry.sender) for entry in entries if entry is not None]
        heapify(order)
        while order:
            _, sender = heappop(order)
            entry = self.next_of(sender, self._scratch)
            if entry is None or not self._try(self._scratch, entry.verified):
                continue
            self.ready[entry.id] = entry
            self._stakes += _is_stake(entry)
            del self.waiting[entry.id]
            self._waiting_stakes.pop(entry.id, None)
            for touched in parties_of(entry.verified.transaction):
                following = self.next_of(touched, self._scratch)
                if following is not None:
                    heappush(order, (following.arrival, touched))

    def next_of(self, sender: Address, state: State) -> Entry | None:
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
        """Apply to `state`, a child of the final one, what a block takes: by fee, then arrival, nonces in order.

        A payment that waits cannot apply before what is ready. One that stakes may: its fee may be the higher one.
        """
        chosen: list[VerifiedTransaction] = []
        stakes = islice(self._waiting_stakes.values(), TRIED_MAX)
        senders = {entry.sender for entry in (*self.ready.values(), *stakes)}
        heap = [_rank(entry) for sender in senders if (entry := self.next_of(sender, state)) is not None]
        heapify(heap)
        size = 0
        while heap and len(chosen) < count_max:
            sender = heappop(heap)[2]
            entry = self.next_of(sender, state)
            if entry is None or size + len(entry.verified.raw) > bytes_max or not self._try(state, entry.verified):
                continue
            chosen.append(entry.verified)
            size += len(entry.verified.raw)
            for touched in parties_of(entry.verified.transaction):
                following = self.next_of(touched, state)
                if following is not None:
                    heappush(heap, _rank(following))
        return chosen

    def select_ready(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """The same, in the order in which they became ready: as many as the trigger counts, where there is room."""
        chosen: list[VerifiedTransaction] = []
        size = 0
        for entry in self.ready.values():
            size += len(entry.verified.raw)
            if len(chosen) == count_max or size > bytes_max:
                break
            self._ledger.apply(state, entry.verified.transaction, self._height)
            chosen.append(entry.verified)
        return chosen


def _rank(entry: Entry) -> tuple[int, int, Address]:
    return -entry.fee, entry.arrival, entry.sender


def _is_stake(entry: Entry) -> bool:
    return not isinstance(entry.verified.transaction.payload, Payment)
