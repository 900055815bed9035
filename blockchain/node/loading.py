"""What a chain goes on from when its node starts: the final state in its store, and the head that led to it.

The state is what the store holds of it; that it is the state after the head is shown by its root, which is computed
from all records and must be the one in the head's header (docs/protocol.md §11).
"""

from __future__ import annotations

from msgspec import Struct

from blockchain.consensus.pos import ProofOfStake
from blockchain.errors import StoreError
from blockchain.ledger.smt_build import Builders
from blockchain.ledger.state import FinalState, Overlay
from blockchain.node.genesis_state import GenesisState, genesis_state
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, decode_block
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, empty_certificate
from blockchain.seams import Ledger, Store


class Head(Struct, frozen=True):
    """The newest final block, or genesis (height 0, its hash, no header)."""

    height: int
    id: Hash32
    time_ms: int
    validators: ValidatorSet  # of this height
    certificate: Certificate


class Loaded(Struct, frozen=True):
    """The head, the state after it, and the set and the seed of the height after it.

    `genesis` is held while there is no block: others may share it, so that `final` is copied before it is changed.
    """

    head: Head
    final: FinalState
    validators: ValidatorSet
    seed: Hash32
    genesis: GenesisState | None = None


def load(spec: ChainSpec, ledger: Ledger, selection: ProofOfStake, store: Store, builders: Builders) -> Loaded:
    """Raises StoreError for a damaged store, such as one whose state is not the one after its head."""
    return _from_store(ledger, selection, store, builders) if store.head() else _from_genesis(spec, ledger, selection)


def _from_genesis(spec: ChainSpec, ledger: Ledger, selection: ProofOfStake) -> Loaded:
    made, genesis_hash = genesis_state(spec), spec.hash
    head = Head(0, genesis_hash, spec.time_ms, made.validators, empty_certificate(genesis_hash))
    final = made.final.shared()
    following = ledger.validators(Overlay(final), 1, made.validators)
    return Loaded(head, final, following, selection.first_seed(), made)


def _from_store(ledger: Ledger, selection: ProofOfStake, store: Store, builders: Builders) -> Loaded:
    height = store.head()
    stored = store.block(height)
    assert stored is not None, "a store without its head"
    header = decode_block(stored.raw).header
    final = FinalState(store.state_records(), builders)
    state = Overlay(final)
    if header.state_root != state.root():
        raise StoreError(
            f"the state in the store is not the one after block {height}: the store is damaged; move chain.db and "
            "its -wal aside (not the signing record) and start again: the node fetches the blocks from its peers"
        )
    validators = ledger.validators(state, height, None)
    certificate = codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)
    head = Head(height, stored.id, header.time_ms, validators, certificate)
    following = ledger.validators(state, height + 1, None)
    return Loaded(head, final, following, selection.seed_after(header, validators))
