"""Another node's clock, as its API tells it: the Date header of an answer, in whole seconds (RFC 9110 §6.6.1)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from blockchain.errors import NodeUnreachable

_SECONDS: Final = 10.0
_HALF_A_SECOND_MS: Final = 500  # a header of :07 was written between :07.0 and :07.999


def clock_ahead_ms(url: str) -> int | None:
    """How far this machine's clock is ahead of the node's, in ms, give or take a second; None when it does not say.

    Raises NodeUnreachable.
    """
    try:
        with httpx.Client(timeout=_SECONDS, trust_env=False) as http:
            before = time.time()
            with http.stream("GET", f"{url.rstrip('/')}/livez") as answer:  # of which the body is not read
                now = (before + time.time()) / 2
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NodeUnreachable(url, str(error) or type(error).__name__) from None
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return round((now - theirs) * 1_000) - _HALF_A_SECOND_MS
