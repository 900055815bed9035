"""The tables of what became of transactions: a row an ended one, a row for all that one block made final.

The stories of a block are mostly the same few (one final stage, a few proposals, often the same moment of arrival), so
each is written once, each stage in them once too, and for a transaction a number: one or two bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import apsw
from msgspec import Struct

from blockchain.errors import MalformedMessage
from blockchain.node.store import REFUSALS_MAX, STORIES_MAX
from blockchain.primitives import codec
from blockchain.primitives.crypto import HASH_BYTES
from blockchain.runtime.sqlite_file import damaged
from blockchain.runtime.sqlite_index import read_place
from blockchain.seams import Stage, Story, TransactionStory

T = TypeVar("T")

PACKED_BYTES_MAX: Final = 64 * 1024 * 1024  # of a block of 10,000 transactions that share nothing some 10 MB


class Packed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The stories of one block: of each transaction the number of its story, and these as numbers of stages."""

    stages: tuple[Stage, ...]
    stories: tuple[tuple[int, ...], ...]
    of_positions: tuple[int, ...]


def pack(stories: Sequence[Story]) -> bytes:
    """Told apart by identity, which costs a twentieth of a hash: the core shares what is the same."""
    distinct = {id(story): story for story in stories}
    stages = {id(stage): stage for story in distinct.values() for stage in story}
    places = {same: number for number, same in enumerate(stages)}
    kinds = {same: tuple(places[id(stage)] for stage in story) for same, story in distinct.items()}
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds.values()))}
    number_of = {same: numbers[kind] for same, kind in kinds.items()}
    of_positions = tuple([number_of[id(story)] for story in stories])
    return codec.encode(Packed(tuple(stages.values()), tuple(numbers), of_positions))


def add_block_stories(connection: apsw.Connection, height: int, stories: Sequence[Story]) -> None:
    """Keeps those of the newest blocks, in which the newest `STORIES_MAX` transactions are."""
    row = connection.execute("SELECT total FROM block_stories ORDER BY height DESC LIMIT 1").fetchone()
    total = (row[0] if row else 0) + len(stories)
    connection.execute("INSERT INTO block_stories VALUES (?, ?, ?)", (height, total, pack(stories)))
    while True:
        oldest = connection.execute("SELECT height, total FROM block_stories ORDER BY height LIMIT 1").fetchone()
        if oldest is None or oldest[1] > total - STORIES_MAX:
            return
        connection.execute("DELETE FROM block_stories WHERE height = ?", (oldest[0],))


def add_ended(connection: apsw.Connection, ended: Sequence[TransactionStory]) -> None:
    rows = [(one.id, codec.encode(one.stages)) for one in ended]
    connection.executemany("INSERT OR REPLACE INTO stories (id, stages) VALUES (?, ?)", rows)
    connection.execute("DELETE FROM stories WHERE seq <= (SELECT max(seq) FROM stories) - ?", (STORIES_MAX,))


def add_refused(connection: apsw.Connection, refused: Sequence[TransactionStory]) -> None:
    rows = [(one.id, codec.encode(one.stages)) for one in refused]
    connection.executemany("INSERT OR REPLACE INTO refusals (id, stages) VALUES (?, ?)", rows)
    connection.execute("DELETE FROM refusals WHERE seq <= (SELECT max(seq) FROM refusals) - ?", (REFUSALS_MAX,))


def read_story(connection: apsw.Connection, transaction_id: bytes) -> Story:
    """How it ended, or else was refused; then how it became final."""
    row = (
        connection.execute("SELECT stages FROM stories WHERE id = ?", (transaction_id,)).fetchone()
        or connection.execute("SELECT stages FROM refusals WHERE id = ?", (transaction_id,)).fetchone()
    )
    with _in_words(connection):
        ended = _decode(row[0], Story) if row else ()
        return (*ended, *_story_of_final(connection, transaction_id))


def _story_of_final(connection: apsw.Connection, transaction_id: bytes) -> Story:
    height, position = read_place(connection, transaction_id) or (0, 0)
    row = connection.execute("SELECT packed FROM block_stories WHERE height = ?", (height,)).fetchone()
    return _story_at(_decode(row[0], Packed), position) if row else ()


def check_stories(connection: apsw.Connection) -> None:
    """Every story can be read, and a block has as many as transactions. Raises StoreError."""
    with _in_words(connection):
        for (raw,) in connection.execute("SELECT stages FROM stories UNION ALL SELECT stages FROM refusals"):
            _decode(raw, Story)
        for raw, ids_bytes in connection.execute(
            "SELECT packed, length(transaction_ids) FROM block_stories LEFT JOIN blocks USING (height)"
        ):
            packed = _decode(raw, Packed)
            if len(packed.of_positions) * HASH_BYTES != ids_bytes:
                raise MalformedMessage("not one for each transaction")
            for position in range(len(packed.of_positions)):
                _story_at(packed, position)


@contextmanager
def _in_words(connection: apsw.Connection) -> Iterator[None]:
    try:
        yield
    except MalformedMessage:
        raise damaged(connection.filename, "the story of a transaction") from None


def _decode(raw: object, kind: type[T]) -> T:
    if not isinstance(raw, bytes):
        raise MalformedMessage("not bytes")
    return codec.decode(raw, kind, bytes_max=PACKED_BYTES_MAX)


def _story_at(packed: Packed, position: int) -> Story:
    try:
        return tuple(packed.stages[number] for number in packed.stories[packed.of_positions[position]])
    except IndexError:
        raise MalformedMessage("a number without its stage") from None
