"""The state before block 1, computed once for all nodes of a process that run one chain (docs/protocol.md §9).

Pure: the same genesis gives the same records, tree and set. A node asks once, at its start; a simulated network asks
for each of its nodes, which would take 50 ms and 1.5 MB each with 1,000 validators.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from blockchain.genesis import LEDGERS
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.validators import ValidatorSet

CHAINS_MAX: Final = 2  # remembered: more than one process runs, but for tests


class GenesisState(NamedTuple):
    """`changes` reach the store with block 1. `final` is everybody's: who changes it takes a copy."""

    changes: tuple[tuple[bytes, bytes | None], ...]
    final: FinalState
    validators: ValidatorSet


@lru_cache(maxsize=CHAINS_MAX)
def genesis_state(spec: ChainSpec) -> GenesisState:
    """The tree is built at once: an empty one that grows by the records would be laid out anew with each doubling."""
    ledger = LEDGERS[spec.ledger](spec)
    overlay = Overlay(FinalState())
    ledger.genesis(overlay)
    changes = tuple(sorted(overlay.changes().items()))
    final = FinalState((key, value) for key, value in changes if value is not None)
    return GenesisState(changes, final, ledger.validators(Overlay(final), 0, None))
