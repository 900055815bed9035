"""How long processes ran, and how long they stood ready to run and were not let: Linux's schedstat, where there is one.

A network that recovers slowly while its nodes mostly wait for a processor says something of the machine; one whose
nodes are at rest meanwhile says something of the node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.processes.node_process import NodeProcess

_NANOSECONDS: Final = 10**9


class Processor:
    """Counts from when it was made; a process that has ended is left out."""

    def __init__(self, nodes: list[NodeProcess]) -> None:
        self._nodes = nodes
        self._before = {node.process.pid: _times(node) for node in nodes}

    def seconds(self) -> tuple[float, float]:
        """Of all nodes together: for how long they ran, and for how long they waited for a processor."""
        ran = waited = 0
        for node in self._nodes:
            before = self._before.get(node.process.pid, (0, 0))
            now = _times(node)
            ran += now[0] - before[0]
            waited += now[1] - before[1]
        return round(ran / _NANOSECONDS, 1), round(waited / _NANOSECONDS, 1)


def _times(node: NodeProcess) -> tuple[int, int]:
    ran = waited = 0
    for stat in Path(f"/proc/{node.process.pid}/task").glob("*/schedstat"):
        try:
            one, other, _ = stat.read_text("ascii").split()
        except (OSError, ValueError):  # the thread has ended
            continue
        ran += int(one)
        waited += int(other)
    return ran, waited
