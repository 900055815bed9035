"""Who earns a block's fees and what it mints: its forger, and the signers of its parent (docs/protocol.md §3.5).

The signers are those in the certificate of the block's own body, which is the same for all. The forger's part grows
with the stake whose signatures it includes; what an absent validator does not get nobody gets. So leaving a signature
out makes nobody richer.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from blockchain.ledger.records import credit, put_totals, totals_of
from blockchain.ledger.terms import part
from blockchain.primitives.block import Header
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate
from blockchain.seams import State


class Rewards(Struct, frozen=True):
    minted: int = 0
    forger: int = 0
    signers: tuple[tuple[Address, int], ...] = ()
    burnt: int = 0  # what nobody earned
    for_signers: int = 0  # what they share by the stake of the whole set, those who did not sign too


def reward(
    state: State, parameters: Parameters, header: Header, certificate: Certificate, members: ValidatorSet
) -> Rewards:
    """Mint, and share it and the fees out; `members` is the set of the certificate's height."""
    totals = totals_of(state)
    minted = min(parameters.reward_per_block, parameters.supply_max - totals.minted)
    whole = totals.fees + minted
    if not whole:
        return Rewards()
    rewards = _shared(whole, parameters, certificate, members)
    burnt = totals.burnt + rewards.burnt
    put_totals(state, replace(totals, minted=totals.minted + minted, burnt=burnt, fees=0))
    if rewards.forger:
        credit(state, Address(header.forger), rewards.forger)
    for signer, amount in rewards.signers:
        credit(state, signer, amount)
    return replace(rewards, minted=minted)


def _shared(whole: int, parameters: Parameters, certificate: Certificate, members: ValidatorSet) -> Rewards:
    signers = [members.validators[entry.index] for entry in certificate.precommits]
    signed = sum(signer.stake for signer in signers)
    for_forger = part(whole, parameters.reward_forger_bp)
    for_signers = whole - for_forger
    forger = for_forger * signed // members.total
    shares = ((Address(one.address), for_signers * one.stake // members.total) for one in signers)
    earned = tuple((address, amount) for address, amount in shares if amount)
    return Rewards(0, forger, earned, whole - forger - sum(amount for _, amount in earned), for_signers)
