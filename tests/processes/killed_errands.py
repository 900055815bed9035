"""What a node and its operator do once in a while, killed at named points and done again.

Each errand says what lies there before, what is done, and what has to hold of a folder in which it was killed; then it
is done once more, to its end, and has to hold again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from blockchain.commands.validator import move_away, take_over
from blockchain.errors import HistoryRefused
from blockchain.primitives.crypto import Hash32
from blockchain.runtime import atomic_file, keystore, moving, sqlite_backup, sqlite_upgrade
from blockchain.runtime.keystore import change_password, node_key, read_key_file, write_key_file
from blockchain.runtime.moving import open_move, read_move
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_backup import _check_copy, back_up
from tests.node.one_chain import Node, spec_with
from tests.processes.kill_points import Point, plant_in_files, plant_in_signer, plant_in_store, wrap
from tests.processes.killing import killed, lives_until_killed
from tests.runtime import store_batches
from tests.runtime.store_v1 import write_store_1
from tests.samples import PREVOTE, key, spec_of, vote

SPEC = spec_of(parameters={"stake_min": 100, "stake_step_max_bp": 1_000})
KEY: Final = key("a validator that moves")
PASSWORD: Final = b"open sesame"
HEIGHT: Final = 5


@dataclass(frozen=True)
class Errand:
    """`points`: by name, the latest passage. `check` is told whether the errand came to its end."""

    prepare: Callable[[Path], None]
    do: Callable[[Path], None]
    check: Callable[[Path, bool], None]
    points: dict[str, int]


# ------------------------------------------------------------------------------------------------------- a store


def _nothing(folder: Path) -> None:
    pass


def _open_new(folder: Path) -> None:
    SqliteStore.open(folder / "data", store_batches.GENESIS).close()


def _check_new(folder: Path, is_done: bool) -> None:
    with closing(SqliteStore.open(folder / "data", store_batches.GENESIS)) as store:
        assert store.head() == 0
        store.write(store_batches.batch_of(1))
    shutil.rmtree(folder / "data")


def _prepare_old(folder: Path) -> None:
    node = Node(spec_with())
    for nonce in range(HEIGHT):
        node.grow(node.pay("a", nonce), node.pay("b", nonce))
    (folder / "data").mkdir()
    write_store_1(folder / "data", node.store, node.spec.hash)


def _upgrade(folder: Path) -> None:
    SqliteStore.open(folder / "data", spec_with().hash).close()


def _check_upgraded(folder: Path, is_done: bool) -> None:
    with closing(SqliteStore.open(folder / "data", spec_with().hash)) as store:
        assert store.head() == HEIGHT
        assert all(store.block(height) is not None for height in range(1, HEIGHT + 1))
        parties = {one for height in range(1, HEIGHT + 1) for one in _parties(store, height)}
        assert all(len(store.history(address, None, 100)) >= HEIGHT for address in parties)


def _parties(store: SqliteStore, height: int) -> list[bytes]:
    from blockchain.primitives.block import decode_block
    from blockchain.primitives.transaction import decode_transaction

    block = store.block(height)
    assert block is not None
    return [decode_transaction(raw).sender for raw in decode_block(block.raw).transactions]


# ------------------------------------------------------------------------------------------------------- a backup


def _prepare_store(folder: Path) -> None:
    with closing(SqliteStore.open(folder / "data", store_batches.GENESIS)) as store:
        for height in range(1, HEIGHT + 1):
            store.write(store_batches.batch_of(height))


def _prepare_copied(folder: Path) -> None:
    _prepare_store(folder)
    _back_up(folder)
    with closing(SqliteStore.open(folder / "data", store_batches.GENESIS)) as store:
        store.write(store_batches.batch_of(HEIGHT + 1))


def _back_up(folder: Path) -> None:
    is_there = (folder / "backup.db").exists()
    genesis_hash, no_progress = store_batches.GENESIS, lambda _done, _all: None
    back_up(folder / "data", genesis_hash, folder / "backup.db", overwrite=is_there, progress=no_progress)


def _check_backup(folder: Path, is_done: bool) -> None:
    with closing(SqliteStore.open(folder / "data", store_batches.GENESIS)) as store:
        assert store.head() >= HEIGHT
        newest = store.head()
    copy = folder / "backup.db"
    if is_done:
        _check_nothing_left(folder)
    if is_done or copy.exists():
        assert _check_copy(copy, Hash32(store_batches.GENESIS)) in ((newest,) if is_done else (HEIGHT, newest))


def _check_copied(folder: Path, is_done: bool) -> None:
    assert (folder / "backup.db").exists(), "the copy that was there is gone"
    _check_backup(folder, is_done)


def _check_nothing_left(folder: Path) -> None:
    left = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
    assert not left, f"{left} of a process that was killed"


# ------------------------------------------------------------------------------------------------------- keys


def _make_node_key(folder: Path) -> None:
    made = node_key(folder / "data")
    told = folder / "told"
    if not told.exists():
        told.write_bytes(made.public_key)


def _check_node_key(folder: Path, is_done: bool) -> None:
    found = node_key(folder / "data").public_key
    if (folder / "told").exists():
        assert (folder / "told").read_bytes() == found, "the key that was told is gone"
    if is_done:
        _check_nothing_left(folder / "data")


def _prepare_key(folder: Path) -> None:
    write_key_file(folder / "key.pem", KEY, b"old")


def _change_password(folder: Path) -> None:
    if not _opens(folder, b"new"):
        change_password(folder / "key.pem", b"old", b"new")


def _check_password(folder: Path, is_done: bool) -> None:
    assert _opens(folder, b"new") or (not is_done and _opens(folder, b"old"))


def _opens(folder: Path, password: bytes) -> bool:
    from blockchain.errors import KeyFileError

    try:
        return read_key_file(folder / "key.pem", password) == KEY
    except KeyFileError:
        return False


# ------------------------------------------------------------------------------------------------------- a move


def _prepare_validator(folder: Path) -> None:
    write_key_file(folder / "key.pem", KEY, None)
    Signer(KEY, SPEC.hash, folder / "record").sign(replace(vote(KEY, 3, PREVOTE, None), signature=bytes(64)))


def _record(folder: Path, name: str = "record") -> RecordFile:
    return RecordFile(folder / name, KEY.public_key, SPEC.hash)


def _move_away(folder: Path) -> None:
    if not (folder / "move").exists():
        move_away(folder / "move", SPEC, [(_record(folder), (folder / "key.pem").read_bytes())], PASSWORD)


def _check_away(folder: Path, is_done: bool) -> None:
    kept = _record(folder).refresh()
    assert kept.record.height == 3 and kept.moves in (0, 1)
    if is_done or (folder / "move").exists():
        assert kept.is_away, "two places that may sign"
        assert open_move(folder / "move", read_move(folder / "move", SPEC.hash), PASSWORD)


def _prepare_moved(folder: Path) -> None:
    _prepare_validator(folder)
    _move_away(folder)


def _take_over(folder: Path) -> None:
    move = read_move(folder / "move", SPEC.hash)
    (one,) = open_move(folder / "move", move, PASSWORD)
    take_over(folder / "move", move.head.number, [(_record(folder, "new record"), folder / "new.pem", one)])


def _check_taken(folder: Path, is_done: bool) -> None:
    try:
        kept = _record(folder, "new record").refresh()
    except HistoryRefused as error:
        raise AssertionError(error) from None
    if is_done or (folder / "new.pem").exists():
        assert read_key_file(folder / "new.pem", None) == KEY
        assert kept.record.height == 3 and kept.moves == 1, "a key without what it has signed"


# ------------------------------------------------------------------------------------------------------- points

_FILE: Final = {"content not synced": 1, "content synced": 1, "folder synced": 1}
_CREATED: Final = {**_FILE, "file not named": 1, "file named": 1}
_WRITTEN: Final = {"WAL being written": 20, "WAL not synced": 2, "WAL synced": 2, "database being written": 10}
_OPENED: Final = {"store not claimed": 1, "store not checked": 1, "store opened": 1, "data folder not unlocked": 1}
_COPIED: Final = {"database being written": 10, "copy made": 1, "copy checked": 1}
_RECORDED: Final = {"signing record locked": 1, "signing record not renamed": 1, "signing record made": 1}

ERRANDS: Final = {
    "a new store": Errand(_nothing, _open_new, _check_new, {"data folder locked": 1, **_OPENED, **_WRITTEN}),
    "an upgrade": Errand(
        _prepare_old,
        _upgrade,
        _check_upgraded,
        {"upgrade begun": 1, "refusals moved": 1, "state moved": 1, "index made": 1, **_OPENED, **_WRITTEN},
    ),
    "a backup": Errand(_prepare_store, _back_up, _check_backup, {**_COPIED, **_CREATED}),
    "a backup over another": Errand(_prepare_copied, _back_up, _check_copied, {**_COPIED, **_FILE}),
    "a node's key": Errand(_nothing, _make_node_key, _check_node_key, _CREATED),
    "another password": Errand(_prepare_key, _change_password, _check_password, _FILE),
    "a move away": Errand(_prepare_validator, _move_away, _check_away, {**_RECORDED, **_CREATED}),
    "a move here": Errand(_prepare_moved, _take_over, _check_taken, {**_RECORDED, **_CREATED}),
}


def _plant(point: Point) -> None:
    plant_in_files(point)
    plant_in_store(point)
    plant_in_signer(point)
    wrap(sqlite_upgrade, "_from_version_1", point, before="upgrade begun")
    wrap(sqlite_upgrade, "_move_refusals", point, after="refusals moved")
    wrap(sqlite_upgrade, "_move_state", point, after="state moved")
    wrap(sqlite_upgrade, "_rebuild_index", point, after="index made")
    wrap(sqlite_backup, "_copy", point, after="copy made")
    wrap(sqlite_backup, "_check_copy", point, after="copy checked")
    wrap(sqlite_backup, "publish", point, "file not named", "file named")
    wrap(atomic_file, "publish", point, "file not named", "file named")


def kill_errand(folder: Path, name: str, point: str, kills: int, seed: int) -> int:
    """Kill the errand so often at the point, each time in a folder of its own; how many tries that took."""
    moving.OPERATIONS, moving.MEMORY_BYTES = 1, 8_192  # type: ignore[misc]
    keystore.KDF_ROUNDS = 1_000  # type: ignore[misc]
    errand, chance = ERRANDS[name], Random(seed)
    folder.mkdir(exist_ok=True)
    assert not killed(lambda: errand.prepare(folder), f"{name} cannot be prepared")
    tries = 0
    for number in range(kills):
        where = folder.with_name(f"{folder.name}.{number}")
        tries += lives_until_killed(lambda where=where: _killed_in(where, folder, errand, point, chance), point)  # type: ignore[misc]
        errand.check(where, False)
        assert not killed(lambda where=where: errand.do(where), f"{name}, {point}: cannot be done again")  # type: ignore[misc]
        errand.check(where, True)
        shutil.rmtree(where)
    return tries


def _killed_in(where: Path, prepared: Path, errand: Errand, point: str, chance: Random) -> bool:
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(prepared, where)
    passages = chance.randint(1, errand.points[point])

    def work() -> None:
        _plant(Point(point, passages))
        errand.do(where)

    return killed(work, f"{point}: the errand failed, passages {passages}")
