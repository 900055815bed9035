"""`reset`: throw a node's chain data away, after asking, so that it begins afresh.

Keys stay. What the validator key has signed is on record in a file of its own; on a real chain it stays too, because
a key that forgets what it signed can sign against it. On a demo chain, whose height starts from nothing again on all
nodes, it goes with the rest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_settings, read_settings

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "reset",
        "delete a node's chain data, after asking",
        run,
        "Delete the chain data of a node that is not running. Its keys stay. It begins afresh, or fetches the chain "
        "from its peers. The folder is found by the settings that the node is started with.",
    )
    add_settings(parser, "node_port", "data_dir", "genesis")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec

    config = read_settings(arguments)
    is_demo = read_spec(config.genesis).demo
    found = chain_files(config.data_dir, is_demo=is_demo)
    if not found:
        print(f"{config.data_dir} holds no chain data: nothing to delete")
        return 0
    print(f"This deletes the chain data in {config.data_dir}: {', '.join(path.name for path in found)}")
    if not arguments.yes and not _is_confirmed():
        print("Nothing was deleted.")
        return 1
    _delete(config.data_dir, is_demo=is_demo)
    print("Deleted. The next start begins afresh.")
    return 0


def chain_files(folder: Path, *, is_demo: bool) -> list[Path]:
    """What a node keeps of its chain in its data folder: never a key, nor anything that is not a node's."""
    from blockchain.commands.validator_keys import RECORD_FILE
    from blockchain.runtime.sqlite_file import STORE_FILE

    patterns = [STORE_FILE, f"{STORE_FILE}-*", *([RECORD_FILE, f"{RECORD_FILE}.*"] if is_demo else [])]
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _delete(folder: Path, *, is_demo: bool) -> None:
    """Under the node's own lock. Raises StoreError when the node is running."""
    from blockchain.runtime.folder_lock import FolderLock

    lock = FolderLock.take(folder)
    try:
        for path in reversed(chain_files(folder, is_demo=is_demo)):  # a WAL never outlives its database
            path.unlink()
    finally:
        lock.release()


def _is_confirmed() -> bool:
    try:
        return input("Go on? Type yes: ").strip().lower() == "yes"
    except EOFError:
        return False
