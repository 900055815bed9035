"""`lottery`: fetch a lottery receipt from a node, for `verify-lottery`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_url, whole_number
from blockchain.commands.text import json_text

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "lottery",
        "fetch the receipt of a draw: why this forger",
        run,
        "Fetch the receipt of a draw, as JSON: why this forger. `verify-lottery` checks it offline.",
    )
    parser.add_argument("height", type=whole_number, help="a height up to the one in progress")
    parser.add_argument(
        "round", nargs="?", type=whole_number, help="default: the round in which the block was built, or 0"
    )
    add_url(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    height, round = arguments.height, arguments.round
    with Client(arguments.url) as node:
        if round is None:
            block = node.block(height)
            round = 0 if block is None else block.round
        receipt = node.lottery(height, round)
    if receipt is None:
        print(f"blockchain: this node knows no draw for height {height}, round {round}", file=sys.stderr)
        return 1
    print(json_text(receipt))
    return 0
