"""Logs: one JSON object a line on stdout, with the standard attributes of Datadog, or plain lines for people.

Everything goes through one handler: the node's own lines, uvicorn's (start it with `log_config=None`) and those of
websockets. uvicorn's access log is off, since the API writes its own with a duration. What happened in the node is a
`NodeEvent`; `log_event` is one reader of that stream and says each in one line.

Nothing secret is logged: events hold none, and bytes that get into a line by another way show as their length.
Attributes: https://docs.datadoghq.com/logs/log_configuration/attributes_naming_convention/
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
from datetime import UTC, datetime
from json import JSONEncoder
from typing import Any, Final, assert_never

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from blockchain.errors import ConfigError
from blockchain.primitives.address import format_address
from blockchain.primitives.vote import Step
from blockchain.seams import (
    BlockFinalized,
    BlockRejected,
    ClockOff,
    EvidenceFound,
    ForgerDrawn,
    Halted,
    HeightBegun,
    Locked,
    NodeEvent,
    NodeStarted,
    PeerJoined,
    PeerLeft,
    PeerPenalized,
    ProposalUntimely,
    Proposed,
    RoundTimedOut,
    SignatureRefused,
    SigningBegun,
    SigningStopped,
    StoreDamaged,
    SyncProgressed,
    TransactionAccepted,
    TransactionRefused,
    TransactionsAccepted,
    TransactionsDeclined,
    Trusted,
    TrustMissing,
)
from blockchain.settings import LOG_LEVELS, LogFormat

SERVICE: Final = "blockchain-node"
IDS_MAX: Final = 100  # a block may hold thousands; log processors cut or drop lines of some 100 KB

_NS_PER_MS: Final = 1_000_000
_SHORT: Final = 12  # hex digits of a hash that people compare by eye
# The least level of those that speak of every connection and request; websockets shows whole frames on debug.
_QUIET: Final = {
    "uvicorn": "info",
    "websockets": "warning",
    "httpx": "warning",
    "httpcore": "warning",
    "asyncio": "info",
}
_NOT_OURS: Final = ("color_message", "websocket")  # what uvicorn and websockets put beside their messages
_LEVELS: Final[dict[type[NodeEvent], int]] = {  # of those that are not told as a matter of course
    ClockOff: logging.WARNING,
    PeerPenalized: logging.WARNING,
    TrustMissing: logging.WARNING,
    RoundTimedOut: logging.WARNING,
    BlockRejected: logging.WARNING,
    ProposalUntimely: logging.WARNING,
    EvidenceFound: logging.WARNING,
    SignatureRefused: logging.WARNING,
    StoreDamaged: logging.ERROR,
    Halted: logging.CRITICAL,
    SigningStopped: logging.CRITICAL,
}
_ADDRESS_FIELDS: Final = frozenset({"validator", "sender", "forger"})
_PLACED_FIELDS: Final = {"id": "transaction_id"}  # a name that means something outside of its event


def configure_logging(level: str, log_format: LogFormat, service: str = SERVICE, node: str = "") -> None:
    """Send every logger of this process to stdout; may be called again. `node` tells nodes of one service apart.

    Raises ConfigError when `level` is none of LOG_LEVELS.
    """
    if level.lower() not in LOG_LEVELS:
        raise ConfigError(f"log level {level!r}: choose one of {', '.join(LOG_LEVELS)}")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service, node) if log_format == "json" else TextLines(node))
    logging.getLogger().handlers = [handler]
    _set_levels(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"


def log_level() -> str:
    """The level in force, one of LOG_LEVELS."""
    return logging.getLevelName(logging.getLogger().level).lower()


def change_log_level(level: str, who: str) -> None:
    """Another of LOG_LEVELS until the process ends; `who` asked for it. The change is logged in any case."""
    before = log_level()
    facts = {"evt.name": "log_level_changed", "before": before, "after": level, "network.client.ip": who}
    _set_levels(min(before, level, key=_number))  # the line comes while the one that shows more is in force
    logging.getLogger("blockchain.process").warning("log level %s, was %s", level, before, extra=facts)
    _set_levels(level)


def _set_levels(level: str) -> None:
    logging.getLogger().setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(_number(level), _number(least)))


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


class JsonLines(JsonFormatter):
    """A record as one JSON object: the standard attributes, then whatever the record brought along."""

    def __init__(self, service: str, node: str) -> None:
        super().__init__(reserved_attrs=[*RESERVED_ATTRS, *_NOT_OURS])
        self._encode = JSONEncoder(default=_stand_in).encode  # made once: the library makes one a line
        self._always = {"service": service, **({"node": node} if node else {})}

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        standard = {
            "timestamp": _timestamp(record),
            "status": record.levelname.lower(),
            **self._always,
            "logger.name": record.name,
            "message": record.message.rstrip(),
            **_error_attributes(record),
        }
        log_data.update(standard)  # first in the line
        message_dict.pop("exc_info", None)
        message_dict.pop("stack_info", None)
        super().add_fields(log_data, record, message_dict)
        log_data.update(standard)  # and nothing that a record brings along takes their place

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        return self._encode(log_data)


class TextLines(logging.Formatter):
    """A record for people: time, level, node if there is a name, message. Nothing in a message can break the line."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = f"[{node}] " if node else ""

    def format(self, record: logging.LogRecord) -> str:
        time = _timestamp(record)[11:23]
        lines = [f"{time} {record.levelname:<8} {self._node}{record.getMessage().rstrip()}"]
        lines += _error_attributes(record).get("error.stack", "").splitlines()
        return "\n".join(_printable(line) for line in lines)


def _timestamp(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error_attributes(record: logging.LogRecord) -> dict[str, str]:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    stack = "".join(traceback.format_exception(error))
    return {"error.kind": type(error).__name__, "error.message": str(error), "error.stack": stack}


def _stand_in(value: object) -> str:
    """What JSON has no form for. Bytes may be a key."""
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else str(value)


def _printable(line: str) -> str:
    """ASCII without control characters: a terminal obeys some, and a console may know no others."""
    escaped = line.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)


# --------------------------------------------------------------------------------------------------- events


def log_event(logger: logging.Logger, event: NodeEvent) -> None:
    """One line for one event: its name as `evt.name`, and every field of it (hashes in hex, addresses as bech32m)."""
    level = level_of(event)
    if logger.isEnabledFor(level):
        logger.log(level, describe(event), extra=event_fields(event))


def event_fields(event: NodeEvent) -> dict[str, object]:
    """The event's name and fields, as JSON knows them; `duration` in nanoseconds where the event has one."""
    fields: dict[str, object] = {"evt.name": event.__struct_config__.tag}
    for name in event.__struct_fields__:
        fields[_PLACED_FIELDS.get(name, name)] = _plain(name, getattr(event, name))
    if isinstance(event, BlockFinalized | TransactionsAccepted):
        fields["transactions"] = len(event.transaction_ids)
    if isinstance(event, BlockFinalized) and not event.synced:
        # From the forger's clock to this one's, so it may be off, but not below zero.
        fields["duration"] = max(0, event.final_ms - event.block_time_ms) * _NS_PER_MS
    return fields


def _plain(name: str, value: object) -> object:
    match value:
        case bytes():
            return format_address(value) if name in _ADDRESS_FIELDS else value.hex()
        case Step():
            return value.name.lower()
        case tuple():
            return [_plain(name, item) for item in value[:IDS_MAX]]
        case _:
            return value


def level_of(event: NodeEvent) -> int:
    """The level at which an event is told."""
    if isinstance(event, BlockFinalized) and event.synced:
        return logging.DEBUG  # of a thousand blocks it is the progress that is told
    return _LEVELS.get(type(event), logging.INFO)


def describe(event: NodeEvent) -> str:
    """The sentence with which an event is told to people."""
    match event:
        case NodeStarted() | StoreDamaged() | Halted() | TrustMissing() | Trusted() | SyncProgressed():
            return _of_node(event)
        case PeerJoined() | PeerLeft() | PeerPenalized() | ClockOff():
            return _of_peers(event)
        case TransactionAccepted() | TransactionsAccepted() | TransactionRefused() | TransactionsDeclined():
            return _of_pool(event)
        case HeightBegun() | ForgerDrawn() | Proposed() | RoundTimedOut() | Locked():
            return _of_round(event)
        case SigningBegun() | SigningStopped():
            return _of_signing(event)
        case BlockFinalized() | BlockRejected() | ProposalUntimely() | EvidenceFound() | SignatureRefused():
            return _of_outcome(event)
        case _:
            assert_never(event)


def _of_node(event: NodeStarted | StoreDamaged | Halted | TrustMissing | Trusted | SyncProgressed) -> str:
    match event:
        case NodeStarted():
            role = f"validator {format_address(event.validator)}" if event.validator else "no validator key"
            return f"started at height {event.height}, head {_short(event.head)}, {role}"
        case StoreDamaged():
            return f"a block cannot be served: {event.why}"
        case Halted():
            return f"halted, votes no more: {event.why}"
        case TrustMissing():
            return f"follows without voting, its chain is not trusted: {event.why}"
        case Trusted():
            return f"checkpoint {event.height} reached, {_short(event.block_id)}: this chain is trusted"
        case SyncProgressed():
            rate = "" if event.blocks_per_second is None else f", {event.blocks_per_second} blocks/s"
            left = "" if not event.seconds_left else f", about {math.ceil(event.seconds_left)} s left"
            return f"synced to height {event.height} of {event.target}{rate}{left}"
        case _:
            assert_never(event)


def _of_signing(event: SigningBegun | SigningStopped) -> str:
    if isinstance(event, SigningBegun):
        return f"nobody else was heard to sign with this key: votes from height {event.height} on"
    return f"signs nothing until it is started again: {event.why}"


def _of_peers(event: PeerJoined | PeerLeft | PeerPenalized | ClockOff) -> str:
    if isinstance(event, ClockOff):
        side = "ahead of" if event.offset_ms > 0 else "behind"
        apart = f"{abs(event.offset_ms)} ms {side} this node's clock"
        return f"{event.peers} peers' clocks are {apart}, {event.allowed_ms} are allowed: use NTP"
    peer = f"peer {_short(event.peer)}"
    match event:
        case PeerJoined():
            where = f", listens at {event.address}" if event.address else ""
            return f"{peer} connected ({'inbound' if event.inbound else 'outbound'}{where})"
        case PeerLeft():
            return f"{peer} disconnected"
        case PeerPenalized():
            return f"{peer} penalized, {event.reason}: {event.why}"
        case _:
            assert_never(event)


def _of_pool(event: TransactionAccepted | TransactionsAccepted | TransactionRefused | TransactionsDeclined) -> str:
    match event:
        case TransactionAccepted():
            sender = format_address(event.sender)
            return f"transaction {_short(event.id)} accepted: {event.kind} by {sender}, nonce {event.nonce}"
        case TransactionsAccepted():
            return f"{len(event.transaction_ids)} transactions accepted"
        case TransactionRefused():
            return f"transaction {_short(event.id)} refused, {event.refusal}: {event.why}"
        case TransactionsDeclined():
            causes = ", ".join(f"{count} {code}" for code, count in event.refusals)
            return f"{event.count} transactions of peers declined: {causes}"
        case _:
            assert_never(event)


def _of_round(event: HeightBegun | ForgerDrawn | Proposed | RoundTimedOut | Locked) -> str:
    if isinstance(event, HeightBegun):
        return f"height {event.height} begun: {event.validators} validators, stake {event.stake}"
    where = f"height {event.height}, round {event.round}"
    match event:
        case ForgerDrawn():
            return f"{where}: {format_address(event.forger)} is drawn to forge"
        case Proposed():
            again = f" again, valid in round {event.valid_round}" if event.valid_round >= 0 else ""
            return f"{where}: proposed block {_short(event.block_id)}{again}"
        case RoundTimedOut():
            return f"{where}: timed out waiting in step {event.step.name.lower()}"
        case Locked():
            return f"{where}: locked on block {_short(event.block_id)}"
        case _:
            assert_never(event)


def _of_outcome(event: BlockFinalized | BlockRejected | ProposalUntimely | EvidenceFound | SignatureRefused) -> str:
    match event:
        case BlockFinalized():
            how = "synced" if event.synced else f"{event.final_ms - event.block_time_ms} ms after its time"
            return (
                f"block {event.height} is final: {_short(event.block_id)} by {format_address(event.forger)}, "
                f"{len(event.transaction_ids)} transactions, decided in round {event.decided_round}, {how}"
            )
        case BlockRejected():
            where = f"height {event.height}, round {event.round}"
            return f"{where}: block {_short(event.block_id)} rejected: {event.why}"
        case ProposalUntimely():
            where = f"height {event.height}, round {event.round}"
            apart = f"{event.ahead_ms} ms ahead of this node's clock, {event.allowed_ms} are allowed"
            return f"{where}: the block of {format_address(event.forger)} is {apart}: check the clocks"
        case EvidenceFound():
            accused = format_address(event.validator)
            return f"evidence of {event.kind} against {accused} at height {event.height}"
        case SignatureRefused():
            where = f"height {event.height}, round {event.round}"
            return f"{where}: {event.step.name.lower()} not signed: {event.why}"
        case _:
            assert_never(event)


def _short(value: bytes) -> str:
    return value.hex()[:_SHORT]
