"""What a node does with what its core wants sent, signed and proven: the place where hostile nodes differ.

The core of a hostile node is the production core too. Its conduct twists the effects, and signs without a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_request
from blockchain.errors import SigningRefused
from blockchain.primitives import vrf
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Proposal, Signable, Vote, sign_message
from blockchain.seams import PeerId, ProveVrf, Signed, SignRefused, VrfProved, VrfRefused

if TYPE_CHECKING:
    from blockchain.simulator.node import Node
    from blockchain.simulator.world import World

Sending = tuple["Node", bytes, int]  # receiver, frame, and ms that it takes longer than the link alone
SignAnswer = Signed | SignRefused
ProofAnswer = VrfProved | VrfRefused


class Conduct(Protocol):
    """Asked by the world, in the order of the core's effects. Draws only from the world's `Random`."""

    @property
    def is_honest(self) -> bool: ...

    def begins(self, world: World, node: Node) -> None:
        """The node has started, and is connected; a conduct may ask the world for events of its own (`World.at`)."""

    def sends(self, world: World, node: Node, peers: tuple[PeerId, ...], frame: bytes) -> Iterator[Sending]:
        """What becomes of a frame that the core wants sent to these peers."""

    def signs(self, world: World, node: Node, message: Signable, key: PublicKey) -> SignAnswer | None:
        """The signer's answer to the core; None: none."""

    def proves(self, world: World, node: Node, asked: ProveVrf) -> ProofAnswer | None:
        """The signer's answer to the core's wish for a VRF proof; None: none."""


class Honest:
    """Does as its core says, with a signer that keeps its record."""

    is_honest = True

    def begins(self, world: World, node: Node) -> None:
        pass

    def sends(self, world: World, node: Node, peers: tuple[PeerId, ...], frame: bytes) -> Iterator[Sending]:
        return ((world.by_id[peer], frame, 0) for peer in peers)

    def signs(self, world: World, node: Node, message: Signable, key: PublicKey) -> SignAnswer:
        if not isinstance(message, Vote | Proposal):
            return Signed(sign_message(message, node.keys[key], world.spec.hash))
        try:
            known = check_request(node.records[key], message)
        except SigningRefused as error:
            return SignRefused(message, error.why)
        if known is not None:
            return Signed(known)
        signed = sign_message(message, node.keys[key], world.spec.hash)
        assert isinstance(signed, Vote | Proposal)
        node.records[key] = after_signing(node.records[key], signed)
        world.note_signed(node, signed)
        return Signed(signed)

    def proves(self, world: World, node: Node, asked: ProveVrf) -> ProofAnswer:
        alpha = vrf_alpha(world.spec.hash, asked.seed, asked.height)
        return VrfProved(asked.height, asked.round, vrf.prove(node.keys[asked.key].seed, alpha))


HONEST: Final = Honest()
