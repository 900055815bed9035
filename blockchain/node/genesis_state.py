"""The state before block 1, computed once for all nodes of a process that begin one chain (docs/protocol.md §9).

Pure: the same genesis gives the same records, tree and set. A node asks at its start, if it has no block; a simulated
network asks for each of its nodes, which would take 50 ms and 1.5 MB each with 1,000 validators. It is forgotten when
the last of them has its first block: it may be as large as the state that they go on with.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from msgspec import Struct

from blockchain.genesis import LEDGERS
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.validators import ValidatorSet


class GenesisState(Struct, frozen=True, weakref=True):
    """`final` is everybody's: who changes it shares it (`FinalState.shared`)."""

    final: FinalState
    validators: ValidatorSet


_MADE: Final = WeakValueDictionary[ChainSpec, GenesisState]()  # of chains that a node of this process begins


def genesis_state(spec: ChainSpec) -> GenesisState:
    """The state of genesis, to be held for as long as it is used."""
    made = _MADE.get(spec)
    if made is None:
        made = _MADE[spec] = _make(spec)
    return made


def _make(spec: ChainSpec) -> GenesisState:
    """The tree is built at once: an empty one that grows by the records would be laid out anew with each doubling."""
    ledger = LEDGERS[spec.ledger](spec)
    overlay = Overlay(FinalState())
    ledger.genesis(overlay)
    final = FinalState((key, value) for key, value in overlay.changes().items() if value is not None)
    return GenesisState(final, ledger.validators(Overlay(final), 0, None))
