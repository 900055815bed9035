"""How many requests a client may make: a bucket of tokens for each, in a table that cannot grow without end.

A client is an IPv4 address, or the /64 of an IPv6 address, which is what one customer of a network usually has. Who
shares an address shares the bucket; headers that name another client are not believed, since anybody can send them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from blockchain.api.problems import refusal_answer
from blockchain.errors import Refusal
from blockchain.node.reach import source_of
from blockchain.settings import DEFAULT_API_RATE

REQUESTS_PER_SECOND: Final = DEFAULT_API_RATE
BURST_SECONDS: Final = 2  # how many seconds' worth may come at once
CLIENTS_MAX: Final = 4_096  # then the one that was quiet longest is forgotten, and begins with a full bucket


_key_of: Final = lru_cache(maxsize=CLIENTS_MAX)(source_of)  # the same few clients, in every request


class Bucket(Struct):
    tokens: float
    filled_at: float  # seconds of the table's clock


class ClientBuckets:
    """`per_second` tokens for each client, at most `burst` at a time. `clock` gives seconds and never steps back."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str) -> float:
        """Take a token: 0.0, or the seconds after which there will be one."""
        wait = self.wait(client)
        if not wait:
            self._bucket(client).tokens -= 1
        return wait

    def wait(self, client: str) -> float:
        """The seconds after which the client may take a token; 0.0 where it may now."""
        tokens = self._bucket(client).tokens
        return 0.0 if tokens >= 1 else (1 - tokens) / self._per_second

    def _bucket(self, client: str) -> Bucket:
        key, now = _key_of(client), self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._burst, now)
            if len(self._buckets) > CLIENTS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._per_second)
            bucket.filled_at = now
        return bucket


class RequestRate:
    """An ASGI layer: 429 with `Retry-After` for a client whose bucket is empty."""

    def __init__(self, app: ASGIApp, buckets: ClientBuckets) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self._buckets.take(client_of(scope))
        if not wait:
            await self._app(scope, receive, send)
            return
        response = refusal_answer(too_many("too many requests from this client", wait))
        await response(scope, receive, send)


def too_many(what: str, wait: float) -> Refusal:
    """The refusal for a client that may ask again in `wait` seconds."""
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", what, retry_after=wait)


def client_of(scope: Scope) -> str:
    """The address that a request came from; "" where the server does not say."""
    client = scope.get("client")
    return str(client[0]) if client else ""
