"""The heads that are ready are in the order of a block, whatever order they come and leave in."""

from __future__ import annotations

from random import Random

from blockchain.ledger.state import Overlay
from blockchain.node.entry import GONE, Entry, entry_of, received
from blockchain.node.heads import STALE_FACTOR, STALE_MIN, Heads
from blockchain.node.queues import Queue
from blockchain.node.scratch import Scratch
from tests.node.pool_bench import Bench, pay


def heads_of_nobody() -> Heads:
    bench = Bench()
    return Heads(Scratch(bench.ledger, Overlay(bench.final), 1), {})


def entry_at(arrival: int, fee: int) -> Entry:
    return entry_of(pay("a", 0, fee=fee), arrival, (received(0, from_client=True),), fee)


def queue_of(head: Entry) -> Queue:
    return Queue(head.nonce, head.nonce + 1, {head.nonce: head})


def test_heads_are_by_fee_then_arrival_whatever_came_and_left() -> None:
    chance = Random(1)
    heads, kept = heads_of_nobody(), list[Entry]()
    arrivals = list(range(300))
    chance.shuffle(arrivals)
    for arrival in arrivals:
        kept.append(entry_at(arrival, chance.choice((0, 1, 2, 50))))
        heads.add(kept[-1], queue_of(kept[-1]))
        if chance.random() < 0.4:
            heads.discard(kept.pop(chance.randrange(len(kept))))
        if arrival % 7 == 0:
            assert list(heads) == sorted(kept, key=lambda entry: (-entry.fee, entry.arrival))
    heads.clear()
    assert not list(heads)


def test_one_that_is_no_head_is_not_discarded_as_one() -> None:
    heads = heads_of_nobody()
    head, follower = entry_at(0, 5), entry_at(1, 5)
    follower.place = GONE
    heads.add(head, queue_of(head))
    heads.discard(follower)
    assert list(heads) == [head]


def test_a_fee_that_nobody_pays_any_more_is_not_kept_for_ever() -> None:
    heads = heads_of_nobody()
    lasting = entry_at(0, 0)
    heads.add(lasting, queue_of(lasting))
    for fee in range(1, STALE_MIN + 2 * STALE_FACTOR + 2):
        passing = entry_at(fee, fee)
        heads.add(passing, queue_of(passing))
        heads.discard(passing)
    assert heads.fees_kept <= STALE_MIN + 2 * STALE_FACTOR
    assert [entry.fee for entry in heads] == [0]
