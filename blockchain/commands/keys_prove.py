"""`keys prove`: a validator key's word that an account may name it, made where the key is (docs/protocol.md §3.3)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_password_file, whole_number

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_action(actions: Commands) -> None:
    parser = add_command(
        actions,
        "prove",
        "print the proof with which an account may name this validator key",
        run,
        "Print the proof with which an account may name this key as its validator key, in its transaction with this "
        "nonce: `blockchain send stake` and `send rotate` take it as --proof. So the account's key and the validator's "
        "never have to be on one machine.",
    )
    parser.add_argument("file", type=Path, help="the validator key's file")
    parser.add_argument("--account", required=True, metavar="ADDRESS", help="the account that will send it")
    parser.add_argument("--nonce", type=whole_number, required=True, help="number of its transaction")
    parser.add_argument("--genesis", type=Path, metavar="FILE", help="genesis of the chain (default: the demo chain)")
    add_password_file(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.keyring import read_address
    from blockchain.commands.passwords import read_key
    from blockchain.commands.run import read_spec
    from blockchain.primitives.transaction import prove_possession
    from blockchain.primitives.values import check_integer

    key = read_key(arguments.file, arguments.password_file)
    nonce = check_integer("nonce", arguments.nonce)
    account = read_address(arguments.account)
    print(prove_possession(key, account, nonce, read_spec(arguments.genesis).hash).hex())
    return 0
