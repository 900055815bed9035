"""`account`: balance, stake and next nonce of an account."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url
from blockchain.commands.text import facts, json_text

if TYPE_CHECKING:
    from blockchain.client import Account
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "account", "show an account: balance, stake, next nonce", run)
    parser.add_argument("address", help="its address (bech32m or hex), or the file of its key")
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client
    from blockchain.commands.keyring import read_address

    address = read_address(arguments.address)
    with Client(arguments.url) as node:
        account = node.account(address.hex())
    print(json_text(account) if arguments.json else page(account))
    return 0


def page(account: Account) -> str:
    waiting = f"  ({account.stake_waiting} more will count after the chain's delay)" if account.stake_waiting else ""
    lines: list[tuple[str, object]] = [
        ("address", account.address),
        ("public key", account.public_key),
        ("balance", account.balance),
        ("stake", f"{account.stake}{waiting}"),
        ("next nonce", account.next_nonce),
    ]
    if account.validator_key is not None and account.validator_key != account.public_key:
        lines.append(("validator key", account.validator_key))
    return facts(lines)
