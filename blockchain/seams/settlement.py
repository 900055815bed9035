"""What the end of a block did with money, as a value: for the pool, for events and for those who look at rewards."""

from __future__ import annotations

from msgspec import Struct

from blockchain.primitives.crypto import Address


class Penalty(Struct, frozen=True):
    """Stake that an account lost: for evidence against it, or for its absence."""

    address: Address
    amount: int
    is_evidence: bool


class Settlement(Struct, frozen=True):
    """The end of one block (docs/protocol.md §3.5). Amounts are in the smallest unit."""

    forger: Address
    minted: int = 0
    burnt: int = 0  # of rewards that nobody earned, and of penalties
    forger_reward: int = 0  # without that for evidence
    signer_rewards: tuple[tuple[Address, int], ...] = ()  # in the order of the parent's set; none of 0
    for_signers: int = 0  # what these share by the stake of the parent's whole set: a signer's is the floor of its part
    evidence_reward: int = 0  # the forger's share of what offenders lost
    penalties: tuple[Penalty, ...] = ()
    released: tuple[tuple[Address, int], ...] = ()  # stake that came back to its account
    suspended: tuple[Address, ...] = ()  # whose suspension begins with the set that this block closed
    absent: tuple[Address, ...] = ()  # members of the set of the parent to whom a miss was counted

    @property
    def paid(self) -> tuple[tuple[Address, int], ...]:
        """All that went to balances."""
        return (
            (self.forger, self.forger_reward + self.evidence_reward),
            *self.signer_rewards,
            *self.released,
        )
