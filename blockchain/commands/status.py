"""`status`: a node's state on one page for people, or as JSON."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url
from blockchain.commands.text import count_text, facts, json_text, time_text

if TYPE_CHECKING:
    from blockchain.client import Peers, Status
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "status", "show where a node stands: height, peers, pool, what it waits for", run)
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        status = node.status()
        if arguments.json:
            print(json_text(status))
            return 0
        print(page(status, node.peers()))
    return 0


def page(status: Status, peers: Peers) -> str:
    """The page; a node that has stopped voting says so first."""
    lines: list[tuple[str, object]] = [("HALTED", status.is_halted)] if status.is_halted else []
    lines += [("NOT TRUSTED", status.untrusted)] if status.untrusted else []
    lines += [("SIGNS NOTHING", status.silent)] if status.silent else []
    lines += [
        ("chain", f"{status.chain_id}  (genesis {status.genesis_hash})"),
        ("node", f"{status.node_id[:16]}  version {status.version}"),
        ("height", _height(status)),
        *(("sync", text) for text in _sync(status)),
        ("head", status.head),
        ("validator", _validator(status)),
        ("peers", count_text(status.peers, "peer")),
        *(
            ("", f"{peer.address or 'inbound'} in height {peer.height}, round {peer.round}  {peer.id[:16]}")
            for peer in peers.peers
        ),
        *(
            ("", f"{dial.address}: {dial.last_error}")
            for dial in peers.dials
            if _failed(dial.is_connected, dial.last_error)
        ),
        ("network", _network(status)),
        ("pool", f"{pool_text(status)}, {count_text(status.pool.pending, 'transaction')} pending"),
        ("waiting for", status.waiting_for or "nothing"),
    ]
    return facts(lines)


def pool_text(status: Status) -> str:
    """ "pool holds 1 of 2": what a block could take now, of how many that make one."""
    return f"pool holds {status.pool.ready} of {status.pool.threshold}"


def _network(status: Status) -> str:
    """What the peers say of this node: whether they reach it, and its clock."""
    network = status.network
    reach = {"yes": "reachable", "no": "NOT REACHABLE"}.get(network.reachable, "reachable or not is unknown")
    offset = network.clock_offset_ms
    clock = "" if offset is None else f"; clocks of {count_text(network.clock_peers, 'peer')} {offset:+} ms"
    return f"{reach}: {network.reachable_why}{clock}"


def _failed(is_connected: bool, last_error: str) -> bool:
    return not is_connected and bool(last_error)


def _height(status: Status) -> str:
    if status.height == 0:
        return "0, no block yet"
    behind = f", catching up to {status.best_peer_height}" if status.is_syncing else ""
    return f"{status.height}, forged {time_text(status.head_time_ms)}{behind}"


def _sync(status: Status) -> list[str]:
    """How fast a node catches up, or why it does not; nothing for one that is not behind."""
    sync = status.sync
    if sync.target <= status.height:
        return []
    rate = [] if sync.blocks_per_second is None else [f"{sync.blocks_per_second} blocks/s"]
    left = [] if sync.seconds_left is None else [f"about {math.ceil(sync.seconds_left)} s left"]
    waits = [f"waits: {sync.waiting_for}"] if sync.waiting_for else []
    moves = [f"{status.height} of {sync.target}", *rate, *left, count_text(sync.sources, "source"), *waits]
    return [", ".join(moves)]


def _validator(status: Status) -> str:
    if status.validator is None:
        if not status.keys:
            return "none: this node follows and does not vote"
        return "none at this height: its key is in no set yet, or no more: `blockchain account` says why"
    return f"{status.validator}  ({'does not vote now' if _is_mute(status) else 'votes'})"


def _is_mute(status: Status) -> bool:
    """It is of the set and holds its peace; the page says why in its first lines."""
    return bool(status.is_halted or status.untrusted or status.silent)
