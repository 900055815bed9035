"""One connection of an API client, with an end to every wait and a bound on how many there are.

uvicorn's own connection waits for ever in four cases: for the first request, for the end of a request's head, and for
a client that does not read its answer, after the request or (with a second one behind it) during one. What it answers
itself is plain text. Here every wait has an end, and every answer is a problem document. The time that a body may take
is not ruled here, but in `body.py`.

Connections are limited for each client and in all. One too many takes the place of the connection of the client with
the most that waits longest for its client. So whoever opens connections and leaves them idle, or drips bytes into them,
only ever harms these; and nobody can take all places.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic
from typing import Final, cast

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from blockchain.api.plain_requests import PlainCycle, plain_get, scope_of
from blockchain.api.problems import RETRY_SECONDS, refusal_answer
from blockchain.errors import Refusal
from blockchain.node.reach import source_of

CONNECTIONS_MAX: Final = 256  # each holds little but buffers: of the system, and at most 64 KiB of a body
CLIENT_CONNECTIONS_MAX: Final = 128  # half: a second client finds room, whatever the first does
LINGERING_MAX: Final = 256  # that were answered and wait for their client to close; beyond it they are cut
LINGER_SECONDS: Final = 1.0  # to read an answer that came before the request was sent
IDLE_SECONDS_MAX: Final = 30.0  # twice the keep-alive; the largest answer, of some 3 MiB, takes it at 100 KiB/s
HEAD_BYTES_MAX: Final = 16 * 1024  # of a request line with its headers; browsers send one or two KiB
PIECES_MAX: Final = 1_000  # of a body, however small they are; each costs the loop that runs the node some 10 µs
PIECE_BYTES_MIN: Final = 256  # of those beyond, on average: the largest body in some 50 ms
_ANSWERED: Final = (h11.DONE, h11.MUST_CLOSE)  # what h11 says of this side until the request is over, too
_LOGGER: Final = logging.getLogger("blockchain.api")


class ApiConnection(H11Protocol):
    """Ended when it has waited `IDLE_SECONDS_MAX` for its client, whatever bytes drip in or wait to go out."""

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _is_ending = False
    _waits_since = 0.0
    _client_key = ""
    _held = b""  # what came while a plain request is answered: one read, then none until it is

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = _Parser(h11.SERVER, HEAD_BYTES_MAX)  # in the place of the one that uvicorn has made
        self.logger = cast("logging.Logger", _ClientFaults(self.logger))
        self._client_key = source_of(self.client[0] if self.client else "")
        self._mind_the_time()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        if isinstance(self.cycle, PlainCycle) and self._is_answering():
            self._held += data  # h11 does not know that there is an answer to wait for
            self.flow.pause_reading()
            return
        plain = plain_get(data) if self._is_between_requests() else None
        if plain is None:
            super().data_received(data)
        else:
            self._begin_plain(data, scope_of(self, *plain))
        self._mind_the_time()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        held, self._held = self._held, b""
        if held and not self._is_ending and not self.transport.is_closing():
            super().data_received(held)
        self._mind_the_time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(IDLE_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.resume_writing()
        self._unset_keepalive_if_required()
        self._forget_the_time()

    def shutdown(self) -> None:
        if self._is_ending:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        assert isinstance(error, h11.RemoteProtocolError), "called where the parser failed"
        if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self.end(Refusal(431, "head_too_large", f"a request's head may have {HEAD_BYTES_MAX} bytes"))
        else:
            self.end(Refusal(400, "bad_request", f"this is no HTTP request: {error}"))

    def end(self, refusal: Refusal) -> None:
        """Answer with a problem instead of what was asked, and close. What the client still sends is not looked at."""
        if self._is_ending or self.transport.is_closing():
            return
        self._is_ending = True
        self._unset_keepalive_if_required()
        self._forget_the_time()
        self._leave_request()
        if self._has_begun_answer() or self.flow.write_paused or self._lingering() > LINGERING_MAX:
            self.transport.abort()
            return
        client = self.client[0] if self.client else ""
        facts = {"http.status_code": refusal.status, "network.client.ip": client}
        _LOGGER.info("ended a connection: %d %s", refusal.status, refusal.code, extra=facts)
        if self.conn.our_state not in _ANSWERED:  # else the answer went before the body
            self.transport.write(_as_bytes(refusal))
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def abandon_answer(self) -> None:
        """At the end of the node: an answer that the client does not take in goes no further."""
        if self._has_begun_answer():
            self.transport.abort()
            self._leave_request()

    # ------------------------------------------------------------------------------------------------ time

    def _mind_the_time(self) -> None:
        """A deadline that stands is not moved: bytes alone gain a client no time."""
        if self._is_ending:
            return
        if self._is_answering():
            self._forget_the_time()
        elif self._deadline is None:
            self._waits_since = monotonic()  # uvloop's clock has whole milliseconds, and stands still within a turn
            self._deadline = self.loop.call_later(IDLE_SECONDS_MAX, self._on_deadline)

    def _forget_the_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._has_half_a_request():
            self.end(Refusal(408, "request_too_slow", f"the head took more than {IDLE_SECONDS_MAX:g} s"))
        else:
            self.transport.abort()

    # ------------------------------------------------------------------------------------------------ places

    def _make_room(self) -> None:
        places = [one for one in self.connections if isinstance(one, ApiConnection) and one.takes_place()]
        counts = Counter(one._client_key for one in places)
        if counts[self._client_key] > CLIENT_CONNECTIONS_MAX:
            crowd = self._client_key
        elif len(places) > CONNECTIONS_MAX:
            crowd = counts.most_common(1)[0][0]
        else:
            return
        waiting = [one for one in places if one._client_key == crowd and one.waits_for_client() and one is not self]
        longest = min(waiting, key=lambda one: one._waits_since, default=self)
        longest.give_up_place()

    def takes_place(self) -> bool:
        return not self._is_ending and not self.transport.is_closing()

    def waits_for_client(self) -> bool:
        """Whether the next step is the client's: a head, the rest of a body, or reading what is written."""
        return not self._is_answering() or self.flow.write_paused or bool(self.cycle.more_body)

    def give_up_place(self) -> None:
        """One that was served and is idle closes as after any keep-alive; any other is told why."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete and not self._has_half_a_request():
            self.transport.close()
            return
        detail = "too many connections: close those that are idle, or come again"
        self.end(Refusal(503, "too_many_connections", detail, retry_after=RETRY_SECONDS))

    def _lingering(self) -> int:
        return sum(isinstance(one, ApiConnection) and one._is_ending for one in self.connections)

    # ------------------------------------------------------------------------------------------------ requests

    def _is_between_requests(self) -> bool:
        return not self._is_answering() and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]

    def _begin_plain(self, request: bytes, scope: Scope) -> None:
        """As uvicorn begins with any other."""
        self._unset_keepalive_if_required()
        self.cycle = PlainCycle(self, request, scope)
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _has_begun_answer(self) -> bool:
        return self._is_answering() and self.cycle.response_started

    def _has_half_a_request(self) -> bool:
        return not self._is_answering() and bool(self.conn.trailing_data[0])

    def _leave_request(self) -> None:
        """The application's answer to a request in progress goes nowhere; its wait for a body ends."""
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _unsupported_upgrade_warning(self) -> None:
        """No advice to install a WebSocket library: the API has none on purpose, and whoever asks is answered."""


class _Parser(h11.Connection):
    """Refuses a body in very many small pieces: a client that sends a byte a chunk would keep the loop for minutes.
    Of one that is answered already nobody knows the end, and uvloop reads megabytes of it in a turn: it has few pieces.

    The head of an answer waits for what follows it: they leave in one write, and small ones in one packet.
    """

    _pieces = 0
    _piece_bytes = 0
    _unread_pieces = 0  # that came after the answer
    _head: Sequence[bytes] = ()

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        pieces = super().send_with_data_passthrough(event)
        if isinstance(event, h11.Response):
            self._head = pieces or ()
            return []
        if self._head and pieces is not None:
            pieces, self._head = [*self._head, *pieces], ()
        return pieces

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._piece_bytes = self._unread_pieces = 0
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._piece_bytes += len(event.data)
            self._unread_pieces += self.our_state in _ANSWERED
            too_many = self._pieces > PIECES_MAX + self._piece_bytes // PIECE_BYTES_MIN
            if too_many or self._unread_pieces > PIECES_MAX:
                raise h11.RemoteProtocolError("its body comes in very many small pieces")
        return event


class _ClientFaults(logging.LoggerAdapter[logging.Logger]):
    """uvicorn's logger without its warnings, which are of clients' faults: `end` logs those."""

    @property
    def level(self) -> int:
        return self.logger.level

    def warning(self, msg: object, *args: object, **kwargs: object) -> None:
        return


def _as_bytes(refusal: Refusal) -> bytes:
    response = refusal_answer(refusal)
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode("ascii")]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(response.body)])
