"""The flat part of the state tree as a batch of changes would make it: from the slots that it touches up to the root.

Used by `smt` alone. Pure functions that read the tree's bytes and write nothing of it: what comes out is a speculation,
and any number of them may compete.

Theory. A level is its touched nodes, left to right. Of each of their parents, once, the pair is made that its hash is
of: from the new hashes of the touched children, and the tree's bytes for a sibling that is not. Kinds are looked at
apart, because nearly all stay as they are: `turned` names the others, and they die out a few levels up. Where all
touched nodes are branches, all above are, and what is left is a hash for each.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from blockchain.ledger.smt_build import BRANCH, HALF_PAIR_BYTES, PAIR_BYTES, risen
from blockchain.primitives.smt_proof import BRANCH_PREFIX


class Touched(NamedTuple):
    """Touched nodes of one level, left to right: heap indices, new hashes, and new kinds where they turn."""

    indices: list[int]
    hashes: list[bytes]
    turned: dict[int, int]


class Pairs(NamedTuple):
    """Touched parents of one level, left to right: heap indices, and what their new hashes are of."""

    indices: list[int]
    pairs: list[bytes]


class Climb(NamedTuple):
    """All that changes above the slots: the pairs, level by level upwards; the kinds that turn; the root's hash."""

    levels: list[Pairs]
    turned: dict[int, int]  # new kinds by heap index, of the slots too
    root: bytes


def climb(slots: Touched, depth: int, pairs: bytearray, kinds: bytearray) -> Climb:
    """What becomes of all nodes above these slots, at least one, which lie at `depth`."""
    indices, hashes, turned = slots
    all_turned, levels, are_branches = dict(turned), list[Pairs](), False
    for _ in range(depth):
        level = _pairs_above(indices, hashes, pairs)
        levels.append(level)
        indices = level.indices
        turned = _turned_above(turned, kinds)
        all_turned.update(turned)
        if are_branches:
            hashes = [sha256(pair).digest() for pair in level.pairs]
        else:
            now = [turned.get(index, kinds[index]) for index in indices]
            are_branches = min(now) == BRANCH
            hashes = [
                sha256(pair).digest() if kind == BRANCH else risen(pair)
                for pair, kind in zip(level.pairs, now, strict=True)
            ]
    return Climb(levels, all_turned, hashes[0])


def _pairs_above(indices: list[int], hashes: list[bytes], base: bytearray) -> Pairs:
    """The parents of the touched nodes of a level."""
    parents, pairs = list[int](), list[bytes]()
    done = 0
    next_indices, next_hashes = [*indices[1:], 0], [*hashes[1:], b""]
    for index, digest, next_index, next_digest in zip(indices, hashes, next_indices, next_hashes, strict=True):
        at = PAIR_BYTES * (index >> 1)
        if not index & 1:
            if next_index == index + 1:
                done = next_index
                pairs.append(b"".join((BRANCH_PREFIX, digest, next_digest)))
            else:
                pairs.append(BRANCH_PREFIX + digest + base[at + HALF_PAIR_BYTES : at + PAIR_BYTES])
        elif index != done:
            pairs.append(b"".join((base[at : at + HALF_PAIR_BYTES], digest)))
        else:
            continue
        parents.append(index >> 1)
    return Pairs(parents, pairs)


def _turned_above(turned: dict[int, int], kinds: bytearray) -> dict[int, int]:
    """The new kinds of the parents of these nodes, where they turn too."""
    above = dict[int, int]()
    for index, kind in turned.items():
        parent, sibling = index >> 1, index ^ 1
        together = min(kind + turned.get(sibling, kinds[sibling]), BRANCH)
        if together != kinds[parent]:
            above[parent] = together
    return above
