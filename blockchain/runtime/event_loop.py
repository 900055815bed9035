"""The node's event loop: uvloop's where it is installed (docs/decisions/0021), else asyncio's own.

With both a name lookup never holds up the loop's end (lookups.py).
"""

from __future__ import annotations

import asyncio
import sys

from blockchain.runtime.lookups import OwnLookups

if sys.platform == "win32":
    _Loop = asyncio.ProactorEventLoop
else:
    _Loop = asyncio.SelectorEventLoop


class AsyncioLoop(OwnLookups, _Loop):
    """The event loop on asyncio's own."""


try:
    from blockchain.runtime.uv_loop import UvLoop
except ImportError:  # Windows, PyPy, or left out
    NodeLoop: type[asyncio.AbstractEventLoop] = AsyncioLoop  # give it to `asyncio.Runner` as its `loop_factory`
else:
    NodeLoop = UvLoop
