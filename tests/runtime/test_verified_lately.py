"""Transactions that come twice: verified once, whenever the second copy comes, and never taken for good unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from blockchain.node.stateless import BlocksCheck, Check, Found, TransactionsCheck, check_here
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.runtime import verified_lately as module
from blockchain.runtime.verified_lately import VerifiedLately
from tests.samples import address, wallet

GENESIS = Hash32(bytes(32))
_PAID = [wallet("a", GENESIS).transfer(address("b"), 1, nonce) for nonce in range(4)]
PAYS = [one.raw for one in _PAID]
BAD = codec.encode(replace(_PAID[0].transaction, signature=_PAID[1].transaction.signature))
SECONDS = 10  # far more than any of it takes


class Looked:
    """What comes behind: remembers what it was asked."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []

    def check_all(self, checks: Sequence[Check]) -> Iterator[Found]:
        for one in checks:
            self.raws += one.raws
            yield from check_here([one])


def asked(*raws: bytes) -> TransactionsCheck:
    return TransactionsCheck(GENESIS, raws)


def test_what_was_good_is_not_looked_at_again() -> None:
    looked = Looked()
    lately = VerifiedLately(looked.check_all)
    assert list(lately.check_all([asked(*PAYS[:2])])) == [Found()]
    assert list(lately.check_all([asked(*PAYS[1:3]), asked(PAYS[0], PAYS[3])])) == [Found(), Found()]
    assert list(lately.check_all([asked(*PAYS)])) == [Found()]
    assert looked.raws == PAYS


def test_the_same_twice_at_once_is_looked_at_once() -> None:
    looked = Looked()
    checks = [asked(PAYS[0], PAYS[0]), asked(PAYS[1], PAYS[0])]
    assert list(VerifiedLately(looked.check_all).check_all(checks)) == [Found(), Found()]
    assert looked.raws == PAYS[:2]


def test_what_is_bad_is_found_at_its_place_each_time() -> None:
    lately = VerifiedLately(check_here)
    assert list(lately.check_all([asked(PAYS[0])])) == [Found()]
    for _ in range(2):
        first, second = lately.check_all([asked(*PAYS[:2]), asked(PAYS[0], PAYS[2], BAD)])
        assert first == Found() and [(flaw.at, flaw.code) for flaw in second.flaws] == [(2, "invalid_signature")]


def test_blocks_and_what_is_looked_at_one_by_one_pass() -> None:
    looked = Looked()
    lately = VerifiedLately(looked.check_all)
    each = TransactionsCheck(GENESIS, (PAYS[0],), each=True)
    for _ in range(2):
        assert list(lately.check_all([each])) == [Found()]
        assert [flaw.code for found in lately.check_all([BlocksCheck(GENESIS, (b"",))]) for flaw in found.flaws]
    assert looked.raws == [PAYS[0], b""] * 2


@pytest.mark.parametrize("is_good", [True, False])
def test_who_brings_what_another_looks_at_waits_for_that_and_looks_at_what_was_not_good(is_good: bool) -> None:
    """Two threads, each with what the other looks at: neither waits before its own is done."""
    both, begun, looked = threading.Barrier(2), list[None](), Looked()

    def meet(checks: Sequence[Check]) -> Iterator[Found]:
        """Neither looks before both have said at what."""
        if len(begun) < 2:
            begun.append(None)
            both.wait(SECONDS)
        return looked.check_all(checks)

    lately = VerifiedLately(meet)
    first, second = (PAYS[0] if is_good else BAD), PAYS[1]
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(lately.check_all, [asked(first, PAYS[2])])
        while not lately._looked_at:
            threading.Event().wait(0.001)
        two = threads.submit(lately.check_all, [asked(PAYS[3]), asked(first, second)])
        assert [bool(found.flaws) for found in one.result(SECONDS)] == [not is_good]
        assert [bool(found.flaws) for found in two.result(SECONDS)] == [False, not is_good]
    assert looked.raws.count(first) == (1 if is_good else 2)
    assert looked.raws.count(second) == looked.raws.count(PAYS[3]) == 1


@pytest.mark.parametrize("is_little", [True, False])
def test_who_has_a_little_of_a_large_frame_does_not_wait_for_it(is_little: bool) -> None:
    """A peer could hold up what others send by frames that end with the same."""
    goes_on, looked = threading.Event(), Looked()
    others = [wallet("c", GENESIS).transfer(address("b"), 1, nonce).raw for nonce in range(module.WAIT_FACTOR)]
    large = others if is_little else others[1:]

    def look(checks: Sequence[Check]) -> Iterator[Found]:
        if checks and checks[0].raws[0] == large[0]:
            goes_on.wait(SECONDS)
        return looked.check_all(checks)

    lately = VerifiedLately(look)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(lately.check_all, [asked(*large), asked(PAYS[0])])
        while PAYS[0] not in lately._looked_at:
            threading.Event().wait(0.001)
        two = threads.submit(lately.check_all, [asked(PAYS[0])])
        if is_little:
            assert two.result(SECONDS) == [Found()]
            assert lately.check_all([asked(PAYS[0])]) == [Found()], "it is remembered"
        goes_on.set()
        assert [one.result(SECONDS), two.result(SECONDS)] == [[Found()] * 2, [Found()]]
    assert looked.raws.count(PAYS[0]) == 1 + is_little


def test_what_fails_is_waited_for_by_nobody() -> None:
    def fail(_: Sequence[Check]) -> Iterator[Found]:
        raise OSError("gone")

    lately = VerifiedLately(fail)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            lately.check_all([asked(*PAYS)])
    assert not lately._looked_at


def test_only_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES_MIN", 2 * len(PAYS[0]))
    looked = Looked()
    lately = VerifiedLately(looked.check_all)
    for raw in (*PAYS[:2], *PAYS[:2], *PAYS[2:], PAYS[0]):
        assert list(lately.check_all([asked(raw)])) == [Found()]
    assert looked.raws == [*PAYS, PAYS[0]]
    assert len(lately._newer | lately._older) == 3
