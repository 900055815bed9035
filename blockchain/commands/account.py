"""`account`: balance, stake and next nonce of an account, and its newest transactions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url
from blockchain.commands.text import facts, json_text, short_address, table, time_text

if TYPE_CHECKING:
    from blockchain.client import Account, History, HistoryEntry, Unbonding
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "account", "show an account: balance, stake, next nonce", run)
    parser.add_argument("address", help="its address (bech32m or hex), or the file of its key")
    parser.add_argument("--history", action="store_true", help="show its newest final transactions instead")
    parser.add_argument("--cursor", help="with --history: only what is older, as the last page says")
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client
    from blockchain.commands.keyring import read_address

    address = read_address(arguments.address)
    with Client(arguments.url) as node:
        if arguments.history:
            history = node.history(address.hex(), arguments.cursor)
            print(json_text(history) if arguments.json else history_page(history))
        else:
            account = node.account(address.hex())
            print(json_text(account) if arguments.json else page(account))
    return 0


def page(account: Account) -> str:
    lines: list[tuple[str, object]] = [
        ("address", account.address),
        ("public key", account.public_key),
        ("balance", account.balance),
        ("stake", _stake(account)),
        *([("waiting", f"{account.waiting}, to be staked in its turn")] if account.waiting else []),
        *(("unbonding", _unbonding(entry)) for entry in account.unbonding),
        ("next nonce", account.next_nonce),
    ]
    return facts(lines + _validator_key(account) + _absence(account))


def _validator_key(account: Account) -> list[tuple[str, object]]:
    """Where it is another one than the account's, or was not there from genesis on."""
    key, height = account.validator_key, account.validator_key_from
    if key is None or (key == account.public_key and not height):
        return []
    return [("validator key", f"{key}  from height {height} on" if height else key)]


def _stake(account: Account) -> str:
    counts = "" if account.stake == account.staked else f"  ({account.stake} counts in the set of this height)"
    return f"{account.staked}{counts}"


def _unbonding(entry: Unbonding) -> str:
    if entry.release_ms is None:
        return f"{entry.amount}, leaves the set at height {entry.leaves}"
    return f"{entry.amount}, back from height {entry.release_height} and {time_text(entry.release_ms)} on"


def _absence(account: Account) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [("OUT", "evidence put it out: it can never validate again")] * account.is_out
    if account.suspension is not None:
        since = "due" if account.suspension == 0 else f"from height {account.suspension}"
        lines.append(("suspended", f"{since}; it comes back with: blockchain send resume"))
    if account.pause is not None:
        lines.append(("pause", f"from height {account.pause.start} to {account.pause.until}"))
    return lines


def history_page(history: History) -> str:
    """Newest first, a line each; what was given is negative."""
    rows = [("block", "time", "kind", "amount", "fee", "with", "id"), *(_row(entry) for entry in history.entries)]
    older = f"\nolder: --history --cursor={history.next}" if history.next else ""
    return table(rows) + older if history.entries else "no final transaction names this account"


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    signed = entry.transaction
    amount = signed.payload.get("amount", "")
    sign = "-" if entry.direction == "out" and amount and signed.kind not in ("EXCHANGE", "UNSTAKE") else ""
    other = signed.sender if entry.direction == "in" else str(signed.payload.get("recipient", ""))
    return (
        str(entry.height),
        time_text(entry.time_ms),
        signed.kind,
        f"{sign}{amount}",
        "" if entry.direction == "in" else str(signed.fee),
        short_address(other) if other else "",
        signed.id,
    )
