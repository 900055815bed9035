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
upwards (`smt_climb`), each touched node hashed once. Any number of them may compete; `commit` writes one into the base
and makes the others useless. A node's hash does not depend on `depth`, so growing and shrinking move leaves and hash
little.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from hashlib import sha256
from struct import Struct, iter_unpack
from typing import Final, NamedTuple

from blockchain.ledger.smt_build import (
    BRANCH,
    DEPTH_MIN,
    EMPTY,
    HERE,
    LEAF,
    PAIR_BYTES,
    Builders,
    Hashed,
    Part,
    hash_leaves,
    kind_of,
    shared_out,
)
from blockchain.ledger.smt_climb import Climb, Touched, climb
from blockchain.ledger.smt_subtree import (
    RECORD_BYTES,
    Branch,
    Content,
    bit_of,
    changed,
    content_of,
    hash_of,
    leaves_in,
    node_of,
    replaced,
    split,
    united,
)
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.smt_proof import (
    BRANCH_PREFIX,
    EMPTY_HASH,
    KEY_BYTES,
    LEAF_PREFIX,
    Query,
    StateProof,
    heap_index,
)

SPARSE: Final = 8  # slots a leaf at which the flat part shrinks; far from the 1 at which it grows, so it never swings
_FIRST_WORD: Final = f">Q{KEY_BYTES - 8}x"  # of a key: its first 64 bits
_write_pair: Final = Struct(f"{PAIR_BYTES}s").pack_into  # a third of the time of an assignment to a slice
_EMPTY_PAIR: Final = BRANCH_PREFIX + EMPTY_HASH + EMPTY_HASH


class _Slots(NamedTuple):
    """What a batch makes of the slots that it touches."""

    touched: Touched
    contents: dict[int, Content]  # by heap index; not of a slot whose lone leaf only gets another value
    coming: int  # leaves; below 0: going


class Speculation(NamedTuple):
    """What a batch of changes would make of the tree; `SparseMerkleTree.commit` makes it so."""

    root: Hash32
    leaves: int
    version: int  # of the base it stands on
    contents: dict[int, Content]  # of slots, by heap index
    above: Climb


class SparseMerkleTree:
    """The map from 32-byte keys to values of at least one byte, known by its root."""

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = (), builders: Builders = HERE) -> None:
        """Build from pairs of key and value, in any order, each key once."""
        self._lay_out([hash_leaves(items)], builders)

    @classmethod
    def of_leaves(cls, hashed: Iterable[Hashed], builders: Builders = HERE) -> SparseMerkleTree:
        """The tree of leaves that are hashed already, each key once."""
        tree = cls.__new__(cls)
        tree._lay_out(hashed, builders)
        return tree

    def _lay_out(self, hashed: Iterable[Hashed], builders: Builders) -> None:
        asked = shared_out(hashed)
        self._leaves = sum(len(each.leaves) for each in asked) // RECORD_BYTES
        self._version = 0
        self._depth = asked[0].depth
        self._pairs = bytearray(PAIR_BYTES * self.slots)
        self._pairs[: PAIR_BYTES * asked[0].top] = _EMPTY_PAIR * asked[0].top  # what is below comes with the parts
        self._kinds = bytearray(2 * self.slots)
        self._keys = bytearray(KEY_BYTES * self.slots)
        self._buckets: dict[int, Content] = {}
        tops = [each.top for each in asked]
        for top, part in zip(tops, builders.build_all(asked), strict=True):
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
        if not changes:
            return Speculation(self.root, self._leaves, self._version, {}, Climb([], {}, self.root))
        touched, contents, coming = self._changed_slots(changes)
        above = climb(touched, self._depth, self._pairs, self._kinds)
        return Speculation(Hash32(above.root), self._leaves + coming, self._version, contents, above)

    def commit(self, speculation: Speculation) -> None:
        """Make a speculation on the present tree the tree. It, and all others on the same base, are then spent."""
        assert speculation.version == self._version, "the base of this speculation is gone"
        self._version += 1
        self._leaves = speculation.leaves
        for index, content in speculation.contents.items():
            self._set_content(index, content)
        for index, kind in speculation.above.turned.items():
            self._kinds[index] = kind
        base = self._pairs
        for level in speculation.above.levels:
            for index, pair in zip(*level, strict=True):
                _write_pair(base, PAIR_BYTES * index, pair)
        self._set_hash(1, speculation.root)
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

    def _changed_slots(self, changes: Mapping[bytes, bytes | None]) -> _Slots:
        """The touched slots. What happens to most is that one leaf gets another value, and that is done here."""
        indices, hashes, contents, turned, coming = [], [], dict[int, Content](), dict[int, int](), 0
        slots, keys, digests = self._placed(changes)
        kinds, own, buckets, depth = self._kinds, self._keys, self._buckets, self._depth
        first, done = 1 << depth, 0
        for at, (slot, key, digest) in enumerate(zip(slots, keys, digests, strict=False)):
            if slot == done:
                continue
            done, kind, place = slot, kinds[slot], KEY_BYTES * (slot - first)
            indices.append(slot)
            is_one_value = digest and slots[at + 1] != slot
            if is_one_value and kind == LEAF and own[place : place + KEY_BYTES] == key:
                hashes.append(digest)
                continue
            content: Content = replaced(buckets[slot], key, digest) if is_one_value and kind == BRANCH else b""
            if not content:
                end = bisect_right(slots, slot, at, len(keys))
                before = self._content(slot)
                records = [
                    (key, digest and key + digest) for key, digest in zip(keys[at:end], digests[at:end], strict=True)
                ]
                content = changed(before, depth, records)
                coming += leaves_in(content) - leaves_in(before)
                if kind_of(content) != kind:
                    turned[slot] = kind_of(content)
            contents[slot] = content
            hashes.append(hash_of(content, depth))
        return _Slots(Touched(indices, hashes, turned), contents, coming)

    def _placed(self, changes: Mapping[bytes, bytes | None]) -> tuple[list[int], list[bytes], list[bytes]]:
        """The changes, left to right: heap indices of slots, with one of no slot at the end; keys; new leaf hashes.

        The hash of a leaf that is deleted is no bytes.
        """
        keys = sorted(changes)
        values = [changes[key] for key in keys]
        assert set(map(len, keys)) <= {KEY_BYTES} and b"" not in values, "a key has 32 bytes, a value at least one"
        digests = [
            b"" if value is None else sha256(b"".join((LEAF_PREFIX, key, value))).digest()
            for key, value in zip(keys, values, strict=True)
        ]
        first, shift = 1 << self._depth, 64 - self._depth
        slots = [first + (word >> shift) for (word,) in iter_unpack(_FIRST_WORD, b"".join(keys))]
        return [*slots, 0], keys, digests

    # --- the flat part

    def _set_hash(self, index: int, digest: bytes) -> None:
        at = _offset(index)
        self._pairs[at : at + HASH_BYTES] = digest

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
        self._set_hash(index, hash_of(content, index.bit_length() - 1))
        self._kinds[index] = kind_of(content)

    def _set_leaf(self, index: int, key: bytes, digest: bytes) -> None:
        """Put one leaf into an empty slot."""
        at = KEY_BYTES * _slot(index)
        self._keys[at : at + KEY_BYTES] = key
        self._set_hash(index, digest)
        self._kinds[index] = LEAF

    def _take(self, top: int, part: Part) -> None:
        """Put a part below the node that is its top."""
        self._set_hash(top, part.hash)
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
