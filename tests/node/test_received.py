"""Who has waited longest: in whatever order they become ready and leave."""

from __future__ import annotations

from blockchain.node.entry import GONE, Entry, entry_of, received
from blockchain.node.received import STALE_FACTOR, STALE_MIN, Received
from tests.samples import address, wallet


class Bench:
    def __init__(self) -> None:
        self.ready: dict[int, Entry] = {}
        self.received = Received(self.ready)
        self._pay = wallet("a").transfer(address("b"), 1, 0)

    def add(self, at_ms: int) -> Entry:
        """One that becomes ready, and was received then."""
        place = len(self.ready)
        entry = entry_of(self._pay, place, (received(at_ms, from_client=True),), 1)
        entry.place = place
        self.ready[place] = entry
        self.received.add(entry)
        return entry

    def leave(self, entry: Entry) -> None:
        del self.ready[entry.place]
        entry.place = GONE


def test_the_first_received_is_the_oldest_whenever_it_became_ready() -> None:
    bench = Bench()
    assert bench.received.oldest is None
    later, first, second = bench.add(3), bench.add(1), bench.add(2)
    assert bench.received.oldest is first
    bench.leave(first)
    assert bench.received.oldest is second
    bench.leave(second)
    assert bench.received.oldest is later
    bench.leave(later)
    assert bench.received.oldest is None


def test_one_that_leaves_before_it_comes_first_is_passed_over() -> None:
    bench = Bench()
    first, second, third = bench.add(1), bench.add(2), bench.add(3)
    bench.leave(second)
    bench.leave(first)
    assert bench.received.oldest is third


def test_what_has_left_is_not_kept_for_ever() -> None:
    bench = Bench()
    oldest = bench.add(0)
    for at_ms in range(1, STALE_MIN + 2 * STALE_FACTOR + 2):
        bench.leave(bench.add(at_ms))
    assert bench.received.oldest is oldest
    assert bench.received.length <= STALE_MIN + STALE_FACTOR
