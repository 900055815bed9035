"""`peers`: whom a node is connected with, whom it tries to reach and why that fails, and whom it keeps out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_json, add_url
from blockchain.commands.text import json_text, table

if TYPE_CHECKING:
    from blockchain.client import Ban, Dial, Peer, Peers
    from blockchain.commands.arguments import Commands

_ID_DIGITS: Final = 16  # of a node id


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "peers", "show a node's peers, the addresses that it dials, and why each failed dial failed", run
    )
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        peers = node.peers()
    print(json_text(peers) if arguments.json else page(peers))
    return 0


def page(peers: Peers) -> str:
    parts = [_peers_table(peers.peers) if peers.peers else "No peer is connected."]
    parts.append(_dials_table(peers.dials) if peers.dials else "No address is dialled.")
    parts += [_bans_table(peers.bans)] if peers.bans else []
    return "\n\n".join(parts)


def _peers_table(peers: tuple[Peer, ...]) -> str:
    rows = [("PEER", "DIRECTION", "ADDRESS", "REMOTE", "AGENT", "HEIGHT", "ROUND", "SCORE", "CLOCK", "DIALLED BACK")]
    rows += [
        (
            peer.id[:_ID_DIGITS],
            "inbound" if peer.inbound else "outbound",
            peer.address or "-",
            peer.remote or "-",
            peer.agent or "-",
            str(peer.height),
            str(peer.round),
            str(peer.score),
            clock_text(peer),
            peer.dialled_back or "-",
        )
        for peer in peers
    ]
    return table(rows)


def clock_text(peer: Peer) -> str:
    """ "+12 ms (3)": how far its clock is ahead of the node's, and the most that this is off by."""
    return "-" if peer.clock_offset_ms is None else f"{peer.clock_offset_ms:+} ms ({peer.clock_error_ms})"


def _dials_table(dials: tuple[Dial, ...]) -> str:
    rows = [("DIALLED", "STATE", "FAILED", "WHY THE LAST ATTEMPT FAILED")]
    rows += [
        (
            dial.address,
            "connected" if dial.is_connected else "waiting",
            str(dial.attempts),
            "-" if dial.is_connected else dial.last_error or "-",
        )
        for dial in dials
    ]
    return table(rows)


def _bans_table(bans: tuple[Ban, ...]) -> str:
    rows = [("KEPT OUT", "FOR", "REASON", "WHY")]
    rows += [
        (ban.peer[:_ID_DIGITS] if ban.peer else ban.address, f"{ban.seconds_left} s", ban.reason, ban.why)
        for ban in bans
    ]
    return table(rows)
