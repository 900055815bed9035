"""A pool on a bench: transactions without signatures, a state of its own, and blocks that move it on."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.ledger.state import Overlay
from blockchain.node.mempool import Mempool
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Payload, Transaction, Transfer, VerifiedTransaction
from blockchain.seams import TransactionStory
from tests.ledger.one_ledger import Chain
from tests.samples import address, spec_of

NOW = 5_000
ADDRESSES = {name: address(name) for name in ("a", "b", "c", "d", "mint", "new")}
made: dict[Transaction, VerifiedTransaction] = {}


def verified(sender: str, nonce: int, payload: Payload, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
    """As verification hands it over; the pool never looks at signatures, so that an id and some bytes will do."""
    transaction = Transaction(1, ADDRESSES[sender], nonce, fee, expiry, payload, NO_SIGNATURE)
    new_id = Hash32((len(made) + 1).to_bytes(32, "big"))
    return made.setdefault(transaction, VerifiedTransaction(new_id, bytes(200), transaction))


def pay(sender: str, nonce: int, amount: int = 1, to: str = "d", **rest: Any) -> VerifiedTransaction:
    return verified(sender, nonce, Transfer(ADDRESSES[to], amount), **rest)


class End(NamedTuple):
    """How a transaction left the pool."""

    id: Hash32
    code: str
    time_ms: int
    why: str


def end_of(told: TransactionStory) -> End:
    last = told.stages[-1]
    assert told.stages[0].name == "received" and last.name in ("refused", "replaced", "evicted", "expired")
    return End(told.id, last.code, last.time_ms, last.why)


class Bench:
    """A pool on a state of its own, and blocks that move the state on."""

    def __init__(self, **parameters: Any) -> None:
        self.chain = Chain(spec_of(parameters=parameters))
        self.ledger, self.final = self.chain.ledger, self.chain.final
        self.height = 1
        self.pool = Mempool(self.ledger, Overlay(self.final), self.height)

    def add(self, *transactions: VerifiedTransaction, now: int = NOW, must_apply: bool = False) -> End | None:
        """Adds all; returns what the last one replaced, or made go."""
        gone: list[TransactionStory] = []
        for transaction in transactions:
            gone = self.pool.add(transaction, now, must_apply=must_apply)
        assert len(gone) <= 1
        return end_of(gone[0]) if gone else None

    def refuses(self, transaction: VerifiedTransaction, *, must_apply: bool = False) -> str:
        before = list(self.pool), self.pool.ready_count, self.pool.bytes
        with pytest.raises(InvalidTransaction) as caught:
            self.pool.add(transaction, NOW, must_apply=must_apply)
        assert (list(self.pool), self.pool.ready_count, self.pool.bytes) == before
        return caught.value.code

    def select(self, count: int = 100, size: int = 10**6) -> list[VerifiedTransaction]:
        state = Overlay(self.final)
        chosen = self.pool.select(state, count, size)
        self.check_applied(state, chosen)
        return chosen

    def select_ready(self, count: int = 100, size: int = 10**6) -> list[VerifiedTransaction]:
        state = Overlay(self.final)
        chosen = self.pool.select_ready(state, count, size)
        self.check_applied(state, chosen)
        return chosen

    def check_applied(self, state: Overlay, chosen: list[VerifiedTransaction]) -> None:
        again = Overlay(self.final)
        for each in chosen:
            self.ledger.apply(again, each.transaction, self.height)
        assert again.changes() == state.changes()

    def block(self, *transactions: VerifiedTransaction, **ending: Any) -> list[End]:
        """These become final, from the pool or from elsewhere; `ending` is what `Chain.block` takes."""
        settlement = self.chain.block(*(each.transaction for each in transactions), **ending)
        self.height += 1
        told = self.pool.on_block(Overlay(self.final), self.height, transactions, settlement, NOW)
        return [end_of(one) for one in told]


def applied_by(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Transaction]:
    """What the pool has the ledger apply from now on, in a list that grows."""
    applied: list[Transaction] = []
    apply = bench.ledger.apply_but_fee

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        applied.append(transaction)
        return apply(state, transaction, height)

    monkeypatch.setattr(bench.ledger, "apply_but_fee", counted)
    return applied
