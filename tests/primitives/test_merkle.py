"""The Merkle tree: outside vectors, the RFC's recursive definition, and proofs that prove nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidProof
from blockchain.primitives import merkle
from blockchain.primitives.crypto import Hash32
from tests.vectors import load_vectors

SIZE_MAX = 70
LEAVES = [b"leaf %d" % number for number in range(SIZE_MAX)]

deterministic = settings(derandomize=True, deadline=None, max_examples=60)


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + root_by_definition(leaves[:k]) + root_by_definition(leaves[k:])).digest()


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    try:
        merkle.verify_inclusion(leaf, index, size, proof, root)
    except InvalidProof:
        return False
    return True


def test_inclusion_vectors() -> None:
    cases = [case for case in load_vectors("rfc6962-proofs.json") if case["kind"] == "inclusion"]
    assert len(cases) == 98
    assert sum(not case["wantErr"] for case in cases) == 6
    for case in cases:
        proof = [base64.b64decode(item) for item in case["proof"] or ()]
        leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
        answer = is_included(leaf, case["leafIdx"], case["treeSize"], proof, root)
        assert answer is not case["wantErr"], case["file"]


def test_the_empty_tree() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(SIZE_MAX + 1))
def test_the_root_is_the_definition_s(size: int) -> None:
    assert merkle.root(LEAVES[:size]) == root_by_definition(LEAVES[:size])
    assert merkle.root(tuple(LEAVES[:size])) == merkle.root(LEAVES[:size])


def test_building_leaves_the_list_alone() -> None:
    leaves = list(LEAVES)
    merkle.root(leaves)
    merkle.inclusion_proof(merkle.levels(leaves), 3)
    assert leaves == LEAVES


@pytest.mark.parametrize("size", range(1, SIZE_MAX + 1))
def test_every_proof_verifies_in_its_place_only(size: int) -> None:
    leaves = LEAVES[:size]
    root = merkle.root(leaves)
    for index in range(size):
        proof = list(merkle.inclusion_proof(merkle.levels(leaves), index))
        leaf = merkle.leaf_hash(leaves[index])
        merkle.verify_inclusion(leaf, index, size, proof, root)
        for other in {index - 1, index + 1, index ^ 1, size - 1 - index, -1, size} - {index}:
            assert not is_included(leaf, other, size, proof, root)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_a_proof_for_no_leaf_is_our_own_mistake(index: int) -> None:
    with pytest.raises(AssertionError):
        merkle.inclusion_proof(merkle.levels(LEAVES[:3]), index)


@given(st.integers(1, SIZE_MAX), st.data())
@deterministic
def test_a_changed_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    parts = [
        merkle.leaf_hash(leaves[index]),
        *merkle.inclusion_proof(merkle.levels(leaves), index),
        merkle.root(leaves),
    ]
    part = data.draw(st.integers(0, len(parts) - 1))
    changed = bytearray(parts[part])
    changed[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
    parts[part] = Hash32(bytes(changed))
    with pytest.raises(InvalidProof, match="another root"):
        merkle.verify_inclusion(parts[0], index, size, parts[1:-1], parts[-1])


@given(st.integers(2, SIZE_MAX), st.data())
@deterministic
def test_a_proof_of_another_length_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    root, leaf = merkle.root(leaves), merkle.leaf_hash(leaves[index])
    proof = list(merkle.inclusion_proof(merkle.levels(leaves), index))
    with pytest.raises(InvalidProof, match="shorter"):
        merkle.verify_inclusion(leaf, index, size, proof[:-1], root)
    with pytest.raises(InvalidProof, match="longer"):
        merkle.verify_inclusion(leaf, index, size, [*proof, root], root)


@given(st.binary(max_size=33), st.integers(), st.integers(), st.lists(st.binary(max_size=33), max_size=9), st.binary())
@deterministic
def test_any_values_are_an_invalid_proof_and_no_other_error(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    with pytest.raises(InvalidProof):
        merkle.verify_inclusion(leaf, index, size, proof, root)


def test_hashes_have_32_bytes() -> None:
    leaves = LEAVES[:2]
    leaf, root = merkle.leaf_hash(leaves[0]), merkle.root(leaves)
    (sibling,) = merkle.inclusion_proof(merkle.levels(leaves), 0)
    for wrong_leaf, wrong_sibling in ((leaf + sibling[:1], sibling[1:]), (leaf[:-1], leaf[-1:] + sibling)):
        with pytest.raises(InvalidProof, match="32 bytes"):
            merkle.verify_inclusion(wrong_leaf, 0, 2, [wrong_sibling], root)


def test_a_branch_does_not_pass_for_a_leaf() -> None:
    """The second preimage that the prefixes prevent."""
    left, right = (merkle.leaf_hash(leaf) for leaf in LEAVES[:2])
    assert merkle.root([left + right]) != merkle.root(LEAVES[:2])
