"""What the long targets leave behind: a line in `tests/records/<target>.jsonl` for each sitting, which docs quote.

A sitting's figures hold while the code that it exercised is unchanged: `tree` is git's name of the package as it was.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent


def append_record(target: str, figures: Mapping[str, object]) -> None:
    """Append one line: the time, the commit, the package's tree, and the figures."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "tree": _git("rev-parse", "--short=12", "HEAD:blockchain"),
        "is_changed": bool(_git("status", "--porcelain", "--", "blockchain")),
        **figures,
    }
    path = PROJECT / "tests" / "records" / f"{target}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _git(*arguments: str) -> str:
    """What git says; "" outside a repository."""
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
