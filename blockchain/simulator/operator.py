"""Whoever runs a node: starts it again when it has stopped signing for a reason that the operator knows of.

docs/protocol.md §5.6, rules 11 and 14: a validator that sees a signature or a word of its own that it cannot account
for signs nothing until it is started again; where its record is lost, with `--sign_anew`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blockchain.node.lookout import Caution
from blockchain.simulator.node import Node

if TYPE_CHECKING:
    from blockchain.simulator.world import World

ATTENDS_MS: Final = 5_000  # after the node has stopped
ANEW: Final = Caution(look_ms=10_000, sign_anew=True)


def is_explained(node: Node) -> bool:
    """Whether this node may have stopped signing though nobody else holds its key."""
    return node.has_lost_record or node.clock.was_set_back


def attend(world: World, node: Node) -> None:
    """The node has stopped signing."""
    if not is_explained(node):
        return
    life = node.life

    def start_again() -> None:
        if node.life == life and node.core is not None:
            world.crash(node.number)
            node.caution = ANEW if node.has_lost_record else node.caution
            world.start(node.number)

    world.at(world.time_ms + ATTENDS_MS, start_again)
