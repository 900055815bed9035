"""The newest words of validators: two processes of one are both heard of, and none makes others pass on too much."""

from __future__ import annotations

from blockchain.node.announcements import ANNOUNCE_MS, APART_MS, NEWS_MS, Announcements
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Announcement
from tests.samples import set_of

NOW = 1_700_000_000_000
DRIFT_MS = 5_000
MEMBERS, KEYS = set_of([1, 1])
FIRST, SECOND = (Address(key.public_key) for key in KEYS)


def word(time_ms: int, instance: int = 1, who: Address = FIRST) -> Announcement:
    return Announcement(who, instance, NOW + time_ms)


def taken(heard: Announcements, *words: Announcement, now: int = NOW) -> list[bool]:
    return [heard.take(said, MEMBERS, now) for said in words]


def test_another_process_is_news_whatever_its_clock_says() -> None:
    heard = Announcements(DRIFT_MS)
    assert taken(heard, word(0), word(0, instance=2), word(-4_000, instance=2)) == [True, True, False]
    assert {said.instance for said in heard} == {1, 2}
    behind = Announcements(DRIFT_MS)
    assert taken(behind, word(0), word(-APART_MS, instance=2)) == [True, True]
    assert taken(behind, word(ANNOUNCE_MS)) == [True], "the second one silences nobody"


def test_a_third_process_takes_the_place_of_the_one_that_has_not_spoken_for_longest() -> None:
    heard = Announcements(DRIFT_MS)
    taken(heard, word(-9_000), word(-4_000, instance=2))
    assert taken(heard, word(0, instance=3)) == [True]
    assert {said.instance for said in heard} == {2, 3}


def test_many_instance_numbers_are_passed_on_no_more_often_than_two_processes() -> None:
    heard = Announcements(DRIFT_MS)
    passed = [heard.take(word(n, instance=n), MEMBERS, NOW) for n in range(2 * NEWS_MS)]
    assert sum(passed) == 4
    assert len(list(heard)) == 2


def test_old_words_that_are_sent_again_end_soon() -> None:
    heard = Announcements(DRIFT_MS)
    taken(heard, word(0))
    old = [word(-time_ms, instance=9) for time_ms in range(10 * APART_MS, 0, -NEWS_MS)]
    assert sum(taken(heard, *old)) <= APART_MS // NEWS_MS
    assert not any(taken(heard, *old)), "and not once more"


def test_a_process_that_has_ended_is_forgotten() -> None:
    heard = Announcements(DRIFT_MS)
    taken(heard, word(0), word(1_000, instance=2))
    taken(heard, word(APART_MS + 1, instance=2), now=NOW + APART_MS)
    assert [said.instance for said in heard] == [2]


def test_words_of_the_future_and_of_who_left_are_forgotten() -> None:
    heard = Announcements(DRIFT_MS)
    stranger = Address(b"\x77" * 32)
    taken(heard, word(0), word(DRIFT_MS, instance=2), word(0, who=SECOND), word(DRIFT_MS, who=stranger))
    assert {said.validator for said in heard} == {FIRST, SECOND}
    heard.on_tick(NOW - 1)
    assert [said.time_ms for said in heard] == [NOW, NOW]
    heard.on_tick(NOW - DRIFT_MS - 1)
    assert list(heard) == []
    assert taken(heard, word(DRIFT_MS + 1)) == [False]
