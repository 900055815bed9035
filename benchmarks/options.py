"""What all benchmarks are told: how often, where their data lie, and whether this is only to see that they work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DATA: Final = ROOT / ".bench-data"
RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """`runs`: how often a thing is measured. `data`: a folder for what is made once, and for stores in use.

    `is_quick`: small sizes, in seconds, to see that everything works; its figures mean nothing and are not kept.
    """

    runs: int = RUNS
    data: Path = DATA
    is_quick: bool = False
