"""What a core shows for proofs: header and state of one moment, and the sets that it can still tell."""

from __future__ import annotations

import pytest

from blockchain.consensus.lottery import first_seed
from blockchain.node.ahead import StoreAhead
from blockchain.node.core import Core
from blockchain.node.proofs import account_proof_of
from blockchain.node.reader import lottery_of, validators_at
from blockchain.primitives import codec
from blockchain.primitives.records import Account, account_key, stakeholder_key, tree_key
from blockchain.primitives.smt_proof import verify_proof
from tests.node.one_chain import NOW, Node, spec_with
from tests.samples import address, wallet

FEW = {"block_threshold": 1, "block_max_transactions": 10, "stake_delay": 0}


def balance(core: Core, ahead: StoreAhead, name: str) -> tuple[int, int]:
    """The height of the header beside the proof, and the balance that is proven under that very header."""
    view = account_proof_of(core, ahead, address(name))
    assert view is not None
    keys = [tree_key(key) for key in (account_key(address(name)), stakeholder_key(address(name)))]
    value, _ = verify_proof(keys, view.proof, view.block.header.state_root)
    assert value is not None
    return view.block.header.height, codec.decode(value, Account, bytes_max=100).balance


def test_header_and_state_are_of_one_height_while_a_block_is_being_written() -> None:
    node = Node(spec_with(**FEW))
    node.grow(node.pay("a", 0, amount=10))
    core = Core(node.spec, node.store, None)
    ahead = StoreAhead(node.store)
    assert balance(core, ahead, "a") == (1, 990)
    node.add(node.pay("a", 1, amount=10))
    block = node.build()
    effects = core.chain.finalize(block, node.certificate(block), 0, NOW)
    ahead.expect(effects)
    assert balance(core, ahead, "a") == (2, 980)  # the store has block 1 only
    node.perform(effects)
    ahead.settle()
    assert balance(core, ahead, "a") == (2, 980)


def test_a_set_that_has_not_changed_is_known_for_every_height_since() -> None:
    node = Node(spec_with(**FEW))
    for nonce in range(3):
        node.grow(node.pay("a", nonce))
    core = Core(node.spec, node.store, None)
    for height in (None, 1, 2, 3, 4):
        assert validators_at(core, height, node.store.block(height or 0)) == core.chain.validators
    for height in (0, 5):
        with pytest.raises(LookupError):
            validators_at(core, height, node.store.block(height))
    receipt = lottery_of(core, 1, 0, node.store.block(1))
    assert receipt is not None and receipt.seed == first_seed(node.spec.hash)


def test_a_set_that_has_changed_is_known_as_it_was_and_as_it_is() -> None:
    node = Node(spec_with(**FEW))
    node.grow(node.pay("a", 0))
    node.grow(wallet("b", node.spec.hash).stake(5, 0))  # counts from height 3 on
    core = Core(node.spec, node.store, None)
    assert len(validators_at(core, 2, node.store.block(2))) == 3
    assert len(validators_at(core, 3, None)) == 4
    assert len(validators_at(core, 1, node.store.block(1))) == 3
