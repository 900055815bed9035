"""The timers of a height that make a block due: the longest wait and the heartbeat (docs/protocol.md §5.3)."""

from __future__ import annotations

from blockchain.node.chain import Chain
from blockchain.seams import Effect, SetTimer, TimerKey, TimerKind


class BlockTimers:
    """Each is set once a height; the wait only where the block is not due without it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._waits_at = 0  # the height for which the block wait was set
        self._beats_at = 0

    def on_fired(self, key: TimerKey) -> None:
        """One of this height makes a block due; others are too late."""
        self._chain.is_wait_over |= key == self._key(TimerKind.BLOCK_WAIT)
        self._chain.is_heartbeat_due |= key == self._key(TimerKind.HEARTBEAT)

    def set_due(self, now: int) -> list[Effect]:
        """The timers that this height needs and that are not set yet."""
        chain = self._chain
        parameters = chain.spec.parameters
        effects: list[Effect] = []
        wait = parameters.block_max_wait_ms
        is_missing = wait is not None and self._waits_at != chain.height and not chain.is_block_due()
        oldest = chain.pool.oldest_ready_ms if is_missing else None  # goes through all that is ready: once a height
        if wait is not None and oldest is not None:
            self._waits_at = chain.height
            waited = min(max(now - oldest, 0), wait)  # the clock may have been set; a timer does the waiting
            effects.append(SetTimer(self._key(TimerKind.BLOCK_WAIT), wait - waited))
        if parameters.heartbeat_ms is not None and self._beats_at != chain.height:
            self._beats_at = chain.height
            effects.append(SetTimer(self._key(TimerKind.HEARTBEAT), parameters.heartbeat_ms))
        return effects

    def _key(self, kind: TimerKind) -> TimerKey:
        return TimerKey(kind, self._chain.height)
