"""One connection of an API client, with an end to every wait: uvicorn's own waits for ever in three cases.

It puts no limit on the time to a connection's first request, on the time that the head of a request may take, or on a
client that does not read its answer. As connections are limited in number, a few hundred idle ones would keep all
others out. The time that a body may take is not ruled here, but in `body.py`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS_MAX: Final = 30.0  # twice the keep-alive; the largest answer, of some 3 MiB, takes it at 100 KiB/s


class ApiConnection(H11Protocol):
    """Reset when it has no request in progress for `IDLE_SECONDS_MAX`, whatever bytes drip in or wait to go out."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._mind_the_time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mind_the_time()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._mind_the_time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_the_time()

    def _mind_the_time(self) -> None:
        """A deadline that stands is not moved: bytes alone gain a client no time."""
        cycle: object = self.cycle
        if cycle is not None and not self.cycle.response_complete:
            self._forget_the_time()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(IDLE_SECONDS_MAX, self.transport.abort)

    def _forget_the_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _unsupported_upgrade_warning(self) -> None:
        """No advice to install a WebSocket library: the API has none on purpose, and whoever asks is answered."""
