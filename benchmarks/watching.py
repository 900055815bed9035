"""The heights of running nodes, looked at from outside: through their stores, so that no look waits for a node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks.accounting import Heights, Look
from benchmarks.nodes import Network
from blockchain.runtime.sqlite_file import STORE_FILE, open_reader
from blockchain.runtime.sqlite_rows import read_height

_EVERY_SECONDS: Final = 0.02


@contextmanager
def watched(net: Network) -> Iterator[Heights]:
    """The heights of all nodes, fifty times a second while the block runs; read them at any time."""
    looks: list[Look] = []
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(net, looks, ended), name="heights", daemon=True)
    watcher.start()
    try:
        yield Heights(looks)
    finally:
        ended.set()
        watcher.join()


def _watch(net: Network, looks: list[Look], ended: threading.Event) -> None:
    with ExitStack() as stack:
        readers = [open_reader(node.data_dir / STORE_FILE, None) for node in net.nodes]
        for reader in readers:
            stack.callback(reader.close)
        while not ended.wait(_EVERY_SECONDS):
            looks.append((time.monotonic(), tuple(map(read_height, readers))))
