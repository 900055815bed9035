"""The authenticated state map: the sparse Merkle tree of LIP-0039 over 32-byte keys, laid out for speed.

Holds keys and leaf hashes; values are the caller's. Pure: no I/O, no clock. The hashing rules are in
`primitives.smt_proof`.
Keys must be hashes (protocol §1.3: nobody chooses their prefixes); clustered keys cost time, never a wrong root.

Theory. The top `depth` levels, about log2 of the number of leaves, lie flat in two bytearrays in heap order (the
children of node i are 2i and 2i + 1): `_pairs` holds, for each parent, the 65 bytes 01 ‖ left ‖ right that its hash
is of, and `_kinds` whether a node is empty, a lone leaf (which stands for its whole subtree), or a branch. Below
each of the 2^depth bottom nodes, the slots, lie the leaves with that prefix, about one: a lone one in `_keys`,
several in `_buckets`, in a form that `smt_subtree` knows. So there is no Python object per node, and a batch costs
little more than its hashes.

A batch of changes becomes a `Speculation` on the unchanged base: the touched slots first, then level by level
upwards, each touched node hashed once. Any number of them may compete; `commit` writes one into the base and makes
the others useless. A node's hash does not depend on `depth`, so growing and shrinking move leaves and hash little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from hashlib import sha256
from typing import Final, NamedTuple

from blockchain.ledger.smt_build import BRANCH, DEPTH_MIN, EMPTY, LEAF, BuildParts, Part, build_here, shared_out
from blockchain.ledger.smt_subtree import (
    RECORD_BYTES,
    Branch,
    Change,
    Content,
    bit_of,
    changed,
    content_of,
    hash_of,
    leaves_in,
    node_of,
    split,
    united,
)
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.smt_proof import (
    BRANCH_PREFIX,
    EMPTY_HASH,
    KEY_BYTES,
    Query,
    StateProof,
    heap_index,
    leaf_hash,
)

PAIR_BYTES: Final = 65  # what a branch's hash is of: 01 ‖ left ‖ right
SPARSE: Final = 8  # slots a leaf at which the flat part shrinks; far from the 1 at which it grows, so it never swings
_EMPTY_PAIR: Final = BRANCH_PREFIX + EMPTY_HASH + EMPTY_HASH


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
    contents: list[tuple[int, Content]]  # of slots, by heap index
    levels: list[_Level]


class SparseMerkleTree:
    """The map from 32-byte keys to values of at least one byte, known by its root."""

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = (), build: BuildParts = build_here) -> None:
        """Build from pairs of key and value, in any order, each key once; `build` may do it elsewhere."""
        asked = shared_out(items)
        self._leaves = sum(len(each.leaves) for each in asked)
        self._version = 0
        self._depth = asked[0].depth
        self._pairs = bytearray(_EMPTY_PAIR * self.slots)
        self._kinds = bytearray(2 * self.slots)
        self._keys = bytearray(KEY_BYTES * self.slots)
        self._buckets: dict[int, Content] = {}
        tops = [each.top for each in asked]
        for top, part in zip(tops, build(asked), strict=True):
            self._take(top, part)
        self._hash_above(tops[0])

    def copied(self) -> SparseMerkleTree:
        """One that can be changed without this one; four copies of memory, and no hash."""
        other = copy(self)
        other._pairs, other._kinds, other._keys = self._pairs[:], self._kinds[:], self._keys[:]
        other._buckets = dict(self._buckets)
        return other

    def __len__(self) -> int:
        return self._leaves

    @property
    def root(self) -> Hash32:
        """The state root; EMPTY_HASH if there are no leaves."""
        return Hash32(self._hash(1))

    @property
    def slots(self) -> int:
        """How many nodes the bottom level of the flat part has; about 100 bytes of memory each."""
        return 1 << self._depth

    def speculate(self, changes: Mapping[bytes, bytes | None]) -> Speculation:
        """The root that new values (None: deleted, if there) would give. The tree stays as it is.

        Cost: a hash for each changed leaf and each touched node, about log2(leaves) for each change.
        """
        contents, level, leaves = self._changed_slots(changes)
        levels = [level]
        for _ in range(self._depth):
            levels.append(self._level_above(*levels[-1]))
        root = Hash32(levels[-1].hashes[0]) if changes else self.root
        return Speculation(root, self._leaves + leaves, self._version, contents, levels)

    def commit(self, speculation: Speculation) -> None:
        """Make a speculation on the present tree the tree. It, and all others on the same base, are then spent."""
        assert speculation.version == self._version, "the base of this speculation is gone"
        self._version += 1
        self._leaves = speculation.leaves
        for index, content in speculation.contents:
            self._set_content(index, content)
        pairs, kinds = self._pairs, self._kinds
        for level in speculation.levels:
            for index, digest, kind in zip(*level, strict=True):
                at = (PAIR_BYTES * index + 2) >> 1  # _offset, inlined
                pairs[at : at + HASH_BYTES] = digest
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

    # --- a batch, from the slots upwards

    def _changed_slots(self, changes: Mapping[bytes, bytes | None]) -> tuple[list[tuple[int, Content]], _Level, int]:
        """The new contents of the touched slots, the bottom level that they make, and how many leaves come."""
        contents: list[tuple[int, Content]] = []
        level = _Level([], [], bytearray())
        coming = at = 0
        indices, new = self._placed(changes)
        while at < len(new):
            index, end = indices[at], at + 1
            while indices[end] == index:
                end += 1
            level.indices.append(index)
            digest = self._lone_hash(index, *new[at]) if end == at + 1 else b""
            if digest:
                level.hashes.append(digest)
                level.kinds.append(LEAF)
            else:
                before = self._content(index)
                content = changed(before, self._depth, new[at:end])
                contents.append((index, content))
                leaves = leaves_in(content)
                coming += leaves - leaves_in(before)
                level.hashes.append(hash_of(content, self._depth))
                level.kinds.append(min(leaves, BRANCH))
            at = end
        return contents, level, coming

    def _lone_hash(self, index: int, key: bytes, record: bytes) -> bytes:
        """The new hash of the lone leaf of a slot, where nothing happens but that: most changes. Else no bytes."""
        at = KEY_BYTES * (index - (1 << self._depth))
        is_same = self._kinds[index] == LEAF and self._keys[at : at + KEY_BYTES] == key
        return record[KEY_BYTES:] if is_same else b""

    def _placed(self, changes: Mapping[bytes, bytes | None]) -> tuple[list[int], list[Change]]:
        """The new records, left to right, and the heap indices of their slots, behind which stands one of no slot."""
        first, shift = 1 << self._depth, 64 - self._depth
        keys = sorted(changes)
        assert all(len(key) == KEY_BYTES for key in keys), "a key has 32 bytes"
        indices = [first + (int.from_bytes(key[:8], "big") >> shift) for key in keys]
        values = [changes[key] for key in keys]
        new = [
            (key, b"" if value is None else key + leaf_hash(key, value))
            for key, value in zip(keys, values, strict=True)
        ]
        return [*indices, 0], new

    def _level_above(self, indices: list[int], hashes: list[bytes], kinds: bytearray) -> _Level:
        """The parents of the touched nodes of a level."""
        pairs, base_kinds = self._pairs, self._kinds
        left: bytes | bytearray
        right: bytes | bytearray
        parents, parent_hashes, parent_kinds = list[int](), list[bytes](), bytearray()
        at, end = 0, len(indices)
        while at < end:
            index, kind = indices[at], kinds[at]
            left = right = hashes[at]
            at += 1
            pair = PAIR_BYTES * (index >> 1)
            if index & 1:  # the left sibling is untouched: else it would have taken this one along
                kind += base_kinds[index - 1]
                left = pairs[pair + 1 : pair + 33]
            elif at < end and indices[at] == index + 1:
                kind += kinds[at]
                right = hashes[at]
                at += 1
            else:
                kind += base_kinds[index + 1]
                right = pairs[pair + 33 : pair + 65]
            parents.append(index >> 1)
            if kind >= BRANCH:
                parent_hashes.append(sha256(BRANCH_PREFIX + left + right).digest())
                parent_kinds.append(BRANCH)
            else:  # a lone leaf rises, two empty nodes make one
                parent_hashes.append(bytes(left if right == EMPTY_HASH else right))
                parent_kinds.append(kind)
        return _Level(parents, parent_hashes, parent_kinds)

    # --- the flat part

    def _hash(self, index: int) -> bytes:
        at = _offset(index)
        return bytes(self._pairs[at : at + HASH_BYTES])

    def _content(self, index: int) -> Content:
        """What lies below a slot, by its heap index."""
        kind = self._kinds[index]
        if kind == BRANCH:
            return self._buckets[index]
        return self._key(index) + self._hash(index) if kind == LEAF else b""

    def _key(self, index: int) -> bytes:
        """The key of the lone leaf of a slot."""
        at = KEY_BYTES * _slot(index)
        return bytes(self._keys[at : at + KEY_BYTES])

    def _set_content(self, index: int, content: Content) -> None:
        """Store what lies below a slot; its node is set apart."""
        if isinstance(content, Branch) or len(content) > RECORD_BYTES:
            self._buckets[index] = content
            return
        self._buckets.pop(index, None)
        if content:
            at = KEY_BYTES * _slot(index)
            self._keys[at : at + KEY_BYTES] = content[:KEY_BYTES]

    def _set_slot(self, index: int, content: Content) -> None:
        """Store what lies below a slot, and its node."""
        self._set_content(index, content)
        at = _offset(index)
        self._pairs[at : at + HASH_BYTES] = hash_of(content, index.bit_length() - 1)
        self._kinds[index] = min(leaves_in(content), BRANCH)

    def _set_leaf(self, index: int, key: bytes, digest: bytes) -> None:
        """Put one leaf into an empty slot."""
        at = KEY_BYTES * _slot(index)
        self._keys[at : at + KEY_BYTES] = key
        at = _offset(index)
        self._pairs[at : at + HASH_BYTES] = digest
        self._kinds[index] = LEAF

    def _take(self, top: int, part: Part) -> None:
        """Put a part below the node that is its top."""
        at = _offset(top)
        self._pairs[at : at + HASH_BYTES] = part.hash
        for level, pairs in enumerate(part.pairs):
            at = PAIR_BYTES * (top << level)
            self._pairs[at : at + len(pairs)] = pairs
        for level, kinds in enumerate(part.kinds):
            self._kinds[top << level : (top + 1) << level] = kinds
        first = top << len(part.pairs)
        at = KEY_BYTES * _slot(first)
        self._keys[at : at + len(part.keys)] = part.keys
        for slot, records in part.several.items():
            self._buckets[first + slot] = content_of(records, self._depth)

    def _hash_above(self, first: int) -> None:
        """Every node above the level of nodes that begins with `first`, bottom up."""
        pairs, kinds = self._pairs, self._kinds
        for index in range(first - 1, 0, -1):
            kind = kinds[2 * index] + kinds[2 * index + 1]
            pair, at = PAIR_BYTES * index, _offset(index)
            if kind >= BRANCH:
                pairs[at : at + HASH_BYTES] = sha256(pairs[pair : pair + PAIR_BYTES]).digest()
                kinds[index] = BRANCH
            elif kind == LEAF:
                child = pair + (1 if kinds[2 * index] else 33)
                pairs[at : at + HASH_BYTES] = pairs[child : child + HASH_BYTES]
                kinds[index] = LEAF

    def _resize(self) -> None:
        """Keep the leaves between one in SPARSE slots and one a slot (a level less costs 15 % of the speed)."""
        while self._leaves > 1 << self._depth:
            self._grow()
        while self._depth > DEPTH_MIN and self._leaves * SPARSE < 1 << self._depth:
            self._shrink()

    def _grow(self) -> None:
        """Twice the slots. The nodes above stay as they are; each leaf moves one level down."""
        slots = 1 << self._depth
        self._pairs += _EMPTY_PAIR * slots
        self._kinds += bytes(2 * slots)
        self._keys += bytes(KEY_BYTES * slots)
        for index in range(2 * slots - 1, slots - 1, -1):  # downwards: no key is overwritten before it has moved
            if self._kinds[index] == LEAF:
                key = self._key(index)
                self._set_leaf(2 * index + bit_of(key, self._depth), key, self._hash(index))
            elif self._kinds[index] == BRANCH:
                left, right = split(self._buckets.pop(index), self._depth)
                self._set_slot(2 * index, left)
                self._set_slot(2 * index + 1, right)
        self._depth += 1

    def _shrink(self) -> None:
        """Half the slots. The nodes above stay as they are; what was below two neighbours comes together."""
        self._depth -= 1
        slots = 1 << self._depth
        for index in range(slots, 2 * slots):  # upwards: no key is overwritten before it has moved
            content = united(self._content(2 * index), self._content(2 * index + 1), self._depth)
            self._buckets.pop(2 * index, None)
            self._buckets.pop(2 * index + 1, None)
            self._set_content(index, content)
        del self._pairs[PAIR_BYTES * slots :]
        del self._kinds[2 * slots :]
        del self._keys[KEY_BYTES * slots :]

    # --- proofs

    def _walk(self, key: bytes) -> tuple[bytes, list[bytes]]:
        """The key of the leaf where the way to `key` ends (no bytes: at an empty place), and the siblings passed."""
        siblings: list[bytes] = []
        slots = 1 << self._depth
        index = 1
        while index < slots and self._kinds[index] == BRANCH:
            index = 2 * index + bit_of(key, len(siblings))
            siblings.append(self._hash(index ^ 1))
        if self._kinds[index] == EMPTY:
            return b"", siblings
        while index < slots and self._kinds[index] == LEAF:  # a lone leaf has risen: look for it below
            index = 2 * index + (self._kinds[2 * index] == EMPTY)
        node = node_of(self._content(index), self._depth)
        while isinstance(node, Branch):
            turn = bit_of(key, len(siblings))
            siblings.append(hash_of(node.left if turn else node.right, len(siblings) + 1))
            node = node.right if turn else node.left
        return node[:KEY_BYTES], siblings


def _offset(index: int) -> int:
    """Where the hash of a node stands in the pairs."""
    return (PAIR_BYTES * index + 2) >> 1  # 1 behind the start of its pair for a left child, 33 for a right one


def _slot(index: int) -> int:
    """The number of a slot, from its heap index: the bits behind the first."""
    return index ^ (1 << (index.bit_length() - 1))
