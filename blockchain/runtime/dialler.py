"""Keeps dialling addresses until they are forgotten: with backoff and jitter, and never what is connected
already.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from websockets.exceptions import InvalidStatus, WebSocketException

from blockchain.errors import ConfigError, HandshakeFailed
from blockchain.primitives.host_port import HostPort, parse_host_port
from blockchain.runtime.dial_back import dial_back
from blockchain.runtime.link import Link
from blockchain.runtime.nearness import targets_behind
from blockchain.runtime.peer_events import DialAnswered, DialBackEnded, DialFailed, P2PLimits, PeerEvents
from blockchain.runtime.roster import DuplicateConnection
from blockchain.runtime.secure_channel import printable
from blockchain.runtime.session import Sessions

Phase = Literal["dialling", "connected", "waiting", "self", "impossible"]

NEARER: Final = "it leads to something nearer than the peer that told of it"
_DOUBLINGS_MAX: Final = 16  # keeps the power small; retry_max_s is reached long before
_RANDOM: Final = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class DialState:
    """What became of an address. `why` is the last failure, kept while the next attempt runs."""

    address: str
    phase: Phase  # "self" is this node's own address; "impossible" is none, and is not tried
    why: str
    failures: int  # in a row
    peer_id: bytes | None  # who was last found there
    tried_at: float | None = None  # when the last attempt began, in the event loop's seconds
    next_at: float | None = None  # when the next one will, while it is waited for


class _Dial:
    def __init__(self, address: str, expected_id: bytes | None, told_from: str | None) -> None:
        self.address = address
        self.expected_id = expected_id
        self.told_from = told_from
        self.phase: Phase = "dialling"
        self.why = ""
        self.failures = 0
        self.peer_id: bytes | None = None
        self.tried_at: float | None = None
        self.next_at: float | None = None
        self.task: asyncio.Task[None] | None = None

    def state(self) -> DialState:
        return DialState(self.address, self.phase, self.why, self.failures, self.peer_id, self.tried_at, self.next_at)


class Dialler:
    """One task an address. A link that was dialled runs in a task of its own and outlives `forget`."""

    def __init__(
        self,
        sessions: Sessions,
        limits: P2PLimits,
        events: PeerEvents,
        log: logging.Logger,
    ) -> None:
        self._sessions = sessions
        self._limits = limits
        self._events = events
        self._log = log
        self._dials: dict[str, _Dial] = {}
        self._links: set[asyncio.Task[None]] = set()
        self._backs: set[asyncio.Task[None]] = set()  # dials that peers asked for

    def dial(self, address: str, expected_id: bytes | None, told_from: str | None = None) -> bool:
        """Keep dialling; False when `dials_max` addresses are dialled already. A second time changes nothing.

        `told_from`: the IP address of the peer that told of it, None for the operator's own.
        """
        if address in self._dials:
            return True
        if len(self._dials) >= self._limits.dials_max:
            return False
        dial = self._dials[address] = _Dial(address, expected_id, told_from)
        dial.task = asyncio.create_task(self._keep(dial))
        return True

    def dial_back(self, peer_id: bytes, address: str, remote: str) -> None:
        """Dial once, and hang up. How often anybody may have this done is the core's matter."""
        task = asyncio.create_task(self._dial_back(peer_id, address, remote))
        self._backs.add(task)
        task.add_done_callback(self._on_back_over)

    async def _dial_back(self, peer_id: bytes, address: str, remote: str) -> None:
        outcome = await dial_back(self._sessions, self._limits, peer_id, address, remote)
        await self._events.put(DialBackEnded(peer_id, outcome))

    def forget(self, address: str) -> None:
        dial = self._dials.pop(address, None)
        if dial is not None and dial.task is not None:
            dial.task.cancel()

    def states(self) -> list[DialState]:
        return [dial.state() for dial in self._dials.values()]

    async def stop(self) -> None:
        """End all dialling, and wait for the links that it made."""
        tasks = [dial.task for dial in self._dials.values() if dial.task is not None] + list(self._backs)
        self._dials.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._links, return_exceptions=True)

    async def _keep(self, dial: _Dial) -> None:
        try:
            target = parse_host_port(dial.address)
        except ConfigError as error:
            dial.phase, dial.why = "impossible", str(error)
            await self._events.put(DialFailed(dial.address, dial.why))
            return
        while True:
            await self._while_connected(dial)
            await self._try(dial, target)
            if not self._is_connected(dial):
                delay = self._delay(dial)
                dial.next_at = asyncio.get_running_loop().time() + delay
                await asyncio.sleep(delay)
                dial.next_at = None

    def _is_connected(self, dial: _Dial) -> bool:
        return dial.peer_id is not None and self._sessions.roster.find(dial.peer_id) is not None

    async def _while_connected(self, dial: _Dial) -> None:
        """Wait as long as who was last found there is connected, in whichever direction."""
        while dial.peer_id is not None and (link := self._sessions.roster.find(dial.peer_id)) is not None:
            dial.phase = "connected"
            await link.gone.wait()
            dial.why = link.why

    async def _try(self, dial: _Dial, target: HostPort) -> None:
        dial.phase = "dialling"
        dial.tried_at = asyncio.get_running_loop().time()
        try:
            link = await self._sessions.dial(dial.address, await self._where(dial, target), dial.expected_id)
        except DuplicateConnection as error:  # no failure; the next round waits for the connection that stays
            dial.peer_id = error.peer_id
            self._note(dial, "waiting", error.why)
            await self._events.put(DialAnswered(dial.address, error.peer_id, error.remote))
        except HandshakeFailed as error:
            self._note(dial, "self" if error.reason == "own_id" else "waiting", str(error))
            await self._events.put(DialFailed(dial.address, dial.why))
        except (OSError, WebSocketException, UnicodeError) as error:
            self._note(dial, "waiting", describe_failure(error))
            await self._events.put(DialFailed(dial.address, dial.why))
        else:
            await self._follow(dial, link)

    async def _where(self, dial: _Dial, target: HostPort) -> HostPort:
        """What was named; of what a peer told of, an IP address behind it that is no nearer than that peer.

        Raises OSError when there is none.
        """
        if dial.told_from is None:
            return target
        async with asyncio.timeout(self._limits.handshake_s):
            targets = await targets_behind(target, dial.told_from)
        if not targets:
            raise OSError(NEARER)
        return targets[dial.failures % len(targets)]

    async def _follow(self, dial: _Dial, link: Link) -> None:
        dial.phase, dial.why, dial.peer_id = "connected", "", link.peer.id
        task = asyncio.create_task(self._sessions.run(link))
        self._links.add(task)
        task.add_done_callback(self._on_link_over)
        await self._events.put(DialAnswered(dial.address, link.peer.id, link.remote))
        await link.gone.wait()
        if asyncio.get_running_loop().time() - link.since > self._limits.retry_max_s:
            dial.failures = 0  # only then: a peer that accepts and throws out at once is not dialled in a circle
        self._note(dial, "waiting", link.why)

    def _on_link_over(self, task: asyncio.Task[None]) -> None:
        self._links.discard(task)
        self._report(task)

    def _on_back_over(self, task: asyncio.Task[None]) -> None:
        self._backs.discard(task)
        self._report(task)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a peer's connection failed", exc_info=error)

    def _note(self, dial: _Dial, phase: Phase, why: str) -> None:
        dial.phase, dial.why = phase, why
        dial.failures += 1
        self._log.debug("dial of %s: %s", dial.address, why)

    def _delay(self, dial: _Dial) -> float:
        if dial.phase == "self":  # tried again, seldom: an address may come to belong to somebody else
            return self._limits.retry_max_s
        doublings = min(dial.failures - 1, _DOUBLINGS_MAX)
        longest = min(self._limits.retry_first_s * 2.0**doublings, self._limits.retry_max_s)
        return longest * _RANDOM.uniform(0.5, 1.0)  # nodes that met a failure together do not retry together


def describe_failure(error: Exception) -> str:
    """A line on why an address could not be reached; what the other side wrote in it is made printable."""
    if isinstance(error, InvalidStatus):
        said = printable(bytes(error.response.body or b"").strip())
        return f"refused: HTTP {error.response.status_code} {said}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror.encode("ascii", "replace"))
    return printable(str(error).encode("ascii", "replace"))
