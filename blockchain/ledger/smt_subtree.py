"""The leaves of the state tree below one slot of its flat part: a few packed as bytes, or many as a real subtree.

Used by `smt` alone. Pure functions over immutable values, so that a speculation shares what it does not change.

Theory. A leaf is a record, its key and its hash, 64 bytes. A slot of honest keys holds about one, so records in key
order behind each other are the cheapest form, hashed anew at each change. Above BUCKET_LEAVES_MAX, which takes
ground keys, a change must not cost the size of the slot: the slot is then a tree of `Branch`es, copied on write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from blockchain.ledger.smt_proof import EMPTY_HASH, KEY_BITS, KEY_BYTES, branch_hash
from blockchain.primitives.crypto import HASH_BYTES

RECORD_BYTES: Final = KEY_BYTES + HASH_BYTES
RECORD_BITS: Final = 8 * RECORD_BYTES
BUCKET_LEAVES_MAX: Final = 16  # with at most one leaf a slot on average, chance fills one more in about 10^15 slots


class Branch(NamedTuple):
    """A node with at least two leaves below it."""

    hash: bytes
    left: Node
    right: Node
    leaves: int


Node: TypeAlias = bytes | Branch  # no bytes: empty; one record: a leaf that stands for its subtree
Content: TypeAlias = bytes | Branch  # of a slot: up to BUCKET_LEAVES_MAX records in key order, or a subtree
Change: TypeAlias = tuple[bytes, bytes]  # a key, and its new record, or no bytes to delete it


def changed(content: Content, depth: int, changes: Sequence[Change]) -> tuple[Content, Node]:
    """What a slot at `depth` holds after `changes`, which are in key order, each key once; and its node."""
    if isinstance(content, Branch):
        node = _updated(content, depth, changes)
        return packed(node), node
    if len(changes) == 1:
        key, record = changes[0]
        if not content or (len(content) == RECORD_BYTES and content.startswith(key)):
            return record, record  # the usual case: one leaf comes, goes, or gets another value
    records = _merged(content, changes)
    node = _built(records, depth)
    return (b"".join(records) if len(records) <= BUCKET_LEAVES_MAX else node), node


def content_of(records: Sequence[bytes], depth: int) -> Content:
    """What a slot at `depth` holds that has these records, which are in key order, each key once."""
    return b"".join(records) if len(records) <= BUCKET_LEAVES_MAX else _built(records, depth)


def node_of(content: Content, depth: int) -> Node:
    """The node at the top of a slot at `depth`."""
    if isinstance(content, Branch) or len(content) <= RECORD_BYTES:
        return content
    return _built(_records(content), depth)


def split(content: Content, depth: int) -> tuple[Content, Content]:
    """The contents of the two slots that a slot at `depth` becomes when the flat part grows by a level."""
    if isinstance(content, Branch):
        return packed(content.left), packed(content.right)
    records = _records(content)
    middle = RECORD_BYTES * _fork(records, depth)
    return content[:middle], content[middle:]


def united(left: Content, right: Content, depth: int) -> Content:
    """The content of the slot at `depth` that two neighbours become when the flat part shrinks by a level."""
    if isinstance(left, Branch) or isinstance(right, Branch):
        return packed(_joined(node_of(left, depth + 1), node_of(right, depth + 1)))
    return content_of(_records(left + right), depth)


def packed(node: Node) -> Content:
    """The node as the content of a slot."""
    if isinstance(node, Branch) and node.leaves <= BUCKET_LEAVES_MAX:
        return b"".join(_leaves(node))
    return node


def leaves_in(content: Content) -> int:
    """How many leaves there are."""
    return content.leaves if isinstance(content, Branch) else len(content) // RECORD_BYTES


def hash_of(node: Node) -> bytes:
    """The hash of a node, 32 bytes."""
    if isinstance(node, Branch):
        return node.hash
    return node[KEY_BYTES:] or EMPTY_HASH


def bit_of(key: bytes, depth: int) -> int:
    """Which child the way to `key` takes at `depth`: 0 is left."""
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def _records(content: bytes) -> list[bytes]:
    return [content[at : at + RECORD_BYTES] for at in range(0, len(content), RECORD_BYTES)]


def _merged(content: bytes, changes: Sequence[Change]) -> list[bytes]:
    """The records of a packed slot, or of an empty or lone node, after changes."""
    by_key = {record[:KEY_BYTES]: record for record in _records(content)}
    by_key.update(changes)
    return sorted(record for record in by_key.values() if record)


def _built(records: Sequence[bytes], depth: int) -> Node:
    """The node at `depth` over records in key order that share their first `depth` bits."""
    if len(records) < 2:
        return records[0] if records else b""
    first = records[0]
    differing = int.from_bytes(first, "big") ^ int.from_bytes(records[-1], "big")
    fork = RECORD_BITS - differing.bit_length()  # being in order, all agree on the bits before
    assert fork < KEY_BITS, "each key once"
    middle = _fork(records, fork)
    node = _joined(_built(records[:middle], fork + 1), _built(records[middle:], fork + 1))
    for above in range(fork - 1, depth - 1, -1):
        node = _joined(b"", node) if bit_of(first, above) else _joined(node, b"")
    return node


def _updated(node: Node, depth: int, changes: Sequence[Change]) -> Node:
    """The node after changes in key order; copies the branches on the way to them, shares all others."""
    if not changes:
        return node
    if not isinstance(node, Branch):
        return _built(_merged(node, changes), depth)
    middle = bisect_left(changes, 1, key=lambda change: bit_of(change[0], depth))
    left = _updated(node.left, depth + 1, changes[:middle])
    return _joined(left, _updated(node.right, depth + 1, changes[middle:]))


def _joined(left: Node, right: Node) -> Node:
    """The parent of two nodes: a lone leaf rises, two empty nodes make one (LIP-0039)."""
    leaves = leaves_in(left) + leaves_in(right)
    if leaves < 2:
        return left or right
    return Branch(branch_hash(hash_of(left), hash_of(right)), left, right, leaves)


def _fork(records: Sequence[bytes], depth: int) -> int:
    """How many of the records, which are in key order and agree before `depth`, go left there."""
    return bisect_left(records, 1, key=lambda record: bit_of(record, depth))


def _leaves(node: Node) -> Iterator[bytes]:
    """The records below a node, in key order."""
    if isinstance(node, Branch):
        yield from _leaves(node.left)
        yield from _leaves(node.right)
    else:
        yield node
