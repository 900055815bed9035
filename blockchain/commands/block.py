"""`block`: one final block, by height or id."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url
from blockchain.commands.text import count_text, facts, json_text, short_address, time_text

if TYPE_CHECKING:
    from blockchain.client import Block
    from blockchain.client.answers import SignedTransaction
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "block", "show a final block", run)
    parser.add_argument("reference", nargs="?", default="latest", help="its height or id (default: the newest)")
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        reference = str(node.status().height) if arguments.reference == "latest" else arguments.reference
        block = node.block(reference)
    if block is None:
        print(f"blockchain: this node has no final block {reference}", file=sys.stderr)
        return 1
    print(json_text(block) if arguments.json else page(block))
    return 0


def page(block: Block) -> str:
    votes = len(block.certificate.precommits) if block.certificate else 0
    lines: list[tuple[str, object]] = [
        ("height", block.height),
        ("id", block.id),
        ("parent", block.parent),
        ("time", time_text(block.time_ms)),
        ("forger", f"{block.forger}  (drawn for round {block.round})"),
        ("certificate", count_text(votes, "precommit")),
        ("state root", block.state_root),
        ("transactions", block.transaction_count),
        *(("", describe(one)) for one in block.transactions),
    ]
    return facts(lines)


def describe(one: SignedTransaction) -> str:
    """A transaction in a line: id, kind, who to whom, how much."""
    recipient = one.payload.get("recipient")
    whom = f" -> {short_address(str(recipient))}" if recipient else ""
    return f"{one.id}  {one.kind:<8}  {short_address(one.sender)}{whom}, {one.payload.get('amount')}"
