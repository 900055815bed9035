"""No signature of a transaction that peers send is verified twice, also where two copies come at the same moment.

What is in the pool `node/verify.py` knows. But a second copy comes while the first is being verified, or waits for the
core, or has just become final: of whom a transaction was asked and who told of its block both send it. So which bytes
were found good is remembered for a while, and which are being looked at: who brings these again waits for that.

What others look at is waited for when all of one's own is found, so nobody waits in a ring. Only what is good is
remembered: a copy with another signature is other bytes, and who waited for what turned out bad looks for himself. So
does who has a little of it that comes late in a large frame: a peer that has sent that holds up no small proposal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Final

from msgspec.structs import replace

from blockchain.node.stateless import Check, CheckAll, Flaw, Found, TransactionsCheck

KEPT_BYTES_MIN: Final = 2 * 1024 * 1024  # the newest, some 10,000 transfers; less than twice as many, but for one check
WAIT_FACTOR: Final = 8  # others' work that is waited for, in units of what it saves


class _Part:
    """One check: the positions in it of what nobody has looked at, and of what others look at now."""

    def __init__(self, asked: TransactionsCheck) -> None:
        self.asked = asked
        self.new: list[int] = []
        self.awaited: list[tuple[int, _Part]] = []
        self.is_over: Future[None] = Future()  # what is new was looked at, or never will be
        self.work_bytes = 0  # of what is new in the checks that were asked for together, up to the end of this one
        self.found = Found()

    def check(self, places: Sequence[int]) -> TransactionsCheck:
        return replace(self.asked, raws=tuple([self.asked.raws[at] for at in places]))

    def take(self, found: Found, places: Sequence[int]) -> None:
        """What was found of those at these positions. The first flaw stays."""
        if found.flaws and not self.found.flaws:
            self.found = Found((), tuple(Flaw(places[flaw.at], flaw.code, flaw.why) for flaw in found.flaws))


class VerifiedLately:
    """Stands before `check_all`. Any thread may ask, on one chain; it holds as much as is asked at once, and some."""

    def __init__(self, check_all: CheckAll) -> None:
        self._check_all = check_all
        self._lock = threading.Lock()  # of what follows
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()
        self._newer_bytes = 0
        self._looked_at: dict[bytes, _Part] = {}

    def check_all(self, checks: Sequence[Check]) -> Iterable[Found]:
        """Implements `stateless.CheckAll`. Blocks, and what is to be found of each, are looked at as they are.

        After a flaw nothing more is looked at, nor waited for, in whichever check it is.
        """
        parts = [_Part(one) for one in checks if isinstance(one, TransactionsCheck) and not one.each]
        if len(parts) < len(checks):
            return self._check_all(checks)
        try:
            work_bytes = 0
            for part in parts:
                work_bytes = self._claim(part, work_bytes)
            self._look(parts)
        finally:
            for part in parts:
                self._release(part)
        if not any(part.found.flaws for part in parts):
            self._wait(parts)
        return [part.found for part in parts]

    def _claim(self, part: _Part, work_bytes: int) -> int:
        """What is new is looked at from now on, after so many bytes of others. Returns these together."""
        with self._lock:
            newer, older, looked_at = self._newer, self._older, self._looked_at
            for at, raw in enumerate(part.asked.raws):
                if raw in newer or raw in older:
                    continue
                other = looked_at.get(raw)
                if other is None:
                    looked_at[raw] = part
                    part.new.append(at)
                    work_bytes += len(raw)
                elif other is not part:
                    part.awaited.append((at, other))
            part.work_bytes = work_bytes
        return work_bytes

    def _look(self, parts: Iterable[_Part]) -> None:
        """At what is new, as far as nothing is wrong."""
        own = [part for part in parts if part.new]
        found = self._check_all([part.check(part.new) for part in own])
        for part, one in zip(own, found, strict=True):
            part.take(one, part.new)
            if one.flaws:
                return
            self._keep(part.asked.raws[at] for at in part.new)
            self._release(part)

    def _wait(self, parts: Sequence[_Part]) -> None:
        """For what others look at, unless that is far more; what they have not found good is looked at here."""
        saved_bytes = sum(len(part.asked.raws[at]) for part in parts for at, _ in part.awaited)
        for part in parts:
            for other in dict.fromkeys(other for _, other in part.awaited):
                if other.work_bytes <= WAIT_FACTOR * saved_bytes:
                    other.is_over.result()
            left = [at for at, _ in part.awaited if not self._is_kept(part.asked.raws[at])]
            for found in self._check_all([part.check(left)]) if left else ():
                part.take(found, left)
                if not found.flaws:
                    self._keep(part.asked.raws[at] for at in left)

    def _keep(self, raws: Iterable[bytes]) -> None:
        with self._lock:
            for raw in raws:
                self._newer_bytes += 0 if raw in self._newer else len(raw)
                self._newer.add(raw)
            if self._newer_bytes >= KEPT_BYTES_MIN:
                self._older, self._newer, self._newer_bytes = self._newer, set(), 0

    def _is_kept(self, raw: bytes) -> bool:
        with self._lock:
            return raw in self._newer or raw in self._older

    def _release(self, part: _Part) -> None:
        if part.is_over.done():
            return
        with self._lock:
            for at in part.new:
                del self._looked_at[part.asked.raws[at]]
        part.is_over.set_result(None)
