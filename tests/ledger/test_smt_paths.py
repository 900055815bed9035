"""The direct ways of the state tree, each against the slow one: whatever can happen in a few neighbouring slots."""

from __future__ import annotations

from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.ledger.smt import SparseMerkleTree
from blockchain.ledger.smt_build import DEPTH_MIN
from blockchain.ledger.smt_subtree import BUCKET_LEAVES_MAX, RECORD_BYTES, changed, content_of, hash_of, replaced
from blockchain.primitives.smt_proof import verify_proof
from tests.ledger.test_smt import Changes, ground_key, key_of, reference_root, updated

# two keys of one slot, one of its neighbour, one of the next pair of slots; and one far away
FEW = [first + bytes(31) for first in (b"\x40", b"\x48", b"\x50", b"\x60")]
FAR = b"\xff" + bytes(31)


def reference_hash(records: list[bytes], depth: int) -> bytes:
    """LIP-0039's definition over records, from `depth` on."""
    if len(records) < 2:
        return records[0][32:] if records else sha256(b"").digest()
    halves: tuple[list[bytes], list[bytes]] = ([], [])
    for record in records:
        halves[int.from_bytes(record[:32], "big") >> (255 - depth) & 1].append(record)
    return sha256(b"\x01" + reference_hash(halves[0], depth + 1) + reference_hash(halves[1], depth + 1)).digest()


def record_of(key: bytes) -> bytes:
    return key + sha256(key).digest()


@pytest.mark.parametrize("held", list(product((False, True), repeat=len(FEW))))
def test_all_that_can_happen_in_neighbouring_slots(held: tuple[bool, ...]) -> None:
    """Each key there or not, and then left alone, changed or deleted; and all of it taken back."""
    before = {FAR: b"far", **{key: b"old" for key, is_held in zip(FEW, held, strict=True) if is_held}}
    tree = SparseMerkleTree(before.items())
    back: Changes = {key: before.get(key) for key in [*FEW, FAR]}
    for values in product(("alone", b"new", None), repeat=len(FEW)):
        changes: Changes = {key: value for key, value in zip(FEW, values, strict=True) if not isinstance(value, str)}
        changes[FAR] = b"other"  # a lone leaf high above its slot, beside whatever the others become
        tree.apply(changes)
        after = updated(before, changes)
        assert (tree.root, len(tree)) == (reference_root(after), len(after))
        proven = verify_proof([*FEW, FAR], tree.prove([*FEW, FAR], after.__getitem__), tree.root)
        assert proven == tuple(after.get(key) for key in [*FEW, FAR])
        tree.apply(back)
        assert (tree.root, len(tree)) == (reference_root(before), len(before))


shared = st.sampled_from([DEPTH_MIN, 5, 20, 62, 63, 64, 65, 66, 200])
few_keys = st.lists(st.builds(ground_key, st.integers(0, 99), shared), min_size=1, max_size=BUCKET_LEAVES_MAX)


@settings(max_examples=200, deadline=None)
@given(few_keys, st.integers(0, DEPTH_MIN))
def test_the_hash_of_a_slot_is_that_of_the_reference(keys: list[bytes], depth: int) -> None:
    """With keys that part late too: behind the first word of them, by which others are told apart."""
    records = sorted({record_of(key) for key in keys})
    assert hash_of(b"".join(records), depth) == reference_hash(records, depth)


@settings(max_examples=200, deadline=None)
@given(few_keys, st.integers(0, BUCKET_LEAVES_MAX - 1))
def test_another_value_is_put_where_the_leaf_is(keys: list[bytes], which: int) -> None:
    records = sorted({record_of(key) for key in keys})
    content, key = b"".join(records), records[which % len(records)][:32]
    digest = sha256(b"new").digest()
    assert replaced(content, key, digest) == changed(content, DEPTH_MIN, [(key, key + digest)])
    assert len(replaced(content, key, digest)) == len(records) * RECORD_BYTES


def test_a_key_is_found_only_where_a_leaf_begins() -> None:
    first, second, other = sorted(key_of(number) for number in range(3))
    content = first + second + second + bytes(32)  # the first leaf's hash, as it happens, is the second's key
    assert replaced(content, second, b"\xaa" * 32) == b""
    assert changed(content, 0, [(second, second + b"\xaa" * 32)]) == first + second + second + b"\xaa" * 32
    assert replaced(content, other, b"\xaa" * 32) == b""


def test_a_subtree_has_no_records_to_replace() -> None:
    keys = sorted(ground_key(number) for number in range(BUCKET_LEAVES_MAX + 1))
    subtree = content_of(b"".join(map(record_of, keys)), DEPTH_MIN)
    assert replaced(subtree, keys[0], bytes(32)) == b""
