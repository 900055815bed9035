"""The node ids that a node of a permissioned chain talks to: the file that `--admit` names (docs/protocol.md §8.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from blockchain.errors import ConfigError

ADMITTED_MAX: Final = 10_000  # as many as validators
FILE_BYTES_MAX: Final = 4 * 1024 * 1024  # so many with a long comment each
_NODE_ID: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


def read_admitted(path: Path) -> frozenset[bytes]:
    """A node id (64 hexadecimal digits) a line; `#` begins a comment, blank lines are skipped. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"admit file {path}: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(f"admit file {path}: larger than {FILE_BYTES_MAX} bytes, so no list of node ids")
    found = set()
    for number, line in enumerate(raw.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if not _NODE_ID.fullmatch(text):
            raise ConfigError(f"admit file {path}, line {number}: not a node id of 64 hexadecimal digits")
        found.add(bytes.fromhex(text))
    if not found:
        raise ConfigError(f"admit file {path}: names no node id, so this node would talk to nobody")
    if len(found) > ADMITTED_MAX:
        raise ConfigError(f"admit file {path}: {len(found)} node ids, {ADMITTED_MAX} at most")
    return frozenset(found)
