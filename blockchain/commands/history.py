"""`history`: take along what this node's keys have signed, or merge what they have signed elsewhere."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import CommandParser, add_command, add_settings, read_settings
from blockchain.commands.text import facts

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.config import NodeConfig
    from blockchain.primitives.chain import ChainSpec
    from blockchain.runtime.record_file import Kept, RecordFile
    from blockchain.seams import SigningRecord

KEY_SETTINGS: Final = ("node_port", "key_file", "next_key_file", "data_dir", "genesis")


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "history", "export or import what the validator key has signed", export)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    out = add_command(
        actions,
        "export",
        "write what this node's keys have signed last to a new file",
        export,
        "Write what this node's keys have signed last on this chain to a new file, as JSON in the manner of EIP-3076. "
        "It holds no key and no secret. The node may run; what it signs later is not in the file.",
    )
    _add_arguments(out, "the file to make")
    merge = add_command(
        actions,
        "import",
        "merge a file of `history export` into this node's records",
        import_,
        "Merge a file of `history export` into the records of this node's keys: the later position counts, and nothing "
        "is ever lowered. A file of another chain, or one that contradicts the records, changes nothing.",
    )
    _add_arguments(merge, "the file to read")


def _add_arguments(parser: CommandParser, what: str) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=what)
    add_settings(parser, *KEY_SETTINGS)


def export(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.errors import HistoryRefused
    from blockchain.runtime.atomic_file import create_file
    from blockchain.runtime.history import dump_history

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    records = [kept.record for _, kept in read_records(record_files(config, spec))]
    try:
        create_file(arguments.file, dump_history(spec.hash, records))
    except FileExistsError:
        raise HistoryRefused(str(arguments.file), "it exists: choose another name") from None
    print("\n".join(_page(record, "") for record in records))
    return 0


def import_(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.errors import HistoryRefused
    from blockchain.runtime.history import load_history

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    files = {file.key: file for file in record_files(config, spec)}
    found = load_history(arguments.file, spec.hash)
    ours = [record for record in found if record.key in files]
    for record in found:
        if record.key not in files:
            print(f"note: {record.key.hex()} is no key of this node: left out", file=sys.stderr)
    if not ours:
        raise HistoryRefused(str(arguments.file), "it has no key of this node: nothing was changed")
    for record, changed in merge_all([(files[record.key], record) for record in ours], arguments.file):
        print(_page(record, "raised to this" if changed else "this was on record already"))
    return 0


def record_files(config: NodeConfig, spec: ChainSpec) -> list[RecordFile]:
    """The records of the configured keys, which need no password. Raises ConfigError, KeyFileError."""
    from blockchain.commands.validator_keys import record_of
    from blockchain.errors import ConfigError
    from blockchain.runtime.keystore import check_owner, public_key_of
    from blockchain.runtime.record_file import RecordFile

    if config.key_file is None:
        raise ConfigError("key_file is missing: name the validator key with --key_file, or the settings with --config")
    files = []
    for key_file in (config.key_file, config.next_key_file):
        if key_file is not None:
            key = public_key_of(key_file)
            check_owner(key_file)  # a record of somebody else the node could not read
            files.append(RecordFile(record_of(key_file, key, config, spec), key, spec.hash))
    return files


def read_records(files: list[RecordFile]) -> list[tuple[RecordFile, Kept]]:
    """What each says now. Raises SigningRefused, also where there is none: then nothing can be told of the key."""
    found = [(file, file.refresh()) for file in files]
    for file, kept in found:
        if not file.is_there:
            raise file.refused("is not there: is this the right key and chain? A key without one has never run here")
        if file.has_damage and not kept.is_away:  # what it may lack the store knows, which does not come along (§5.6)
            raise file.refused("is half damaged, and may lack the last signature: start the node here once, and repeat")
    return found


def merge_all(pairs: list[tuple[RecordFile, SigningRecord]], source: Path) -> list[tuple[SigningRecord, bool]]:
    """Merge each into its file, or none of them: the new records, and whether they are other than the old ones.

    Raises HistoryRefused when one contradicts its record, SigningRefused when a record cannot be used.
    """
    from msgspec.structs import replace

    with ExitStack() as locks:
        for file in sorted((file for file, _ in pairs), key=lambda file: str(file.path)):
            locks.enter_context(file.exclusive())
        merged = [(file, file.refresh(), merge_one(file, record, source)) for file, record in pairs]
        for file, kept, record in merged:
            if record != kept.record or not file.is_there:
                file.write(replace(kept, record=record))
    return [(record, record != kept.record) for _, kept, record in merged]


def merge_one(file: RecordFile, record: SigningRecord, source: Path) -> SigningRecord:
    """The record of a file with what its key has signed elsewhere. Raises HistoryRefused."""
    from blockchain.consensus.signing import merge
    from blockchain.errors import HistoryRefused, SigningRefused

    try:
        return merge(file.refresh().record, record)
    except SigningRefused as error:
        raise HistoryRefused(
            str(source),
            f"it contradicts {file.path}: {error.why}; nothing was changed, and this key signs nowhere safely",
        ) from None


def _page(record: SigningRecord, note: str) -> str:
    from blockchain.runtime.history import position_text

    lines: list[tuple[str, object]] = [("public key", record.key.hex()), ("last signed", position_text(record))]
    if record.precommit_value is not None:
        lines.append(("lock", f"round {record.precommit_round}, block {record.precommit_value.hex()}"))
    return facts([*lines, ("note", note)] if note else lines)
