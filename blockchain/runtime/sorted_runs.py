"""Sorted runs: an index that a block only appends to, and that costs a block the same however long the chain is.

Theory of operation. An entry is 41 bytes: a name (what is looked up) and a place. The entries of a block, sorted, are
a new *run*; a run lies in *pages* of 96 entries, each found by its first entry through one B-tree. As soon as there
are eight runs of about one size they are merged into one. So an entry is written once more each time that the chain
becomes eight times as long, and a look-up reads one page in each of two or three dozen runs.

No merge is done at once. Each one under way may go on by two entries for each that is added, and does so in steps of
some thousand. The run that it writes is not read before it is whole, and the runs that it reads stay in use until
then, in one transaction: each entry is found once, whenever the power goes. Their pages are then removed a few at a
time, too. All that is known of a merge stands in the tables: it goes on behind the last entry that it has written.

In `index_runs`, a run is WRITTEN by a merge, IN_USE, or REMOVED; `target` is the run that it is merged into (0: none),
`credit` how many entries a merge may go on by.
Every page that is read is checked against its check sum. Used inside the transactions of `sqlite`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

import apsw

from blockchain.runtime.sqlite_file import damaged

ENTRY_BYTES: Final = 41
PAGE_ENTRIES: Final = 96  # with its row's other columns a little less than a page of SQLite: no overflow page
FAN_IN: Final = 8  # runs that are merged: with 16 a look-up reads half as many again, and no block is cheaper
_CLASS_BITS: Final = 3  # log2 of it: runs whose numbers of entries have so many bits more are of the next size
STEP_ENTRIES: Final = 8_192  # by which a merge goes on at least, some 2 ms: in small steps it reads most pages twice
_PACE: Final = 2  # entries that each merge may go on by for each that is added: it ends when half as many have come
_WRITTEN, _IN_USE, _REMOVED = 0, 1, 2
_ABOVE_ALL: Final = b"\xff" * ENTRY_BYTES  # no entry: of a block that there will never be
_FULL_PAGE: Final = Struct(f"{ENTRY_BYTES}s" * PAGE_ENTRIES)

# The last page of each run in use that begins below an entry; the newest runs first.
_LAST_PAGES: Final = (
    "SELECT p.run, p.first, p.raw, p.crc FROM index_runs r CROSS JOIN index_pages p ON p.seq = (SELECT seq FROM "
    "index_pages WHERE run = r.run AND first < ?2 ORDER BY first DESC LIMIT 1) WHERE r.stage = ?1 ORDER BY r.run DESC"
)
_PAGE_BEFORE: Final = (
    "SELECT run, first, raw, crc FROM index_pages WHERE run = ? AND first < ? ORDER BY first DESC LIMIT 1"
)
# From the one on that holds the first entry above another.
_PAGES_FROM: Final = (
    "SELECT run, first, raw, crc FROM index_pages "
    "WHERE run = ?1 AND first >= ifnull((SELECT max(first) FROM index_pages WHERE run = ?1 AND first <= ?2), x'') "
    "ORDER BY first LIMIT ?3"
)


def add(connection: apsw.Connection, entries: Sequence[bytes]) -> None:
    """Add entries, in any order, each once and new; and go on with merges and removals in proportion to them."""
    if not entries:
        return
    run = _new_run(connection, _IN_USE, len(entries))
    pages = _write_pages(connection, run, sorted(entries))
    connection.execute("UPDATE index_runs SET credit = credit + ? WHERE stage = ?", (_PACE * len(entries), _WRITTEN))
    _begin_merges(connection)
    due = "SELECT run, credit FROM index_runs WHERE stage = ? AND credit >= ?"
    for target, credit in _numbers(connection, due, _WRITTEN, STEP_ENTRIES):
        pages += _go_on(connection, target, credit)
    _remove_pages(connection, 2 * pages)


def find(connection: apsw.Connection, prefix: bytes) -> bytes | None:
    """The entry that begins with `prefix`, of which there may be one only. Raises StoreError for a damaged page.

    What was added lately is found soon, since no older run is read then.
    """
    for page in _pages(connection, _LAST_PAGES, _IN_USE, prefix + _ABOVE_ALL):
        if prefix in page.raw:
            entries = _entries_of(page)
            at = bisect_left(entries, prefix)
            if entries[at : at + 1] and entries[at].startswith(prefix):
                return entries[at]
    return None


def newest(connection: apsw.Connection, prefix: bytes, end: bytes, count: int) -> list[bytes]:
    """At most `count` entries that begin with `prefix` and are below `end`, the highest first.

    `end` begins with the prefix, too. Raises StoreError for a damaged page.
    """
    found: list[bytes] = []
    with connection:  # one moment, also where a run goes on in a page before
        for page in _pages(connection, _LAST_PAGES, _IN_USE, end):
            if prefix in page.raw:
                found += _down(connection, page, prefix, end, count)
    return sorted(found, reverse=True)[:count]


def missing(connection: apsw.Connection, entries: Sequence[bytes]) -> list[bytes]:
    """Those of these entries, which were added together, that are not there. Raises StoreError for a damaged page."""
    ordered = sorted(entries)
    for (run,) in _numbers(connection, "SELECT run FROM index_runs WHERE stage = ? ORDER BY run DESC", _IN_USE):
        if not _missing_in(connection, run, ordered[:1]):  # what was added together stays in one run
            return _missing_in(connection, run, ordered)
    return ordered


def read_all(connection: apsw.Connection) -> Iterator[tuple[bytes, ...]]:
    """All entries, a page at a time, for the whole check. Raises StoreError where the order or a number is wrong.

    What merges have written so far is looked at, too.
    """
    _check_runs(connection)
    kept = "SELECT run, stage, entries FROM index_runs WHERE stage <> ?"
    for run, stage, number in _numbers(connection, kept, _REMOVED):
        last = b""
        count = 0
        for page in _pages(connection, _PAGES_FROM, run, b"", -1):
            entries = _entries_of(page)
            if entries[0] != page.first or entries[0] <= last or list(entries) != sorted(set(entries)):
                raise damaged(connection.filename, "a page of the index is not in order")
            last = entries[-1]
            count += len(entries)
            if stage == _IN_USE:
                yield entries
        if count != number:
            raise damaged(connection.filename, f"{count} entries in a run of the index instead of {number}")


def _check_runs(connection: apsw.Connection) -> None:
    """Each run that is written is one that others are merged into, and each page is of a run."""
    runs = set(_numbers(connection, "SELECT run FROM index_runs"))
    paged = set(_numbers(connection, "SELECT DISTINCT run FROM index_pages"))
    written = set(_numbers(connection, "SELECT run FROM index_runs WHERE stage = ?", _WRITTEN))
    targets = set(_numbers(connection, "SELECT DISTINCT target FROM index_runs WHERE target <> 0"))
    if written != targets or not paged <= runs:
        raise damaged(connection.filename, "runs of the index that do not belong together")


# ---------------------------------------------------------------------------------------------------- pages


class _Page(NamedTuple):
    run: int
    first: bytes
    raw: bytes


def _pages(connection: apsw.Connection, query: str, *values: int | bytes) -> Iterator[_Page]:
    """What a query for pages finds. Raises StoreError for a damaged one."""
    for run, first, raw, crc in connection.execute(query, values):
        if not isinstance(first, bytes) or not isinstance(raw, bytes) or crc32(raw) != crc:
            raise damaged(connection.filename, "a page of the index")
        yield _Page(int(run), first, raw)


def _numbers(connection: apsw.Connection, query: str, *values: int) -> list[tuple[int, ...]]:
    """What a query for runs finds."""
    found: list[tuple[object, ...]] = connection.execute(query, values).fetchall()
    numbers = [tuple(value for value in row if isinstance(value, int)) for row in found]
    if list(map(len, numbers)) != list(map(len, found)):
        raise damaged(connection.filename, "a run of the index")
    return numbers


def _entries_of(page: _Page) -> tuple[bytes, ...]:
    raw = page.raw
    if len(raw) == _FULL_PAGE.size:
        return _FULL_PAGE.unpack(raw)
    return tuple(raw[at : at + ENTRY_BYTES] for at in range(0, len(raw), ENTRY_BYTES))


def _page_before(connection: apsw.Connection, run: int, entry: bytes) -> _Page | None:
    """The last page of a run that begins below an entry."""
    return next(_pages(connection, _PAGE_BEFORE, run, entry), None)


def _down(connection: apsw.Connection, page: _Page | None, prefix: bytes, end: bytes, count: int) -> list[bytes]:
    """From the page on downwards."""
    found: list[bytes] = []
    while page is not None and len(found) < count:
        entries = _entries_of(page)
        found += reversed(entries[bisect_left(entries, prefix) : bisect_left(entries, end)])
        page = _page_before(connection, page.run, page.first) if page.first >= prefix else None
    return found[:count]


def _missing_in(connection: apsw.Connection, run: int, ordered: Sequence[bytes]) -> list[bytes]:
    absent: list[bytes] = []
    entries: tuple[bytes, ...] = ()
    for entry in ordered:
        if not entries or entry > entries[-1]:
            page = _page_before(connection, run, entry + b"\0")
            entries = () if page is None else _entries_of(page)
        if entry not in entries:
            absent.append(entry)
    return absent


def _write_pages(connection: apsw.Connection, run: int, entries: Sequence[bytes]) -> int:
    """Behind the pages that the run has; returns how many these are."""
    rows = []
    for at in range(0, len(entries), PAGE_ENTRIES):
        raw = b"".join(entries[at : at + PAGE_ENTRIES])
        rows.append((run, entries[at], raw, crc32(raw)))
    connection.executemany("INSERT INTO index_pages (run, first, raw, crc) VALUES (?, ?, ?, ?)", rows)
    return len(rows)


def _new_run(connection: apsw.Connection, stage: int, entries: int) -> int:
    row = (stage, entries, STEP_ENTRIES)  # the first step is made at once: a small merge needs no other
    connection.execute("INSERT INTO index_runs (stage, entries, target, credit) VALUES (?, ?, 0, ?)", row)
    return connection.last_insert_rowid()


# ---------------------------------------------------------------------------------------------------- merging


def _begin_merges(connection: apsw.Connection) -> None:
    """Of each size of which there are enough runs, the oldest are merged from now on."""
    by_size = defaultdict[int, list[int]](list)
    free = "SELECT run, entries FROM index_runs WHERE stage = ? AND target = 0 ORDER BY run"
    for run, entries in _numbers(connection, free, _IN_USE):
        by_size[(entries.bit_length() - 1) // _CLASS_BITS].append(run)
    for runs in by_size.values():
        if len(runs) >= FAN_IN:
            target = _new_run(connection, _WRITTEN, 0)
            chosen = [(target, run) for run in runs[:FAN_IN]]
            connection.executemany("UPDATE index_runs SET target = ? WHERE run = ?", chosen)


def _go_on(connection: apsw.Connection, target: int, count: int) -> int:
    """Merge about `count` entries more into a run; returns how many pages that makes."""
    inputs = [run for (run,) in _numbers(connection, "SELECT run FROM index_runs WHERE target = ?", target)]
    last = _page_before(connection, target, _ABOVE_ALL)
    low = b"" if last is None else last.raw[-ENTRY_BYTES:]
    pages = 0
    while count > 0:
        entries, is_end = _next_entries(connection, inputs, low, 1 + count // (FAN_IN * PAGE_ENTRIES))
        if not is_end:  # whole pages only; what is over is read again
            del entries[len(entries) // PAGE_ENTRIES * PAGE_ENTRIES :]
        pages += _write_pages(connection, target, entries)
        connection.execute("UPDATE index_runs SET entries = entries + ? WHERE run = ?", (len(entries), target))
        if is_end:
            _take_over(connection, target)
            break
        low = entries[-1]
        count -= len(entries)
    connection.execute("UPDATE index_runs SET credit = 0 WHERE run = ?", (target,))
    return pages


def _next_entries(connection: apsw.Connection, runs: Sequence[int], low: bytes, pages: int) -> tuple[list[bytes], bool]:
    """The next entries above `low` of all these runs, in order, at least a page full; and whether there are no more.

    Of each run some pages are read. Up to where the first of them ends, all entries of all runs are known then.
    """
    parts: list[list[bytes]] = []
    ends: list[bytes] = []
    for run in runs:
        found = list(_pages(connection, _PAGES_FROM, run, low, pages + 2))
        if len(found) == pages + 2:
            ends.append(found.pop().first)
        parts.append([entry for page in found for entry in _entries_of(page)])
    end = min(ends, default=_ABOVE_ALL)
    merged: list[bytes] = []
    for part in parts:
        merged += part[bisect_right(part, low) : bisect_left(part, end)]
    merged.sort()
    return merged, not ends


def _take_over(connection: apsw.Connection, target: int) -> None:
    """A merge is whole: what it wrote is in use in the place of what it read."""
    written = _numbers(connection, "SELECT entries FROM index_runs WHERE run = ?", target)
    read = _numbers(connection, "SELECT sum(entries) FROM index_runs WHERE target = ?", target)
    if written != read:
        raise damaged(connection.filename, "a run of the index that lost entries, or has some twice")
    connection.execute("UPDATE index_runs SET stage = ?, target = 0 WHERE target = ?", (_REMOVED, target))
    connection.execute("UPDATE index_runs SET stage = ? WHERE run = ?", (_IN_USE, target))


def _remove_pages(connection: apsw.Connection, count: int) -> None:
    """At most so many pages of runs that were merged; a run that has none left is forgotten."""
    for (run,) in _numbers(connection, "SELECT run FROM index_runs WHERE stage = ? ORDER BY run", _REMOVED):
        connection.execute(
            "DELETE FROM index_pages WHERE seq IN (SELECT seq FROM index_pages WHERE run = ? ORDER BY first LIMIT ?)",
            (run, count),
        )
        count -= connection.changes()
        if count <= 0:
            return
        connection.execute("DELETE FROM index_runs WHERE run = ?", (run,))
