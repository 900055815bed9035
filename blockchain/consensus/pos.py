"""Proof of stake, as the two parameters that the BFT engine leaves open: who forges, and what the seed becomes.

Proof of authority will be another file like this one, with the same engine (docs/decisions/0003).
"""

from __future__ import annotations

from typing import Protocol

from blockchain.consensus.lottery import Lottery, first_seed, next_seed, vrf_alpha
from blockchain.errors import InvalidBlock, InvalidProof
from blockchain.primitives import vrf
from blockchain.primitives.block import Header
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet


class Forgers(Protocol):
    """The forgers of one height, round by round."""

    def forger(self, round: int) -> Address: ...


class ProofOfStake:
    """The stake-weighted lottery with a verifiable seed (protocol §7)."""

    def __init__(self, genesis_hash: Hash32) -> None:
        self._genesis_hash = genesis_hash

    def first_seed(self) -> Hash32:
        return first_seed(self._genesis_hash)

    def forgers(self, seed: Hash32, height: int, validators: ValidatorSet) -> Lottery:
        return Lottery(self._genesis_hash, seed, height, validators)

    def seed_after(self, header: Header, validators: ValidatorSet) -> Hash32:
        """Check the forger's VRF proof and mix its output into the next seed. Raises InvalidBlock."""
        forger = validators.get(header.forger)
        if forger is None:
            raise InvalidBlock("forger", "not a validator of this height")
        alpha = vrf_alpha(self._genesis_hash, header.seed, header.height)
        try:
            output = vrf.verify(forger.key, alpha, header.vrf_proof)
        except InvalidProof as error:
            raise InvalidBlock("vrf_proof", str(error)) from None
        return next_seed(self._genesis_hash, header.seed, output)

    def seed_after_own(self, header: Header) -> Hash32:
        """The same for a block that this node makes: its own key has just proved it, here or at a signer whose proof
        was verified when it came."""
        return next_seed(self._genesis_hash, header.seed, vrf.output(header.vrf_proof))
