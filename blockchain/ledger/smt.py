"""The authenticated state map: the sparse Merkle tree of LIP-0039 over 32-byte keys, laid out for speed.

Holds keys and leaf hashes; values are the caller's. Pure: no I/O, no clock. The hashing rules are in `smt_proof`.
Keys must be hashes (protocol §1: nobody chooses their prefixes); clustered keys cost time, never a wrong root.

Theory. The top `depth` levels, about log2 of the number of leaves, lie flat in two bytearrays in heap order (the
children of node i are 2i and 2i + 1): `_pairs` holds, for each parent, the 65 bytes 01 ‖ left ‖ right that its hash
is of, and `_kinds` whether a node is empty, a lone leaf (which stands for its whole subtree), or a branch. Below
each of the 2^depth bottom nodes, the slots, lie the leaves with that prefix, about one: a lone one in `_keys`,
several packed as bytes in `_buckets`. So there is no Python object per node for the garbage collector to visit.
A slot for which somebody ground many keys (2^depth hashes each) is a real subtree of `Branch`es, copied on write, so
that a change there costs its depth and not the size of the slot.

A batch of changes becomes a `Speculation` on the unchanged base: the touched slots first, then level by level
upwards, each touched node hashed once. Any number of them may compete; `commit` writes one into the base and makes
the others useless. A node's hash does not depend on `depth`, so growing and shrinking move leaves and hash little.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from blockchain.ledger.smt_proof import (
    BRANCH_PREFIX,
    EMPTY_HASH,
    KEY_BITS,
    KEY_BYTES,
    LEAF_PREFIX,
    Query,
    StateProof,
    branch_hash,
    heap_index,
    leaf_hash,
)
from blockchain.primitives.crypto import Hash32

RECORD_BYTES: Final = KEY_BYTES + 32  # a leaf: its key, its hash
PAIR_BYTES: Final = 65  # what a branch's hash is of: 01 ‖ left ‖ right
DEPTH_MIN: Final = 4  # 16 slots, 1.6 KB: small enough for any chain, and growing from there is soon tested
DEPTH_MAX: Final = 32  # 4 billion slots, 400 GB: memory ends before
BUCKET_LEAVES_MAX: Final = 16  # above, a slot is a subtree: with one leaf a slot, honest keys get there once in 10^14
EMPTY, LEAF, BRANCH = 0, 1, 2  # kinds of node; two children make a branch exactly if their kinds add up to 2 or more
_EMPTY_PAIR: Final = BRANCH_PREFIX + EMPTY_HASH + EMPTY_HASH


class Branch(NamedTuple):
    """A node of a subtree below the flat part."""

    hash: bytes
    left: Node
    right: Node
    leaves: int


Node = bytes | Branch  # no bytes: empty; one record: a leaf; never more
Content = bytes | Branch  # what a slot holds: up to BUCKET_LEAVES_MAX records in key order, or a subtree
Change = tuple[bytes, bytes]  # a key, and its new record or no bytes to delete it


class _Level(NamedTuple):
    """The touched nodes of one level, left to right: heap indices, hashes, kinds."""

    indices: list[int]
    hashes: list[bytes]
    kinds: bytearray


class Speculation(NamedTuple):
    """What a batch of changes would make of the tree; `SparseMerkleTree.commit` makes it so."""

    root: Hash32
    leaves: int
    version: int  # of the base it stands on
    contents: list[tuple[int, Content]]
    levels: list[_Level]


class SparseMerkleTree:
    """The map from 32-byte keys to values of at least one byte, known by its root."""

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Build from pairs of key and value, in any order, each key once."""
        records = sorted([key + leaf_hash(key, value) for key, value in items])
        self._leaves = len(records)
        self._version = 0
        self._depth = DEPTH_MIN
        while 1 << self._depth < self._leaves and self._depth < DEPTH_MAX:
            self._depth += 1
        slots = 1 << self._depth
        self._pairs = bytearray(_EMPTY_PAIR * slots)
        self._kinds = bytearray(2 * slots)
        self._keys = bytearray(KEY_BYTES * slots)
        self._buckets: dict[int, Content] = {}
        self._place(records)
        self._hash_all()

    def __len__(self) -> int:
        return self._leaves

    @property
    def root(self) -> Hash32:
        """The state root; EMPTY_HASH if there are no leaves."""
        return Hash32(self._hash(1))

    def speculate(self, changes: Mapping[bytes, bytes | None]) -> Speculation:
        """The root that new values (None: deleted, if there) would give. The tree stays as it is.

        Cost: a hash for each changed leaf and each touched node, about log2(leaves) for each change.
        """
        contents, level, leaves = self._changed_slots(changes)
        levels = [level]
        while level.indices and level.indices[0] > 1:
            level = self._level_above(*level)
            levels.append(level)
        root = Hash32(level.hashes[0]) if changes else self.root
        return Speculation(root, self._leaves + leaves, self._version, contents, levels)

    def commit(self, speculation: Speculation) -> None:
        """Make a speculation on the present tree the tree. It, and all others on the same base, are then spent."""
        assert speculation.version == self._version, "the base of this speculation is gone"
        self._version += 1
        self._leaves = speculation.leaves
        for slot, content in speculation.contents:
            self._set_content(slot, content)
        pairs, kinds = self._pairs, self._kinds
        for level in speculation.levels:
            for index, digest, kind in zip(*level, strict=True):
                at = PAIR_BYTES * (index >> 1) + (33 if index & 1 else 1)
                pairs[at : at + 32] = digest
                kinds[index] = kind
        self._resize()

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Change values for good: `speculate` and `commit` in one."""
        self.commit(self.speculate(changes))

    def prove(self, keys: Sequence[bytes], value_of: Callable[[bytes], bytes]) -> StateProof:
        """The proof of the present values, or absence, of `keys`, for `smt_proof.verify_proof`.

        `value_of` gives the value of a key in the tree: one of `keys`, or a neighbour whose leaf shows an absence.
        Source: LIP-0039, Proof Construction.
        """
        queries, path, siblings = [], set[int](), dict[int, bytes]()
        for key in keys:
            found, hashes = self._walk(key)
            bitmap = 0
            for depth, digest in enumerate(hashes, 1):
                index = heap_index(key, depth)
                path.add(index)
                if digest != EMPTY_HASH:
                    bitmap |= 1 << (depth - 1)
                    siblings[index ^ 1] = digest
            value = value_of(found) if found else b""
            encoded = bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "big")
            queries.append(Query(Hash32(found or key), value, encoded))
        needed = sorted(siblings.keys() - path, key=lambda index: (-index.bit_length(), index))
        return StateProof(tuple(Hash32(siblings[index]) for index in needed), tuple(queries))

    # --- one batch, from the slots upwards

    def _changed_slots(
        self, changes: Mapping[bytes, bytes | None]
    ) -> tuple[list[tuple[int, Content]], _Level, int]:
        """The new contents of the touched slots, the bottom level that they make, and how many leaves come."""
        first, shift = 1 << self._depth, 64 - self._depth
        contents: list[tuple[int, Content]] = []
        level = _Level([], [], bytearray())
        added, slot, pending = 0, -1, list[Change]()
        for key in sorted(changes):
            value = changes[key]
            assert len(key) == KEY_BYTES, "a key has 32 bytes"
            if (slot_of_key := int.from_bytes(key[:8], "big") >> shift) != slot:
                added += self._change_slot(slot, pending, contents, level)
                slot, pending = slot_of_key, []
            pending.append((key, b"" if value is None else key + leaf_hash(key, value)))
        return contents, level, added

    # --- the rest is below
