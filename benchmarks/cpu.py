"""CPU time of processes with all that they started: a node may have workers, which are its cost too.

Linux has it in /proc; elsewhere `ps` is asked. Windows has neither: there it is unknown, and no figure is made of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

Table = Mapping[int, tuple[int, float]]  # the parent of a process, and its own seconds


def cpu_seconds(pids: Iterable[int]) -> float | None:
    """User and system time of these processes and their living descendants, in seconds; None where nobody tells."""
    if sys.platform == "win32":
        return None
    return tree_seconds(_from_proc() if Path("/proc/self/stat").exists() else _from_ps(), pids)


def tree_seconds(table: Table, roots: Iterable[int]) -> float:
    """The sum over the roots and their descendants, each once. Raises KeyError for a root that is not there."""
    wanted = set(roots)
    total = sum(table[pid][1] for pid in wanted)
    while found := {pid for pid, (parent, _) in table.items() if parent in wanted and pid not in wanted}:
        total += sum(table[pid][1] for pid in found)
        wanted |= found
    return total


def read_stat(line: str) -> tuple[int, float]:
    """Parent, and clock ticks of the process and of its children that it has buried, of a line of /proc/PID/stat."""
    fields = line.rpartition(")")[2].split()  # the name before it may hold anything
    return int(fields[1]), float(sum(map(int, fields[11:15])))


def read_ps_time(text: str) -> float:
    """Seconds of what `ps` prints: [[days-]hours:]minutes:seconds, where macOS adds hundredths."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return int(days or 0) * 86_400 + seconds


def _from_proc() -> Table:
    ticks = os.sysconf("SC_CLK_TCK") if sys.platform != "win32" else 1
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent, used = read_stat((folder / "stat").read_text("utf-8", "replace"))
            except OSError:  # it has ended meanwhile
                continue
            table[int(folder.name)] = parent, used / ticks
    return table


def _from_ps() -> Table:
    asked = ["ps", "-Ao", "pid=,ppid=,time="]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines if line.strip()]
    return {int(pid): (int(parent), read_ps_time(used)) for pid, parent, used in rows}
