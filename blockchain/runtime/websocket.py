"""How this node uses WebSocket: listening sockets, the gate before them, and the options of both directions.

No compression, no redirects, no proxies, no browsers (a request with an Origin is refused), and a bound on
everything that somebody unknown can make this node hold or do: connections, connections of one IP address,
handshakes in progress, bytes of a frame before the peer is known, pings and pongs, frames that nobody has taken yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from types import GeneratorType
from typing import ClassVar, Final, TypedDict

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLIENT, SEND_EOF, SERVER, Event, Protocol, State

from blockchain.node.reach import source_of
from blockchain.primitives.host_port import HostPort, format_host_port
from blockchain.runtime.handshake import HANDSHAKE_FRAME_BYTES_MAX
from blockchain.runtime.listening import listen, stop_accepting
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.plain_frames import PLAIN_BYTES_MAX, frame_of, message_in
from blockchain.runtime.secure_channel import HEADER_BYTES, OVERHEAD_BYTES

_REFUSALS_MAX: Final = 32  # connections beyond inbound_max that get a reason; the others are reset
_SILENT_LOOKS: Final = 4
CONTROL_FRAMES_MAX: Final = 64  # between two looks, 2 s; honest is a ping and a pong. One is 6 bytes, and takes 10 µs
UNREAD_ANSWERS_BYTES_MAX: Final = 64 * 1024  # while a socket takes no more: pongs of who pings and never reads
PART_BYTES: Final = 8_192  # of what came, before it is seen whether to go on: 1,400 frames at most, some 10 ms
_BEGINNINGS: Final = (Opcode.BINARY, Opcode.TEXT)  # the opcodes of a message's first frame


def allow_messages(socket: Connection, limits: P2PLimits) -> None:
    """Lift the frame limit of a peer that proved who it is; before, it is that of handshake frames."""
    socket.protocol.max_message_size = limits.message_bytes_max + HEADER_BYTES + OVERHEAD_BYTES


class _Lost(asyncio.Transport):
    """Stands in for a transport that is gone."""

    def abort(self) -> None:
        """Nothing is left to abort."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return True


class PeerConnection(Connection):
    """A connection whose messages may be taken and written at once, without the turn of a task for each.

    One turn of the loop can bring megabytes, and a frame has six bytes. So what came is looked at in parts, and no
    further than somebody takes it; and who sends many frames that nobody has to take is cut.
    """

    received_bytes = 0  # of whatever kind, pongs too
    control_frames = 0  # since the last look at whether it is silent, or the beginning
    take_now: Callable[[bytes], bool] | None = None  # given each whole binary message that has none before it
    _unread_answers = 0  # bytes that went after what the socket takes, since it took something
    _waiting = 0  # messages in the library's queue, or out of it and not dealt with
    _is_one_out = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._rest = bytearray()  # came, and waits until the library's queue is empty; until then nothing more is read
        self.recv_messages.resume = self._go_on

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in CTRL_OPCODES:
            self.control_frames += 1
            if self.control_frames > CONTROL_FRAMES_MAX:
                self.transport.abort()
        if isinstance(event, Frame) and event.opcode in _BEGINNINGS:
            take_now, is_whole = self.take_now, event.fin and event.opcode is Opcode.BINARY
            if take_now is not None and is_whole and not self._waiting and take_now(bytes(event.data)):
                return
            self._waiting += 1
        super().process_event(event)

    async def receive(self) -> str | bytes:
        """The next message that `take_now` did not take; the one before it is dealt with. Raises ConnectionClosed."""
        self._waiting -= self._is_one_out
        self._is_one_out = False
        message = await self.recv()
        self._is_one_out = True
        return message

    def room_now(self) -> int:
        """How many bytes `write_now` should write at most; 0: whoever writes has to wait."""
        is_open = self.protocol.state is State.OPEN and not self.paused
        return self.write_limit_high - self.transport.get_write_buffer_size() if is_open else 0

    def write_now(self, messages: Iterable[bytes]) -> None:
        """Binary messages, each in a frame, and all in one piece, on a connection that has room."""
        self.transport.write(b"".join(map(self._frame_of, messages)))

    def _frame_of(self, message: bytes) -> bytes:
        if len(message) <= PLAIN_BYTES_MAX:
            return frame_of(message, is_masked=self.protocol.side is CLIENT)
        self.protocol.send_binary(message)
        return b"".join(self.protocol.data_to_send())

    def send_data(self) -> None:
        """As the library's, but in one piece: a part may have a thousand pings, and asyncio warns of each answer to
        who is gone.
        """
        pieces = self.protocol.data_to_send()
        if data := b"".join(pieces):
            self.transport.write(data)
        if SEND_EOF in pieces:
            with contextlib.suppress(OSError, RuntimeError):  # the connection is gone; the second is uvloop's
                self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self._rest += data
        self._look_at_rest()

    def _look_at_rest(self) -> None:
        while self._rest and not self.recv_messages.paused and not self.transport.is_closing():
            message = self._plain_message()
            if message is not None:
                self.process_event(Frame(Opcode.BINARY, message))
                continue
            part = bytes(self._rest[:PART_BYTES])
            del self._rest[:PART_BYTES]
            before = self.transport.get_write_buffer_size()
            super().data_received(part)
            if self.paused:
                self._unread_answers += self.transport.get_write_buffer_size() - before
                if self._unread_answers > UNREAD_ANSWERS_BYTES_MAX:
                    self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_answers = 0

    def _plain_message(self) -> bytes | None:
        """Take the message that comes next, past the library, which is at the end of a frame; None: it is its own."""
        protocol = self.protocol
        if protocol.state is not State.OPEN or protocol.current_size is not None or not _is_between_frames(protocol):
            return None
        bytes_max = protocol.max_message_size or PLAIN_BYTES_MAX
        found = message_in(self._rest, is_masked=protocol.side is SERVER, bytes_max=bytes_max)
        if found is None:
            return None
        message, size = found
        del self._rest[:size]
        return message

    def _go_on(self) -> None:
        """The library's queue is empty: what came goes on in a turn of its own, and then the socket is read."""
        self.loop.call_soon(self._look_further)

    def _look_further(self) -> None:
        self._look_at_rest()
        if not self._rest and not self.recv_messages.paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        # The library aborts transports that are gone already. asyncio's raises AttributeError then, if it was
        # closed while something was still to be written (anyio issue 1250 describes the same).
        super().connection_lost(exc)
        self.transport = _Lost()
        self._rest.clear()


def _is_between_frames(protocol: Protocol) -> bool:
    """Whether the library has taken apart all that it was given: its parser waits for the first byte of a frame."""
    parser: object = protocol.parser
    name = ""
    while isinstance(parser, GeneratorType):
        name, parser = parser.__name__, parser.gi_yieldfrom
    return name == "at_eof"


async def wait_silence(socket: PeerConnection, silence_s: float) -> None:
    """Return when the peer has sent nothing at all for `silence_s`, to a quarter of it.

    TCP itself would go on for hours with an end that vanished. What the peer could not know does not count against it:
    time in which this node does not read. Looks are counted, not seconds: a process that was stopped itself finds its
    peers' words waiting when it goes on.
    """
    looks = 0
    while looks < _SILENT_LOOKS:
        before = socket.received_bytes
        socket.control_frames = 0
        await asyncio.sleep(silence_s / _SILENT_LOOKS)
        is_silent = socket.received_bytes == before and socket.transport.is_reading()
        looks = looks + 1 if is_silent else 0


class DialledConnection(PeerConnection, ClientConnection):
    """A connection that this node dialled."""


async def open_websocket(address: HostPort, limits: P2PLimits, log: logging.Logger) -> DialledConnection:
    """Connect; raises OSError, TimeoutError or WebSocketException."""
    connection = await connect(
        f"ws://{format_host_port(*address)}/",
        host=address.host,  # given, so that the library refuses to be sent to another host
        port=address.port,
        proxy=None,
        user_agent_header=None,
        create_connection=DialledConnection,
        logger=log,
        **_options(limits),
    )
    if not isinstance(connection, DialledConnection):
        raise AssertionError("connections of this kind were asked for")
    return connection


class _Options(TypedDict):
    compression: None
    open_timeout: float
    ping_interval: float
    ping_timeout: float
    close_timeout: float
    max_size: int
    max_queue: int
    write_limit: int


def _options(limits: P2PLimits) -> _Options:
    return {
        "compression": None,
        "open_timeout": limits.handshake_s,
        "ping_interval": limits.ping_interval_s,
        "ping_timeout": limits.ping_timeout_s,
        "close_timeout": limits.close_s,
        "max_size": HANDSHAKE_FRAME_BYTES_MAX,
        "max_queue": limits.incoming_frames_max,
        "write_limit": limits.write_buffer_bytes_max,
    }


class Gate:
    """Counts inbound connections from the first byte on, and says which are too many."""

    def __init__(self, limits: P2PLimits, is_banned: Callable[[str], bool]) -> None:
        self._limits = limits
        self._is_banned = is_banned
        self._sources: dict[Connection, str] = {}  # all that are open; bounded by is_overrun()
        self._per_source: Counter[str] = Counter()
        self._in_handshake: set[Connection] = set()

    def is_overrun(self) -> bool:
        return len(self._sources) > self._limits.inbound_max + _REFUSALS_MAX

    def enter(self, connection: Connection, source: str) -> str:
        """Count a connection; the reason why it is one too many, or the empty string."""
        refusal = self._refusal(source)
        self._sources[connection] = source
        self._per_source[source] += 1
        if not refusal:
            self._in_handshake.add(connection)
        return refusal

    def settle(self, connection: Connection) -> None:
        """The connection is no longer in its handshake."""
        self._in_handshake.discard(connection)

    def leave(self, connection: Connection) -> None:
        self._in_handshake.discard(connection)
        source = self._sources.pop(connection, None)
        if source is not None:
            self._per_source[source] -= 1
            if not self._per_source[source]:
                del self._per_source[source]

    def connections(self) -> tuple[Connection, ...]:
        return tuple(self._sources)

    def _refusal(self, source: str) -> str:
        if self._is_banned(source):
            return "banned for a while"
        if len(self._sources) >= self._limits.inbound_max:
            return "too many connections"
        if self._per_source[source] >= self._limits.inbound_per_ip_max:
            return "too many connections from this address"
        if len(self._in_handshake) >= self._limits.handshakes_max:
            return "too many handshakes in progress"
        return ""


class GatedConnection(PeerConnection, ServerConnection):
    """An inbound connection that the gate counts; a subclass for each listener knows its gate."""

    gate: ClassVar[Gate]
    refusal = ""
    peer_address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        self.peer_address = format_host_port(host, port)
        self.refusal = self.gate.enter(self, source_of(host))
        if self.gate.is_overrun():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Whoever sends what is no frame right behind his request, where RFC 6455 §4.1 has him wait for the answer: the
        # library has given him up, and would fall over its own assertion, a traceback each time, when it answers him.
        if self.request is not None and self.protocol.state is State.CONNECTING and self.protocol.eof_sent:
            self.protocol.receive_eof()  # which closes it: what is closed is not answered
            self.transport.abort()  # nor takes it in any more

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.leave(self)
        super().connection_lost(exc)


def source_of_address(address: str) -> str:
    """Whose connection it is, by its "ip:port"."""
    return source_of(address.rpartition(":")[0].strip("[]"))


def _answer_request(connection: ServerConnection, request: Request) -> Response | None:
    if "Origin" in request.headers:  # only a browser sends one: a web page that tries the visitor's own node
        return connection.respond(http.HTTPStatus.FORBIDDEN, "browsers are not peers\n")
    if isinstance(connection, GatedConnection) and connection.refusal:
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, connection.refusal + "\n")
    return None


Handler = Callable[[GatedConnection, str], Awaitable[None]]  # the connection and "ip:port" of the peer


class Listener:
    """The listening sockets of one node and what came in through them."""

    def __init__(
        self, limits: P2PLimits, handler: Handler, is_banned: Callable[[str], bool], log: logging.Logger
    ) -> None:
        self._limits = limits
        self._handler = handler
        self._log = log
        self._servers: list[Server] = []
        self.gate = Gate(limits, is_banned)

    async def start(self, host: str, port: int) -> int:
        """Listen on every address of `host`; the port (chosen, when 0 is asked for).

        Raises PortInUse, and ConfigError for a host that is not this machine's.
        """
        bound = await listen(host, port)
        gate = self.gate

        class _Connection(GatedConnection):
            pass

        _Connection.gate = gate
        for sock in bound:
            server = await serve(
                self._on_connection,
                sock=sock,
                process_request=_answer_request,
                server_header=None,
                create_connection=_Connection,
                logger=self._log,
                **_options(self._limits),
            )
            self._servers.append(server)
        return int(bound[0].getsockname()[1])

    async def stop_accepting(self) -> None:
        for server in self._servers:
            await stop_accepting(server.sockets)
            server.close(close_connections=False)

    async def wait_closed(self) -> None:
        """Reset what is still open, and wait until nothing of it is left."""
        for connection in self.gate.connections():
            connection.transport.abort()
        await asyncio.gather(*(server.wait_closed() for server in self._servers))

    async def _on_connection(self, connection: ServerConnection) -> None:
        if not isinstance(connection, GatedConnection):
            raise AssertionError("the servers make gated connections only")
        await self._handler(connection, connection.peer_address)
