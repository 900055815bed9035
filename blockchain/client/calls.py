"""What can be asked of a node: each call is a request and a reader of its answer; nothing is sent here.

Both clients use these, so that there is one place that knows the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from threading import Lock
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from blockchain.client import answers, seen
from blockchain.errors import BlockchainError, InvalidTransaction, NodeUnreachable, RequestRefused
from blockchain.primitives import codec
from blockchain.primitives.transaction import VerifiedTransaction

T = TypeVar("T")

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # the largest block, as JSON, stays well below
SUBMISSION_TRANSACTIONS_MAX: Final = 1_000  # what a node takes in one request
VALIDATORS_PAGE: Final = 1_000  # the most that a node gives at once
_PREFIX: Final = "/api/v1"
# Held while a decoder is made. Two threads that look at one type first at the same moment end the process: msgspec lets
# the second use what the first has half written (`codec.prepare`).
_TYPES_LOCK: Final = Lock()


class Answer(Struct, frozen=True):
    """A response as it came."""

    url: str
    status: int
    body: bytes


class Call(Struct, Generic[T], frozen=True):
    """One request, and how to read what comes back."""

    path: str
    read: Callable[[Answer], T]
    parameters: dict[str, str] = {}
    body: bytes | None = None  # canonical bytes of transactions, or JSON where it is put; None asks by GET
    token: str = ""  # of the node's operator; a call with one and a body is a PUT


class _Problem(Struct, frozen=True):
    status: int
    code: str
    detail: str
    results: tuple[answers.Submission, ...] = ()


# ---------------------------------------------------------------------------------------------------- reading


def _read(kind: type[T]) -> Callable[[Answer], T]:
    def read(answer: Answer) -> T:
        if answer.status >= 400:
            raise _refused(answer)
        return _decode(answer, kind)

    return read


def _read_or_none(kind: type[T]) -> Callable[[Answer], T | None]:
    """None where the node says that it has no such thing."""

    def read(answer: Answer) -> T | None:
        if answer.status == 404:
            _problem(answer)  # a 404 of something that is no node is unreadable, not "no such thing"
            return None
        return _read(kind)(answer)

    return read


def _decode(answer: Answer, kind: type[T]) -> T:
    try:
        return _decoder(kind).decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise NodeUnreachable(answer.url, f"answered {answer.status} with something unreadable: {error}") from None


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Clients may be used in several threads."""
    with _TYPES_LOCK:
        return msgspec.json.Decoder(kind)


def _problem(answer: Answer) -> _Problem:
    try:
        return _decoder(_Problem).decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise NodeUnreachable(answer.url, f"answered {answer.status} without saying why") from None


def _refused(answer: Answer) -> BlockchainError:
    problem = _problem(answer)
    return RequestRefused(problem.status, problem.code, problem.detail)


# ------------------------------------------------------------------------------------------------------ calls


class _Pong(Struct, frozen=True):
    success: str


def ping() -> Call[_Pong]:
    return Call("/ping/", _read(_Pong))


def status() -> Call[answers.Status]:
    return Call(f"{_PREFIX}/status/", _read(answers.Status))


def blocks(before: int | None, limit: int | None) -> Call[answers.BlockPage]:
    parameters = {"before": before, "limit": limit}
    return Call(f"{_PREFIX}/blockchain/", _read(answers.BlockPage), _given(parameters))


def block(reference: int | str) -> Call[answers.Block | None]:
    return Call(f"{_PREFIX}/blocks/{_segment(reference)}/", _read_or_none(answers.Block))


def block_range(first: int, last: int | None, limit: int | None) -> Call[answers.BlockRange]:
    parameters = {"from": first, "to": last, "limit": limit}
    return Call(f"{_PREFIX}/blocks/", _read(answers.BlockRange), _given(parameters))


def history(address: str, cursor: str | None, limit: int | None) -> Call[answers.History]:
    path = f"{_PREFIX}/accounts/{_segment(address)}/transactions/"
    return Call(path, _read(answers.History), _given({"cursor": cursor, "limit": limit}))


def fees() -> Call[answers.Fees]:
    return Call(f"{_PREFIX}/fees/", _read(answers.Fees))


def transaction(transaction_id: str, wait_seconds: int = 0) -> Call[answers.TransactionState | None]:
    """`wait_seconds`: for how long the node may wait for its end before it answers."""
    path = f"{_PREFIX}/transactions/{_segment(transaction_id)}/"
    parameters = {"wait": "final", "timeout": str(wait_seconds)} if wait_seconds else {}
    return Call(path, _read_or_none(answers.TransactionState), parameters)


def dry_run(transaction: VerifiedTransaction) -> Call[answers.DryRun]:
    return Call(f"{_PREFIX}/transaction/dry_run/", _read(answers.DryRun), body=transaction.raw)


def transaction_proof(transaction_id: str) -> Call[answers.TransactionProof | None]:
    path = f"{_PREFIX}/transactions/{_segment(transaction_id)}/proof/"
    return Call(path, _read_or_none(answers.TransactionProof))


def account_proof(address: str) -> Call[answers.AccountProof | None]:
    return Call(f"{_PREFIX}/accounts/{_segment(address)}/proof/", _read_or_none(answers.AccountProof))


def account(address: str) -> Call[answers.Account]:
    return Call(f"{_PREFIX}/accounts/{_segment(address)}/", _read(answers.Account))


def validators(height: int | None, after: str | None) -> Call[seen.ValidatorList | None]:
    """A page; `after` is the `next` of the one before."""
    parameters = {"height": height, "after": after, "limit": VALIDATORS_PAGE}
    return Call(f"{_PREFIX}/validators/", _read_or_none(seen.ValidatorList), _given(parameters))


def joined(first: seen.ValidatorList, following: seen.ValidatorList | None) -> seen.ValidatorList | None:
    """Two pages of one set."""
    if following is None:
        return None
    return replace(first, validators=(*first.validators, *following.validators), next=following.next)


def validator(address: str) -> Call[seen.ValidatorRecord | None]:
    return Call(f"{_PREFIX}/validators/{_segment(address)}/", _read_or_none(seen.ValidatorRecord))


def log_level(token: str, level: str | None) -> Call[answers.LogLevel]:
    body = None if level is None else msgspec.json.encode({"level": level})
    return Call(f"{_PREFIX}/admin/log_level/", _read(answers.LogLevel), body=body, token=token)


def peers() -> Call[answers.Peers]:
    return Call(f"{_PREFIX}/peers/", _read(answers.Peers))


def genesis() -> Call[answers.Genesis]:
    return Call(f"{_PREFIX}/genesis/", _read(answers.Genesis))


def consensus() -> Call[answers.Consensus]:
    return Call(f"{_PREFIX}/consensus/", _read(answers.Consensus))


def lottery(height: int, round: int) -> Call[answers.Lottery | None]:
    return Call(f"{_PREFIX}/lottery/{height}/{round}/", _read_or_none(answers.Lottery))


def why(height: int | None) -> Call[seen.Why | None]:
    return Call(f"{_PREFIX}/consensus/why/", _read_or_none(seen.Why), _given({"height": height}))


def pool(limit: int | None) -> Call[tuple[answers.SignedTransaction, ...]]:
    read = _read(tuple[answers.SignedTransaction, ...])
    return Call(f"{_PREFIX}/transaction/transaction_pool/", read, _given({"limit": limit}))


def submissions(transactions: Iterable[VerifiedTransaction]) -> Iterable[Call[tuple[answers.Submission, ...]]]:
    """One call for every thousand transactions, in their order."""
    waiting = iter(transactions)
    while batch := tuple(islice(waiting, SUBMISSION_TRANSACTIONS_MAX)):
        body = codec.encode([one.raw for one in batch])
        yield Call(f"{_PREFIX}/transaction/create/", _read_submission, body=body)


def check_accepted(results: Sequence[answers.Submission]) -> list[str]:
    """The ids; raises InvalidTransaction for the first that was refused."""
    ids = []
    for result in results:
        if not result.is_accepted or result.id is None:
            raise InvalidTransaction(result.code, result.why)
        ids.append(result.id)
    return ids


class _Accepted(Struct, frozen=True):
    results: tuple[answers.Submission, ...]


def _read_submission(answer: Answer) -> tuple[answers.Submission, ...]:
    """What the node said of each; all refused, or no room for any, is an answer like any other."""
    if answer.status in (422, 503) and (results := _problem(answer).results):
        return results
    return _read(_Accepted)(answer).results


def _given(parameters: Mapping[str, int | str | None]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _segment(value: int | str) -> str:
    """One segment of a path; what is no letter or digit is no id, height or address, and must not make a path."""
    text = str(value)
    if not (text.isascii() and text.isalnum()):
        raise RequestRefused(422, "invalid_reference", f"neither a height, an id nor an address: {text[:80]!r}")
    return text


# ---------------------------------------------------------------------------------------------------- waiting

_FIRST_PAUSE_SECONDS: Final = 0.05  # a block is final in tens of milliseconds where transactions flow
_PAUSE_GROWTH: Final = 1.5
_REQUEST_SECONDS_MIN: Final = 1.0  # a node under load takes some tenths of a second
_PAUSE_SECONDS_MAX: Final = 1.0
_LAST_LOOK_SECONDS: Final = 0.5
_NODE_SECONDS_MAX: Final = 30  # half of what a node allows: a connection that died is noticed so much earlier
_BUSY: Final = "busy"


def check_busy(refused: RequestRefused) -> None:
    """A node where too many wait is asked again after a pause, like one that does not answer; raises all else."""
    if refused.code != _BUSY:
        raise refused


class Wait:
    """Waiting for a transaction to become final or refused: when to ask again, and what is known at the end.

    A node that cannot be asked for a while is waited for like one that has no answer yet. What is known when the time
    is over is the answer: "pending" means what it says, and not that anything failed.
    """

    def __init__(self, transaction_id: str, now: float, timeout_seconds: float) -> None:
        self.last = answers.TransactionState(transaction_id, "unknown")
        self._deadline = now + timeout_seconds
        self._pause = _FIRST_PAUSE_SECONDS

    def is_over(self, now: float, seen: answers.TransactionState | None) -> bool:
        """Take what the node said (None: it does not know it, or did not answer)."""
        self.last = seen or self.last
        return self.last.state not in ("pending", "unknown") or now >= self._deadline

    def remaining(self, now: float) -> float:
        """What one request may take; never so little that it cannot succeed."""
        return max(self._deadline - now, _REQUEST_SECONDS_MIN)

    def node_seconds(self, now: float) -> int:
        """For how long the node may wait before it answers: whole seconds, with time left to ask once more."""
        return max(0, min(int(self._deadline - now - _LAST_LOOK_SECONDS), _NODE_SECONDS_MAX))

    def pause(self, now: float) -> float:
        pause = min(self._pause, max(self._deadline - now, 0.0))
        self._pause = min(self._pause * _PAUSE_GROWTH, _PAUSE_SECONDS_MAX)
        return pause
