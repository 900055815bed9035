"""What grows with the chain, with validators, with stake? Blocks, draws, elections, the start of a node, its memory.

A block of 1,000 transfers, its signatures apart, at height 100 and at height 100,000 of one chain with 10,000 accounts,
in turns. A draw is one of the lottery, an election the end of a block after which a set is another one, and the switch
to it, with 10 to 10,000 validators and stakes of 1 and of 10^12 (of 10,000 validators 9·10^11: more is no chain's
supply). A start is that of a node with 100,000 blocks and 1,000,000 accounts (aged_node.py says what of it).
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Final, TypeVar

from benchmarks.actors import BALANCE, spec_of, validator_key
from benchmarks.aged_node import Started
from benchmarks.chains import MadeChain
from benchmarks.children import ask_child
from benchmarks.data import DataSet, growing, many_accounts
from benchmarks.figures import Figure, beside_limits, figure, figure_beside
from benchmarks.options import Options
from benchmarks.stores import copy_of, store_folder
from blockchain.consensus.lottery import Lottery
from blockchain.genesis import LEDGERS
from blockchain.ledger.state import Overlay
from blockchain.ledger.terms import closed_by
from blockchain.node.genesis_state import genesis_state
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Transaction, Unstake
from blockchain.primitives.vote import empty_certificate

NAME: Final = "growth"
VALIDATORS: Final = (10, 1_000, 10_000)
STAKES: Final = (1, 10**12)
SUPPLY: Final = 2**53 - 1
DRAWS: Final = 1_000
DRAW_US_MAX: Final = 50.0
START_S_MAX: Final = 5.0
MEMORY_MIB_MAX: Final = 1_024.0
RATIO_MAX: Final = 1.1
_MIB: Final = 1024 * 1024
_ZERO: Final = Hash32(bytes(32))

T = TypeVar("T")


def measure(options: Options) -> list[Figure]:
    aged = growing(50, 5, 20, 3, 20) if options.is_quick else growing()
    many = many_accounts(30, 9, 3, 20, height=20) if options.is_quick else many_accounts()
    return [*_blocks(options, aged), *_elections(options), *_starts(options, aged, many)]


# ---------------------------------------------------------------------------------------------------- blocks


def _blocks(options: Options, data: DataSet) -> list[Figure]:
    """The same number of blocks after the lower and after the higher store."""
    made = data.made(options)
    low, high = data.stores
    count = data.synced[1] - data.synced[0] + 1

    def taken_at(height: int) -> float:
        seconds = _ask(options, made, height, list[float], "blocks", height + 1, height + count)
        return median(seconds) * 1e3

    highs, lows = beside_limits(options.runs, lambda: taken_at(low), lambda: taken_at(high))
    old, series = f"ms, at height {low:,}", "blocks: of 1,000 transfers"
    return [
        figure(f"a block at height {low:,}", "ms", lows, better="less", series=series, at=low),
        figure_beside(
            f"a block at height {high:,}",
            "ms",
            highs,
            lows,
            old,
            better="less",
            target=RATIO_MAX,
            series=series,
            at=high,
        ),
    ]


# ---------------------------------------------------------------------------------------------------- validators


def _elections(options: Options) -> list[Figure]:
    figures = []
    for stake in STAKES:
        for validators in VALIDATORS[:1] if options.is_quick else VALIDATORS:
            spec = staked(validators, stake)
            whose = f"{validators:,} validators, stakes of {stake:,}"
            of = f"stakes of {stake:,}"
            draws = [_draw_seconds(spec) * 1e6 for _ in range(options.runs)]
            ends = [_election_seconds(spec) * 1e3 for _ in range(options.runs)]
            target = DRAW_US_MAX if validators == VALIDATORS[-1] else None
            draw, election = f"draws: {of}", f"elections: {of}"
            figures += [
                figure(f"a draw, {whose}", "µs", draws, better="less", target=target, series=draw, at=validators),
                figure(f"an election, {whose}", "ms", ends, better="less", series=election, at=validators),
            ]
    return figures


def staked(validators: int, stake: int) -> ChainSpec:
    """A chain of so many validators with so much stake each, or what the largest supply leaves each."""
    return spec_of(1, validators, min(stake, (SUPPLY - BALANCE) // validators))


def _draw_seconds(spec: ChainSpec) -> float:
    """The draw of round 0, the mean of many heights."""
    validators, genesis_hash = genesis_state(spec).validators, spec.hash
    begun = perf_counter()
    for height in range(DRAWS):
        Lottery(genesis_hash, _ZERO, height, validators).forger(0)
    return (perf_counter() - begun) / DRAWS


def _election_seconds(spec: ChainSpec) -> float:
    """One validator takes back the least that it can: the block's end, and the set that follows from it."""
    ledger, genesis = LEDGERS[spec.ledger](spec), genesis_state(spec)
    state, members = Overlay(genesis.final), genesis.validators
    leaver = Address(validator_key(0).public_key)
    ledger.apply(state, Transaction(1, leaver, 0, 0, None, Unstake(1)), 1)
    header, certificate = _header(spec, leaver), empty_certificate(spec.hash)
    begun = perf_counter()
    ledger.finish_block(state, header, (), certificate, members, members)
    following = ledger.validators(state, closed_by(spec.parameters, header.height), members)
    following.hash(spec.hash)
    seconds = perf_counter() - begun
    assert following != members, "an election that changes nothing"
    return seconds


def _header(spec: ChainSpec, forger: Address) -> Header:
    """Of block 1; the ledger reads height, time and forger."""
    return Header(
        version=1,
        height=1,
        round=0,
        seed=_ZERO,
        time_ms=spec.time_ms + 1,
        parent=spec.hash,
        forger=forger,
        vrf_proof=bytes(80),
        transaction_root=_ZERO,
        state_root=_ZERO,
        validators_hash=_ZERO,
        next_validators_hash=_ZERO,
        evidence_root=_ZERO,
        parent_certificate_hash=_ZERO,
        transaction_count=1,
        evidence_count=0,
    )


# ---------------------------------------------------------------------------------------------------- start and memory


def _starts(options: Options, aged: DataSet, many: DataSet) -> list[Figure]:
    """Three nodes: a young one, the same with more blocks, one with many accounts. What differs tells of memory."""
    (low, high), top = aged.stores, many.stores[-1]
    young, old, large = (_started(options, data, height) for data, height in ((aged, low), (aged, high), (many, top)))
    what = f"{top:,} blocks, {many.shape.accounts:,} accounts"
    seconds, cpu = [each.seconds for each in large], [each.cpu_seconds for each in large]
    figures = [
        figure(f"start with {what}", "s", seconds, better="less", target=START_S_MAX),
        figure("CPU of that start, all processes", "s", cpu, better="less"),
    ]
    sizes = [[each.memory_bytes for each in runs if each.memory_bytes is not None] for runs in (young, old, large)]
    if not all(sizes):
        return figures  # a system that does not tell
    least = median(sizes[0])
    more = many.shape.accounts - aged.shape.accounts
    of_block = [(size - least) / (high - low) for size in sizes[1]]
    of_account = [(size - median(sizes[1])) / more for size in sizes[2]]
    memory = [size / _MIB for size in sizes[2]]
    return [
        *figures,
        figure(f"memory with {what}", "MiB", memory, better="less", target=MEMORY_MIB_MAX),
        figure(f"memory with {low:,} blocks", "MiB", [size / _MIB for size in sizes[0]], better="less"),
        figure("memory of a block", "bytes", of_block, better="less"),
        figure("memory of an account", "bytes", of_account, better="less"),
    ]


def _started(options: Options, data: DataSet, height: int) -> list[Started]:
    made = data.made(options)
    return [_ask(options, made, height, Started, "start") for _ in range(options.runs)]


def _ask(options: Options, made: MadeChain, height: int, kind: type[T], what: str, *heights: int) -> T:
    """On a copy of the store at that height."""
    with copy_of(store_folder(options.data, made, height), options.data) as folder:
        return ask_child("benchmarks.aged_node", (what, made.folder, folder, *heights), kind)
