"""What follows from a proven fork: keep the proof, say so, and vote no more (protocol §5.9)."""

from __future__ import annotations

from blockchain.errors import ForkFound
from blockchain.seams import Batch, Effect, Emit, Halt, Halted, Write


def effects_of(fork: ForkFound) -> list[Effect]:
    """The proof, and that this node has halted, are durable before anything is said of it."""
    return [Write(Batch(evidence=(fork.proof,), halted=str(fork))), Emit(Halted(str(fork))), Halt(str(fork))]
