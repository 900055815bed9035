"""Where the set changes from height to height, each certificate and vote is judged by the set of its own height."""

from __future__ import annotations

import pytest

from blockchain.errors import InvalidBlock
from blockchain.node.core import Core
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Certificate
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.node.sync_bench import ONE, Bench
from tests.samples import certificate_of, key, wallet

NEWCOMER = key("a")
ALL = sorted([*KEYS, NEWCOMER], key=lambda one: one.public_key)
SPEC = spec_with(block_threshold=1, block_max_transactions=10, stake_delay=0)


def story() -> tuple[Node, list[VerifiedBlock], list[Certificate]]:
    """Three blocks; from the second on the newcomer has as much stake as the three others together."""
    node = Node(SPEC)
    blocks, certificates = [], []
    for transaction in (wallet("a", SPEC.hash).stake(300, 0), node.pay("b", 0), node.pay("b", 1)):
        blocks.append(node.grow(transaction))
        certificates.append(node.chain.head.certificate)
        node.keys = ALL
    return node, blocks, certificates


def test_a_block_carries_a_certificate_of_its_parents_set() -> None:
    _, blocks, certificates = story()
    follower = Node(SPEC)
    for block, certificate in zip(blocks, certificates, strict=True):
        follower.perform(follower.chain.import_block(block, certificate, NOW))
    assert [len(follower.chain.parent_validators), len(follower.chain.validators)] == [4, 4]


def test_who_has_come_since_does_not_make_up_for_who_was_there() -> None:
    """Two of the three of height 1, with the newcomer: two thirds of the set of height 2, and not of their own."""
    node = Node(SPEC)
    first = node.grow(wallet("a", SPEC.hash).stake(300, 0))
    node.keys = ALL
    node.add(node.pay("b", 0))
    chain = node.chain
    signed = {number: one for number, one in enumerate(ALL) if one in (NEWCOMER, *KEYS[:2])}
    certificate = certificate_of(signed, 1, first.id, genesis_hash=SPEC.hash)
    block = chain.build_block(0, node.proof(), certificate, NOW)
    follower = Node(SPEC)
    follower.perform(follower.chain.import_block(first, chain.parent_certificate, NOW))
    with pytest.raises(InvalidBlock, match="parent_certificate"):
        follower.chain.check_block(block)


def test_synced_blocks_are_proved_by_the_sets_of_their_heights() -> None:
    bench = Bench(length=3, chain=story())
    bench.tick()
    bench.answer(1, 3, peer=ONE)
    assert bench.height == 3


def test_votes_are_verified_with_the_sets_of_their_heights() -> None:
    node = Node(SPEC)
    node.grow(wallet("a", SPEC.hash).stake(300, 0))
    sets = Core(SPEC, node.store, frozenset()).context().sets
    assert {height: len(members) for height, members in sets.items()} == {1: 3, 2: 4}
