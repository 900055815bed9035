"""The engine among the other rooms: it is driven here, and what it says goes out.

Its broadcasts become sends, offences that it saw become evidence that is kept and told, and a halt silences this
validator.
"""

from __future__ import annotations

from blockchain.consensus.evidence import accused
from blockchain.node.messages import Accuse
from blockchain.node.rooms import Rooms
from blockchain.primitives import codec
from blockchain.primitives.vote import Evidence, Proposal
from blockchain.seams import (
    Batch,
    Broadcast,
    Effect,
    Emit,
    EngineInput,
    EvidenceFound,
    Halt,
    HeadMoved,
    OffenceSeen,
    PeerId,
    Write,
)


class Agreement:
    """`drive` gives the engine an input, `pass_on` takes what it, or sync, said for the engine."""

    def __init__(self, rooms: Rooms, halted: str) -> None:
        """`halted`: why it was halted before this start; empty: it was not."""
        self._rooms = rooms
        self.halted = halted  # why, once something happened that must never happen

    def drive(self, given: EngineInput, now: int) -> list[Effect]:
        """What comes of an input of the engine."""
        effects = self._rooms.engine.handle(given, now)
        self._rooms.gossip.follow_height(is_decided=not isinstance(given, HeadMoved))
        return self.pass_on(effects, now)

    def pass_on(self, effects: list[Effect], now: int) -> list[Effect]:
        """The same effects for others than this node's rooms."""
        rooms, out = self._rooms, list[Effect]()
        for effect in effects:
            rooms.timeline.note(effect, now)
            match effect:
                case Broadcast(message=message, block=block):
                    if block is not None and isinstance(message, Proposal):
                        rooms.chain.pool.note_proposed(block.transactions, message.height, message.round, now)
                    out.extend(rooms.gossip.broadcast(effect, now))
                case OffenceSeen(evidence=evidence):
                    out.extend(self.on_evidence(evidence, None))
                case Halt(why=why):
                    self.halt(why)
                    out.append(effect)
                case _:
                    out.append(effect)
        return out

    def halt(self, why: str) -> None:
        """This validator signs nothing any more, and takes over no blocks."""
        self.halted = self.halted or why
        self._rooms.engine.voice.halt()
        self._rooms.sync.stop()

    def on_evidence(self, evidence: Evidence, sender: PeerId | None) -> list[Effect]:
        """One proof of an offence is kept and passed on: a validator can sign any number of others."""
        if not self._rooms.chain.evidence.add(evidence, is_own=sender is None):
            return []
        height, validator = accused(evidence)
        return [
            Emit(EvidenceFound(type(evidence).__name__, height, validator)),
            Write(Batch(evidence=(codec.encode(evidence),))),
            *self._rooms.peers.send_all(Accuse(evidence), but=sender),
        ]
