"""What does the pool cost, beside a signature? Add, replace, evict, and select a block, with 100,000 pending.

The pool of a node, full: 100,000 transfers of 10,000 senders, ten nonces each, fees at random. Additions come as from
peers. A client's replacement of a transaction that is ready, and an eviction, make the pool find anew what is ready:
that is in their cost, and the pool does it so often a second and no more (`mempool.SEARCHED_MAX`). What a transaction
costs is held against the verification of its signature, which came before (libsodium, one thread). Python's collector
rests, as it does in a node. The first eviction finds out who would go first, of all that wait or are ready, once for
some hundred thousand; the next ones know it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from time import perf_counter
from typing import Final

from benchmarks.actors import account_key, spec_of
from benchmarks.figures import Figure, beside_limits, figure, figure_beside
from benchmarks.limits import Signed, signatures_seconds, signed_of
from benchmarks.options import Options
from blockchain.genesis import LEDGERS
from blockchain.ledger.state import Overlay
from blockchain.node import mempool
from blockchain.node.genesis_state import genesis_state
from blockchain.node.mempool import Mempool
from blockchain.primitives.block import BODY_BYTES_MAX
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Transaction, Transfer, VerifiedTransaction
from blockchain.runtime.collector import rest_collector
from blockchain.wallet import Wallet

NAME: Final = "mempool"
NONCES: Final = 10  # of each sender
FEES: Final = range(1, 1_000)
RAW: Final = bytes(170)  # a transfer's length; the pool looks at nothing else of it
BLOCK: Final = 1_000
EVICTIONS: Final = 100  # after the first, for the mean of the next
SIGNATURES: Final = 2_000  # for the limit
LIMIT: Final = "µs: its signature, one thread"


class Pool:
    """A pool on the state of a genesis, and transactions as verification hands them over, without signatures."""

    def __init__(self, spec: ChainSpec, senders: int) -> None:
        self.ledger = LEDGERS[spec.ledger](spec)
        self.final = genesis_state(spec).final
        self.pool = Mempool(self.ledger, Overlay(self.final), 1)
        self.now = 0
        self._made = 0
        self._addresses = [Address(each.address) for each in spec.accounts[:senders]]

    def transfer(self, sender: int, nonce: int, fee: int) -> VerifiedTransaction:
        self._made += 1
        to = self._addresses[(sender + 1) % len(self._addresses)]
        unsigned = Transaction(1, self._addresses[sender], nonce, fee, None, Transfer(to, 1), NO_SIGNATURE)
        return VerifiedTransaction(Hash32(self._made.to_bytes(32, "big")), RAW, unsigned)

    def transfers(self, chance: Random) -> Iterator[VerifiedTransaction]:
        """All that the pool is to hold, in rounds over the senders: none leaves a gap."""
        for nonce in range(NONCES):
            for sender in range(len(self._addresses)):
                yield self.transfer(sender, nonce, chance.choice(FEES))

    def add(self, *transactions: VerifiedTransaction, must_apply: bool = False) -> None:
        for each in transactions:
            self.pool.add(each, self.now, must_apply=must_apply)

    def pass_second(self) -> None:
        """Now it may be found anew again what is ready."""
        self.now += 1_000


def measure(options: Options) -> list[Figure]:
    senders = 100 if options.is_quick else mempool.TRANSACTIONS_MAX // NONCES
    spec = spec_of(senders + 1)  # one more, who brings what others are evicted for
    signed = _signed(spec)
    limit = partial(_signature_us, signed)
    seconds: dict[str, list[float]] = {"add": [], "select": [], "replace": [], "evict": [], "evict next": []}
    chance = Random(6)

    def run() -> float:
        pool = Pool(spec, senders)
        waiting = list(pool.transfers(chance))
        seconds["add"].append(_seconds(partial(pool.add, *waiting)) / len(waiting))
        seconds["select"].append(_seconds(partial(_select, pool, min(BLOCK, len(waiting)))))
        seconds["replace"].append(_replace(pool, senders))
        if len(pool.pool) == mempool.TRANSACTIONS_MAX:
            first, following = _evict(pool, spec)
            seconds["evict"].append(first)
            seconds["evict next"].append(following)
        return seconds["add"][-1] * 1e6

    with _collector_at_rest():
        add, limits = beside_limits(options.runs, limit, run)
    select = [each * 1e3 for each in seconds["select"]]
    select_limits = [each * BLOCK / 1e3 for each in limits]
    figures = [
        figure_beside("add one", "µs", add, limits, LIMIT, better="less", target=10, target_of="value"),
        figure_beside(
            "select a block of 1,000",
            "ms",
            select,
            select_limits,
            "ms: its signatures, one thread",
            better="less",
            target=5,
            target_of="value",
        ),
        figure("replace one that is ready", "ms", [each * 1e3 for each in seconds["replace"]], better="less"),
    ]
    if seconds["evict"]:
        evict = [each * 1e3 for each in seconds["evict"]]
        figures.append(figure("evict one that is ready, the first", "ms", evict, better="less"))
        following = [each * 1e3 for each in seconds["evict next"]]
        figures.append(figure("evict one that is ready, the next", "ms", following, better="less"))
    return figures


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    before = gc.get_threshold()
    rest_collector()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _select(pool: Pool, count: int) -> None:
    chosen = pool.pool.select(Overlay(pool.final), count, BODY_BYTES_MAX)
    assert len(chosen) == count, "a block that is not full"


def _replace(pool: Pool, senders: int) -> float:
    """Seconds for one, with what is ready found anew: a few, in different seconds of the pool's clock."""
    asked = range(0, senders, max(senders // 4, 1))
    total = 0.0
    for sender in asked:
        better = pool.transfer(sender, 0, 2 * FEES.stop)
        pool.pass_second()
        total += _seconds(partial(_add_and_look, pool, better))
    return total / len(asked)


def _evict(pool: Pool, spec: ChainSpec) -> tuple[float, float]:
    """Seconds for one that pays more than any other, in a pool without room: for the first, and for one of the next."""
    rich = Wallet(account_key(len(spec.accounts) - 1), spec.hash)
    to = Address(spec.accounts[0].address)
    first, *following = [rich.transfer(to, 1, nonce, fee=10 * FEES.stop) for nonce in range(1 + EVICTIONS)]
    pool.pass_second()
    seconds = _seconds(partial(_add_and_look, pool, first))
    pool.pass_second()
    return seconds, _seconds(partial(pool.add, *following, must_apply=True)) / EVICTIONS


def _add_and_look(pool: Pool, transaction: VerifiedTransaction) -> None:
    pool.add(transaction, must_apply=True)
    assert pool.pool.ready_count == len(pool.pool), "some of them wait"


def _signed(spec: ChainSpec) -> list[Signed]:
    wallet = Wallet(account_key(0), spec.hash)
    to = Address(spec.accounts[1].address)
    return signed_of([wallet.transfer(to, 1, nonce).raw for nonce in range(SIGNATURES)], spec.hash)


def _signature_us(signed: list[Signed]) -> float:
    return signatures_seconds(signed, 1) / len(signed) * 1e6


def _seconds(work: Callable[[], None]) -> float:
    """Without the garbage of what was before it."""
    gc.collect()
    begun = perf_counter()
    work()
    return perf_counter() - begun
