"""The simplest pool that keeps the rules of docs/protocol.md §10: it finds everything anew, whatever happens.

It is written from the protocol, not from the pool, and is as slow as it is plain. Of time it knows how long something
has waited; it tells no stories, and does not count what it tries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockchain.errors import InvalidTransaction
from blockchain.ledger.state import Overlay
from blockchain.node import mempool
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from tests.node.pool_bench import Bench

Ends = list[tuple[Hash32, str]]


@dataclass(eq=False)
class Held:
    verified: VerifiedTransaction
    arrival: int
    received: int
    waits_since: int
    small_steps: int = 0

    @property
    def place(self) -> tuple[bytes, int]:
        return self.verified.transaction.sender, self.verified.transaction.nonce

    @property
    def fee(self) -> int:
        return self.verified.transaction.fee


class PoolModel:
    """Beside the pool of a bench, on the same final state."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.held: list[Held] = []  # in the order of arrival
        self.ready: list[Held] = []  # in the order in which they became ready
        self.given_up: set[Hash32] = set()
        self.protected: set[Hash32] = set()
        self.arrivals = 0
        self.now = 0

    # ------------------------------------------------------------------------------------------------ §10.1

    def settle(self) -> None:
        """What was ready is tried in its order, and then what waits, the first that came first."""
        before, self.ready = [one for one in self.ready if one in self.held], []
        state = Overlay(self.bench.final)
        self.ready = [one for one in before if self.applies(state, one)]
        while (found := next((one for one in self.waiting() if self.applies(state, one)), None)) is not None:
            self.ready.append(found)
        for one in before:
            if one not in self.ready:
                one.waits_since = self.now

    def waiting(self) -> list[Held]:
        return [one for one in self.held if one not in self.ready]

    def applies(self, state: Overlay, one: Held) -> bool:
        try:
            self.bench.ledger.apply(state, one.verified.transaction, self.bench.height)
        except InvalidTransaction:
            return False
        return True

    def after(self, some: Iterable[Held]) -> Overlay:
        """The final state and those of them that apply, in this order."""
        state = Overlay(self.bench.final)
        for one in some:
            self.applies(state, one)
        return state

    def select(self, count: int, size: int) -> list[VerifiedTransaction]:
        state = Overlay(self.bench.final)
        chosen: list[Held] = []
        ranked = sorted(self.held, key=lambda one: (-one.fee, one.arrival))
        while len(chosen) < count:
            room = size - sum(len(one.verified.raw) for one in chosen)
            fitting = (one for one in ranked if one not in chosen and len(one.verified.raw) <= room)
            found = next((one for one in fitting if self.applies(state, one)), None)
            if found is None:
                break
            chosen.append(found)
        return [one.verified for one in chosen]

    # ------------------------------------------------------------------------------------------------ §10.3

    def add(self, verified: VerifiedTransaction, *, must_apply: bool) -> Ends | str:
        """Who went for it; or the code of the rule that it breaks."""
        try:
            return self.added(verified, must_apply=must_apply)
        except InvalidTransaction as error:
            return error.code

    def added(self, verified: VerifiedTransaction, *, must_apply: bool) -> Ends:
        bench, transaction = self.bench, verified.transaction
        bench.ledger.check(transaction, bench.height)
        if transaction.nonce < bench.ledger.next_nonce(Overlay(bench.final), transaction.sender):
            raise refusal("nonce_used")
        expected = bench.ledger.next_nonce(self.after(self.ready), transaction.sender)
        if transaction.nonce > expected + mempool.NONCE_GAP_MAX:
            raise refusal("nonce_gap")
        new = Held(verified, self.arrivals, self.now, self.now)
        if transaction.nonce == expected and must_apply:
            bench.ledger.apply(self.after(self.ready), transaction, bench.height)
        old = next((one for one in self.held if one.place == new.place), None)
        if old is not None:
            gone = self.replace(old, new, must_apply=must_apply)
        else:
            applies = transaction.nonce == expected and self.applies(self.after(self.ready), new)
            gone = self.make_room(new, applies=applies, must_apply=must_apply)
        self.arrivals += 1
        self.held.append(new)
        self.settle()
        return gone

    # ------------------------------------------------------------------------------------------------ §10.4

    def replace(self, old: Held, new: Held, *, must_apply: bool) -> Ends:
        is_full_step = new.fee >= old.fee + max(1, old.fee // 10)
        is_small_step = new.fee > old.fee or (new.fee == old.fee and new.verified.id < old.verified.id)
        if not is_full_step and (must_apply or not is_small_step or old.small_steps == mempool.SMALL_STEPS_MAX):
            raise refusal("replacement_underpriced")
        if old.verified.id in self.protected:
            raise refusal("replacement_too_late")
        if self.bytes_of(one for one in self.held if one is not old) + len(new.verified.raw) > mempool.BYTES_MAX:
            raise refusal("pool_full")
        if old in self.ready and must_apply:
            sender, nonce = old.place
            others = [one for one in self.ready if one.place[0] != sender or one.place[1] < nonce]
            self.bench.ledger.apply(self.after(others), new.verified.transaction, self.bench.height)
        new.small_steps = old.small_steps + (not is_full_step)
        self.held.remove(old)
        self.settle()
        return [(old.verified.id, "replaced")]

    # ------------------------------------------------------------------------------------------------ §10.5

    def make_room(self, new: Held, *, applies: bool, must_apply: bool) -> Ends:
        if sum(one.place[0] == new.place[0] for one in self.held) >= mempool.SENDER_TRANSACTIONS_MAX:
            raise refusal("sender_full")
        if new.verified.id in self.given_up and not applies and not must_apply:
            raise refusal("waited_too_long")
        order = sorted(self.held, key=lambda one: (one in self.ready, one.fee, -one.arrival))
        victims: list[Held] = []
        while not self.has_room([one for one in self.held if one not in victims], new):
            may_go = (one for one in order if one not in victims and self.may_go(one, new))
            victim = next(may_go, None) if applies else None
            if victim is None:
                raise refusal("pool_full")
            victims.append(victim)
        self.held = [one for one in self.held if one not in victims]
        self.settle()
        return [(one.verified.id, "evicted") for one in victims]

    def may_go(self, one: Held, new: Held) -> bool:
        pays_less = one not in self.ready or one.fee < new.fee
        return pays_less and one.verified.id not in self.protected and one.place[0] != new.place[0]

    def has_room(self, held: Sequence[Held], new: Held) -> bool:
        size = self.bytes_of(held) + len(new.verified.raw)
        return len(held) < mempool.TRANSACTIONS_MAX and size <= mempool.BYTES_MAX

    @staticmethod
    def bytes_of(held: Iterable[Held]) -> int:
        return sum(len(one.verified.raw) for one in held)

    # ------------------------------------------------------------------------------------------------ §10.6

    def on_block(self, included: Sequence[VerifiedTransaction]) -> Ends:
        """The bench has moved its final state and its height on."""
        final = {one.id for one in included}
        places = {(one.transaction.sender, one.transaction.nonce) for one in included}
        self.held = [one for one in self.held if one.verified.id not in final]
        gone = [(one.verified.id, "nonce_used") for one in self.held if one.place in places]
        self.held = [one for one in self.held if one.place not in places]
        expiries = {one.verified.id: one.verified.transaction.expiry for one in self.held}
        late = {one for one, expiry in expiries.items() if expiry is not None and expiry < self.bench.height}
        self.held = [one for one in self.held if one.verified.id not in late]
        self.protected.clear()
        self.settle()
        return gone + [(one, "expired") for one in late]

    def give_up(self) -> Ends:
        late = [one for one in self.waiting() if self.now - one.waits_since >= mempool.WAIT_MAX_MS]
        late = [one for one in late if one.verified.id not in self.protected]
        self.held = [one for one in self.held if one not in late]
        self.given_up |= {one.verified.id for one in late}
        self.settle()
        return [(one.verified.id, "waited_too_long") for one in late]


def refusal(code: str) -> InvalidTransaction:
    return InvalidTransaction(code, "by the model")
