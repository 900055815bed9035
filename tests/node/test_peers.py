"""What is known of a peer, and that it is bounded whatever the peer does."""

from __future__ import annotations

import pytest

from blockchain.node.messages import (
    BITMAP_BYTES_MAX,
    Blocks,
    Dialled,
    DialMe,
    GetBlocks,
    GetPeers,
    GetTime,
    Holdings,
    Message,
    Peers,
    Status,
    Tally,
    Time,
    Transactions,
    Votes,
    Want,
)
from blockchain.node.peers import (
    ALLOWANCES,
    FLOOD_FACTOR,
    KNOWN_IDS_MIN,
    OVER_FACTOR,
    OWED_MAX,
    TICK_MS,
    USELESS_MAX,
    Peer,
)
from blockchain.node.rounds_held import PLACES_MAX, place_of
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.seams import PeerId
from tests.consensus.bench import vote_of
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE


def peer() -> Peer:
    return Peer(PeerId(b"p" * 32), "host:1", inbound=True)


def hash_of(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def told(*holdings: Holdings, round: int = 2) -> Peer:
    one = peer()
    one.on_status(Status(7, round, Step.PREVOTE, holdings))
    return one


def test_before_its_first_status_a_peer_is_nowhere() -> None:
    one = peer()
    assert (one.height, one.round, one.status) == (0, 0, None)
    assert one.lacks(vote_of(0, PREVOTE, None), 0) and one.lacks_proposal(0)


def test_a_status_tells_what_a_peer_holds_by_value() -> None:
    one = told(Holdings(2, True, (Tally(PREVOTE, BLOCK_A, b"\x05"), Tally(PREVOTE, None, b"\x02"))))
    assert (one.height, one.round) == (7, 2)
    lacking = [one.lacks(vote_of(0, PREVOTE, BLOCK_A, round=2), index) for index in range(4)]
    assert lacking == [False, True, False, True]
    assert one.lacks(vote_of(0, PREVOTE, BLOCK_B, round=2), 0) and not one.lacks(vote_of(0, PREVOTE, None, round=2), 1)
    assert one.lacks(vote_of(0, PRECOMMIT, BLOCK_A, round=2), 0) and one.lacks(vote_of(0, PREVOTE, BLOCK_A, round=1), 0)
    assert not one.lacks_proposal(2) and one.lacks_proposal(1)


def test_what_a_peer_may_lack_is_what_it_told_of_or_has_not_come_to() -> None:
    one = told(Holdings(0, False, ()), Holdings(2, False, ()))
    assert [one.may_lack(round) for round in range(5)] == [True, False, True, True, True]


def test_what_a_peer_sent_is_held_until_its_next_status() -> None:
    one = told()
    one.note_votes((2, PREVOTE, BLOCK_A), 1 << 9)
    one.note_proposal(2)
    assert not one.lacks(vote_of(0, PREVOTE, BLOCK_A, round=2), 9) and not one.lacks_proposal(2)
    one.on_status(Status(7, 2, Step.PREVOTE, ()))
    assert one.lacks(vote_of(0, PREVOTE, BLOCK_A, round=2), 9) and one.lacks_proposal(2)


def test_what_a_peer_was_sent_is_on_its_way_for_a_tick_or_two_whatever_its_statuses_say() -> None:
    one = told()
    vote = vote_of(0, PREVOTE, BLOCK_A, round=2)
    one.note_votes_sent(place_of(vote), 1 << 9)
    one.note_proposal_sent(2)
    for _ in range(2):
        one.on_status(Status(7, 2, Step.PREVOTE, ()))
        assert not one.lacks(vote, 9) and not one.lacks_proposal(2)
        assert one.lacks(vote, 8) and one.lacks_proposal(1)
        one.on_tick(1_000)
    assert one.lacks(vote, 9) and one.lacks_proposal(2), "it did not arrive: again"


def test_what_was_sent_of_one_height_says_nothing_of_the_next() -> None:
    one = told()
    vote = vote_of(0, PREVOTE, BLOCK_A, round=2)
    one.note_votes_sent(place_of(vote), 1 << 9)
    one.note_proposal_sent(2)
    one.on_tick(1_000)
    one.note_votes_sent(place_of(vote), 1 << 8)
    one.on_status(Status(8, 2, Step.PREVOTE, ()))
    assert one.lacks(vote, 9) and one.lacks(vote, 8) and one.lacks_proposal(2)


def test_a_bitmap_of_any_length_is_read() -> None:
    one = told(Holdings(2, False, (Tally(PREVOTE, None, b"\xff" * BITMAP_BYTES_MAX), Tally(PREVOTE, BLOCK_A, b""))))
    assert not one.lacks(vote_of(0, PREVOTE, None, round=2), 9_999)
    assert one.lacks(vote_of(0, PREVOTE, BLOCK_A, round=2), 0)


def test_votes_and_proposals_without_end_are_forgotten() -> None:
    one = told()
    for round in range(PLACES_MAX + 10):
        one.note_votes((round, PREVOTE, None), 1)
        one.note_proposal(round)
        one.note_votes_sent((round, PREVOTE, None), 1)
        one.note_proposal_sent(round)
    for held in (one._holds, one._sent):
        assert len(held._votes) <= PLACES_MAX and len(held._proposals) <= PLACES_MAX
    assert not one.lacks(vote_of(0, PREVOTE, None, round=PLACES_MAX + 9), 0)


def test_known_ids_are_bounded_and_the_oldest_are_forgotten() -> None:
    one = peer()
    for number in range(3 * KNOWN_IDS_MIN):
        one.note_known((hash_of(number),))
        assert KNOWN_IDS_MIN <= len(one._known) < 2 * KNOWN_IDS_MIN or number < KNOWN_IDS_MIN
    last = 3 * KNOWN_IDS_MIN - 1
    kept = (hash_of(last - KNOWN_IDS_MIN + 1), hash_of(last))
    assert one.unknown_of((hash_of(0), *kept, hash_of(last + 1))) == (hash_of(0), hash_of(last + 1))
    one.forget(kept[0])
    assert not one.knows(hash_of(0)) and not one.knows(kept[0]) and one.knows(kept[1])


# ------------------------------------------------------------------------------------------------ too much


def excess(kind: type[Message], cost: int, passed_ms: int = TICK_MS) -> str:
    one = peer()
    one.note_came(kind, cost)
    fault = one.on_tick(passed_ms)
    assert one.on_tick(passed_ms) is None, "it counts anew"
    return "" if fault is None else fault.reason


@pytest.mark.parametrize("kind", ALLOWANCES, ids=lambda kind: kind.__name__)
def test_what_is_far_over_the_allowance_of_a_kind_is_a_fault(kind: type[Message]) -> None:
    allowed = ALLOWANCES[kind]
    assert excess(kind, OVER_FACTOR * allowed) == ""
    assert excess(kind, OVER_FACTOR * allowed + 1) == "over_allowance"
    assert excess(kind, FLOOD_FACTOR * allowed + 1) == "flood"


def test_a_node_that_stood_still_blames_nobody_for_what_came_meanwhile() -> None:
    assert excess(Status, 41 * ALLOWANCES[Status], passed_ms=60_000) == ""
    assert excess(Status, 41 * ALLOWANCES[Status], passed_ms=-60_000) == "flood"  # the clock was set back


def test_useless_transactions_are_a_fault_in_a_flood_only() -> None:
    one = peer()
    for _ in range(USELESS_MAX):
        one.note_useless()
    assert one.on_tick(TICK_MS) is None
    for _ in range(USELESS_MAX + 1):
        one.note_useless()
    fault = one.on_tick(TICK_MS)
    assert fault is not None and fault.reason == "useless_transactions"


def test_what_is_owed_is_what_was_asked_for_and_has_not_come() -> None:
    one = peer()
    assert [one.owed(kind) for kind in (Transactions, Blocks, Peers, Time, Dialled)] == [0, 0, 0, 0, 0]
    one.note_sent(Want((hash_of(1), hash_of(2))))
    one.note_sent(GetBlocks(1, 100))
    for asked in (GetPeers(), GetTime(7), DialMe()):
        one.note_sent(asked)
    assert [one.owed(kind) for kind in (Transactions, Blocks, Peers, Time, Dialled)] == [2, 1, 1, 1, 1]
    one.note_came(Transactions, 1)
    one.note_came(Blocks, 1)
    one.note_came(Peers, 3)
    assert [one.owed(kind) for kind in (Transactions, Blocks, Peers)] == [1, 0, 0]
    assert one.owed(Votes) > OWED_MAX
    for _ in range(OWED_MAX):
        one.note_sent(Want((hash_of(1), hash_of(2))))
    assert one.owed(Transactions) == OWED_MAX
