"""Weak subjectivity: whether this node may vote on the chain that it holds (docs/protocol.md §8.8).

Who was away for longer than stake is bound cannot tell by certificates alone which chain is the right one: validators
of that time may have taken their stake back and have nothing to lose by signing another. So it follows, without voting,
until the chain holds a block that a person vouched for. That it does not trust is in the store, else a new start on
what it has synced meanwhile would be enough. `now` is wall time; it is looked at once, at the start.
"""

from __future__ import annotations

from typing import Final

from blockchain.errors import ConfigError
from blockchain.node.chain import Chain
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.seams import Batch, Effect, Emit, Store, Trusted, TrustMissing, Write

_DAY_MS: Final = 86_400_000


class Trust:
    """`why` says why this node does not trust its chain; empty: it does."""

    def __init__(self, chain: Chain, store: Store, vouched: Vouched) -> None:
        """Raises ConfigError when the store holds another block where the checkpoint is."""
        self._chain = chain
        self._store = store
        self._vouched = vouched
        self._awaited: Checkpoint | None = None  # with which the chain is trusted again
        self.why = ""
        if vouched.checkpoint is not None:
            _check_stored(store, vouched.checkpoint)

    def on_started(self, now: int) -> list[Effect]:
        """Decide; what is not trusted is so durably, until a checkpoint is met or somebody vouches for all."""
        marked = self._store.untrusted_above()
        spec, head = self._chain.spec, self._chain.head
        is_old = marked is not None or head.time_ms + spec.parameters.unbonding_ms < now
        if not is_old:
            return []
        newest = head.height if marked is None else marked  # trusted: what lies above was synced without trust
        if spec.demo or self._vouched.genesis or self._is_met(newest):
            return [] if marked is None else [Write(Batch(is_trusted=True))]
        checkpoint = self._vouched.checkpoint
        self._awaited = checkpoint if checkpoint is not None and checkpoint.height > head.height else None
        self.why = self._reason(newest)
        mark: list[Effect] = [Write(Batch(untrusted_above=newest))] if marked is None else []
        return [*mark, Emit(TrustMissing(self.why))]

    def on_head(self) -> list[Effect]:
        """The head has moved; nothing but the checkpoint's block can stand at its height."""
        checkpoint = self._awaited
        if checkpoint is None or self._chain.head.height < checkpoint.height:
            return []
        self._awaited = None
        self.why = ""
        return [Write(Batch(is_trusted=True)), Emit(Trusted(checkpoint.height, checkpoint.id))]

    def _is_met(self, newest: int) -> bool:
        """Whether the chain holds the checkpoint, and it says more than what was trusted already."""
        checkpoint = self._vouched.checkpoint
        return checkpoint is not None and newest <= checkpoint.height <= self._chain.head.height

    def _reason(self, newest: int) -> str:
        if self._awaited is not None:
            return f"the checkpoint at height {self._awaited.height} is not reached yet"
        unbonding_ms = self._chain.spec.parameters.unbonding_ms
        age = f"{unbonding_ms / _DAY_MS:g} days" if unbonding_ms >= _DAY_MS else f"{unbonding_ms / 1000:g} s"
        what = f"block {newest}" if newest else "genesis"
        return (
            f"{what}, the newest that it trusts, is older than {age}: start with --checkpoint height:id of a "
            "newer block, from somebody you trust, or with --trust_genesis"
        )


def _check_stored(store: Store, checkpoint: Checkpoint) -> None:
    block = store.block(checkpoint.height)
    if block is not None and block.id != checkpoint.id:
        raise ConfigError(
            f"checkpoint {checkpoint.height}:{checkpoint.id.hex()} is not of the chain in the store, whose block "
            f"{checkpoint.height} is {block.id.hex()}: check the checkpoint, or move the store aside to fetch the chain"
        )
