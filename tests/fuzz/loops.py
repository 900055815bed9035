"""An event loop for targets whose code runs in one; kept from input to input, since making one takes time."""

from __future__ import annotations

import asyncio
from atexit import register


def a_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    register(loop.close)
    return loop
