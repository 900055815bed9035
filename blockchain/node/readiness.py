"""What of the pool a block could take now (docs/protocol.md §5.3, §10.1).

A transaction is *ready* when it applies on the final state after everything that became ready before it; the others
wait. What is ready is kept up with little work for each addition, each that leaves, and each block.

Theory of operation. Take the kinds that concern stake away, and whatever order is tried, the same transactions become
ready: an account spends in nonce order, and the money of others only helps. So one that did not apply after all that is
ready will not apply before, and a block that takes some of what is ready leaves the rest ready, with the same balances
behind it. The scratch state holds all that is ready; being sums, its accounts take an addition, and its opposite, in
any order. What nobody among the ready touches is read from the final state below.

*What leaves* takes with it what its sender has ready after it. Whom these paid may lack the money: an account whose
final balance pays for all that it has ready lacks nothing; of any other the last ones are taken back, until it does.
What was taken back is tried again, in the order in which it became ready; nothing else can have changed.

*A block* that takes what is ready changes nothing else. One with a transaction that was not ready here takes back what
its sender has from that nonce on, and adds what it did to the accounts that the scratch state holds. The end of a block
pays accounts (protocol §3.5): that is added too, and whom it paid is looked at again; what it mints may leave no room
for one that mints, the one reason to find all anew.

*The kinds of stake* break the first sentence: of two accounts that name one validator key the first wins, and what they
write, and whether they apply, depends on the height. So they are taken back, all together, when one of them leaves and
with each block, and the records of stake in the scratch state are forgotten; then they are tried again, those first
that were ready. Those that wait are tried after them, so many of them: to wait costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.node.dependents import Cut, dependents, is_independent
from blockchain.node.entry import GONE, WAITS, Entry
from blockchain.node.eviction import Candidates
from blockchain.node.heads import Heads
from blockchain.node.queues import Queue, Queues, empty_queue
from blockchain.node.received import Received
from blockchain.node.scratch import Scratch
from blockchain.node.trials import Trials
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import VerifiedTransaction, parties_of
from blockchain.seams import Ledger, Settlement, State

TRIED_MAX: Final = 1_000  # waiting stakes tried for a block and after it: a full pool of them would take a second


class Readiness:
    """The ready and the waiting of one pool."""

    def __init__(self, ledger: Ledger, state: State, height: int, candidates: Candidates) -> None:
        self._scratch = Scratch(ledger, state, height)
        self._candidates = candidates
        self._places = 0  # how often one became ready
        self._paid: dict[Address, int] = {}  # by how many of the ready that others sent
        self._stakes: dict[Hash32, Entry] = {}  # of the ready
        self._waiting_stakes: dict[Hash32, Entry] = {}  # those of the waiting that a height alone may make ready
        self._taken: list[Entry] = []  # were ready, and wait or are gone now
        self._idle: set[Address] = set()  # touched by fewer of the ready than before
        self.queues: Queues = {}
        self.ready: dict[int, Entry] = {}  # by place, which is their order
        self.waiting: dict[Hash32, Entry] = {}
        self._heads = Heads(self._scratch, self.queues)
        self._received = Received(self.ready)
        self.trials = Trials(self._scratch, self.queues, self._stakes)

    # ------------------------------------------------------------------------------------------------ asking

    def nonces(self, sender: Address) -> tuple[int, int]:
        """The next nonce of this sender on the final state, and the one that could be ready next."""
        queue = self.queue_of(sender)
        return queue.final, queue.next

    def queue_of(self, sender: Address) -> Queue:
        """Of one who has nothing here an empty queue, which is not kept."""
        return self.queues.get(sender) or empty_queue(self._scratch.final_nonce(sender))

    @property
    def oldest(self) -> Entry | None:
        """The ready one that was received first."""
        return self._received.oldest

    # ------------------------------------------------------------------------------------------------ changing

    def add(self, entry: Entry, queue: Queue, *, must_apply: bool) -> None:
        """A new one, in the queue of its sender. What is ready stays so: nobody pays with what only waits.

        Raises InvalidTransaction if it must apply and comes next, and does not; nothing has changed then.
        """
        is_ready = entry.nonce == queue.next
        if is_ready:
            try:
                self._scratch.apply(entry)
            except InvalidTransaction:
                if must_apply:
                    raise
                is_ready = False
        self.queues[entry.sender] = queue
        queue.entries[entry.nonce] = entry
        if is_ready:
            self._join(queue, entry)
        else:
            self._note_waiting(entry)

    def add_next(self, entry: Entry, queue: Queue | None) -> bool:
        """One that comes next of its sender, if it applies, as nearly all do; `queue`: what that one has here.

        Of one who has nothing here the account is read once for that.
        """
        nonce = entry.nonce
        if queue is not None and (nonce != queue.next or nonce in queue.entries):
            return False
        if not self._scratch.applies(entry):
            return False
        if queue is None:
            queue = self.queues[entry.sender] = empty_queue(nonce)
        queue.entries[nonce] = entry
        self._join(queue, entry)
        return True

    def _join(self, queue: Queue, entry: Entry) -> None:
        """A new one is in the scratch state and in its queue: it is ready."""
        queue.next += 1
        self._places += 1
        self._stand(queue, entry, self._places)
        self._follow(queue, entry)

    def exchange(self, old: Entry, new: Entry) -> bool:
        """Put `new` in the place of `old`, if both are transfers and nobody depends on which of them is there."""
        queue = self.queues[old.sender]
        if old.place < 0 or not (old.is_transfer and new.is_transfer):
            return False
        spent = queue.spent - old.cost + new.cost
        if spent > self._scratch.final_balance(old.sender) or not is_independent(
            self.queues, self._scratch, old.recipient
        ):
            return False
        self._scratch.exchange(old, new)
        self._uncount(queue, old)
        queue.entries[new.nonce] = new
        self._stand(queue, new, old.place)
        old.place = GONE
        self._follow(queue, new)
        self._drop_idle()
        return True

    def remove(self, entries: Sequence[Entry]) -> int:
        """They leave without becoming final. Returns how many were taken back for that, or waited and were tried."""
        taken = self._take_back([(entry.sender, entry.nonce) for entry in entries if entry.place >= 0])
        for entry in entries:
            self._leave(entry)
        return taken + self._retry(())

    @property
    def has_lost(self) -> bool:
        """Whether something was taken back since `lost` was asked."""
        return bool(self._taken)

    def lost(self) -> list[Entry]:
        """Those that were ready, and have been waiting since it was last asked."""
        lost = [entry for entry in self._taken if entry.place == WAITS]
        self._taken = []
        return lost

    def on_block(
        self,
        state: State,
        height: int,
        included: Sequence[VerifiedTransaction],
        gone: Sequence[Entry],
        settlement: Settlement,
    ) -> None:
        """`included` became final, `gone` leave without that; `height` may come next."""
        self._scratch.on_block(state, height)
        if not self.queues:  # as in a sync: a block changes nothing of what nobody has here
            self._scratch.clear()
            return
        unforeseen = [one.transaction for one in included if not self._settle(one)]
        cuts = [(one.sender, one.nonce) for one in unforeseen]
        cuts += ((entry.sender, entry.nonce) for entry in (*gone, *self._stakes.values()) if entry.place >= 0)
        self._take_back(cuts)
        for entry in gone:
            self._leave(entry)
        senders = dict.fromkeys(one.transaction.sender for one in included)
        for queue in [self.queues[sender] for sender in senders if sender in self.queues]:
            self._advance_final(queue)
        self._scratch.forget_stakes()
        if not self._scratch.repay(settlement, unforeseen):
            self._find_anew()
            return
        paid = {address for address, _ in settlement.paid}
        parties = {party for transaction in unforeseen for party in parties_of(transaction)}
        self._retry({*paid, *parties, *self._next_stakes()})

    def _settle(self, verified: VerifiedTransaction) -> bool:
        """Whether it was ready; what it did to accounts stays in the scratch state."""
        transaction = verified.transaction
        queue = self.queues.get(transaction.sender)
        if queue is None:
            return False
        nonce = transaction.nonce
        entry = queue.entries.get(nonce)
        queue.final = nonce + 1
        if entry is None or entry.id != verified.id:
            return False
        was_ready = entry.place >= 0
        if was_ready:
            del self.ready[entry.place]
            self._uncount(queue, entry)
        self._leave(entry)
        return was_ready

    def _advance_final(self, queue: Queue) -> None:
        """Some of its sender became final."""
        queue.next = max(queue.next, queue.final)
        head = queue.head
        if head is not None and head.place >= 0:
            self._heads.add(head, queue)

    # ------------------------------------------------------------------------------------------------ taking back

    def _take_back(self, cuts: Iterable[Cut]) -> int:
        """They wait, as if they had never been ready. Returns how many they were."""
        taken = dependents(self.queues, self._scratch, self._stakes.values(), cuts)
        for entry in taken:
            queue = self.queues[entry.sender]
            self._scratch.take_back(entry)
            del self.ready[entry.place]
            self._uncount(queue, entry)
            queue.next = entry.nonce
            self._note_waiting(entry)
        if any(entry.is_stake for entry in taken):
            self._scratch.forget_stakes()
        taken.reverse()
        self._taken += taken
        return len(taken)

    def _leave(self, entry: Entry) -> None:
        """It goes; it is not ready any more."""
        if entry.place == WAITS:
            del self.waiting[entry.id]
            self._waiting_stakes.pop(entry.id, None)
        entry.place = GONE
        queue = self.queues[entry.sender]
        del queue.entries[entry.nonce]
        if not queue.entries:
            del self.queues[entry.sender]

    def _drop_idle(self) -> None:
        """What nobody among the ready touches is read from the final state."""
        queues, paid = self.queues, self._paid
        unpaid = [(address, queues.get(address)) for address in self._idle if address not in paid]
        self._scratch.drop(address for address, queue in unpaid if queue is None or queue.next == queue.final)
        self._idle.clear()

    # ------------------------------------------------------------------------------------------------ finding

    def _retry(self, senders: Iterable[Address]) -> int:
        """Try what was taken back, and what these senders have next; returns how much was tried besides the former."""
        taken = [entry for entry in self._taken if entry.place == WAITS]
        touched = {*senders, *(one for entry in taken for one in (entry.sender, entry.recipient) if one is not None)}
        if any(entry.is_stake for entry in self._taken):  # gone or not: another may have its key now
            touched.update(self._next_stakes())
        for entry in taken:
            queue = self.queues[entry.sender]
            if entry.nonce == queue.next and self._scratch.applies(entry):
                self._note_ready(queue, entry)
        self._drop_idle()
        return self._advance(touched)

    def _find_anew(self) -> None:
        """Find what is ready as if all had come at once, in the order in which it was ready, then of arrival."""
        self._taken += self.ready.values()
        for entry in self.ready.values():
            self._note_waiting(entry)
        self.ready.clear()
        self._heads.clear()
        self._scratch.clear()
        self._paid.clear()
        self._stakes.clear()
        for queue in self.queues.values():
            queue.next, queue.spent = queue.final, 0
        self._retry(self.queues)

    def _next_stakes(self) -> list[Address]:
        """The senders of waiting stakes that were not tried for longest."""
        tried = list(islice(self._waiting_stakes.items(), TRIED_MAX))
        for transaction_id, _ in tried:
            self._waiting_stakes[transaction_id] = self._waiting_stakes.pop(transaction_id)
        return [entry.sender for _, entry in tried]

    def _follow(self, queue: Queue, entry: Entry) -> None:
        """What its sender has next, and what its recipient can pay now."""
        if queue.next in queue.entries:
            self._advance([one for one in (entry.sender, entry.recipient) if one is not None])
        elif entry.recipient is not None:
            paid = self.queues.get(entry.recipient)
            if paid is not None and paid.next in paid.entries:
                self._advance([entry.recipient])

    def _advance(self, senders: Iterable[Address]) -> int:
        """Make ready what applies now, oldest first, and in turn who is paid by it; returns how many were tried."""
        tried = 0
        queues = (self.queues[sender] for sender in senders if sender in self.queues)
        order = [(following.arrival, queue) for queue in queues if (following := queue.following) is not None]
        heapify(order)
        while order:
            tried += 1
            _, queue = heappop(order)
            entry = queue.following
            if entry is None or not self._scratch.applies(entry):
                continue
            self._note_ready(queue, entry)
            paid = None if entry.recipient is None else self.queues.get(entry.recipient)
            for other in (queue, paid):
                following = None if other is None else other.following
                if other is not None and following is not None:
                    heappush(order, (following.arrival, other))
        return tried

    # ------------------------------------------------------------------------------------------------ the books

    def _note_ready(self, queue: Queue, entry: Entry) -> None:
        """It applies after all that is ready."""
        self.waiting.pop(entry.id, None)
        self._waiting_stakes.pop(entry.id, None)
        queue.next += 1
        self._places += 1
        self._stand(queue, entry, self._places)

    def _stand(self, queue: Queue, entry: Entry, place: int) -> None:
        """At this place among the ready."""
        entry.place = place
        self.ready[place] = entry
        queue.spent += entry.cost
        if entry.recipient is not None:
            self._paid[entry.recipient] = self._paid.get(entry.recipient, 0) + 1
        if entry.is_stake:
            self._stakes[entry.id] = entry
        if entry.nonce == queue.final:
            self._heads.add(entry, queue)
        self._candidates.note(entry)
        self._received.add(entry)

    def _uncount(self, queue: Queue, entry: Entry) -> None:
        """It is ready no more."""
        self._heads.discard(entry)
        queue.spent -= entry.cost
        if entry.is_stake:
            self._stakes.pop(entry.id, None)
        self._idle.add(entry.sender)
        recipient = entry.recipient
        if recipient is not None:
            self._idle.add(recipient)
            left = self._paid[recipient] - 1
            if left:
                self._paid[recipient] = left
            else:
                del self._paid[recipient]

    def _note_waiting(self, entry: Entry) -> None:
        entry.place = WAITS
        self.waiting[entry.id] = entry
        if entry.is_stake:
            self._waiting_stakes[entry.id] = entry
        self._candidates.note(entry)

    # ------------------------------------------------------------------------------------------------ forging

    def select(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes: by fee, then arrival, nonces in order."""
        stakes = islice(self._waiting_stakes.values(), TRIED_MAX)
        return self._heads.select(state, stakes, count_max, bytes_max)

    def select_ready(self, state: State, count_max: int, bytes_max: int) -> list[VerifiedTransaction]:
        """The same, in the order in which they became ready: as many as the trigger counts, where there is room."""
        chosen: list[VerifiedTransaction] = []
        size = fees = 0
        for entry in self.ready.values():
            size += entry.size
            if len(chosen) == count_max or size > bytes_max:
                break
            self._scratch.apply_to(state, entry)
            chosen.append(entry.verified)
            fees += entry.fee
        self._scratch.collect(state, fees)
        return chosen
