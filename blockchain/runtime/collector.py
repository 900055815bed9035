"""Python's cycle collector in a node: what lives as long as the process is not looked at again and again.

A node holds some hundred thousand objects from its start on, and makes thousands of short-lived ones a second that are
gone when the last reference is, without the collector. As Python sets it, this looks at the new ones after 700 more,
and at all there are each time that those of the pool have grown by a quarter: a tenth of what a busy node computed
(docs/decisions/0016-the-collector-rests.md). It stays on: what cycles there are, as in tracebacks, still goes.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_MAX: Final = 10_000  # objects made and not gone since the last look: looking through so many takes a millisecond
TURNS_MAX: Final = 20  # of each generation before the one above it is looked at as well


def rest_collector() -> None:
    """For a process of its own, once it has loaded what it keeps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, TURNS_MAX, TURNS_MAX)
