"""How fast does a fresh node take over a chain, beside the verification of the same signatures on two cores?

50,000 signed transfers in blocks of 1,000 with the certificates of four validators, from the bytes that peers send to a
durable store, everything verified: encoding, signatures, certificates, VRF proofs, roots, rules. The state holds 10,000
or 1,000,000 accounts; senders and recipients are drawn from all of them at random. The node is the production one, in a
process of its own, without sockets (sync_node.py). The limit is libsodium on the same signatures in two threads. CPU
counts all threads and processes of the node; it is held against one signature on one thread.
"""

from __future__ import annotations

from typing import Final

from benchmarks.chains import MadeChain
from benchmarks.children import ask_child
from benchmarks.data import DataSet, few_accounts, many_accounts
from benchmarks.figures import Figure, beside_limits, figure_beside
from benchmarks.limits import Signed, signatures_seconds, signed_of
from benchmarks.options import Options
from benchmarks.stores import copy_of, store_folder
from benchmarks.sync_node import Answer
from blockchain.primitives.block import decode_block

NAME: Final = "sync"
THREADS: Final = 2
TARGETS: Final = (0.7, 0.55)  # with few and with many accounts
LIMIT: Final = "tx/s: signatures, two threads"
CPU_LIMIT: Final = "µs: its signature, one thread"


def measure(options: Options) -> list[Figure]:
    sets = zip(sets_of(options), TARGETS, strict=True)
    return [line for data, target in sets for line in _measure(options, data, target)]


def sets_of(options: Options) -> tuple[DataSet, DataSet]:
    """With few and with many accounts; small ones of the same kinds for a quick run."""
    if options.is_quick:
        return few_accounts(200, 3, 20), many_accounts(30, 9, 3, 20, height=20)
    return few_accounts(), many_accounts()


def _measure(options: Options, data: DataSet, target: float) -> list[Figure]:
    made = data.made(options)
    signed = signed_in(made, *data.synced)
    cpu: list[float] = []
    one_thread: list[float] = []

    def limit() -> float:
        return len(signed) / signatures_seconds(signed, THREADS)

    def run() -> float:
        some = signed[: len(signed) // 10]
        before = signatures_seconds(some, 1)
        answer = synced(options, made, data)
        one_thread.append((before + signatures_seconds(some, 1)) / 2 / len(some) * 1e6)
        if answer.cpu_seconds is not None:
            cpu.append(answer.cpu_seconds / len(signed) * 1e6)
        return len(signed) / answer.seconds

    rates, limits = beside_limits(options.runs, limit, run)
    accounts = f"{data.shape.accounts:,} accounts"
    figures = [figure_beside(f"sync, {accounts}", "tx/s", rates, limits, LIMIT, better="more", target=target)]
    if len(cpu) == len(rates):
        name = f"CPU of a transaction, {accounts}"
        figures.append(figure_beside(name, "µs", cpu, one_thread, CPU_LIMIT, better="less"))
    return figures


def synced(options: Options, made: MadeChain, data: DataSet) -> Answer:
    """One run of a fresh node, on a copy of the store."""
    first, last = data.synced
    with copy_of(store_folder(options.data, made, first - 1), options.data) as folder:
        return ask_child("benchmarks.sync_node", (made.folder, folder, first, last), Answer)


def signed_in(made: MadeChain, first: int, last: int) -> list[Signed]:
    """What is verified of the transfers of these blocks."""
    genesis_hash = made.spec().hash
    raws = [raw for block in made.blocks(first, last) for raw in decode_block(block.raw).transactions]
    return signed_of(raws, genesis_hash)
