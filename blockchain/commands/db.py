"""`db`: what a store holds, whether all of it is sound, and a copy of it; also while its node runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_settings, read_settings
from blockchain.commands.progress import Progress
from blockchain.commands.text import count_text, facts, json_text, size_text, time_text

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.runtime.sqlite_look import StoreFacts

_SETTINGS = ("node_port", "data_dir", "genesis")
_RECORD_IS_NOT_IN_IT = (
    "NOT in it: the keys, and the signing record. Never copy a signing record to run a key twice, and never put an "
    "older one back: a validator that signs without its newest record can sign against itself."
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "db", "look at a node's store, check all of it, or copy it", info)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    look = add_command(actions, "info", "what the store holds; the node may run", info)
    add_json(look)
    check_ = add_command(
        actions,
        "check",
        "check every block, certificate and record from genesis on; the node may run",
        check,
        "Check all of the store from genesis on: its pages, each block's bytes, id, link, certificate and state root, "
        "the state, its sums, the index of transactions. Read-only, on the moment when it begins, so the node may run "
        "(its WAL grows meanwhile). It takes about as long as syncing the chain. Exit code 1 and the first fault if "
        "there is one.",
    )
    copy = add_command(
        actions,
        "backup",
        "copy the store to a file; the node may run",
        backup,
        f"Copy the store of one moment to a file; the node may run. The file is complete, on the disk and checked when "
        f"it gets its name. {_RECORD_IS_NOT_IN_IT}",
    )
    copy.add_argument("destination", type=Path, help="the file to make")
    copy.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    for action in (look, check_, copy):
        add_settings(action, *_SETTINGS)


def info(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.runtime.sqlite_look import read_facts

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    found = read_facts(config.data_dir, spec.hash)
    chain = f"{spec.chain_id}  (genesis {spec.hash.hex()})"
    print(json_text(_plain(found, spec.chain_id, spec.hash)) if arguments.json else page(found, chain))
    return 0


def page(found: StoreFacts, chain: str) -> str:
    time = "no block yet" if found.head_time_ms is None else f"forged {time_text(found.head_time_ms)}"
    lines: list[tuple[str, object]] = [("HALTED", found.halted)] if found.halted else []
    lines += [
        ("store", found.path),
        ("chain", chain),
        ("format", found.format),
        ("height", f"{found.height}, {time}"),
        ("head", found.head.hex()),
        ("transactions", f"{found.transactions} final, {found.pending} pending"),
        ("state", count_text(found.state_records, "record")),
        ("size", f"{size_text(found.file_bytes)}, and {size_text(found.wal_bytes)} in its WAL"),
        ("node", "runs on it" if found.is_in_use else "none runs on it"),
    ]
    return facts(lines)


def check(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.runtime.sqlite_audit import Auditor
    from blockchain.runtime.sqlite_look import snapshot

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    with snapshot(config.data_dir, spec.hash) as store, Progress("checked block") as progress:
        found = Auditor(store, spec, progress.show).run()
    print(
        f"{store.path} is sound: {count_text(found.blocks, 'block')} with "
        f"{count_text(found.transactions, 'transaction')}, {count_text(found.state_records, 'record')} of state"
    )
    sums = found.sums
    print(
        f"its books balance: {sums.minted} minted, {sums.burnt} burnt; {sums.balances} to spend, {sums.bonded} staked, "
        f"{sums.waiting} waiting, {sums.unbonding} unbonding"
    )
    return 0


def backup(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.runtime.sqlite_backup import back_up

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    destination: Path = arguments.destination
    with Progress("copied page") as progress:
        height = back_up(config.data_dir, spec.hash, destination, overwrite=arguments.overwrite, progress=progress.show)
    print(f"{destination}: the chain {spec.chain_id} up to block {height}, {size_text(destination.stat().st_size)}")
    print(_RECORD_IS_NOT_IN_IT)
    return 0


def _plain(found: StoreFacts, chain_id: str, genesis_hash: bytes) -> dict[str, object]:
    import msgspec

    names = msgspec.structs.asdict(found)
    chain = {"chain_id": chain_id, "genesis_hash": genesis_hash.hex()}
    return {**chain, **names, "path": str(found.path), "head": found.head.hex()}
