"""What was done to a disk, in order, and every state that a power cut may leave of it: data in, data out.

What counts as forced to the disk is what POSIX promises and nothing more: the content of a file once it was synced, a
name (made, changed or taken away) once its folder was. Of all else since then, a cut keeps what it likes: nothing, all,
the first part, or any sectors in any order; a file that grew may hold zeros or rubbish where its data is missing, and
a name may lead to a file that is still empty. A renaming is done or not, as every file system with a journal has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from posixpath import dirname
from random import Random
from typing import Final, TypeAlias

SECTORS: Final = (64, 512, 4096)  # bytes that a disk writes in one piece; 64 is less than any, and tears what fits in
SECTOR_MIN: Final = 512  # of real disks; SQLite takes for granted that the 100 bytes at its beginning are in one piece
_DATABASE: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Written:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    file: int


@dataclass(frozen=True, slots=True)
class Named:
    path: str
    file: int  # FOLDER for a folder


@dataclass(frozen=True, slots=True)
class Unnamed:
    path: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Within one folder."""

    source: str
    target: str
    file: int


@dataclass(frozen=True, slots=True)
class FolderSynced:
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing on the disk: what the program knew or said at this moment."""

    what: str
    value: bytes = b""


Change: TypeAlias = Written | Resized
Naming: TypeAlias = Named | Unnamed | Renamed
Operation: TypeAlias = Change | Naming | Synced | FolderSynced | Mark
FOLDER: Final = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """How the power went. `keep`: how likely a piece that was not synced is there all the same."""

    data: str  # one of DATA
    names: str  # one of NAMES
    sector: int
    keep: float
    rubbish: bool  # not zeros, where a file grew and its data is missing
    grows: bool  # a file has the size that it would have had, without the data


DATA: Final = ("none", "all", "first", "sectors", "writes")
NAMES: Final = ("none", "all", "first", "any")


def draw_cut(chance: Random) -> Cut:
    return Cut(
        data=chance.choice(DATA),
        names=chance.choice(NAMES),
        sector=chance.choice(SECTORS),
        keep=chance.choice((0.05, 0.5, 0.95)),
        rubbish=chance.random() < 0.5,
        grows=chance.random() < 0.5,
    )


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, Change]] = field(default_factory=list)  # with their place among all changes


class Disk:
    """The disk at one moment of a history."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}  # that are durable
        self._namings: list[Naming] = []  # since then
        self._changes = 0

    def apply(self, done: Operation) -> None:
        match done:
            case Written(file=file) | Resized(file=file):
                self._changes += 1
                self._files.setdefault(file, _File()).since.append((self._changes, done))
            case Synced(file=file):
                kept = self._files.setdefault(file, _File())
                for _, change in kept.since:
                    _change(kept.durable, change, b"")
                kept.since.clear()
            case Named() | Unnamed() | Renamed():
                self._namings.append(done)
            case FolderSynced(path=folder):
                for naming in self._namings:
                    if _folder_of(naming) == folder:
                        _name(self._names, naming)
                self._namings = [one for one in self._namings if _folder_of(one) != folder]
            case Mark():
                pass

    @property
    def is_settled(self) -> bool:
        """Nothing is left to chance here."""
        return not self._namings and not any(file.since for file in self._files.values())

    def after(self, cut: Cut, chance: Random) -> dict[str, bytes | None]:
        """What is found by its name after the power is back; None: a folder."""
        names = dict(self._names)
        for naming in _some(self._namings, cut.names, cut.keep, chance):
            _name(names, naming)
        under_way = [place for file in self._files.values() for place, _ in file.since]
        first = chance.choice(under_way or [0])  # where "first" ends
        contents: dict[int, bytes] = {}
        for number, file in self._files.items():
            contents[number] = _after(file, cut, first, chance)
        found: dict[str, bytes | None] = {}
        for path in sorted(names):  # a folder comes before what is in it
            parent = dirname(path)
            if parent and parent not in found:
                continue
            found[path] = None if names[path] == FOLDER else contents.get(names[path], b"")
        return found


def _after(file: _File, cut: Cut, first: int, chance: Random) -> bytes:
    content = bytearray(file.durable)
    filler = chance.randbytes(cut.sector) if cut.rubbish else b""
    for place, change in file.since:
        for piece in _kept(place, change, cut, first, chance):
            _change(content, piece, filler)
    if cut.grows and cut.data != "none" and file.since:
        ends = [one.offset + len(one.data) if isinstance(one, Written) else one.size for _, one in file.since]
        size = ends[-1] if isinstance(file.since[-1][1], Resized) else max(ends)
        _grow(content, size, filler)
    return bytes(content)


def _kept(place: int, change: Change, cut: Cut, first: int, chance: Random) -> Iterator[Change]:
    """What of one change is there after the cut."""
    match cut.data:
        case "none":
            return
        case "all":
            yield change
        case "first":
            if place < first:
                yield change
            elif place == first and isinstance(change, Written):
                pieces = list(_pieces(change, cut.sector))
                yield from pieces[: chance.randint(0, len(pieces))]
        case "writes":
            if chance.random() < cut.keep:
                yield change
        case _:
            for piece in _pieces(change, cut.sector) if isinstance(change, Written) else (change,):
                if chance.random() < cut.keep:
                    yield piece


def _pieces(write: Written, sector: int) -> Iterator[Written]:
    """The write, cut where the disk's sectors end."""
    start, end = write.offset, write.offset + len(write.data)
    first = max(sector, SECTOR_MIN) if write.data.startswith(_DATABASE) else 0
    while start < end:
        stop = min(end, max(first, (start // sector + 1) * sector))
        yield Written(write.file, start, write.data[start - write.offset : stop - write.offset])
        start = stop


def _change(content: bytearray, change: Change, filler: bytes) -> None:
    match change:
        case Written(offset=offset, data=data):
            _grow(content, offset, filler)
            content[offset : offset + len(data)] = data
        case Resized(size=size):
            del content[size:]
            _grow(content, size, b"")


def _grow(content: bytearray, size: int, filler: bytes) -> None:
    missing = size - len(content)
    if missing > 0:
        content.extend((filler * (missing // len(filler) + 1))[:missing] if filler else bytes(missing))


def _folder_of(naming: Naming) -> str:
    return dirname(naming.target if isinstance(naming, Renamed) else naming.path)


def _name(names: dict[str, int], naming: Naming) -> None:
    match naming:
        case Named(path=path, file=file):
            names[path] = file
        case Unnamed(path=path):
            names.pop(path, None)
        case Renamed(source=source, target=target, file=file):
            names.pop(source, None)
            names[target] = file


def _some(namings: list[Naming], how: str, keep: float, chance: Random) -> list[Naming]:
    match how:
        case "none":
            return []
        case "all":
            return namings
        case "first":
            return namings[: chance.randint(0, len(namings))]
        case _:
            return [one for one in namings if chance.random() < keep]
