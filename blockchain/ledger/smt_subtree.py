"""The leaves of the state tree below one slot of its flat part: a few packed as bytes, or many as a real subtree.

Used by `smt` alone. Pure functions over immutable values, so that a speculation shares what it does not change.

Theory. A leaf is a record, its key and its hash, 64 bytes. A slot of honest keys holds about one, so records in key
order behind each other are the cheapest form, hashed anew at each change. Above BUCKET_LEAVES_MAX, which takes
ground keys, a change must not cost the size of the slot: the slot is then a tree of `Branch`es, copied on write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from blockchain.primitives.crypto import HASH_BYTES
from blockchain.primitives.smt_proof import BRANCH_PREFIX, EMPTY_HASH, KEY_BITS, KEY_BYTES, branch_hash

RECORD_BYTES: Final = KEY_BYTES + HASH_BYTES
_EMPTY_LEFT: Final = BRANCH_PREFIX + EMPTY_HASH
_WORD: Final = 8  # bytes; so many of a key's first ones tell honest keys apart
_WORD_AND_HASH: Final = f"Q{KEY_BYTES - _WORD}x{HASH_BYTES}s"  # of a record
_ONE: Final = Struct(f">{_WORD_AND_HASH}")
_TWO: Final = Struct(f">{_WORD_AND_HASH}{_WORD_AND_HASH}")
BUCKET_LEAVES_MAX: Final = 16  # at one leaf a slot, chance puts 17 in one of about 10^15 slots


class Branch(NamedTuple):
    """A node with at least two leaves below it."""

    hash: bytes
    left: Node
    right: Node
    leaves: int


Node: TypeAlias = bytes | Branch  # no bytes: empty; one record: a leaf that stands for its subtree
Content: TypeAlias = bytes | Branch  # of a slot: records in key order, up to BUCKET_LEAVES_MAX, or a subtree
Change: TypeAlias = tuple[bytes, bytes]  # a key, and its new record, or no bytes to delete it


def replaced(content: Content, key: bytes, digest: bytes) -> bytes:
    """The records with another hash for the leaf of `key`; no bytes if it is not found, or if they are a subtree."""
    if isinstance(content, Branch):
        return b""
    at = content.find(key)
    if at < 0 or at % RECORD_BYTES:
        return b""
    at += KEY_BYTES
    return b"".join((content[:at], digest, content[at + HASH_BYTES :]))


def changed(content: Content, depth: int, changes: Sequence[Change]) -> Content:
    """What a slot at `depth` holds after `changes`, which are in key order, each key once."""
    for done, (key, record) in enumerate(changes):
        if isinstance(content, Branch) or len(content) == RECORD_BYTES * BUCKET_LEAVES_MAX:
            return packed(_updated(node_of(content, depth), depth, changes[done:]))
        at = 0
        while content[at : at + KEY_BYTES] < key and at < len(content):
            at += RECORD_BYTES
        behind = at + RECORD_BYTES if content.startswith(key, at) else at
        content = content[:at] + record + content[behind:]
    return content


def content_of(records: bytes, depth: int) -> Content:
    """What a slot at `depth` holds that has these records, which are in key order, each key once."""
    return records if len(records) <= BUCKET_LEAVES_MAX * RECORD_BYTES else _tree(_records(records), depth)


def hash_of(content: Content, depth: int) -> bytes:
    """The hash of the node at the top of a slot at `depth`, 32 bytes."""
    if isinstance(content, Branch):
        return content.hash
    if len(content) <= RECORD_BYTES:
        return content[KEY_BYTES:] or EMPTY_HASH
    top = 8 * _WORD - depth
    if len(content) == 2 * RECORD_BYTES:  # most slots of several leaves
        first, left, last, right = _TWO.unpack(content)
        if first != last:
            return _hash_above(left, right, first, (first ^ last).bit_length(), top)
    else:
        leaves = [*_ONE.iter_unpack(content)]
        if len(dict(leaves)) == len(leaves):
            return _hash_over(leaves, top)
    return hash_of(node_of(content, depth), depth)  # nobody's honest keys: any way that is right


def _hash_over(leaves: Sequence[tuple[int, bytes]], top: int) -> bytes:
    """The hash of the node over two leaves or more: the first words of their keys, each another, and their hashes.

    It stands `top` bits above the end of the words, on the way that all of them have in common, or where that ends.
    """
    (first, left), (last, right) = leaves[0], leaves[-1]
    height = (first ^ last).bit_length()  # they agree on the bits above, and part there
    if len(leaves) > 2:
        fork, middle = 1 << height - 1, 1
        while not leaves[middle][0] & fork:
            middle += 1
        if middle > 1:
            left = _hash_over(leaves[:middle], height - 1)
        if middle < len(leaves) - 1:
            right = _hash_over(leaves[middle:], height - 1)
    return _hash_above(left, right, first, height, top)


def _hash_above(left: bytes, right: bytes, word: int, height: int, top: int) -> bytes:
    """The hash at `top` of two nodes that part at `height`, and of nothing beside them on the way that `word` names."""
    digest = sha256(BRANCH_PREFIX + left + right).digest()
    for above in range(height, top):
        if word >> above & 1:
            digest = sha256(_EMPTY_LEFT + digest).digest()
        else:
            digest = sha256(BRANCH_PREFIX + digest + EMPTY_HASH).digest()
    return digest


def leaves_in(content: Content) -> int:
    """How many leaves there are."""
    return content.leaves if isinstance(content, Branch) else len(content) // RECORD_BYTES


def split(content: Content, depth: int) -> tuple[Content, Content]:
    """The contents of the two slots that a slot at `depth` becomes when the flat part grows by a level."""
    if isinstance(content, Branch):
        return packed(content.left), packed(content.right)
    at = 0
    while at < len(content) and not bit_of(content[at : at + KEY_BYTES], depth):
        at += RECORD_BYTES
    return content[:at], content[at:]


def united(left: Content, right: Content, depth: int) -> Content:
    """The content of the slot at `depth` that two neighbours become when the flat part shrinks by a level."""
    if leaves_in(left) + leaves_in(right) <= BUCKET_LEAVES_MAX:
        return b"".join((*_leaves(left), *_leaves(right)))
    return _joined(node_of(left, depth + 1), node_of(right, depth + 1))


def node_of(content: Content, depth: int) -> Node:
    """The node at the top of a slot at `depth`, with all below it."""
    return content if isinstance(content, Branch) else _tree(_records(content), depth)


def packed(node: Node) -> Content:
    """The node as the content of a slot."""
    small = leaves_in(node) <= BUCKET_LEAVES_MAX
    return b"".join(_leaves(node)) if small else node


def bit_of(key: bytes, depth: int) -> int:
    """Which child the way to `key` takes at `depth`: 0 is left."""
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def _records(content: bytes) -> list[bytes]:
    return [content[at : at + RECORD_BYTES] for at in range(0, len(content), RECORD_BYTES)]


def _leaves(content: Content) -> Iterator[bytes]:
    """The records of a content or node, in key order, one by one or several together."""
    if isinstance(content, Branch):
        yield from _leaves(content.left)
        yield from _leaves(content.right)
    else:
        yield content


def _tree(records: Sequence[bytes], depth: int) -> Node:
    """The node at `depth` over records in key order that share their first `depth` bits."""
    if len(records) < 2:
        return records[0] if records else b""
    assert depth < KEY_BITS, "each key once"
    middle = bisect_left(records, 1, key=lambda record: bit_of(record, depth))
    return _joined(_tree(records[:middle], depth + 1), _tree(records[middle:], depth + 1))


def _updated(node: Node, depth: int, changes: Sequence[Change]) -> Node:
    """The node after changes in key order; copies the branches on the way to them, shares all others."""
    if not changes:
        return node
    if not isinstance(node, Branch):
        return _tree(_merged(node, changes), depth)
    middle = bisect_left(changes, 1, key=lambda change: bit_of(change[0], depth))
    left = _updated(node.left, depth + 1, changes[:middle])
    return _joined(left, _updated(node.right, depth + 1, changes[middle:]))


def _merged(node: bytes, changes: Sequence[Change]) -> list[bytes]:
    """The records of an empty node or a leaf after changes."""
    records = {node[:KEY_BYTES]: node}
    records.update(changes)
    return sorted(record for record in records.values() if record)


def _joined(left: Node, right: Node) -> Node:
    """The parent of two nodes: a lone leaf rises, two empty nodes make one (LIP-0039)."""
    leaves = leaves_in(left) + leaves_in(right)
    if leaves < 2:
        return left or right
    digest = branch_hash(hash_of(left, 0), hash_of(right, 0))  # of nodes, so that no depth is asked
    return Branch(digest, left, right, leaves)
