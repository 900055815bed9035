"""What clients send: read with a cap and a deadline, parsed strictly, made into transactions or refusals by name.

Nothing is decoded before its size is known. JSON means RFC 8259 and no more: no NaN, no name twice in one object, no
half of a surrogate pair, no nesting deeper than the parser goes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, cast

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from blockchain.api.problems import RETRY_SECONDS
from blockchain.errors import InvalidTransaction, MalformedMessage, Refusal
from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_from_json
from blockchain.primitives.jsonplain import payments_from_json
from blockchain.primitives.scalars import NO_SIGNATURE

BODY_BYTES_MAX: Final = 1024 * 1024  # a thousand transactions as JSON take half of it
BODIES_BYTES_MAX: Final = 16 * BODY_BYTES_MAX  # of all requests; parsed, the worst JSON takes twenty times as much
INLINE_BYTES_MAX: Final = 4 * 1024  # some eight transactions, half a millisecond; as routes.paths.INLINE_BYTES_MAX
BODY_SECONDS_MAX: Final = 30.0  # a client that drips bytes does not hold a place for ever
SUBMISSION_TRANSACTIONS_MAX: Final = 1_000  # each takes about 0.1 ms to verify: a tenth of a second together
# Of JSON, by the marks before and between them: a transaction has a dozen. Python's parser holds all threads until it
# is done, and a megabyte of lists took it a third of a second.
JSON_VALUES_MAX: Final = 32 * SUBMISSION_TRANSACTIONS_MAX
T = TypeVar("T")
_JSON: Final = "application/json"
_MSGPACK: Final = "application/msgpack"
_ARRAY_HEADER_BYTES: Final = {0xDC: 3, 0xDD: 5}  # MessagePack's longer arrays; short ones have one byte
_BINARY: Final = (0xC4, 0xC5, 0xC6)


class BodyLimits(Struct, frozen=True):
    bytes_max: int = BODY_BYTES_MAX
    seconds_max: float = BODY_SECONDS_MAX
    total_bytes_max: int = BODIES_BYTES_MAX


class BodyMemory:
    """What the bodies of all requests take together, from their first bytes until they are parsed."""

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0

    def take(self, count: int) -> None:
        """Raises Refusal (503, `busy`) where there is no room."""
        if self.bytes + count > self.bytes_max:
            raise Refusal(503, "busy", "too many requests are being read", retry_after=RETRY_SECONDS)
        self.bytes += count

    def give_back(self, count: int) -> None:
        self.bytes -= count


class Submission(Struct, frozen=True):
    """What one request hands in, in its order: canonical bytes, or why they could not be made."""

    items: tuple[bytes | InvalidTransaction, ...]
    is_list: bool


async def read_submission(request: Request, limits: BodyLimits) -> Submission:
    """The transactions of a request. Raises Refusal, and InvalidTransaction for one that stands alone."""
    is_json = _is_json(request)
    async with body_of(request, limits) as raw:
        return await _parsed(_from_json, raw) if is_json else _from_msgpack(raw)


async def read_draft(request: Request, limits: BodyLimits) -> bytes:
    """One transaction, whose signature may be left out: canonical bytes, zeros in the place of an absent one.

    Raises Refusal and InvalidTransaction. As MessagePack nothing is looked at yet.
    """
    is_json = _is_json(request)
    async with body_of(request, limits) as raw:
        return await _parsed(_draft_from_json, raw) if is_json else raw


async def _parsed(parse: Callable[[bytes], T], raw: bytes) -> T:
    """Addresses take tens of microseconds each: those of a long body are not read on the loop that runs the node."""
    return parse(raw) if len(raw) <= INLINE_BYTES_MAX else await run_in_threadpool(parse, raw)


def _is_json(request: Request) -> bool:
    """JSON, or MessagePack. Raises Refusal for everything else."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "unsupported_media_type", "compressed bodies are not read")
    if media_type not in (_JSON, _MSGPACK):
        raise Refusal(415, "unsupported_media_type", f"send {_JSON} or {_MSGPACK}")
    return media_type == _JSON


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body, of which nobody keeps account any more. Raises Refusal as `body_of` does."""
    async with body_of(request, limits) as raw:
        return raw


@asynccontextmanager
async def body_of(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The whole body, or a Refusal as soon as it is too large, too slow or cut off, or all together are too large."""
    memory = cast("BodyMemory", request.app.state.body_memory)
    chunks = bytearray()
    try:
        await _receive(request, limits, memory, chunks)
        yield bytes(chunks)
    finally:
        memory.give_back(len(chunks))


async def _receive(request: Request, limits: BodyLimits, memory: BodyMemory, chunks: bytearray) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > limits.bytes_max):
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.seconds_max):
            async for chunk in request.stream():
                if len(chunks) + len(chunk) > limits.bytes_max:
                    raise _too_large(limits)
                memory.take(len(chunk))
                chunks += chunk
    except TimeoutError:
        raise Refusal(408, "body_too_slow", "the body did not arrive in time") from None
    except ClientDisconnect:
        raise Refusal(400, "body_incomplete", "the connection ended before the body did") from None


def _too_large(limits: BodyLimits) -> Refusal:
    return Refusal(413, "body_too_large", f"a body may have {limits.bytes_max} bytes")


def parse_json(raw: bytes) -> object:
    """Strict JSON of at most JSON_VALUES_MAX. Raises Refusal (400, `malformed_json`)."""
    if sum(map(raw.count, (b",", b"[", b"{"))) > JSON_VALUES_MAX:
        raise Refusal(400, "malformed_json", f"the body holds more than {JSON_VALUES_MAX} values")
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_check_object, parse_constant=_refuse_constant)
        if b"\\ud" in raw.lower():  # an escape that may be half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise Refusal(400, "malformed_json", "the body is not UTF-8, or holds half of a surrogate pair") from None
    except RecursionError:
        raise Refusal(400, "malformed_json", "the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, the hooks below, integers of thousands of digits
        raise Refusal(400, "malformed_json", f"the body is not JSON: {str(error)[:200]}") from None
    result: object = value
    return result


def _check_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same name twice")
    return members


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def _from_json(raw: bytes) -> Submission:
    if payments := payments_from_json(raw):
        _check_count(len(payments))
        return Submission(tuple(payments), is_list=True)
    value = parse_json(raw)
    if isinstance(value, dict) and value.keys() == {"transaction"}:
        value = value["transaction"]  # the parent project's clients wrap it
    if isinstance(value, list):
        _check_count(len(value))
        return Submission(tuple(_read_one(item) for item in value), is_list=True)
    return Submission((codec.encode(transaction_from_json(value)),), is_list=False)


def _draft_from_json(raw: bytes) -> bytes:
    value = parse_json(raw)
    if isinstance(value, dict) and value.get("signature") is None:
        value = {**value, "signature": NO_SIGNATURE.hex()}
    return codec.encode(transaction_from_json(value))


def _read_one(value: object) -> bytes | InvalidTransaction:
    try:
        return codec.encode(transaction_from_json(value))
    except InvalidTransaction as error:
        return error


def _from_msgpack(raw: bytes) -> Submission:
    """One transaction (an array that begins with its version) or an array of transactions, each as bin."""
    if not raw:
        raise Refusal(422, "no_transactions", "the body is empty")
    if not _is_array_of_binary(raw):
        return Submission((raw,), is_list=False)
    try:
        raws = codec.decode(raw, tuple[bytes, ...], bytes_max=len(raw))
    except MalformedMessage as error:
        raise Refusal(400, "malformed", f"not an array of transactions: {error.why}") from None
    _check_count(len(raws))
    return Submission(raws, is_list=True)


def _is_array_of_binary(raw: bytes) -> bool:
    header = _ARRAY_HEADER_BYTES.get(raw[0], 1)
    is_array = raw[0] in _ARRAY_HEADER_BYTES or 0x90 <= raw[0] <= 0x9F
    return is_array and (raw[0] == 0x90 or (len(raw) > header and raw[header] in _BINARY))


def _check_count(count: int) -> None:
    if count == 0:
        raise Refusal(422, "no_transactions", "the list is empty")
    if count > SUBMISSION_TRANSACTIONS_MAX:
        raise Refusal(422, "too_many_transactions", f"at most {SUBMISSION_TRANSACTIONS_MAX} at once, not {count}")
