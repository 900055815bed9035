"""The state tree: the cases of LIP-0039, and a thirty-line reference that does everything by recursion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidProof, MalformedMessage
from blockchain.ledger.smt import SparseMerkleTree
from blockchain.ledger.smt_build import DEPTH_MIN
from blockchain.ledger.smt_subtree import BUCKET_LEAVES_MAX
from blockchain.primitives.codec import decode, encode
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.smt_proof import (
    EMPTY_HASH,
    PROOF_KEYS_MAX,
    Query,
    StateProof,
    leaf_hash,
    verify_proof,
)
from tests.vectors import load_vectors

ROOT_FILES = {  # of the Lisk protocol specification, with the number of cases in each
    "lisk-smt-fixtures.json.gz": 128,
    "lisk-update-tree.json.gz": 256,
    "lisk-remove-extra-tree.json.gz": 236,
    "lisk-smt-proof-fixtures.json.gz": 128,
}

Changes = dict[bytes, bytes | None]


# --- the reference


def reference_root(leaves: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """LIP-0039's definition, word for word: no leaf is nothing, one leaf is itself, more are a branch."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        ((key, value),) = leaves.items()
        return sha256(b"\x00" + key + value).digest()
    halves: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for key, value in leaves.items():
        halves[int.from_bytes(key, "big") >> (255 - depth) & 1][key] = value
    left, right = (reference_root(half, depth + 1) for half in halves)
    return sha256(b"\x01" + left + right).digest()


def updated(leaves: Mapping[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**leaves, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def key_of(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


def ground_key(number: int, shared_bits: int = 40) -> bytes:
    """A key as an attacker might grind it: it begins with `shared_bits` ones."""
    ones = (1 << shared_bits) - 1 << (256 - shared_bits)
    return (int.from_bytes(key_of(number), "big") | ones).to_bytes(32, "big")


def numbered(count: int) -> dict[bytes, bytes]:
    return {key_of(number): b"value %d" % number for number in range(count)}


# --- outside vectors


def unhex(texts: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def vector_state(case: Any) -> tuple[SparseMerkleTree, dict[bytes, bytes]]:
    """The tree of a case, each key set and deleted on its own, and what is left in it."""
    tree, leaves = SparseMerkleTree(), dict[bytes, bytes]()
    pairs = zip(unhex(case["input"]["keys"]), unhex(case["input"]["values"]), strict=True)
    for key, value in pairs:
        tree.apply({key: value})
        leaves[key] = value
    for key in unhex(case["input"]["deleteKeys"]):
        tree.apply({key: None})
        leaves.pop(key, None)
    return tree, leaves


@pytest.mark.parametrize("name", ROOT_FILES)
def test_roots_of_the_lisk_vectors(name: str) -> None:
    cases = load_vectors(name)["testCases"]
    assert len(cases) == ROOT_FILES[name]
    for case in cases:
        tree, leaves = vector_state(case)
        expected = bytes.fromhex(case["output"]["merkleRoot"])
        assert tree.root == expected, case["description"]
        assert SparseMerkleTree(leaves.items()).root == expected, case["description"]
        one_batch = SparseMerkleTree(zip(*(unhex(case["input"][it]) for it in ("keys", "values")), strict=True))
        assert one_batch.speculate(dict.fromkeys(unhex(case["input"]["deleteKeys"]))).root == expected


def test_proofs_of_the_lisk_vectors() -> None:
    checked = 0
    for case in load_vectors("lisk-smt-proof-fixtures.json.gz")["testCases"]:
        tree, leaves = vector_state(case)
        keys = unhex(case["input"]["queryKeys"])
        proof = tree.prove(keys, leaves.__getitem__)
        expected = case["output"]["proof"]
        assert [h.hex() for h in proof.sibling_hashes] == expected["siblingHashes"], case["description"]
        assert [
            {"key": q.key.hex(), "value": q.value.hex(), "bitmap": q.bitmap.hex()} for q in proof.queries
        ] == expected["queries"], case["description"]
        proven = verify_proof(keys, proof, bytes.fromhex(case["output"]["merkleRoot"]))
        assert proven == tuple(leaves.get(key) for key in keys)
        checked += 1
    assert checked == 128


# --- against the reference

spread_keys = st.integers(0, 60).map(key_of)
clustered_keys = st.builds(ground_key, st.integers(0, 60), st.sampled_from([3, 8, 40, 200, 250]))
keys = st.one_of(spread_keys, clustered_keys, st.binary(min_size=32, max_size=32))
batches = st.dictionaries(keys, st.one_of(st.none(), st.binary(min_size=1, max_size=40)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.lists(batches, max_size=6))
def test_any_history_gives_the_root_of_the_reference(history: list[Changes]) -> None:
    tree, leaves = SparseMerkleTree(), dict[bytes, bytes]()
    for changes in history:
        before = tree.root
        leaves = updated(leaves, changes)
        speculation = tree.speculate(changes)
        assert tree.root == before
        assert speculation.root == reference_root(leaves)
        tree.commit(speculation)
        assert tree.root == speculation.root
        assert len(tree) == len(leaves)
    assert SparseMerkleTree(leaves.items()).root == tree.root


@settings(max_examples=100, deadline=None)
@given(batches, st.lists(keys, min_size=1, max_size=12))
def test_any_proof_verifies_and_says_what_is_there(changes: Changes, asked: list[bytes]) -> None:
    leaves = updated({}, changes)
    tree = SparseMerkleTree(leaves.items())
    asked = asked + list(leaves)[:3]
    proof = tree.prove(asked, leaves.__getitem__)
    assert decode(encode(proof), StateProof, bytes_max=1 << 20) == proof
    assert verify_proof(asked, proof, tree.root) == tuple(leaves.get(key) for key in asked)


@settings(max_examples=100, deadline=None)
@given(batches, st.lists(keys, min_size=1, max_size=6), st.data())
def test_no_changed_proof_verifies(changes: Changes, asked: list[bytes], data: st.DataObject) -> None:
    """One proof has one writing: any byte changed, any part left out, doubled or swapped, is refused."""
    leaves = updated({}, changes)
    tree = SparseMerkleTree(leaves.items())
    raw = bytearray(encode(tree.prove(asked, leaves.__getitem__)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((InvalidProof, MalformedMessage)):
        verify_proof(asked, decode(bytes(raw), StateProof, bytes_max=1 << 20), tree.root)


# --- the layout: growing, shrinking, slots that somebody filled on purpose


def test_an_empty_tree() -> None:
    tree = SparseMerkleTree()
    assert tree.root == EMPTY_HASH == tree.speculate({}).root
    tree.apply({key_of(1): None})
    assert (tree.root, len(tree)) == (EMPTY_HASH, 0)
    proof = tree.prove([key_of(1)], dict[bytes, bytes]().__getitem__)
    assert proof == StateProof((), (Query(Hash32(key_of(1)), b"", b""),))
    assert verify_proof([key_of(1)], proof, tree.root) == (None,)


def test_grows_and_shrinks_with_its_leaves() -> None:
    tree, leaves = SparseMerkleTree(), numbered(3_000)
    slots = []
    for start in range(0, 3_000, 500):
        batch = list(leaves.items())[start : start + 500]
        tree.apply(dict(batch))
        assert tree.root == reference_root(dict(list(leaves.items())[: start + 500]))
        slots.append(tree.slots)
    assert slots == [512, 1024, 2048, 2048, 4096, 4096]
    for start in range(0, 3_000, 500):
        tree.apply(dict.fromkeys(list(leaves)[start : start + 500]))
        assert tree.root == reference_root(dict(list(leaves.items())[start + 500 :]))
        slots.append(tree.slots)
    assert slots[6:] == [4096, 4096, 4096, 4096, 2048, 1 << DEPTH_MIN]


def test_a_batch_larger_than_the_tree() -> None:
    tree, leaves = SparseMerkleTree(), numbered(2_000)
    tree.apply(leaves)
    assert tree.root == reference_root(leaves)
    tree.apply(dict.fromkeys(leaves, b"new"))
    assert tree.root == reference_root(dict.fromkeys(leaves, b"new"))


@pytest.mark.parametrize("shared_bits", [12, 40, 240])
def test_ground_keys_in_one_slot(shared_bits: int) -> None:
    """Many keys that agree in their first bits: through growth, shrinking, deletion and proofs."""
    ground = {ground_key(number, shared_bits): b"v%d" % number for number in range(300)}
    leaves = {**numbered(200), **ground}
    tree = SparseMerkleTree(leaves.items())
    assert tree.root == reference_root(leaves)
    for number in range(0, 300, 30):  # one at a time, now inside the subtree
        change: Changes = {ground_key(number, shared_bits): None, ground_key(number + 1, shared_bits): b"other"}
        tree.apply(change)
        leaves = updated(leaves, change)
    assert tree.root == reference_root(leaves)
    tree.apply(numbered(3_000))
    leaves = updated(leaves, numbered(3_000))
    assert tree.root == reference_root(leaves)
    asked = [ground_key(number, shared_bits) for number in range(40)]
    assert verify_proof(asked, tree.prove(asked, leaves.__getitem__), tree.root) == tuple(map(leaves.get, asked))
    tree.apply(dict.fromkeys(numbered(3_000)))
    leaves = updated(leaves, dict.fromkeys(numbered(3_000)))
    assert tree.root == reference_root(leaves)
    few = list(leaves)[: BUCKET_LEAVES_MAX // 2]
    tree.apply(dict.fromkeys(leaves.keys() - set(few)))
    assert tree.root == reference_root({key: leaves[key] for key in few})
    tree.apply(dict.fromkeys(few))
    assert tree.root == EMPTY_HASH


def test_a_change_in_a_ground_slot_costs_its_depth_not_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = 0

    def counted(data: bytes = b"") -> Any:
        nonlocal hashes
        hashes += 1
        return sha256(data)

    tree = SparseMerkleTree((ground_key(number), b"v") for number in range(4_000))
    for module in ("ledger.smt", "ledger.smt_climb", "ledger.smt_subtree", "primitives.smt_proof"):
        monkeypatch.setattr(f"blockchain.{module}.sha256", counted)
    tree.apply({ground_key(17): b"w"})
    assert 40 <= hashes < 100  # the 40 shared bits, and about log2(4,000) below them; the slot has 4,000 leaves


# --- speculation


def test_competing_speculations_and_one_commit() -> None:
    leaves = numbered(1_000)
    tree = SparseMerkleTree(leaves.items())
    proposals: list[Changes] = [
        {key_of(number + offset): b"x" if number % 3 else None for number in range(0, 2_000, 7)} for offset in range(3)
    ]
    speculations = [tree.speculate(changes) for changes in proposals]
    assert tree.root == reference_root(leaves)
    for changes, speculation in zip(proposals, speculations, strict=True):
        assert speculation.root == reference_root(updated(leaves, changes))
        assert speculation.leaves == len(updated(leaves, changes))
    tree.commit(speculations[1])
    leaves = updated(leaves, proposals[1])
    assert tree.root == reference_root(leaves)
    again = tree.speculate(proposals[2])
    assert again.root == reference_root(updated(leaves, proposals[2]))
    with pytest.raises(AssertionError, match="base of this speculation"):
        tree.commit(speculations[0])


# --- what the tree does not take


@pytest.mark.parametrize("key, value", [(b"short", b"v"), (b"short", None), (bytes(33), b"v"), (bytes(32), b"")])
def test_wrong_keys_and_empty_values_are_our_bug(key: bytes, value: bytes | None) -> None:
    with pytest.raises(AssertionError, match="32 bytes"):
        SparseMerkleTree().speculate({key: value})


def test_a_key_given_twice_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="each key once"):
        SparseMerkleTree([(key_of(1), b"a"), (key_of(1), b"b")])


# --- what the verifier does not take

LEAVES = numbered(20)
TREE = SparseMerkleTree(LEAVES.items())
ASKED = [key_of(3), key_of(4), key_of(1_000), key_of(5)]
PROOF = TREE.prove(ASKED, LEAVES.__getitem__)


def refused(keys: list[bytes], proof: StateProof, root: bytes = TREE.root) -> str:
    with pytest.raises(InvalidProof) as refusal:
        verify_proof(keys, proof, root)
    return refusal.value.what


def with_query(proof: StateProof, at: int, **changes: bytes) -> StateProof:
    queries = list(proof.queries)
    queries[at] = msgspec.structs.replace(queries[at], **changes)
    return StateProof(proof.sibling_hashes, tuple(queries))


def test_a_proof_under_another_root() -> None:
    assert verify_proof(ASKED, PROOF, TREE.root)[0] == LEAVES[ASKED[0]]
    assert "another state root" in refused(ASKED, PROOF, EMPTY_HASH)


def test_a_proof_for_other_keys() -> None:
    assert "queries for" in refused(ASKED[:3], PROOF)
    assert "queries for" in refused([], StateProof((), ()))
    assert "not on the way" in refused([ASKED[1], ASKED[0], *ASKED[2:]], PROOF)


def test_an_absence_shown_by_a_leaf_elsewhere() -> None:
    """A leaf that is in the tree says nothing of a key whose way leads elsewhere."""
    key = key_of(3)
    proof = TREE.prove([key], LEAVES.__getitem__)
    assert "not on the way" in refused([bytes([key[0] ^ 0x80]) + key[1:]], proof)


def test_an_empty_place_shown_under_another_key() -> None:
    empty = SparseMerkleTree()
    other = StateProof((), (Query(Hash32(key_of(2)), b"", b""),))
    assert "another key than its own" in refused([key_of(1)], other, empty.root)


def test_parts_of_wrong_size() -> None:
    long_hash = Hash32(PROOF.sibling_hashes[0] + b"\x00")
    assert "32 bytes" in refused(ASKED, StateProof((long_hash, *PROOF.sibling_hashes[1:]), PROOF.queries))
    assert "32 bytes" in refused(ASKED, with_query(PROOF, 0, key=b"short"))
    assert "bitmap" in refused(ASKED, with_query(PROOF, 0, bitmap=b"\x00" + PROOF.queries[0].bitmap))
    assert "bitmap" in refused(ASKED, with_query(PROOF, 0, bitmap=b"\x01" * 33))


def test_hashes_missing_or_left_over() -> None:
    assert "missing" in refused(ASKED, StateProof(PROOF.sibling_hashes[:-1], PROOF.queries))
    assert "left over" in refused(ASKED, StateProof((*PROOF.sibling_hashes, EMPTY_HASH), PROOF.queries))


def test_a_false_value_or_a_false_absence() -> None:
    assert "another state root" in refused(ASKED, with_query(PROOF, 0, value=b"false"))
    assert refused(ASKED, with_query(PROOF, 0, value=b""))
    assert refused(ASKED, with_query(PROOF, 2, key=ASKED[2], value=b"invented"))


def test_two_queries_that_contradict_each_other() -> None:
    proof = TREE.prove([ASKED[0], ASKED[0]], LEAVES.__getitem__)
    assert verify_proof([ASKED[0]] * 2, proof, TREE.root) == (LEAVES[ASKED[0]],) * 2
    assert "contradict" in refused([ASKED[0]] * 2, with_query(proof, 1, value=b"false"))


def test_bitmaps_that_lie_where_the_root_still_comes_out() -> None:
    """Other writings of good proofs: a sibling called empty that another query gives, or an empty one as a hash."""
    low, high = bytes(32), b"\x40" + bytes(31)  # 00… and 01…: siblings at depth 2, nothing at 1…
    leaves = {low: b"l", high: b"h"}
    tree = SparseMerkleTree(leaves.items())
    proof = tree.prove([low, high], leaves.__getitem__)
    assert [query.bitmap for query in proof.queries] == [b"\x02", b"\x02"]
    assert "disagree" in refused([low, high], with_query(proof, 1, bitmap=b"\x03"), tree.root)
    alone = tree.prove([low], leaves.__getitem__)
    as_hash = StateProof((*alone.sibling_hashes, EMPTY_HASH), with_query(alone, 0, bitmap=b"\x03").queries)
    assert "wrong about a sibling" in refused([low], as_hash, tree.root)
    absent = b"\x80" + bytes(31)
    proof = tree.prove([low, absent], leaves.__getitem__)
    assert [query.bitmap for query in proof.queries] == [b"\x02", b"\x01"]
    assert "wrong about a sibling" in refused([low, absent], with_query(proof, 0, bitmap=b"\x03"), tree.root)
    left, right = b"\x80" + bytes(31), b"\xc0" + bytes(31)  # the same mirrored: the absent key is the left child
    leaves = {left: b"l", right: b"r"}
    tree = SparseMerkleTree(leaves.items())
    proof = tree.prove([left, low], leaves.__getitem__)
    assert "wrong about a sibling" in refused([left, low], with_query(proof, 0, bitmap=b"\x03"), tree.root)


def test_the_codec_bounds_a_proof() -> None:
    query = Query(Hash32(bytes(32)), b"", b"")
    with pytest.raises(MalformedMessage):
        decode(encode(StateProof((), (query,) * (PROOF_KEYS_MAX + 1))), StateProof, bytes_max=1 << 20)


def test_leaf_hash_is_the_one_of_the_lip() -> None:
    assert leaf_hash(bytes(32), b"v") == sha256(b"\x00" + bytes(32) + b"v").digest()
