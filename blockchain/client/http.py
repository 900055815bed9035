"""The two clients: they send `calls` through httpx, and wait. All knowledge of the API is in `calls`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, closing
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from blockchain.client import answers, calls, seen
from blockchain.client.calls import ANSWER_BYTES_MAX, Answer, Call, Wait
from blockchain.errors import NodeUnreachable, RequestRefused
from blockchain.primitives.transaction import VerifiedTransaction

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 30.0


class Client:
    """A node's API for ordinary code. `with Client("http://localhost:8050") as node: node.status()`.

    Every method raises NodeUnreachable when no node answers, and RequestRefused when it answers with a problem.
    `transport`, `clock` and `sleep` are for tests.
    """

    def __init__(
        self,
        url: str,
        timeout: float = TIMEOUT_SECONDS,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        # trust_env off: a proxy of the environment would be asked for the node on this very machine.
        self._http = httpx.Client(timeout=timeout, transport=transport, trust_env=False)
        self._clock = clock
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ping(self) -> bool:
        """Whether it says "pong!"."""
        return self._ask(calls.ping()).success == "pong!"

    def status(self) -> answers.Status:
        return self._ask(calls.status())

    def blocks(self, before: int | None = None, limit: int | None = None) -> answers.BlockPage:
        """The newest page, or the one below height `before`; at most 100 blocks."""
        return self._ask(calls.blocks(before, limit))

    def block(self, reference: int | str) -> answers.Block | None:
        """By height or id; None when this node has no such final block."""
        return self._ask(calls.block(reference))

    def block_range(self, first: int, last: int | None = None, limit: int | None = None) -> answers.BlockRange:
        """Blocks from height `first` to `last` (default: the newest), a page of at most 100."""
        return self._ask(calls.block_range(first, last, limit))

    def history(self, address: str, cursor: str | None = None, limit: int | None = None) -> answers.History:
        """The final transactions that name an account, newest first, a page of at most 100."""
        return self._ask(calls.history(address, cursor, limit))

    def fees(self) -> answers.Fees:
        """What a fee buys now."""
        return self._ask(calls.fees())

    def transaction(self, transaction_id: str) -> answers.TransactionState | None:
        """None when this node does not know it."""
        return self._ask(calls.transaction(transaction_id))

    def account(self, address: str) -> answers.Account:
        """The address as bech32m or hex."""
        return self._ask(calls.account(address))

    def dry_run(self, transaction: VerifiedTransaction) -> answers.DryRun:
        """What would become of it, if it were handed in now; nothing changes, and nothing is promised."""
        return self._ask(calls.dry_run(transaction))

    def transaction_proof(self, transaction_id: str) -> answers.TransactionProof | None:
        """For `proofs.verify_payment`; None when it is not final at this node."""
        return self._ask(calls.transaction_proof(transaction_id))

    def account_proof(self, address: str) -> answers.AccountProof | None:
        """For `proofs.verify_account`, at the newest block; None while there is no block."""
        return self._ask(calls.account_proof(address))

    def validators(self, height: int | None = None) -> seen.ValidatorList | None:
        """The whole set of the height in progress, or of `height`; None when this node does not hold that set."""
        found = self._ask(calls.validators(height, None))
        while found is not None and found.next is not None:
            found = calls.joined(found, self._ask(calls.validators(found.height, found.next)))
        return found

    def validator(self, address: str) -> seen.ValidatorRecord | None:
        """What it did over the newest blocks, and why it missed a height; None for one that was no validator there."""
        return self._ask(calls.validator(address))

    def peers(self) -> answers.Peers:
        return self._ask(calls.peers())

    def log_level(self, token: str, level: str | None = None) -> answers.LogLevel:
        """The level in force, or after it was set. `token` is that of the node's operator."""
        return self._ask(calls.log_level(token, level))

    def genesis(self) -> answers.Genesis:
        return self._ask(calls.genesis())

    def consensus(self) -> answers.Consensus:
        return self._ask(calls.consensus())

    def lottery(self, height: int, round: int) -> answers.Lottery | None:
        """Why that forger; None when this node knows no such draw."""
        return self._ask(calls.lottery(height, round))

    def why(self, height: int | None = None) -> seen.Why | None:
        """What happened at a height (default: the one in progress); None for one that has not begun at this node."""
        return self._ask(calls.why(height))

    def pool(self, limit: int | None = None) -> tuple[answers.SignedTransaction, ...]:
        """The transactions that wait for a block, oldest first, at most 1,000."""
        return self._ask(calls.pool(limit))

    def submit_each(self, transactions: Iterable[VerifiedTransaction]) -> list[answers.Submission]:
        """Hand in any number; what the node said of each, in their order. Safe to repeat."""
        return [result for call in calls.submissions(transactions) for result in self._ask(call)]

    def submit(self, transactions: Iterable[VerifiedTransaction]) -> list[str]:
        """Hand in transactions; their ids, once durable. Raises InvalidTransaction for the first one refused."""
        return calls.check_accepted(self.submit_each(transactions))

    def wait_final(self, transaction_id: str, timeout: float = WAIT_SECONDS) -> answers.TransactionState:
        """What became of it within `timeout` seconds; "pending" (or "unknown") when it is not decided yet."""
        wait = Wait(transaction_id, self._clock(), timeout)
        while not wait.is_over(self._clock(), self._look(transaction_id, wait)):
            self._sleep(wait.pause(self._clock()))
        return wait.last

    def _look(self, transaction_id: str, wait: Wait) -> answers.TransactionState | None:
        now = self._clock()
        seconds = wait.node_seconds(now)
        try:
            call = calls.transaction(transaction_id, seconds)
            return self._ask(call, min(wait.remaining(now), seconds + self._timeout))
        except NodeUnreachable:
            return None  # restarting, perhaps: the deadline decides
        except RequestRefused as refused:
            calls.check_busy(refused)
            return None

    def _ask(self, call: Call[T], timeout: float | None = None) -> T:
        seconds = self._timeout if timeout is None else timeout
        try:
            with closing(self._http.send(_request(self.url, call, seconds), stream=True)) as response:
                _check_plain(self.url, response)
                body = bytearray()
                for chunk in response.iter_bytes():
                    _add_chunk(self.url, body, chunk)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NodeUnreachable(self.url, _reason(error)) from None
        return call.read(Answer(self.url, response.status_code, bytes(body)))


class AsyncClient:
    """The same for asyncio. `async with AsyncClient("http://localhost:8050") as node: await node.status()`."""

    def __init__(
        self,
        url: str,
        timeout: float = TIMEOUT_SECONDS,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._http = httpx.AsyncClient(timeout=timeout, transport=transport, trust_env=False)
        self._clock = clock
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ping(self) -> bool:
        return (await self._ask(calls.ping())).success == "pong!"

    async def status(self) -> answers.Status:
        return await self._ask(calls.status())

    async def blocks(self, before: int | None = None, limit: int | None = None) -> answers.BlockPage:
        return await self._ask(calls.blocks(before, limit))

    async def block(self, reference: int | str) -> answers.Block | None:
        return await self._ask(calls.block(reference))

    async def block_range(self, first: int, last: int | None = None, limit: int | None = None) -> answers.BlockRange:
        return await self._ask(calls.block_range(first, last, limit))

    async def history(self, address: str, cursor: str | None = None, limit: int | None = None) -> answers.History:
        return await self._ask(calls.history(address, cursor, limit))

    async def fees(self) -> answers.Fees:
        return await self._ask(calls.fees())

    async def transaction(self, transaction_id: str) -> answers.TransactionState | None:
        return await self._ask(calls.transaction(transaction_id))

    async def account(self, address: str) -> answers.Account:
        return await self._ask(calls.account(address))

    async def dry_run(self, transaction: VerifiedTransaction) -> answers.DryRun:
        return await self._ask(calls.dry_run(transaction))

    async def transaction_proof(self, transaction_id: str) -> answers.TransactionProof | None:
        return await self._ask(calls.transaction_proof(transaction_id))

    async def account_proof(self, address: str) -> answers.AccountProof | None:
        return await self._ask(calls.account_proof(address))

    async def validators(self, height: int | None = None) -> seen.ValidatorList | None:
        found = await self._ask(calls.validators(height, None))
        while found is not None and found.next is not None:
            found = calls.joined(found, await self._ask(calls.validators(found.height, found.next)))
        return found

    async def validator(self, address: str) -> seen.ValidatorRecord | None:
        return await self._ask(calls.validator(address))

    async def peers(self) -> answers.Peers:
        return await self._ask(calls.peers())

    async def log_level(self, token: str, level: str | None = None) -> answers.LogLevel:
        return await self._ask(calls.log_level(token, level))

    async def genesis(self) -> answers.Genesis:
        return await self._ask(calls.genesis())

    async def consensus(self) -> answers.Consensus:
        return await self._ask(calls.consensus())

    async def lottery(self, height: int, round: int) -> answers.Lottery | None:
        return await self._ask(calls.lottery(height, round))

    async def why(self, height: int | None = None) -> seen.Why | None:
        return await self._ask(calls.why(height))

    async def pool(self, limit: int | None = None) -> tuple[answers.SignedTransaction, ...]:
        return await self._ask(calls.pool(limit))

    async def submit_each(self, transactions: Iterable[VerifiedTransaction]) -> list[answers.Submission]:
        return [result for call in calls.submissions(transactions) for result in await self._ask(call)]

    async def submit(self, transactions: Iterable[VerifiedTransaction]) -> list[str]:
        return calls.check_accepted(await self.submit_each(transactions))

    async def wait_final(self, transaction_id: str, timeout: float = WAIT_SECONDS) -> answers.TransactionState:
        wait = Wait(transaction_id, self._clock(), timeout)
        while not wait.is_over(self._clock(), await self._look(transaction_id, wait)):
            await self._sleep(wait.pause(self._clock()))
        return wait.last

    async def _look(self, transaction_id: str, wait: Wait) -> answers.TransactionState | None:
        now = self._clock()
        seconds = wait.node_seconds(now)
        try:
            call = calls.transaction(transaction_id, seconds)
            return await self._ask(call, min(wait.remaining(now), seconds + self._timeout))
        except NodeUnreachable:
            return None
        except RequestRefused as refused:
            calls.check_busy(refused)
            return None

    async def _ask(self, call: Call[T], timeout: float | None = None) -> T:
        seconds = self._timeout if timeout is None else timeout
        try:
            async with aclosing(await self._http.send(_request(self.url, call, seconds), stream=True)) as response:
                _check_plain(self.url, response)
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    _add_chunk(self.url, body, chunk)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NodeUnreachable(self.url, _reason(error)) from None
        return call.read(Answer(self.url, response.status_code, bytes(body)))


def _request(url: str, call: Call[T], seconds: float) -> httpx.Request:
    """Without the library's default headers: no compression is asked for."""
    method, headers = "GET", {"Accept-Encoding": "identity"}
    if call.body is not None:
        method = "PUT" if call.token else "POST"
        headers["Content-Type"] = "application/json" if call.token else "application/msgpack"
    if call.token:
        headers["Authorization"] = f"Bearer {call.token}"
    return httpx.Request(
        method,
        f"{url}{call.path}",
        params=call.parameters,
        headers=headers,
        content=call.body,
        extensions={"timeout": httpx.Timeout(seconds).as_dict()},
    )


def _check_plain(url: str, response: httpx.Response) -> None:
    """Packed more than once, a few hundred KB take all memory before they can be counted."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NodeUnreachable(url, "answered with something compressed, which nobody asked for")


def _add_chunk(url: str, body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > ANSWER_BYTES_MAX:
        raise NodeUnreachable(url, f"answered with more than {ANSWER_BYTES_MAX} bytes")


def _reason(error: Exception) -> str:
    match error:
        case httpx.ConnectError():
            return "no connection (is the node running?)"
        case httpx.TimeoutException():
            return "it did not answer in time"
        case httpx.UnsupportedProtocol():
            return "that is no URL of a node, such as http://localhost:8050"
        case _:
            return str(error) or type(error).__name__
