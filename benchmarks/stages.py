"""Where does the time of a synced transaction go? µs by stage, in one thread, nothing beside anything.

The same blocks as in sync.py, through the production functions in the order of a node: a frame is verified
(`node.verify`), its block taken over (`Chain.import_block`), and the batch written (`SqliteStore`). Everything happens
once, in a process of its own, with the named functions timed from outside (stopwatch.py); what belongs to none of them
is the rest. Without the event loop, threads and effects of `NodeService`: sync.py's CPU of a transaction has those too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.chains import MadeBlock, MadeChain
from benchmarks.children import ask_child
from benchmarks.data import DataSet
from benchmarks.figures import Figure, figure
from benchmarks.options import Options
from benchmarks.stopwatch import Stopwatch, Timed
from benchmarks.stores import certificate_of, copy_of, store_folder
from benchmarks.sync import sets_of
from blockchain.consensus import pos
from blockchain.consensus.bft import BftEngine
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.state import FinalState, Overlay
from blockchain.node import chain as chain_module
from blockchain.node import stateless
from blockchain.node import verify as verify_module
from blockchain.node.chain import Chain
from blockchain.node.mempool import Mempool
from blockchain.node.messages import Blocks, VerifiedBlocks, encode_frame
from blockchain.node.state_slices import StateSlices
from blockchain.node.verify import VerifyContext, verify_frame
from blockchain.primitives import block as block_module
from blockchain.primitives import transaction as transaction_module
from blockchain.primitives import vrf
from blockchain.runtime import sqlite_index, sqlite_rows, sqlite_state, sqlite_stories, sqlite_validators
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_pending import PendingRows
from blockchain.seams import Write

NAME: Final = "stages"
TIMED: Final = (
    Timed(verify_module, "decode_frame", "decode frames and blocks"),
    Timed(verify_module, "decode_block", "decode frames and blocks"),
    Timed(stateless, "decode_block", "decode frames and blocks"),
    Timed(transaction_module, "decode_transaction", "decode transactions"),
    Timed(block_module, "transaction_ids", "ids"),
    Timed(verify_module, "transaction_ids", "ids"),
    Timed(verify_module, "_made", "make the verified block"),
    Timed(block_module, "transaction_root", "transaction root"),
    Timed(transaction_module, "verify", "signatures"),
    Timed(chain_module, "verify_certificate", "certificates and VRF"),
    Timed(BftEngine, "verify_seal", "certificates and VRF"),
    Timed(vrf, "verify", "certificates and VRF"),
    Timed(stateless, "check", "check a block's bytes, the rest of it"),
    Timed(AccountLedger, "apply_all", "apply"),
    Timed(AccountLedger, "finish_block", "finish the block"),
    Timed(AccountLedger, "validators", "finish the block"),
    Timed(Overlay, "root", "state root"),
    Timed(FinalState, "commit", "commit the state in memory"),
    Timed(Mempool, "on_block", "tell the pool"),
    Timed(Chain, "_try", "check a block, the rest of it"),
    Timed(Chain, "_move_head", "move the head, the rest of it"),
    Timed(StateSlices, "next", "cut the slice of the state"),
    Timed(sqlite_rows, "append_block", "store: block"),
    Timed(sqlite_index, "add_block", "store: index"),
    Timed(sqlite_state, "change_state", "store: state"),
    Timed(PendingRows, "remove", "store: pool"),
    Timed(sqlite_stories, "add_block_stories", "store: stories"),
    Timed(sqlite_validators, "add_turn", "store: turns"),
    Timed(SqliteStore, "write", "store: commit, and the rest of it"),
)


class Answer(Struct, frozen=True):
    """Seconds by stage, and how many transactions they are of."""

    transactions: int
    seconds: dict[str, float]


def measure(options: Options) -> list[Figure]:
    return [line for data in sets_of(options) for line in _measure(options, data)]


def _measure(options: Options, data: DataSet) -> list[Figure]:
    made = data.made(options)
    answers = [_asked(options, made, data) for _ in range(options.runs)]
    accounts = f"{data.shape.accounts:,} accounts"
    stages = dict.fromkeys(timed.stage for timed in TIMED) | {"rest": None}
    figures = []
    for stage in stages:
        values = [answer.seconds.get(stage, 0.0) / answer.transactions * 1e6 for answer in answers]
        figures.append(figure(f"{stage}, {accounts}", "µs", values, better="less", series=f"stages: {accounts}"))
    whole = [sum(answer.seconds.values()) / answer.transactions * 1e6 for answer in answers]
    return [*figures, figure(f"all, {accounts}", "µs", whole, better="less")]


def _asked(options: Options, made: MadeChain, data: DataSet) -> Answer:
    first, last = data.synced
    with copy_of(store_folder(options.data, made, first - 1), options.data) as folder:
        return ask_child("benchmarks.stages", (made.folder, folder, first, last), Answer)


# ---------------------------------------------------------------------------------------------------- in the child


def play(made: MadeChain, folder: Path, first: int, last: int) -> Answer:
    """Take over these blocks with the stopwatch on."""
    spec = made.spec()
    blocks = list(made.blocks(first, last))
    watch = Stopwatch()
    transactions = 0
    with closing(SqliteStore.open(folder, spec.hash)) as store:
        chain = Chain(spec, pos.ProofOfStake(spec.hash), store)
        engine = BftEngine(chain, chain.selection.forgers, spec.hash, spec.parameters, frozenset(), lambda _: False)
        with watch.watching(TIMED):
            for height, block in enumerate(blocks, first):
                frame = encode_frame(spec.hash, Blocks(height, (block.raw,), certificate_of(block.certificate)))
                with watch.stage("rest"):
                    transactions += take_over(chain, engine, store, frame, block)
    return Answer(transactions, dict(watch.seconds))


def take_over(chain: Chain, engine: BftEngine, store: SqliteStore, frame: bytes, block: MadeBlock) -> int:
    """One block from its frame to the disk; returns how many transactions it has."""
    sets = {chain.height: chain.validators}
    context = VerifyContext(chain.genesis_hash, chain.height, sets, chain.pool.get, awaited=chain.height)
    message = verify_frame(frame, context)
    assert isinstance(message, VerifiedBlocks), "a block that was not asked for"
    verified, certificate = message.blocks[0], certificate_of(block.certificate)
    engine.verify_seal(verified, certificate, chain.validators)
    for effect in chain.import_block(verified, certificate, verified.header.time_ms):
        if isinstance(effect, Write):
            store.write(effect.batch)
    return len(verified.transactions)


def main(arguments: Sequence[str]) -> int:
    chain, folder, first, last, answer = arguments
    told = play(MadeChain(Path(chain)), Path(folder), int(first), int(last))
    Path(answer).write_bytes(msgspec.json.encode(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
