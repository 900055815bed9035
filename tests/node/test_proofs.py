"""What a core shows for proofs: header and state of one moment, and the sets that it can still tell."""

from __future__ import annotations

import pytest

from blockchain.consensus.lottery import first_seed
from blockchain.node.ahead import StoreAhead
from blockchain.node.core import Core
from blockchain.node.proofs import account_proof_of
from blockchain.node.reader import lottery_of, validators_at
from blockchain.primitives import codec
from blockchain.primitives.block import decode_block
from blockchain.primitives.records import Account, account_key, stakeholder_key, tree_key
from blockchain.primitives.smt_proof import verify_proof
from tests.node.one_chain import KEYS, NOW, Node, spec_with, twin
from tests.samples import address, key, wallet

FEW = {"block_threshold": 1, "block_max_transactions": 10, "stake_delay": 0}


def man(node: Node) -> None:
    """It can stand in for "a" and "b" too, where they validate now."""
    known = [*KEYS, key("a"), key("b")]
    members = node.chain.validators.by_key
    node.keys = sorted((one for one in known if one.public_key in members), key=lambda one: one.public_key)


def balance(core: Core, ahead: StoreAhead, name: str) -> tuple[int, int]:
    """The height of the header beside the proof, and the balance that is proven under that very header."""
    view = account_proof_of(core, ahead, address(name))
    assert view is not None
    keys = [tree_key(key) for key in (account_key(address(name)), stakeholder_key(address(name)))]
    header = decode_block(view.block.raw).header
    value, _ = verify_proof(keys, view.proof, header.state_root)
    assert value is not None
    return header.height, codec.decode(value, Account, bytes_max=100).balance


def test_header_and_state_are_of_one_height_while_a_block_is_being_written() -> None:
    node = Node(spec_with(**FEW))
    node.grow(node.pay("a", 0, amount=10))
    core = Core(node.spec, node.store, frozenset())
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
    core = Core(node.spec, node.store, frozenset())
    for height in (None, 1, 2, 3, 4):
        assert validators_at(core, node.store, height) == core.chain.validators
    for height in (0, 5):
        with pytest.raises(LookupError):
            validators_at(core, node.store, height)
    receipt = lottery_of(core, node.store, 1, 0)
    assert receipt is not None and receipt.seed == first_seed(node.spec.hash)


def test_a_set_that_has_changed_is_known_as_it_was_and_as_it_is() -> None:
    node = Node(spec_with(**FEW))
    node.grow(node.pay("a", 0))
    node.grow(wallet("b", node.spec.hash).stake(5, 0))  # counts from height 3 on
    core = Core(node.spec, node.store, frozenset())
    assert [len(validators_at(core, node.store, height)) for height in (1, 2, 3)] == [3, 3, 4]


def test_every_set_that_there_was_is_known_and_gives_receipts_and_proofs() -> None:
    """Three changes ago, and two: of what the head's set and the next one say nothing."""
    node = Node(spec_with(**FEW))
    for name, nonce in (("a", 0), ("b", 0), ("a", 1)):
        node.grow(wallet(name, node.spec.hash).stake(1, nonce))
        man(node)
    core = Core(node.spec, node.store, frozenset())
    for height in (1, 2, 3, 4):
        chosen = validators_at(core, node.store, height)
        assert (len(chosen), chosen.total) == (min(2 + height, 5), 299 + height)
        stored = node.store.block(height)
        receipt = lottery_of(core, node.store, height, 0)
        assert receipt is not None and receipt.validators == chosen
        if stored is not None:
            header = decode_block(stored.raw).header
            assert header.validators_hash == chosen.hash(node.spec.hash)
            assert (receipt.forger, receipt.vrf_proof) == (header.forger, header.vrf_proof)


def test_sets_are_known_while_their_block_is_being_written() -> None:
    node = Node(spec_with(**FEW))
    node.grow(wallet("a", node.spec.hash).stake(1, 0))
    ahead = StoreAhead(node.store)
    core = Core(node.spec, node.store, frozenset())
    man(node)
    node.add(wallet("b", node.spec.hash).stake(1, 0))
    block = node.build()
    effects = core.chain.import_block(block, node.certificate(block), NOW)
    ahead.expect(effects)
    assert [len(validators_at(core, ahead, height)) for height in (1, 2, 3)] == [3, 4, 5]


def test_a_store_of_an_earlier_format_says_what_it_does_not_know() -> None:
    """It has blocks and state, as an upgrade leaves it; with its next block it knows its head's set, and all after."""
    node = Node(spec_with(**FEW))
    for height in range(1, 4):
        node.grow(*([wallet("b", node.spec.hash).stake(5, 0)] if height == 2 else [node.pay("a", height // 2)]))
    old = twin(node)
    core = Core(old.spec, old.store, frozenset())
    assert len(validators_at(core, old.store, 3)) == 4, "as the hash of its header says, that of the head"
    with pytest.raises(LookupError, match="was not told the set of height 2"):
        validators_at(core, old.store, 2)
    assert lottery_of(core, old.store, 2, 0) is None
    man(old)
    old.grow(old.pay("a", 2))
    assert [old.store.validators(height) for height in (1, 2)] == [None, None]
    assert [len(validators_at(Core(old.spec, old.store, frozenset()), old.store, height)) for height in (3, 4, 5)] == [
        4,
        4,
        4,
    ]
    assert [turn.height for turn in old.store.turns()] == [4]
