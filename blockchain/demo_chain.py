"""The built-in demo chain: the one a node is on when no genesis is named (docs/protocol.md §9.4).

Its keys are the public ones of `keys/`, so anybody may sign for any of its accounts: it is for trying things out. Two
transactions make a block, a block takes no more than two, and nothing is forged for having waited: the seven of the
sample make three blocks and leave one in the pool, on every node.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from blockchain.primitives.chain import ChainSpec, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, SigningKey

GENESIS_TIME_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z, the same for all who run it
GENESIS_STAKE: Final = 1  # so that Jane's 25 win 25 of 26 draws

# The public keys of keys/*.pem; tests compare them with the files.
GENESIS_ADDRESS: Final = Address(bytes.fromhex("f4a9be7d3ec6bf9ac42a29cdcfff0aae02c7e3fe406bdc5cdd61e411eaf1a9cd"))
JANE_ADDRESS: Final = Address(bytes.fromhex("e2af8880d5c4b605ce0c2f91b75020ee7ff5c55f3f64e38f8afbd3e2caa622cd"))
EXCHANGE_ADDRESS: Final = Address(bytes.fromhex("25c8ca47ba74acae9823ffc69d71c17befff8a66ed80ab6b33885d9723ea2cc8"))


def demo_spec() -> ChainSpec:
    """Genesis of the demo chain."""
    return ChainSpec(
        chain_id="demo",
        time_ms=GENESIS_TIME_MS,
        demo=True,
        parameters=Parameters(
            block_threshold=2,
            block_max_transactions=2,
            block_max_wait_ms=None,
            heartbeat_ms=None,
            stake_delay=0,
            commit_wait_ms=10,
            stake_min=1,
            stake_step_max_bp=None,
            absence_window=None,
        ),
        issuer=EXCHANGE_ADDRESS,
        validators=(GenesisValidator(GENESIS_ADDRESS, GENESIS_STAKE),),
    )


def john_key() -> SigningKey:
    """John only receives in the sample; his key is as public as those of keys/, and made in the same way."""
    return SigningKey(sha256(b"blockchain-node demo key, public knowledge: john").digest())


def demo_names() -> dict[Address, str]:
    """What the accounts of the sample are called."""
    return {
        GENESIS_ADDRESS: "genesis",
        JANE_ADDRESS: "jane",
        EXCHANGE_ADDRESS: "exchange",
        Address(john_key().public_key): "john",
    }
