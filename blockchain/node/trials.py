"""What would apply, and what would not, beside all that is ready in the pool: nothing changes by being tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blockchain.errors import InvalidTransaction
from blockchain.node.dependents import dependents
from blockchain.node.entry import Entry
from blockchain.node.queues import Queues
from blockchain.node.scratch import Scratch
from blockchain.primitives.crypto import Address, Hash32
from blockchain.seams import State


class Trials:
    """On the scratch state and the queues of one pool; `stakes`: the ready that concern stake."""

    def __init__(self, scratch: Scratch, queues: Queues, stakes: Mapping[Hash32, Entry]) -> None:
        self._scratch = scratch
        self._queues = queues
        self._stakes = stakes

    def state_after_all(self) -> State:
        """A child of the final state with all that is ready."""
        return self._scratch.child()

    def state_before(self, sender: Address, nonce: int) -> State:
        """A child of the final state with this sender's own transactions before this nonce, as far as they apply."""
        state = self._scratch.final_child()
        queue = self._queues[sender]
        for earlier in range(queue.final, nonce):
            entry = queue.entries.get(earlier)
            if entry is None or not self._scratch.applies_to(state, entry):
                break
        return state

    def check(self, entry: Entry) -> None:
        """Raises InvalidTransaction if it does not apply after all that is ready."""
        self._scratch.check(entry)

    def depending_on(self, entry: Entry) -> list[Entry]:
        """What may fail without this one, which is ready; itself among them, the newest first."""
        return dependents(self._queues, self._scratch, self._stakes.values(), [(entry.sender, entry.nonce)])

    def check_in_place_of(self, old: Entry, new: Entry, taken: Sequence[Entry]) -> None:
        """Raises InvalidTransaction if `new` does not apply in the place of `old`, on which `taken` depend."""
        state = self._scratch.without(taken, with_stakes=not any(entry.is_stake for entry in taken))
        for entry in reversed(taken):
            if entry.sender != old.sender or entry.nonce < old.nonce:
                self._scratch.applies_to(state, entry)  # what lived from the old one's money may fail
        self._scratch.apply_to(state, new)

    def why_waiting(self, entry: Entry) -> tuple[str, str]:
        """The code and the reason for which it waits at this moment."""
        queue = self._queues[entry.sender]
        if entry.nonce > queue.next:
            is_here = queue.following is not None
            return "nonce_gap", f"nonce {queue.next} {'waits too, and comes first' if is_here else 'is missing'}"
        try:
            self.check(entry)
        except InvalidTransaction as error:
            return error.code, error.why
        return "nonce_gap", "others that came with it are looked at first"
