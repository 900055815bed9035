"""How things are written for people: tables, short ids, times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

SHORT_DIGITS: Final = 10  # of an id in hex; enough to tell a screenful of them apart
_ADDRESS_START: Final = 10
_ADDRESS_END: Final = 4


def short_id(identifier: str) -> str:
    """The first digits of an id in hex."""
    return identifier[:SHORT_DIGITS]


def short_address(address: str) -> str:
    """Beginning and end of an address, for tables; never a thing to type in again."""
    return f"{address[:_ADDRESS_START]}..{address[-_ADDRESS_END:]}"


def printable(value: object) -> str:
    """On one line, and without what a terminal obeys instead of showing it: a node may answer anything."""
    return "".join(c if c.isprintable() else "?" for c in str(value))


def table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the heading; columns as wide as their longest cell, two blanks between them."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """A line each: what, and its value."""
    width = max(len(what) for what, _ in pairs)
    return "\n".join(f"{what.ljust(width)}  {printable(value)}" for what, value in pairs)


def time_text(time_ms: int) -> str:
    """A block's time, UTC. Genesis may say any time up to the year 287396; beyond 9999 the number is shown."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms since 1970"


def json_text(value: object) -> str:
    """Indented JSON of an answer or of plain values; what a terminal obeys is escaped."""
    import json

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def count_text(count: int, one: str) -> str:
    """ "1 block", "2 blocks"."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def size_text(count: int) -> str:
    """Bytes with the unit that suits: "512 bytes", "3.4 MiB"."""
    if count < 1024:
        return count_text(count, "byte")
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
