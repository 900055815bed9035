"""What peers get without this node, and is kept from them for a moment (docs/protocol.md §8.4 rule 13).

Where all are connected with all, each has every vote and proposal from its author, and all that is passed on is passed
on in vain. Two nodes that send each other the same vote find that out: the copies cross on their way, so each had it
before the other's came. From then on neither passes on this validator's messages to the other at once, but after a
while in which the height is mostly over. That takes crossings with two peers at least: on a ring votes meet as well, at
its far side, and there the second way is all that there is when something is lost on the first.

What was found out is forgotten each APART_TICKS of the connection, at both its ends at about the same time, so that it
is found out by both again; and at once, where a peer says that it lacks what was kept from it.

Who signs one thing for some and another for the others is caught by what these pass on, and a height may be over before
anything that was kept back goes. So in some heights nothing is kept from a peer; in which, nobody else can foresee.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from blockchain.consensus.height import HeightInProgress
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import Effect, PeerId, SetTimer, TimerKey, TimerKind

LAG_MS: Final = 100  # a height between near nodes takes less, a time-out ten times as much
APART_TICKS: Final = 10  # seconds: a few frames in vain in each
SHOWN_ONE_IN: Final = 8  # heights; of four validators who shows one of three another face, is caught in 2 of 5 heights


class Apart:
    """The validators, as bits, whose messages one peer gets without this node; and whose fresh transactions."""

    def __init__(self) -> None:
        self.voters = 0
        self.givers: set[PeerId] = set()  # connected peers of this node, too
        self._ticks = 0

    def note(self, voters: int) -> None:
        """Their votes crossed."""
        self.voters |= voters

    def forget(self, voters: int) -> None:
        """The peer lacked their votes."""
        self.voters &= ~voters

    def forget_all(self) -> None:
        self.voters = 0

    def on_tick(self) -> None:
        self._ticks += 1
        if self._ticks % APART_TICKS == 0:
            self.voters = 0
            self.givers.clear()


def crossed_with_several(peers: Iterable[Apart]) -> int:
    """The validators, as bits, whose votes crossed with two of these peers or more."""
    once = twice = 0
    for apart in peers:
        twice |= once & apart.voters
        once |= apart.voters
    return twice


def have_same_places(one: ValidatorSet, other: ValidatorSet) -> bool:
    """Whether a bit stands for the same validator in both sets."""
    return one is other or one.index == other.index


def is_shown_all(secret: int, height: int, peer: PeerId) -> bool:
    """Whether nothing is kept from this peer at the height; by a number below 2**64 that only this node knows."""
    drawn = sha256(secret.to_bytes(8, "big") + height.to_bytes(8, "big") + peer).digest()
    return drawn[0] % SHOWN_ONE_IN == 0


def has_said(current: HeightInProgress, voters: int) -> bool:
    """Whether there is a proposal or a vote of any of these validators, as bits, at the height."""
    index, rounds = current.validators.index, current.rules.book.rounds.values()
    forgers = (index[proposal.forger] for proposal in current.proposals.values())
    places = (cast.voters for votes in rounds for cast in (votes.prevotes, votes.precommits))
    return any(voters >> at & 1 for at in forgers) or any(bits & voters for cast in places for bits in cast.values())


class Lag:
    """The moment for which something of a height is kept back."""

    def __init__(self) -> None:
        self._began_at = 0  # the height at which it was begun last
        self._ended_at = 0

    def begin(self, height: int) -> list[Effect]:
        """Something is kept back from now on; the timer is set with the first."""
        if self._began_at == height:
            return []
        self._began_at = height
        return [SetTimer(TimerKey(TimerKind.LAG, height), LAG_MS)]

    def end(self, height: int) -> None:
        """The timer has fired; the next thing kept back begins it anew."""
        self._began_at, self._ended_at = 0, height

    def was_at(self, height: int) -> bool:
        """Whether the height has lasted for such a moment: what a peer still lacks now, it does not get elsewhere."""
        return self._ended_at == height
