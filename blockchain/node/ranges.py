"""Ranges of missing blocks: which were asked of whom, and which are kept until their turn (docs/protocol.md §8.7).

Bookkeeping alone: nothing here sends, applies or judges. Every maximum of what sync may hold stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidCertificate
from blockchain.node.messages import BLOCKS_MAX, VerifiedBlocks
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Certificate
from blockchain.seams import PeerId

REPLY_BYTES_MAX: Final = 2 * 1024 * 1024  # a range is cut where it would grow larger, after one block at least
FITTING_FIRST: Final = 4  # blocks, while nothing is known of their size: so few that the first are here soon
SOURCES_MAX: Final = 4  # peers that are asked at the same time: two keep who verifies busy, two may be slow
AHEAD_MAX: Final = 16 * BLOCKS_MAX  # heights beyond the head that are asked for
KEPT_BYTES_MAX: Final = 12 * 1024 * 1024  # of answers kept or under way; decoded they take about ten times that
VERIFY_TICKS: Final = 15  # status ticks in which an answer that is here is verified on a slow machine
HEDGE_TICKS: Final = 2  # after which the range that all others wait for is asked of a second peer too


class Request(Struct, frozen=True):
    """Blocks `first` to `first + count - 1`, asked of one peer in that tick."""

    peer: PeerId
    first: int
    count: int
    tick: int

    @property
    def end(self) -> int:
        return self.first + self.count


class Kept(Struct, frozen=True):
    """An answer whose bodies are verified and whose blocks follow each other; its certificates wait for their turn."""

    peer: PeerId
    first: int
    blocks: tuple[VerifiedBlock, ...]
    certificate: Certificate
    size: int  # bytes

    @property
    def end(self) -> int:
        return self.first + len(self.blocks)

    def at(self, height: int) -> tuple[VerifiedBlock, Certificate]:
        """The block of a height and what proves it: the next body's certificate, after the last the range's own."""
        position = height - self.first
        following = self.blocks[position + 1 : position + 2]
        return self.blocks[position], following[0].block.parent_certificate if following else self.certificate


def link(peer: PeerId, message: VerifiedBlocks) -> Kept:
    """Check what needs no validator set: heights, parents, and that each certificate is for the block before it.

    Raises InvalidCertificate: whatever is wrong here is in the bytes of this one peer.
    """
    if message.certificate is None:
        raise InvalidCertificate("there is none for the last block")
    kept = Kept(
        peer, message.first, message.blocks, message.certificate, sum(len(block.raw) for block in message.blocks)
    )
    parent: Hash32 | None = None
    for height in range(kept.first, kept.end):
        block, seal = kept.at(height)
        if block.header.height != height:
            raise InvalidCertificate(f"block {block.header.height} where {height} was asked for")
        if parent is not None and block.header.parent != parent:
            raise InvalidCertificate(f"block {height} does not follow the block before it")
        if (seal.height, seal.block_id) != (height, block.id):
            raise InvalidCertificate(f"what should prove block {height} is for another block")
        parent = block.id
    return kept


class Ranges:
    """One request a peer, and what has come before its turn."""

    def __init__(self) -> None:
        self.requests: dict[PeerId, Request] = {}
        self._late: dict[PeerId, Request] = {}  # given up, and still of use should they come
        self._arrived: dict[PeerId, int] = {}  # the tick in which the answer came, as it seems
        self._kept: dict[int, Kept] = {}  # by first height
        self.fitting = FITTING_FIRST  # blocks that a reply has room for, by the newest one: more is asked of others

    def awaited_from(self, peer: PeerId | None) -> int:
        """The first height of the range that this peer was asked for and has not answered; 0: none."""
        if peer is None:
            return 0
        request = self.requests.get(peer) or self._late.get(peer)
        return 0 if request is None else request.first

    def ask(self, request: Request) -> None:
        self._late.pop(request.peer, None)
        self._arrived.pop(request.peer, None)
        self.requests[request.peer] = request

    def answered(self, peer: PeerId, first: int) -> tuple[Request | None, bool]:
        """The request that this is the answer to (None: there is none), and whether it was given up meanwhile."""
        for waiting in (self.requests, self._late):
            request = waiting.get(peer)
            if request is not None and request.first == first:
                del waiting[peer]
                return request, waiting is self._late
        return None, False

    def give_up(self, peer: PeerId) -> None:
        """It did not answer in time. The range is missing again; the answer is taken should it still come."""
        self._late[peer] = self.requests.pop(peer)

    def note_arrival(self, peer: PeerId, tick: int) -> None:
        """Once a request: who sends blocks that were not asked for again and again gains no more by it."""
        if peer in self.requests:
            self._arrived.setdefault(peer, tick)

    def overdue(self, before: int) -> list[Request]:
        return [request for request in self.requests.values() if self._since(request) <= before]

    def _since(self, request: Request) -> int:
        """The tick from which on its peer is waited for; once blocks came, when they are verified at the latest."""
        arrived = self._arrived.get(request.peer)
        return request.tick if arrived is None else arrived + VERIFY_TICKS

    def forget(self, peer: PeerId) -> None:
        """Nothing is expected of this peer any more; what it served is kept."""
        self.requests.pop(peer, None)
        self._late.pop(peer, None)
        self._arrived.pop(peer, None)

    def drop_from(self, peer: PeerId) -> None:
        """Nothing that this peer served is believed."""
        self.forget(peer)
        self._kept = {first: kept for first, kept in self._kept.items() if kept.peer != peer}

    def keep(self, kept: Kept) -> None:
        """Of two answers that begin at one height the longer one is kept."""
        self.fitting = min(max(REPLY_BYTES_MAX * len(kept.blocks) // kept.size, 1), BLOCKS_MAX)
        known = self._kept.get(kept.first)
        if known is None or known.end < kept.end:
            self._kept[kept.first] = kept

    def next(self, height: int) -> Kept | None:
        """A kept range that holds this height; what lies below it goes."""
        self._kept = {first: kept for first, kept in self._kept.items() if kept.end > height}
        return next((kept for kept in self._kept.values() if kept.first <= height), None)

    def has_room(self, first: int, height: int) -> bool:
        """Whether a range may be asked for: what comes next always, what lies further ahead within the bounds."""
        expected = sum(kept.size for kept in self._kept.values()) + (len(self.requests) + 1) * REPLY_BYTES_MAX
        return first == height or (first < height + AHEAD_MAX and expected <= KEPT_BYTES_MAX)

    def gaps(self, height: int, tick: int) -> Iterator[tuple[int, int]]:
        """First heights, and the ends before which they lie, of what is neither kept nor asked for; the last is open.

        The request that all else waits for covers nothing once it is old: then another peer is asked as well.
        """
        covered = [(kept.first, kept.end) for kept in self._kept.values()]
        covered += [
            (request.first, request.end)
            for request in self.requests.values()
            if request.first > height or self._since(request) + HEDGE_TICKS > tick
        ]
        position = height
        for first, end in sorted(covered):
            if first > position:
                yield position, first
            position = max(position, end)
        yield position, position + AHEAD_MAX
