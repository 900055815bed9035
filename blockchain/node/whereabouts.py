"""Where this node is, as its peers were told: height, round and step (docs/protocol.md §8.4 rule 3).

They need its height and round at once, since they send it the votes of these. Its step they see by its votes; so a word
of the step alone is said only once it has lasted, and in a network that takes less than that for a step none is.
"""

from __future__ import annotations

from typing import Final

from blockchain.consensus.bft import BftEngine
from blockchain.node.gossip import Gossip
from blockchain.seams import Effect, SetTimer, TimerKey, TimerKind

STEP_MS: Final = (
    30  # a step takes less where all are near each other, and far less than this matters where they are not
)


class Whereabouts:
    """`follow` after each input, `on_timer` with the timer that it asks for."""

    def __init__(self, gossip: Gossip, engine: BftEngine) -> None:
        self._gossip = gossip
        self._engine = engine
        self._told = (0, -1, -1)
        self._is_waiting = False
        self._awaited = self._told

    def follow(self) -> list[Effect]:
        """What is to be said of a change, now or in a moment."""
        place = self._place()
        if place[:2] != self._told[:2]:
            return self._tell(place)
        if place == self._told or self._is_waiting:
            return []
        self._is_waiting, self._awaited = True, place
        return [SetTimer(TimerKey(TimerKind.STEP), STEP_MS)]

    def on_timer(self) -> list[Effect]:
        """The moment is over: a step that has lasted is told, one that has not waits anew."""
        self._is_waiting = False
        place = self._place()
        return self._tell(place) if place == self._awaited != self._told else self.follow()

    def _tell(self, place: tuple[int, int, int]) -> list[Effect]:
        self._told = place
        return self._gossip.send_all(self._gossip.status())

    def _place(self) -> tuple[int, int, int]:
        current = self._engine.current
        return current.height, current.rules.round, int(current.rules.step)
