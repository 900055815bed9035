"""`tx`: what became of a transaction."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url, seconds
from blockchain.commands.text import facts, json_text, time_text

if TYPE_CHECKING:
    from blockchain.client import Stage, TransactionState
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "tx", "show what became of a transaction: pending, final or refused, and why", run)
    parser.add_argument("id", help="its id, 64 hex digits")
    parser.add_argument(
        "--wait", type=seconds, default=0.0, metavar="SECONDS", help="seconds to wait for its end (default: none)"
    )
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        wait = arguments.wait
        found = node.wait_final(arguments.id, wait) if wait > 0 else node.transaction(arguments.id)
    if found is None or found.state == "unknown":
        print("blockchain: this node does not know this transaction", file=sys.stderr)
        return 1
    print(json_text(found) if arguments.json else page(found))
    return 0


def page(found: TransactionState) -> str:
    lines: list[tuple[str, object]] = [("id", found.id), ("state", _state(found))]
    if (signed := found.transaction) is not None:
        lines += [("kind", signed.kind), ("sender", signed.sender), ("nonce", signed.nonce), ("fee", signed.fee)]
        lines += [(name.replace("_", " "), value) for name, value in signed.payload.items() if value is not None]
        lines += [("expiry", f"height {signed.expiry}")] if signed.expiry is not None else []
    lines += [(stage.stage, _stage(stage)) for stage in found.stages]
    return facts(lines)


def _stage(stage: Stage) -> str:
    """When, where and why: "2026-01-01T00:00:00Z, height 3, round 0, nonce 4 is missing (nonce_gap)"."""
    parts = [time_text(stage.time_ms)]
    parts += [f"height {stage.height}"] if stage.height is not None else []
    parts += [f"round {stage.round}"] if stage.round is not None else []
    parts += [stage.why] if stage.why else []
    return ", ".join(parts) + (f" ({stage.code})" if stage.code else "")


def _state(found: TransactionState) -> str:
    if found.refusal is not None:
        return f"{found.state}: {found.refusal.why} ({found.refusal.code}), {time_text(found.refusal.time_ms)}"
    if found.state == "final":
        return f"final, in block {found.height} at place {found.position}"
    return found.state
