"""Whether the chain goes on, and who is on line, counted in ticks of the node's own timer and so by no clock.

A height is *awaited* while there is a reason to expect its block (docs/protocol.md §5.3): the trigger holds, or
agreement on it has begun. A chain with nothing to do is not awaited, and so never stalled. A process that was stopped
had no ticks, and does not take the time that it slept through for a stall.
"""

from __future__ import annotations

from typing import Final

from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet

STALL_ROUNDS: Final = 4  # with a third of the stake off line, that many forgers in a row are absent once in 81 heights
OFFLINE_MS: Final = 15_000  # three announcements missed, and no vote


def stall_limit_ms(parameters: Parameters) -> int:
    """How long a height may be awaited before the chain counts as stopped: STALL_ROUNDS times round 0's time-outs."""
    round_ms = parameters.propose_timeout_ms + parameters.prevote_timeout_ms + parameters.precommit_timeout_ms
    return STALL_ROUNDS * round_ms


class Liveness:
    """For how long the height in progress is awaited, and when each validator was last heard of."""

    def __init__(self) -> None:
        self._stalled_ms = 0
        self._height = 0
        self._age_ms = 0
        self._heard_ms: dict[Address, int] = {}  # of the members at the last tick, and of whom was heard since

    def on_tick(self, elapsed_ms: int, height: int, is_awaited: bool) -> None:
        """`elapsed_ms` since the last tick; `height` is the one in progress."""
        self._age_ms += elapsed_ms
        self._stalled_ms = self._stalled_ms + elapsed_ms if is_awaited and height == self._height else 0
        self._height = height

    def stalled_ms(self, height: int) -> int:
        """For how long this height, the one in progress, has been awaited; 0 when the last tick saw one before it."""
        return self._stalled_ms if height == self._height else 0

    def note_members(self, *sets: ValidatorSet) -> None:
        """Once a tick, before it counts: the sets that vote. Who left is forgotten, who is new was heard just now."""
        members = (one.address for members in sets for one in members.validators)
        self._heard_ms = {member: self._heard_ms.get(member, self._age_ms) for member in members}

    def on_heard(self, validator: Address) -> None:
        """An announcement or a vote of this member came, signed and new."""
        self._heard_ms[validator] = self._age_ms

    def offline(self, members: ValidatorSet) -> tuple[Address, ...]:
        return tuple(member.address for member in members.validators if self.is_offline(member.address))

    def is_offline(self, member: Address) -> bool:
        """Whether there was no word of it for OFFLINE_MS, in which it was a member and this node ran."""
        return self._age_ms - self._heard_ms.get(member, self._age_ms) >= OFFLINE_MS
