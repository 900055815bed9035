"""`validator move`: take a validator to another machine, so that it never signs in two places.

The order is what it is about. *Export*: every record here is first marked as moved away, durably, and only then does
the file appear, whole or not at all. So there is no moment with two places that would sign. A crash in between leaves
no file and a validator that signs nowhere; but key files and records lie here untouched, and the same command again
goes on with the same move. *Import*: the record first, then the key file, so that there is never a key without what it
has signed. A crash in between leaves a record without a key, and the same command again brings the rest.

Moves are numbered, in the record and in the file. A file of an earlier move than a record knows is refused: it would
bring back a validator that has signed elsewhere since. Nothing is deleted here; the key files that stay behind are of
no use to a node while their record says that the validator is away.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import CommandParser, add_command, add_settings, read_settings
from blockchain.commands.history import KEY_SETTINGS, merge_one, read_records, record_files
from blockchain.config import ENV_PREFIX, NodeConfig

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.primitives.chain import ChainSpec
    from blockchain.runtime.moving import MovedKey
    from blockchain.runtime.record_file import Kept, RecordFile

MOVE_VARIABLE: Final = f"{ENV_PREFIX}MOVE_PASSWORD"
_FLAG: Final = "--move_password_file"


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "validator", "move a validator to another machine", export)
    move = add_command(
        parser.add_subparsers(title="what to do", metavar="WHAT", required=True), "move", "move it", export
    )
    actions = move.add_subparsers(title="actions", metavar="ACTION", required=True)
    out = add_command(
        actions,
        "export",
        "disable the validator here, and write its keys and what they have signed to a new file",
        export,
        "Disable the validator here, for good, and then write its key files and what they have signed to one new file, "
        f"encrypted with the password of {_FLAG}, of {MOVE_VARIABLE}, or typed twice. End its node first.",
    )
    _add_arguments(out, "the file to make")
    back = add_command(
        actions,
        "import",
        "take a validator over from a file of `validator move export`",
        import_,
        "Take a validator over: what its keys have signed goes into the records here, then its key files get the names "
        "that the settings say. On the machine that it once left, this enables it again.",
    )
    _add_arguments(back, "the file to read")


def _add_arguments(parser: CommandParser, what: str) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=what)
    parser.add_argument(_FLAG, type=Path, metavar="FILE", help="its first line is the password of FILE")
    add_settings(parser, *KEY_SETTINGS)


# ------------------------------------------------------------------------------------------------------- away


def export(arguments: argparse.Namespace) -> int:
    from blockchain.commands.passwords import new_password
    from blockchain.runtime.folder_lock import FolderLock

    path: Path = arguments.file
    config, spec = _settings(arguments)
    _check_new(path)
    files = record_files(config, spec)
    texts = [_key_text(key_file) for key_file in _key_files(config)]
    lock = FolderLock.take(config.data_dir)
    try:
        read_records(files)  # what cannot be moved is told before a password is asked for
        password = new_password(path, arguments.move_password_file, MOVE_VARIABLE, _FLAG)
        number = move_away(path, spec, list(zip(files, texts, strict=True)), password)
    finally:
        lock.release()
    print(f"Move {number} is in {path}. The validator signs nothing here any more, whoever starts it.")
    print("Next, on the other machine: `blockchain validator move import` with this file, then start the node.")
    return 0


def move_away(path: Path, spec: ChainSpec, keys: list[tuple[RecordFile, bytes]], password: bytes) -> int:
    """Mark the records, then make the file; the number of the move. Raises HistoryRefused, SigningRefused."""
    from msgspec.structs import replace

    from blockchain.runtime.moving import moved_key, seal_move

    with _all_locked([file for file, _ in keys]):
        found = read_records([file for file, _ in keys])
        number = max(kept.moves + (not kept.is_away) for _, kept in found)
        moved = [moved_key(kept.record, text) for (_, kept), (_, text) in zip(found, keys, strict=True)]
        content = seal_move(spec.hash, number, tuple(moved), password)  # what may fail in this does so before
        for file, kept in found:
            if kept != replace(kept, moves=number, is_away=True):
                file.write(replace(kept, moves=number, is_away=True))
            file.settle()
        _create(path, content)
    return number


def _create(path: Path, content: bytes) -> None:
    from blockchain.errors import HistoryRefused
    from blockchain.runtime.atomic_file import create_file

    try:
        create_file(path, content)
    except OSError as error:
        raise HistoryRefused(
            str(path),
            f"cannot be written: {error.strerror}; the validator is disabled here, and nothing is lost: "
            "do this again, with another name",
        ) from None


def _check_new(path: Path) -> None:
    from blockchain.errors import HistoryRefused

    if path.exists():
        raise HistoryRefused(str(path), "it exists: choose another name")
    if not path.parent.is_dir():
        raise HistoryRefused(str(path), "its folder is not there: make it first")


def _key_text(key_file: Path) -> bytes:
    """A key file as it is, if it may be moved. Raises KeyFileError."""
    from blockchain.errors import KeyFileError
    from blockchain.runtime.keystore import check_folder, check_mode, check_private, check_secret, public_key_of

    check_mode(key_file, public_ok=False)
    check_private(key_file)
    check_folder(key_file.parent)
    check_secret(key_file, public_key_of(key_file))
    try:
        return key_file.read_bytes()
    except OSError as error:
        raise KeyFileError(str(key_file), f"cannot be read: {error.strerror}") from None


# ------------------------------------------------------------------------------------------------------- here


def import_(arguments: argparse.Namespace) -> int:
    from blockchain.commands.passwords import given_password, typed_password
    from blockchain.runtime.folder_lock import FolderLock
    from blockchain.runtime.moving import open_move, read_move

    path: Path = arguments.file
    config, spec = _settings(arguments)
    move = read_move(path, spec.hash)
    lock = FolderLock.take(config.data_dir)
    try:
        password = given_password(arguments.move_password_file, MOVE_VARIABLE)
        if password is None:
            password = typed_password(path, _FLAG, MOVE_VARIABLE)
        keys = open_move(path, move, password)
        take_over(path, move.head.number, _targets(path, config, spec, keys))
    finally:
        lock.release()
    print(f"Move {move.head.number} is taken over: the validator signs here from the next start on.")
    print(f"{path} still holds its keys: delete it, and never import it in another place.")
    return 0


def take_over(path: Path, number: int, targets: list[tuple[RecordFile, Path, MovedKey]]) -> None:
    """Merge and enable the records, then write the key files. Raises HistoryRefused; then nothing is changed."""
    from blockchain.runtime.keystore import place_key_file
    from blockchain.runtime.record_file import Kept

    with _all_locked([file for file, _, _ in targets]):
        merged = []
        for file, _, one in targets:
            known = file.refresh()
            _check_number(path, number, known, file)
            merged.append((file, Kept(merge_one(file, one.record(file.genesis_hash), path), number)))
        for file, kept in merged:
            file.write(kept)
    for _, key_file, one in targets:
        if not key_file.exists():
            place_key_file(key_file, one.key_file)


def _check_number(path: Path, number: int, known: Kept, file: RecordFile) -> None:
    from blockchain.errors import HistoryRefused

    if number < known.moves:
        raise HistoryRefused(
            str(path),
            f"it is move {number}, and {file.path} knows of move {known.moves}: the validator has been elsewhere "
            "since; import the newest move",
        )


def _targets(
    path: Path, config: NodeConfig, spec: ChainSpec, keys: tuple[MovedKey, ...]
) -> list[tuple[RecordFile, Path, MovedKey]]:
    """Each key with its record and the name of its file here. Raises ConfigError, KeyFileError, HistoryRefused."""
    from blockchain.commands.validator_keys import record_of
    from blockchain.errors import ConfigError, KeyFileError
    from blockchain.runtime.keystore import check_owner, check_private, public_key_of
    from blockchain.runtime.record_file import RecordFile

    key_files = _key_files(config)
    if len(key_files) != len(keys):
        raise ConfigError(
            f"{path} holds {len(keys)} keys of the validator, and the settings name {len(key_files)} files for them: "
            "set key_file, and next_key_file where there are two"
        )
    targets = []
    for key_file, one in zip(key_files, keys, strict=True):
        if key_file.exists():
            check_owner(key_file)
            check_private(key_file)
            if public_key_of(key_file) != one.public_key:
                raise KeyFileError(str(key_file), "it is there and holds another key: name another file for this one")
        record = RecordFile(record_of(key_file, one.public_key, config, spec), one.public_key, spec.hash)
        targets.append((record, key_file, one))
    return targets


# ------------------------------------------------------------------------------------------------------- both


def _settings(arguments: argparse.Namespace) -> tuple[NodeConfig, ChainSpec]:
    from blockchain.commands.run import read_spec
    from blockchain.errors import ConfigError

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    if spec.demo:
        raise ConfigError("the keys of a demo chain are everybody's: name the genesis of the validator's chain")
    return config, spec


def _key_files(config: NodeConfig) -> list[Path]:
    return [key_file for key_file in (config.key_file, config.next_key_file) if key_file is not None]


@contextmanager
def _all_locked(files: list[RecordFile]) -> Iterator[None]:
    """Nobody signs with any of them, in whatever process; in one order, so that no two wait for each other."""
    with ExitStack() as locks:
        for file in sorted(files, key=lambda file: str(file.path)):
            locks.enter_context(file.exclusive())
        yield
