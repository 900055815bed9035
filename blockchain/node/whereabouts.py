"""Where this node is, as its peers were told: height, round and step (docs/protocol.md §8.4 rule 3).

They need its round at once, since they send it the votes of that. Its height they presume, and its step they see by its
votes; so a word of these alone is said only once they have lasted, and in a network that takes less than that for a
height none is. At once it is said by who has come to a height otherwise than they presume.
"""

from __future__ import annotations

from typing import Final

from blockchain.consensus.bft import BftEngine
from blockchain.node.connected import Connected
from blockchain.node.gossip import Gossip
from blockchain.seams import Effect, SetTimer, TimerKey, TimerKind

STEP_MS: Final = 100  # a height takes less where all are near each other, and a time-out ten times as much


class Whereabouts:
    """`follow` after each input, `on_timer` with the timer that it asks for."""

    def __init__(self, gossip: Gossip, peers: Connected, engine: BftEngine) -> None:
        self._gossip = gossip
        self._peers = peers
        self._engine = engine
        self._told = (0, -1, -1)
        self._seen = (0, 0)  # the height and the round at the last look
        self._owed = 1  # from this height on peers are told at once; 0: they are not
        self._is_waiting = False
        self._awaited = self._told

    def owe(self, height: int) -> None:
        """Peers cannot know that this node is there when it is."""
        self._owed = height

    def follow(self) -> list[Effect]:
        """What is to be said of a change, now or in a moment."""
        place = self._place()
        seen, self._seen = self._seen, place[:2]
        is_other_round = place[:2] != seen and place[1] > 0
        if is_other_round or 0 < self._owed <= place[0]:
            return self._tell(place)
        if place == self._told or self._is_waiting:
            return []
        self._is_waiting, self._awaited = True, place
        return [SetTimer(TimerKey(TimerKind.STEP), STEP_MS)]

    def on_timer(self) -> list[Effect]:
        """The moment is over: a place that has lasted is told, one that has not waits anew."""
        self._is_waiting = False
        place = self._place()
        return self._tell(place) if place == self._awaited != self._told else self.follow()

    def _tell(self, place: tuple[int, int, int]) -> list[Effect]:
        self._told, self._owed = place, 0
        return self._peers.send_all(self._gossip.status())

    def _place(self) -> tuple[int, int, int]:
        current = self._engine.current
        return current.height, current.rules.round, int(current.rules.step)
