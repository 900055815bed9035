"""The keys of the state in order, so that its next slice is found without looking at all of it.

A list of short sorted lists: to find a place is two binary searches, and to add or remove a key moves one short list.
The key objects are those of the records, so a key costs some nine bytes here. Pure: no I/O, no clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

CHUNK_KEYS: Final = 512  # of a new short list; one of twice as many is cut in two


class OrderedKeys:
    """A set of keys that can be walked in order from any place."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """Each key once, in any order."""
        ordered = iter(sorted(keys))
        self._chunks: list[list[bytes]] = []
        while chunk := list(islice(ordered, CHUNK_KEYS)):
            self._chunks.append(chunk)
        self._firsts = [chunk[0] for chunk in self._chunks]  # no key of a chunk is below; the first itself may be gone

    def copied(self) -> OrderedKeys:
        """One that can be changed without this one."""
        other = OrderedKeys()
        other._chunks = [chunk[:] for chunk in self._chunks]
        other._firsts = self._firsts[:]
        return other

    def add(self, key: bytes) -> None:
        """A key that is not there."""
        if not self._chunks:
            self._chunks, self._firsts = [[key]], [key]
            return
        at = self._chunk_of(key)
        chunk = self._chunks[at]
        insort(chunk, key)
        self._firsts[at] = min(self._firsts[at], key)
        if len(chunk) >= 2 * CHUNK_KEYS:
            self._chunks[at : at + 1] = [chunk[:CHUNK_KEYS], chunk[CHUNK_KEYS:]]
            self._firsts.insert(at + 1, chunk[CHUNK_KEYS])

    def remove(self, key: bytes) -> None:
        """A key that is there."""
        at = self._chunk_of(key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if not chunk:
            del self._chunks[at], self._firsts[at]

    def since(self, key: bytes) -> Iterator[bytes]:
        """This key, if it is there, and those above it, in order. Not to be gone on with after a change."""
        if not self._chunks:
            return iter(())
        at = self._chunk_of(key)
        first = islice(self._chunks[at], bisect_left(self._chunks[at], key), None)
        return chain(first, chain.from_iterable(islice(self._chunks, at + 1, None)))

    def _chunk_of(self, key: bytes) -> int:
        return max(bisect_right(self._firsts, key) - 1, 0)
