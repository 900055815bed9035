"""Logs: one JSON object a line with the standard attributes, lines for people, and a line for every event."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from blockchain.errors import ConfigError
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.vote import Step
from blockchain.runtime.logs import IDS_MAX, configure_logging, describe, event_fields, log_event
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
    PeerId,
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

TOUCHED = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "httpx", "httpcore", "asyncio")
LOGGER = logging.getLogger("blockchain.node")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), *map(logging.getLogger, TOUCHED)]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


# ----------------------------------------------------------------------------------------------------- JSON


def test_a_line_has_the_standard_attributes_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", node="one")
    LOGGER.info("hello %s", "world", extra={"http.status_code": 202, "duration": 5, "network.client.ip": "::1"})
    (line,) = objects(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert list(line.items()) == [
        ("status", "info"),
        ("service", "blockchain-node"),
        ("node", "one"),
        ("logger.name", "blockchain.node"),
        ("message", "hello world"),
        ("http.status_code", 202),
        ("duration", 5),
        ("network.client.ip", "::1"),
    ]


def test_the_time_is_that_of_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    record = logging.makeLogRecord({"name": "x", "msg": "m", "levelno": 20, "levelname": "INFO", "created": 1.0625})
    logging.getLogger().handle(record)
    configure_logging("info", "text")
    logging.getLogger().handle(record)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["timestamp"] == "1970-01-01T00:00:01.062Z"
    assert second == "00:00:01.062 INFO     m"


def test_the_service_can_be_named_and_the_node_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", "my-chain")
    LOGGER.warning("x")
    (line,) = objects(capsys)
    assert line["service"] == "my-chain"
    assert line["status"] == "warning"
    assert "node" not in line


def test_an_error_has_its_kind_message_and_stack(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        raise ConfigError("no such\nsetting")
    except ConfigError:
        LOGGER.exception("failed")
    (line,) = objects(capsys)
    assert (line["status"], line["message"]) == ("error", "failed")
    assert (line["error.kind"], line["error.message"]) == ("ConfigError", "no such\nsetting")
    assert line["error.stack"].startswith("Traceback")
    assert "exc_info" not in line


def test_nothing_takes_the_place_of_a_standard_attribute(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    LOGGER.info("x", extra={"status": 200, "service": "other", "timestamp": 0})
    (line,) = objects(capsys)
    assert (line["status"], line["service"]) == ("info", "blockchain-node")
    assert line["timestamp"] != 0


def test_a_key_that_gets_into_a_line_does_not_show(capsys: pytest.CaptureFixture[str]) -> None:
    key = SigningKey(b"\x07" * 32)
    configure_logging("debug", "json")
    LOGGER.info("x", extra={"seed": key.seed, "key": key, "buffer": bytearray(key.seed)})
    out = capsys.readouterr().out
    assert json.loads(out)["seed"] == json.loads(out)["buffer"] == "<32 bytes>"
    assert key.seed.hex() not in out
    assert "\\x07\\x07" not in out
    assert "BwcHBwcH" not in out  # base64


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "json")
    LOGGER.info("x")
    log_event(LOGGER, Halted("y"))
    log_event(LOGGER, PeerLeft(PeerId(bytes(32))))
    assert [line["message"] for line in objects(capsys)] == ["halted, votes no more: y"]


@pytest.mark.parametrize("level", ["", "loud", "notset", "10"])
def test_a_level_that_there_is_not(level: str) -> None:
    with pytest.raises(ConfigError, match="choose one of debug, info"):
        configure_logging(level, "json")


def test_others_write_through_the_same_handler_once(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn").handlers = [logging.StreamHandler()]  # as its own configuration does
    logging.getLogger("uvicorn").propagate = False
    configure_logging("info", "json")
    configure_logging("info", "json")
    logging.getLogger("uvicorn.error").info("up", extra={"color_message": "\x1b[1mup"})
    logging.getLogger("websockets.server").error("bad", extra={"websocket": object()})
    first, second = objects(capsys)
    assert (first["logger.name"], first["message"]) == ("uvicorn.error", "up")
    assert (second["logger.name"], second["message"]) == ("websockets.server", "bad")
    for line in (first, second):
        assert line.keys() == {"timestamp", "status", "service", "logger.name", "message"}


def test_others_do_not_speak_of_every_request_and_frame(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    logging.getLogger("uvicorn.access").info("GET /?secret")
    logging.getLogger("uvicorn.error").debug("x")
    logging.getLogger("websockets.client").debug("< BINARY 00 11 22")
    logging.getLogger("websockets.server").info("connection open")
    logging.getLogger("httpx").info("HTTP Request: GET http://localhost")
    LOGGER.debug("ours")
    assert [line["message"] for line in objects(capsys)] == ["ours"]
    assert not logging.getLogger("uvicorn.access").hasHandlers()  # how uvicorn sees that there is no access log


def test_a_higher_level_holds_for_others_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("error", "json")
    logging.getLogger("uvicorn.error").warning("x")
    logging.getLogger("websockets.server").warning("x")
    assert objects(capsys) == []


# ----------------------------------------------------------------------------------------------------- text


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text", node="two")
    LOGGER.warning("hello %s", "world", extra={"duration": 5})
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} WARNING  \[two\] hello world\n", capsys.readouterr().out)


def test_an_error_for_people_keeps_its_stack(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    try:
        raise ConfigError("why")
    except ConfigError:
        LOGGER.exception("failed")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ERROR    failed")
    assert lines[1].startswith("Traceback")
    assert lines[-1].endswith("ConfigError: why")


def test_what_a_stranger_sends_neither_breaks_a_line_nor_commands_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event = PeerPenalized(PeerId(bytes(32)), "malformed", "a\r\n12:00:00 INFO forged\x1b[2J\x9b \u202e caf\xe9")
    for log_format in ("text", "json"):
        configure_logging("info", "text" if log_format == "text" else "json")
        log_event(LOGGER, event)
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        assert out.endswith("\n")
        assert out[:-1].isprintable()
        assert out.isascii()


# --------------------------------------------------------------------------------------------------- events

PEER = PeerId(b"\x0e" * 32)
ID = Hash32(b"\xab" * 32)
ME = Address(SigningKey(b"\x01" * 32).public_key)
TEXT = format_address(ME)
HEX = ID.hex()
SHORT = HEX[:12]

# Every event, with the level, the sentence and the fields beside its name.
EVENTS: list[tuple[NodeEvent, str, str, dict[str, object]]] = [
    (
        NodeStarted(5, ID, ME),
        "info",
        f"started at height 5, head {SHORT}, validator {TEXT}",
        {"height": 5, "head": HEX, "validator": TEXT},
    ),
    (
        NodeStarted(0, ID, None),
        "info",
        f"started at height 0, head {SHORT}, no validator key",
        {"height": 0, "head": HEX, "validator": None},
    ),
    (
        PeerJoined(PEER, "localhost:8010", False),
        "info",
        "peer 0e0e0e0e0e0e connected (outbound, listens at localhost:8010)",
        {"peer": "0e" * 32, "address": "localhost:8010", "inbound": False},
    ),
    (
        PeerJoined(PEER, "", True),
        "info",
        "peer 0e0e0e0e0e0e connected (inbound)",
        {"peer": "0e" * 32, "address": "", "inbound": True},
    ),
    (PeerLeft(PEER), "info", "peer 0e0e0e0e0e0e disconnected", {"peer": "0e" * 32}),
    (
        PeerPenalized(PEER, "malformed", "3 bytes"),
        "warning",
        "peer 0e0e0e0e0e0e penalized, malformed: 3 bytes",
        {"peer": "0e" * 32, "reason": "malformed", "why": "3 bytes"},
    ),
    (
        ClockOff(-3_000, 2_500, 4),
        "warning",
        "4 peers' clocks are 3000 ms behind this node's clock, 2500 are allowed: use NTP",
        {"offset_ms": -3_000, "allowed_ms": 2_500, "peers": 4},
    ),
    (
        TransactionAccepted(ID, ME, 3, "TRANSFER"),
        "info",
        f"transaction {SHORT} accepted: TRANSFER by {TEXT}, nonce 3",
        {"transaction_id": HEX, "sender": TEXT, "nonce": 3, "kind": "TRANSFER"},
    ),
    (
        TransactionsAccepted((ID, ID)),
        "info",
        "2 transactions accepted",
        {"transaction_ids": [HEX, HEX], "transactions": 2},
    ),
    (
        TransactionsDeclined(3, (("nonce_gap", 1), ("nonce_used", 2))),
        "info",
        "3 transactions of peers declined: 1 nonce_gap, 2 nonce_used",
        {"count": 3, "refusals": [["nonce_gap", 1], ["nonce_used", 2]]},
    ),
    (
        TransactionRefused(ID, "nonce_used", "nonce 3 was used"),
        "info",
        f"transaction {SHORT} refused, nonce_used: nonce 3 was used",
        {"transaction_id": HEX, "refusal": "nonce_used", "why": "nonce 3 was used"},
    ),
    (
        HeightBegun(6, 4, 100),
        "info",
        "height 6 begun: 4 validators, stake 100",
        {"height": 6, "validators": 4, "stake": 100},
    ),
    (
        ForgerDrawn(6, 1, ME),
        "info",
        f"height 6, round 1: {TEXT} is drawn to forge",
        {"height": 6, "round": 1, "forger": TEXT},
    ),
    (
        Proposed(6, 1, -1, ID),
        "info",
        f"height 6, round 1: proposed block {SHORT}",
        {"height": 6, "round": 1, "valid_round": -1, "block_id": HEX},
    ),
    (
        Proposed(6, 1, 0, ID),
        "info",
        f"height 6, round 1: proposed block {SHORT} again, valid in round 0",
        {"height": 6, "round": 1, "valid_round": 0, "block_id": HEX},
    ),
    (
        RoundTimedOut(6, 1, Step.PREVOTE),
        "warning",
        "height 6, round 1: timed out waiting in step prevote",
        {"height": 6, "round": 1, "step": "prevote"},
    ),
    (
        Locked(6, 1, ID),
        "info",
        f"height 6, round 1: locked on block {SHORT}",
        {"height": 6, "round": 1, "block_id": HEX},
    ),
    (
        BlockRejected(6, 1, ID, "state root"),
        "warning",
        f"height 6, round 1: block {SHORT} rejected: state root",
        {"height": 6, "round": 1, "block_id": HEX, "why": "state root"},
    ),
    (
        ProposalUntimely(6, 1, ME, 6_000, 5_000),
        "warning",
        f"height 6, round 1: the block of {TEXT} is 6000 ms ahead of this node's clock, 5000 are allowed: "
        "check the clocks",
        {"height": 6, "round": 1, "forger": TEXT, "ahead_ms": 6_000, "allowed_ms": 5_000},
    ),
    (
        BlockFinalized(6, 2, 1, ID, ME, (ID,), 1_000, 1_250),
        "info",
        f"block 6 is final: {SHORT} by {TEXT}, 1 transactions, decided in round 1, 250 ms after its time",
        {
            "height": 6,
            "round": 2,
            "decided_round": 1,
            "block_id": HEX,
            "forger": TEXT,
            "transaction_ids": [HEX],
            "block_time_ms": 1_000,
            "final_ms": 1_250,
            "synced": False,
            "transactions": 1,
            "duration": 250_000_000,
        },
    ),
    (
        BlockFinalized(6, 0, 0, ID, ME, (), 1_000, 9_000, True),
        "debug",
        f"block 6 is final: {SHORT} by {TEXT}, 0 transactions, decided in round 0, synced",
        {
            "height": 6,
            "round": 0,
            "decided_round": 0,
            "block_id": HEX,
            "forger": TEXT,
            "transaction_ids": [],
            "block_time_ms": 1_000,
            "final_ms": 9_000,
            "synced": True,
            "transactions": 0,
        },
    ),
    (
        EvidenceFound("votes", 6, ME),
        "warning",
        f"evidence of votes against {TEXT} at height 6",
        {"kind": "votes", "height": 6, "validator": TEXT},
    ),
    (
        SignatureRefused(6, 1, Step.PRECOMMIT, "on record"),
        "warning",
        "height 6, round 1: precommit not signed: on record",
        {"height": 6, "round": 1, "step": "precommit", "why": "on record"},
    ),
    (
        SyncProgressed(6, 90, 2, 12.5, 6.72),
        "info",
        "synced to height 6 of 90, 12.5 blocks/s, about 7 s left",
        {"height": 6, "target": 90, "sources": 2, "blocks_per_second": 12.5, "seconds_left": 6.72},
    ),
    (
        TrustMissing("block 7 is old"),
        "warning",
        "follows without voting, its chain is not trusted: block 7 is old",
        {"why": "block 7 is old"},
    ),
    (
        Trusted(7, ID),
        "info",
        f"checkpoint 7 reached, {SHORT}: this chain is trusted",
        {"height": 7, "block_id": HEX},
    ),
    (
        SigningBegun(8),
        "info",
        "nobody else was heard to sign with this key: votes from height 8 on",
        {"height": 8},
    ),
    (
        SigningStopped("two processes"),
        "critical",
        "signs nothing until it is started again: two processes",
        {"why": "two processes"},
    ),
    (StoreDamaged("block 4"), "error", "a block cannot be served: block 4", {"why": "block 4"}),
    (Halted("two chains"), "critical", "halted, votes no more: two chains", {"why": "two chains"}),
]


def test_every_event_is_here() -> None:
    assert {type(event) for event, *_ in EVENTS} == set(get_args(NodeEvent))


@pytest.mark.parametrize("event, level, message, fields", EVENTS, ids=lambda value: type(value).__name__)
def test_the_line_of_an_event(
    event: NodeEvent, level: str, message: str, fields: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug", "json")
    log_event(LOGGER, event)
    (line,) = objects(capsys)
    assert (line.pop("status"), line.pop("message")) == (level, message)
    assert line.pop("evt.name") == event.__struct_config__.tag
    for name in ("timestamp", "service", "logger.name"):
        del line[name]
    assert line == fields


def test_the_ids_of_a_large_block_are_counted_and_cut() -> None:
    ids = tuple(Hash32(number.to_bytes(32, "big")) for number in range(IDS_MAX + 5))
    fields = event_fields(BlockFinalized(6, 0, 0, ID, ME, ids, 0, 0))
    assert fields["transactions"] == IDS_MAX + 5
    assert fields["transaction_ids"] == [identifier.hex() for identifier in ids[:IDS_MAX]]


def test_a_clock_behind_the_forgers_gives_no_negative_duration() -> None:
    event = BlockFinalized(6, 0, 0, ID, ME, (), 2_000, 1_500)
    assert event_fields(event)["duration"] == 0
    assert "-500 ms" in describe(event)
