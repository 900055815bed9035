"""What long runs came to, a JSON line each, in tests/records: documents quote these files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

RECORDS: Final = Path(__file__).resolve().parent.parent / "records"


def append(target: str, facts: Mapping[str, object]) -> None:
    """With the time, and the commit where this is a checkout (`+` behind it: files were changed since)."""
    RECORDS.mkdir(exist_ok=True)
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = msgspec.json.encode({"time": time, "commit": commit(), **facts})
    with (RECORDS / f"{target}.jsonl").open("ab") as file:
        file.write(line + b"\n")


def commit() -> str:
    git = ["git", "-C", str(RECORDS.parent), "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=10"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def load_average() -> str:
    """How busy the machine was over the last minute, where the system says so."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
