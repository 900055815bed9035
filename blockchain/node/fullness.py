"""How full a block has to be and may be, and how its time follows from that (docs/protocol.md §4.5, §5.3)."""

from __future__ import annotations

from msgspec import Struct

from blockchain.errors import InvalidBlock
from blockchain.node.evidence_pool import EvidencePool
from blockchain.primitives.block import Header
from blockchain.primitives.chain import Parameters
from blockchain.primitives.vote import Evidence


class Fullness(Struct, frozen=True):
    """The rules of one chain. `parent_ms` is the time of the block's parent."""

    parameters: Parameters

    @property
    def least(self) -> int:
        """How many transactions a block holds at least, unless evidence or the heartbeat allow fewer."""
        return 1 if self.parameters.block_max_wait_ms is not None else self.parameters.block_threshold

    def check(self, header: Header, parent_ms: int) -> None:
        """How full a block must be, and may be. Raises InvalidBlock."""
        parameters = self.parameters
        count = header.transaction_count
        if count > parameters.block_max_transactions:
            raise InvalidBlock("transaction_count", f"{count}; at most {parameters.block_max_transactions}")
        is_beat = parameters.heartbeat_ms is not None and header.time_ms >= parent_ms + parameters.heartbeat_ms
        least = 0 if is_beat or header.evidence_count > 0 else self.least
        if count < least:
            raise InvalidBlock("transaction_count", f"{count}; at least {least}")

    def choose(
        self, pool: EvidencePool, transactions: int, parent_ms: int, now: int
    ) -> tuple[int, tuple[Evidence, ...]]:
        """The time of a new block with so many transactions, and the evidence that it takes.

        The trigger holds for evidence that could stand at the earliest time that the block can have. Where nothing
        else makes it due, and all of that is out of date by the clock, the block has this earliest time.
        """
        earliest = parent_ms + 1
        by_clock = max(now, earliest)
        evidence = pool.choose(by_clock)
        if evidence or transactions >= self.least:
            return by_clock, evidence
        if len(pool) > 0:
            return earliest, pool.choose(earliest)
        heartbeat = self.parameters.heartbeat_ms
        return max(now, parent_ms + (1 if heartbeat is None else heartbeat)), ()
