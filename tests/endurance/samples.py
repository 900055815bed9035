"""What each node takes of its machine, looked at every few seconds from outside: Linux's /proc, and the folder.

A thread looks, so that no look waits for a node; a node that does not answer leaves its height out.
"""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final

from tests.processes.network import Network
from tests.processes.node_process import NodeProcess

_JOIN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Sample:
    """`seconds` since the load is held. Memory is what is resident, the store all files of the folder."""

    seconds: float
    node: str
    rss_kib: int
    descriptors: int
    threads: int
    store_bytes: int
    height: int
    pending: int


class Samples(threading.Thread):
    """Read `taken` when it has ended, or as a moment's picture before."""

    def __init__(self, net: Network, every_s: float, ended: threading.Event) -> None:
        super().__init__(name="samples", daemon=True)
        self._net = net
        self._every_s = every_s
        self._ended = ended
        self.taken: list[Sample] = []

    def run(self) -> None:
        started = time.monotonic()
        while True:
            for node in self._net.nodes:
                self.taken.append(look(node, round(time.monotonic() - started, 1)))
            if self._ended.wait(self._every_s):
                return


def look(node: NodeProcess, seconds: float) -> Sample:
    """Raises OSError for a process that has ended."""
    process = Path(f"/proc/{node.process.pid}")
    lines = (process / "status").read_text("ascii").splitlines()
    told = {name: text.split()[0] for name, _, text in (line.partition(":") for line in lines) if text.split()}
    status = node.status()
    return Sample(
        seconds=seconds,
        node=node.name,
        rss_kib=int(told["VmRSS"]),
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(told["Threads"]),
        store_bytes=sum(file.stat().st_size for file in node.data_dir.iterdir()),
        height=0 if status is None else status.height,
        pending=0 if status is None else status.pool.pending,
    )


@contextmanager
def sampled(net: Network, every_s: float) -> Iterator[Samples]:
    ended = threading.Event()
    samples = Samples(net, every_s, ended)
    samples.start()
    try:
        yield samples
    finally:
        ended.set()
        samples.join(_JOIN_SECONDS)
        assert not samples.is_alive(), "the samples do not end"


def write_csv(samples: list[Sample], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Sample)])
        writer.writerows(astuple(sample) for sample in samples)
