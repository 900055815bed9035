"""A tree built in parts is the tree, wherever its parts were built, and it can be gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.ledger import smt_build
from blockchain.ledger.smt import SparseMerkleTree
from blockchain.ledger.smt_build import (
    Builders,
    Hashed,
    Leaves,
    Part,
    Records,
    build_part,
    hash_leaves,
    hash_records,
    shared_out,
)
from blockchain.ledger.smt_subtree import BUCKET_LEAVES_MAX
from blockchain.ledger.state import FinalState
from blockchain.primitives import codec
from tests.ledger.test_smt import clustered_keys, ground_key, key_of, numbered, reference_root, spread_keys, updated


def hash_far(asked: Sequence[Records]) -> Iterable[Hashed]:
    """As another process would: all that goes there and comes back is bytes."""
    for one in asked:
        there = codec.decode_again(codec.encode(one), Records)
        yield codec.decode_again(codec.encode(hash_records(there)), Hashed)


def build_far(asked: Sequence[Leaves]) -> Iterable[Part]:
    for one in asked:
        there = codec.decode_again(codec.encode(one), Leaves)
        yield codec.decode_again(codec.encode(build_part(there)), Part)


FAR = Builders(hash_far, build_far)


@pytest.fixture(autouse=True)
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two levels a part, in place of twelve."""
    monkeypatch.setattr(smt_build, "PART_LEVELS", 2)


leaves = st.dictionaries(st.one_of(spread_keys, clustered_keys), st.binary(min_size=1, max_size=9), max_size=60)


@settings(max_examples=60, deadline=None)
@given(leaves, leaves)
def test_a_tree_of_parts_has_the_root_of_the_reference_before_and_after_changes(
    before: dict[bytes, bytes], later: dict[bytes, bytes]
) -> None:
    tree = SparseMerkleTree(before.items(), FAR)
    assert tree.root == reference_root(before) and len(tree) == len(before)
    changes = {**dict.fromkeys(list(before)[::3]), **later}
    tree.apply(changes)
    assert tree.root == reference_root(updated(before, changes))


@pytest.mark.parametrize("count", [BUCKET_LEAVES_MAX, BUCKET_LEAVES_MAX + 1, 200])
def test_a_slot_that_somebody_filled_is_built_too_and_goes_on_changing(count: int) -> None:
    held = {**numbered(100), **{ground_key(number): b"ground" for number in range(count)}}
    tree = SparseMerkleTree(held.items(), FAR)
    assert tree.root == reference_root(held)
    tree.apply({ground_key(0): b"other", ground_key(1): None})
    assert tree.root == reference_root(updated(held, {ground_key(0): b"other", ground_key(1): None}))


def test_parts_are_those_of_the_first_bits_of_the_keys_and_hold_every_leaf_once() -> None:
    held = numbered(100)
    asked = shared_out([hash_leaves(held.items())])
    assert [one.top for one in asked] == list(range(32, 64)) and {one.depth for one in asked} == {7}
    leaves = {one.top: [one.leaves[at : at + 64] for at in range(0, len(one.leaves), 64)] for one in asked}
    assert all(leaf[0] >> 3 == top - 32 for top, part in leaves.items() for leaf in part)
    assert sorted(leaf[:32] for part in leaves.values() for leaf in part) == sorted(held)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=9), max_size=60))
def test_a_state_hashed_in_pieces_has_the_root_of_the_reference(records: dict[bytes, bytes]) -> None:
    """Each record under the hash of its key, however many pieces there are."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(smt_build, "RECORDS_AT_ONCE", 7)
        state = FinalState(records, FAR)
    assert state.tree.root == reference_root({sha256(key).digest(): value for key, value in records.items()})
    assert list(state.since(b"")) == sorted(records.items())


def test_a_key_that_comes_twice_or_is_no_hash_and_a_value_of_nothing_are_asserts() -> None:
    for items in ([(key_of(1), b"a"), (key_of(1), b"b")], [(b"short", b"a")], [(key_of(1), b"")]):
        with pytest.raises(AssertionError):
            SparseMerkleTree(items)


def test_proofs_hold_over_the_border_of_two_parts() -> None:
    held = numbered(100)
    grown = SparseMerkleTree()
    grown.apply(held)
    asked = [key_of(number) for number in range(90, 110)]
    assert SparseMerkleTree(held.items()).prove(asked, held.__getitem__) == grown.prove(asked, held.__getitem__)
