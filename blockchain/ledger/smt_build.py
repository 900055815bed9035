"""The state tree built from all of its leaves, in parts that know nothing of each other. Used by `smt`.

Pure functions from plain values to plain values that MessagePack can carry, so that any process may build a part
(`runtime.verifiers`): a node with a million records has most of a start to share out.

Theory. A part is what lies below one node of the top levels: the leaves whose keys begin with the same bits. What is
asked for are its `Leaves`; what comes of it is a `Part`, laid out as the flat part of the tree, level by level, so that
the tree only puts it where it belongs. A part is small enough to stay in a processor's cache while it is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from operator import add
from struct import iter_unpack
from typing import Final

from msgspec import Struct

from blockchain.ledger.smt_subtree import RECORD_BYTES, Content, content_of, hash_of, leaves_in
from blockchain.primitives.smt_proof import BRANCH_PREFIX, EMPTY_HASH, KEY_BYTES, LEAF_PREFIX

DEPTH_MIN: Final = 4  # 16 slots, 1.6 KB: small enough for any chain, and growing from there is soon tested
PAIR_BYTES: Final = 65  # what a branch's hash is of: 01 ‖ left ‖ right
HALF_PAIR_BYTES: Final = 33  # 01 ‖ left
PART_LEVELS: Final = 12  # 4,096 slots a part: half a megabyte, some 20 ms
EMPTY, LEAF, BRANCH = 0, 1, 2  # kinds of node; two children make a branch exactly if their kinds add up to 2 or more
_FIRST_BITS: Final = 8  # by which leaves are told apart: up to 256 parts
_KIND_OF_SUM: Final = bytes((EMPTY, LEAF, *[BRANCH] * 254))
_FIRST_WORD: Final = f">Q{RECORD_BYTES - 8}x"  # of a record: the first 64 bits of its key
_NO_KEY: Final = bytes(KEY_BYTES)


class Leaves(Struct, frozen=True, array_like=True, tag="leaves"):
    """The leaves below the node with heap index `top`, each as key ‖ value, in any order; the slots lie at `depth`."""

    top: int
    depth: int
    leaves: tuple[bytes, ...]


class Part(Struct, frozen=True, array_like=True):
    """All nodes below a top, and what the slots hold.

    `pairs`: of each level of parents, the top's first, what their hashes are of; `kinds`: of each level of nodes, the
    top's first; `keys`: of the lone leaves, for each slot; `several`: the records of slots with more than one leaf, in
    key order, by the number of the slot.
    """

    hash: bytes
    pairs: tuple[bytes, ...]
    kinds: tuple[bytes, ...]
    keys: bytes
    several: dict[int, bytes]


BuildParts = Callable[[Sequence[Leaves]], Iterable[Part]]  # gives the parts in the order of their leaves


def build_here(asked: Sequence[Leaves]) -> Iterator[Part]:
    """One after the other, each when it is asked for."""
    return map(build_part, asked)


def shared_out(items: Iterable[tuple[bytes, bytes]]) -> list[Leaves]:
    """Pairs of key and value, in any order, each key once, as the parts of a tree of the depth that suits them."""
    groups: list[list[bytes]] = [[] for _ in range(1 << _FIRST_BITS)]
    for key, value in items:
        assert len(key) == KEY_BYTES and value, "a key has 32 bytes, a value at least one"
        groups[key[0]].append(key + value)
    depth = max(DEPTH_MIN, (sum(map(len, groups)) - 1).bit_length())
    first = 1 << min(max(depth - PART_LEVELS, 0), _FIRST_BITS)  # the heap index of the leftmost top
    width = (1 << _FIRST_BITS) // first  # groups a part
    return [
        Leaves(first + number, depth, tuple(leaf for group in groups[at : at + width] for leaf in group))
        for number, at in enumerate(range(0, len(groups), width))
    ]


def build_part(asked: Leaves) -> Part:
    """Hash the leaves, and all nodes up to the top. Two leaves with one key are an assert."""
    levels = asked.depth - asked.top.bit_length() + 1
    records = sorted([leaf[:KEY_BYTES] + sha256(LEAF_PREFIX + leaf).digest() for leaf in asked.leaves])
    hashes, keys, kinds = [bytes(EMPTY_HASH)] * (1 << levels), [_NO_KEY] * (1 << levels), bytearray(1 << levels)
    shift, mask = 64 - asked.depth, (1 << levels) - 1
    several: dict[int, list[bytes]] = {}
    for (word,), record in zip(iter_unpack(_FIRST_WORD, b"".join(records)), records, strict=True):
        slot = word >> shift & mask
        if kinds[slot] == EMPTY:
            kinds[slot], keys[slot], hashes[slot] = LEAF, record[:KEY_BYTES], record[KEY_BYTES:]
        else:
            several.setdefault(slot, [keys[slot] + hashes[slot]]).append(record)
    joined = {slot: b"".join(group) for slot, group in several.items()}
    for slot, content in joined.items():
        kinds[slot], hashes[slot] = BRANCH, hash_of(content_of(content, asked.depth), asked.depth)
    return _up(hashes, bytes(kinds), b"".join(keys), joined)


def kind_of(content: Content) -> int:
    """The kind of node at the top of a slot that holds this."""
    return min(leaves_in(content), BRANCH)


def _up(hashes: list[bytes], kinds: bytes, keys: bytes, several: dict[int, bytes]) -> Part:
    """The part above these slots."""
    pair_levels, kind_levels = [], [kinds]
    while len(hashes) > 1:
        pairs = [BRANCH_PREFIX + left + right for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        sums = bytes(map(add, kinds[::2], kinds[1::2]))
        hashes = [
            sha256(pair).digest() if kind >= BRANCH else risen(pair) for pair, kind in zip(pairs, sums, strict=True)
        ]
        kinds = sums.translate(_KIND_OF_SUM)
        pair_levels.append(b"".join(pairs))
        kind_levels.append(kinds)
    return Part(hashes[0], tuple(reversed(pair_levels)), tuple(reversed(kind_levels)), keys, several)


def risen(pair: bytes) -> bytes:
    """The hash that rises from a pair that is no branch: a lone leaf's, or that of nothing."""
    left, right = pair[1:HALF_PAIR_BYTES], pair[HALF_PAIR_BYTES:]
    return left if right == EMPTY_HASH else right
