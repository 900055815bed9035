"""Who acts in benchmarks: accounts and validators with keys made from their numbers, and the chain that they are on.

The same numbers give the same bytes, on any machine. These keys are everybody's.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, SigningKey

VALIDATORS: Final = 4
STAKE: Final = 1_000_000  # of each
BALANCE: Final = 10**9  # of each account in genesis: 10,000 of them hold 10^13
GENESIS_MS: Final = 1_700_000_000_000
BLOCK_TRANSACTIONS_MAX: Final = 1_000


def account_key(number: int) -> SigningKey:
    return SigningKey(sha256(b"benchmark account %d" % number).digest())


def validator_key(number: int) -> SigningKey:
    return SigningKey(sha256(b"benchmark validator %d" % number).digest())


def spec_of(accounts: int, validators: int = VALIDATORS, stake: int = STAKE) -> ChainSpec:
    """A chain with so many accounts in its genesis, and default rules: 1,000 transactions a block at most.

    `stake` is that of each validator.
    """
    held = (GenesisAccount(Address(account_key(number).public_key), BALANCE) for number in range(accounts))
    members = (GenesisValidator(Address(validator_key(number).public_key), stake) for number in range(validators))
    return ChainSpec(
        chain_id="benchmark",
        time_ms=GENESIS_MS,
        parameters=Parameters(
            block_max_transactions=BLOCK_TRANSACTIONS_MAX,
            validators_max=max(validators, 100),
            stake_min=min(stake, 10),
        ),
        accounts=tuple(held),
        validators=tuple(members),
    )
