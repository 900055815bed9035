"""The final state with all that is ready upon it (docs/protocol.md §10.1), from which something may be taken again.

Accounts are sums: what a transaction did to them is added, and taken back, in any order. Records of stake are not: they
are forgotten all together, when none of the ready concerns stake. What nobody among the ready touches is read from the
final state below, which moves on with each block. Of fees nothing is kept: they are none when the next block begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import Entry
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import account_key
from blockchain.primitives.transaction import Transaction
from blockchain.seams import Ledger, Settlement, State


class Scratch:
    """At one height, which may come next. Who keeps count of what is in it is `Readiness`."""

    def __init__(self, ledger: Ledger, state: State, height: int) -> None:
        self._ledger = ledger
        self._final = state
        self._height = height
        self._state = state.child()
        self._stake_keys: set[bytes] = set()  # of the records of stake that differ from the final ones

    # ------------------------------------------------------------------------------------------------ asking

    def child(self) -> State:
        return self._state.child()

    def final_child(self) -> State:
        """A child of the final state, without what is ready."""
        return self._final.child()

    def final_nonce(self, sender: Address) -> int:
        return self._ledger.next_nonce(self._final, sender)

    def final_balance(self, address: Address) -> int:
        return self._ledger.balance(self._final, address)

    def check(self, entry: Entry) -> None:
        """Raises InvalidTransaction if it does not apply after all that is ready."""
        self.apply_to(self._state.child(), entry)

    def without(self, taken: Iterable[Entry], *, with_stakes: bool) -> State:
        """A child of the final state with all that is ready but those; `with_stakes`: with no other stakes either."""
        state = self._state.child()
        for entry in taken:
            self._ledger.take_back(state, entry.verified.transaction)
        if not with_stakes:
            for key in self._stake_keys:
                state.set(key, self._final.get(key))
            self._ledger.forget_stakes(state, self._final)
        return state

    def apply_to(self, state: State, entry: Entry) -> None:
        """All but its fee's way to the fees of the block. Raises InvalidTransaction."""
        self._ledger.apply_but_fee(state, entry.verified.transaction, self._height)

    def applies_to(self, state: State, entry: Entry) -> bool:
        """If so, it is in that state."""
        try:
            self.apply_to(state, entry)
        except InvalidTransaction:
            return False
        return True

    def collect(self, state: State, fees: int) -> None:
        """What `apply_to` left out goes to the fees of the block."""
        self._ledger.collect(state, fees)

    # ------------------------------------------------------------------------------------------------ changing

    def apply(self, entry: Entry) -> None:
        """Raises InvalidTransaction; nothing has changed then."""
        if not entry.is_stake:
            self._ledger.apply_but_fee(self._state, entry.verified.transaction, self._height)
            return
        state = self._state.child()
        self.apply_to(state, entry)
        self._stake_keys.update(key for key in state.merge() if self._ledger.concerns_stake(key))

    def applies(self, entry: Entry) -> bool:
        """If so, it is in here."""
        try:
            self.apply(entry)
        except InvalidTransaction:
            return False
        return True

    def take_back(self, entry: Entry) -> None:
        """Of one that concerns stake what it did to its account."""
        self._ledger.take_back(self._state, entry.verified.transaction)

    def exchange(self, old: Entry, new: Entry) -> None:
        """Two transfers with one sender and nonce; the first is in here, and the sender can pay either."""
        self._ledger.take_back(self._state, old.verified.transaction)
        self._ledger.pay(self._state, new.verified.transaction)

    def forget_stakes(self) -> None:
        """The records of stake are the final ones: none of the ready concerns stake."""
        if self._stake_keys:
            for key in self._stake_keys:
                self._state.drop(key)
            self._stake_keys.clear()
            self._ledger.forget_stakes(self._state, self._final)

    def drop(self, addresses: Iterable[Address]) -> None:
        """None of the ready touches these accounts."""
        for address in addresses:
            self._state.drop(account_key(address))

    # ------------------------------------------------------------------------------------------------ a new block

    def on_block(self, state: State, height: int) -> None:
        """Below is the state after it now. What it did to the accounts in here comes with `repay`."""
        self._final = state
        self._height = height

    def repay(self, settlement: Settlement, unforeseen: Sequence[Transaction]) -> bool:
        """Take up what the end of the block paid, and what the unforeseen did. False: not all may apply any more."""
        return self._ledger.repay(self._state, self._final, settlement, unforeseen)

    def clear(self) -> None:
        """The final state alone."""
        self._state = self._final.child()
        self._stake_keys.clear()
