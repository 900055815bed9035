"""What `doctor` looks at on the disk: where the data folder is, how much room there is and for how long, how long a
durable write takes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from blockchain.commands.finding import Finding, fail, ok, skip, warn
from blockchain.commands.text import size_text
from blockchain.config import NodeConfig
from blockchain.errors import BlockchainError
from blockchain.primitives.chain import ChainSpec
from blockchain.runtime.atomic_file import temporary_for
from blockchain.runtime.sqlite_file import STORE_FILE
from blockchain.runtime.sqlite_look import read_growth

FREE_BYTES_WARN: Final = 2 * 1024**3
FREE_BYTES_FAIL: Final = 256 * 1024**2  # the WAL alone may grow to 64 MiB between two checkpoints
ROOM_DAYS_WARN: Final = 30  # to order a larger disk
SYNC_PART: Final = 20  # of a vote's time-out: a vote waits for three such writes, the round's and two of the signer's
WORST_PART: Final = 4  # of the same, for the slowest: one such write and the vote is late
_SYNCS: Final = 25
_REMOTE_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph"})
_MOUNTS: Final = Path("/proc/mounts")


def check_disk(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    """The data folder can be written to, is on a disk of this machine, and that disk has room and is fast enough."""
    folder = config.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent  # in which it will be made
    if not folder.is_dir():
        yield fail("data folder", f"{folder} is a file", "name a folder with --data_dir")
        return
    remote = _remote_file_system(folder)
    if remote is None:
        yield skip("data folder", f"{folder}: whether it is on a disk of this machine is not known here")
    elif remote:
        yield fail("data folder", f"{folder} is on {remote}", "a store needs a disk of this machine: move it to one")
    yield check_room(folder, _growth(config, spec))
    yield _check_writes(folder, spec)


def check_room(folder: Path, growth: int) -> Finding:
    """How much is free, and for how many days where it is known by how many bytes a day the store grows (else 0).

    `folder`, or the nearest above it that there is.
    """
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{size_text(free)} free at {folder}"
    if growth:
        text += f", the store grows by {size_text(growth)} a day: room for {free // growth} days"
    if free < FREE_BYTES_FAIL:
        return fail("disk", text, "make room; a node stops when its disk is full")
    if free < FREE_BYTES_WARN or (growth and free // growth < ROOM_DAYS_WARN):
        return warn("disk", text, "make room, or move the data folder to a larger disk; a node stops when it is full")
    return ok("disk", text)


def _growth(config: NodeConfig, spec: ChainSpec) -> int:
    """Bytes a day; 0 where that is not known."""
    if not (config.data_dir / STORE_FILE).exists():
        return 0
    try:
        return read_growth(config.data_dir, spec.hash)
    except BlockchainError:  # the check of the store tells it
        return 0


def _check_writes(folder: Path, spec: ChainSpec) -> Finding:
    parameters = spec.parameters
    timeout_ms = min(parameters.prevote_timeout_ms, parameters.precommit_timeout_ms)
    try:
        times = sync_ms(folder)
    except OSError as error:
        why = f"{folder} cannot be written to: {error.strerror}"
        return fail("data folder", why, "give it to the user that runs the node")
    median, worst = statistics.median(times), max(times)
    text = f"a small durable write takes {median:.1f} ms, the slowest of {len(times)} took {worst:.1f} ms"
    if median > timeout_ms / SYNC_PART or worst > timeout_ms / WORST_PART:
        limits = f"with vote time-outs of {timeout_ms} ms it is to be {timeout_ms / SYNC_PART:.0f} and at most "
        text += f"; {limits}{timeout_ms / WORST_PART:.0f} ms"
        return warn("disk", text, "votes will be late: use a faster disk, or leave this one to the node alone")
    return ok("disk", text)


def sync_ms(folder: Path) -> list[float]:
    """The milliseconds that some durable writes take. Raises OSError."""
    times = []
    with temporary_for(folder / "doctor") as temporary:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            temporary.file.write(bytes(4_096))
            temporary.file.flush()
            os.fsync(temporary.file.fileno())
            times.append((time.perf_counter() - began) * 1_000)
    return times


def _remote_file_system(folder: Path) -> str | None:
    """Its type when it is on another machine, "" when it is on this one, None when that is not known."""
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in _MOUNTS.read_text("utf-8", "replace").splitlines()]
        over = [(point, kind) for point, kind in mounts if folder.is_relative_to(point.replace("\\040", " "))]
        _, kind = max(over, key=lambda mount: len(mount[0]), default=("", ""))
        return kind if kind in _REMOTE_FILE_SYSTEMS else ""
    return None
