"""Numbers that a long target is told: `make soak SEEDS=100` puts them into the environment."""

from __future__ import annotations

import os
import sys


def asked(name: str, default: int, least: int = 0) -> int:
    """The whole number of that name, of at least `least`; ends the program with one line for what is none."""
    text = os.environ.get(name) or str(default)
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        sys.exit(f"{name}={text}: it has to be a whole number of at least {least}")
    return number
