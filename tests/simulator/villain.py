"""A stage on which one validator is hostile: chosen so that it is drawn when its actors need it."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from blockchain.ledger.records import stakeholder
from blockchain.ledger.supply import check_supply
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.node.core import Core
from blockchain.node.messages import Message, ProposedBlock, Votes, decode_frame
from blockchain.node.store import MemoryStore
from blockchain.primitives.block import VerifiedBlock, decode_block
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Evidence, Proposal, Vote
from blockchain.simulator.byzantine.cast import turn
from blockchain.simulator.invariants import check_world
from blockchain.simulator.load import Load
from blockchain.simulator.node import Node
from tests.simulator.stage import PARAMETERS, Stage

M = TypeVar("M", bound=Message)
QUICK = replace(PARAMETERS, commit_wait_ms=50)


class VillainStage:
    """Equal validators, of whom those that are drawn for the given rounds of height 1 play the given actors.

    `sent` is all that was put on the wire: sender, receiver, message.
    """

    def __init__(
        self,
        casts: dict[int, tuple[str, ...]],
        validators: int = 4,
        followers: int = 0,
        parameters: Parameters = QUICK,
        outlined_min: int = OUTLINED_MIN,
    ) -> None:
        self.stage = Stage(followers, parameters, validators=validators)
        self.world = self.stage.world
        self.world.outlined_min = outlined_min
        forgers = Core(self.stage.spec, MemoryStore(), frozenset()).engine.current.forgers
        addresses = [self.stage.address(number) for number in range(validators)]
        self.drawn = [addresses.index(forgers.forger(round)) for round in range(validators)]
        self.villains = [self.drawn[round] for round in casts]
        for round, names in casts.items():
            turn(self.world, self.drawn[round], names)
        self.honest = [number for number in range(validators) if number not in self.villains]
        self.sent: list[tuple[int, int, Message]] = []
        self._listen()
        self.stage.start(*range(validators))

    @property
    def villain(self) -> int:
        [number] = self.villains
        return number

    @property
    def address(self) -> Address:
        return self.stage.address(self.villain)

    def _listen(self) -> None:
        usual = self.world.send

        def send(sender: Node, receiver: Node, frame: bytes, extra_ms: int = 0) -> None:
            self.sent.append((sender.number, receiver.number, decode_frame(frame).message))
            usual(sender, receiver, frame, extra_ms)

        self.world.send = send  # type: ignore[method-assign]

    def told(self, kind: type[M], receiver: int | None = None) -> list[M]:
        """What the villain has sent of a kind, to one or to all."""
        return [
            message
            for sender, to, message in self.sent
            if sender == self.villain and isinstance(message, kind) and receiver in (None, to)
        ]

    def own_votes(self, receiver: int | None = None) -> list[Vote]:
        every = (vote for message in self.told(Votes, receiver) for vote in message.votes)
        return [vote for vote in every if vote.validator == self.address]

    def own_proposals(self, receiver: int | None = None) -> list[Proposal]:
        every = (message.proposal for message in self.told(ProposedBlock, receiver))
        return [proposal for proposal in every if proposal.forger == self.address]

    def heads(self) -> list[int]:
        """Of the honest ones."""
        return [self.stage.heads()[number] for number in self.honest]

    def grow(self, heights: int = 1) -> None:
        """A payment to an honest node, and a block of it, for each height."""
        for _ in range(heights):
            head = max(self.heads())
            self.stage.pay(self.honest[0])
            assert self.stage.run(30_000, lambda head=head: min(self.heads()) > head)  # type: ignore[misc]

    def check(self) -> None:
        """All invariants, after a moment of rest, and that the chain goes on."""
        self.grow()
        self.stage.run(2_000)
        check_world(self.world, Load(self.world, (self.stage.rich,), self.stage.rich))

    def evidence(self) -> list[Evidence]:
        """What stands in final blocks."""
        store = self.world.nodes[self.honest[0]].store
        blocks = (store.block(height) for height in range(1, store.head() + 1))
        return [each for block in blocks if block is not None for each in decode_block(block.raw).evidence]

    def block(self, height: int) -> VerifiedBlock:
        stored = self.world.nodes[self.honest[0]].store.block(height)
        assert stored is not None
        return VerifiedBlock(stored.id, stored.raw, decode_block(stored.raw), ())

    def await_burnt(self) -> None:
        """The villain is out, a tenth of its stake is gone, and the books of all honest nodes are in order."""
        cores = [core for number in self.honest if (core := self.world.nodes[number].core) is not None]
        chains = [core.chain for core in cores]
        assert self.stage.run(20_000, lambda: all(chain.ledger.is_out(chain.state(), self.address) for chain in chains))
        for chain in chains:
            check_supply(chain.state())
            holder = stakeholder(chain.state(), self.address)
            assert holder is not None and (holder.staked, holder.unbonding_amount) == (0, 9)
