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


def sitting() -> dict[str, object]:
    """What a line begins with: the time, the commit and the package's tree as they are now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "tree": _git("rev-parse", "--short=12", "HEAD:blockchain"),
        "is_changed": bool(_git("status", "--porcelain", "--", "blockchain")),
    }


def append_record(target: str, figures: Mapping[str, object]) -> None:
    """Append one line: the words of this moment, or of another that are among the figures, and the figures."""
    line = {**sitting(), **figures}
    path = PROJECT / "tests" / "records" / f"{target}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _git(*arguments: str) -> str:
    """What git says; "" outside a repository."""
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
