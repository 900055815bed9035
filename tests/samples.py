"""Keys, chains and certificates that tests of several rooms are made of. The same names give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, TypeVar

from hypothesis import settings

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey, SigningKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature, Proposal, Vote, VoteStep, sign_message
from blockchain.wallet import Wallet

GENESIS_HASH = Hash32(b"\x47" * 32)
OTHER_CHAIN = Hash32(b"\x48" * 32)
BLOCK_A = Hash32(b"\xaa" * 32)
BLOCK_B = Hash32(b"\xbb" * 32)
TIME_MS = 1_700_000_000_000
PREVOTE, PRECOMMIT = VoteStep.PREVOTE, VoteStep.PRECOMMIT

deterministic = settings(derandomize=True, deadline=None)

Message = TypeVar("Message", Vote, Proposal)

# Points that are no keys: `crypto.DISPUTED_POINTS` and RFC 8032's neutral element say why.
BAD_KEYS = {
    "no point": PublicKey(b"\x02" + bytes(31)),
    "the neutral element": PublicKey(b"\x01" + bytes(31)),
    "of order 8": PublicKey(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
    "of mixed order": PublicKey(bytes.fromhex("04e5d018ad3d1f2cdad62dfbb70665b6a4895432f1350d5fe51505baf8ef3543")),
    "the base point plus the point of order 2": PublicKey(bytes.fromhex("95" + "99" * 31)),
    "not canonical": PublicKey(bytes.fromhex("ee" + "ff" * 30 + "7f")),
}


def key(name: object) -> SigningKey:
    return SigningKey(sha256(f"a test's key: {name}".encode()).digest())


def address(name: object) -> Address:
    return Address(key(name).public_key)


def keys_in_order(count: int) -> list[SigningKey]:
    """`count` keys in the order of their addresses: the key at i is that of the validator with index i."""
    return sorted((key(n) for n in range(count)), key=lambda one: one.public_key)


def set_of(stakes: Iterable[int]) -> tuple[ValidatorSet, list[SigningKey]]:
    """A set with these stakes, and its keys, by index."""
    stakes = list(stakes)
    keys = keys_in_order(len(stakes))
    members = [Validator(Address(k.public_key), k.public_key, s) for k, s in zip(keys, stakes, strict=True)]
    return ValidatorSet(members), keys


def spec_of(**changes: Any) -> ChainSpec:
    """A chain of one validator "v", an issuer "mint", and accounts "a" and "b" with 1,000 each; stake need not wait."""
    parameters = {"stake_delay": 8, "stake_min": 1, "stake_step_max_bp": None, **changes.pop("parameters", {})}
    plain: dict[str, Any] = {
        "chain_id": "test",
        "time_ms": TIME_MS,
        "issuer": address("mint"),
        "accounts": tuple(GenesisAccount(address(name), 1_000) for name in ("a", "b")),
        "validators": (GenesisValidator(address("v"), 100),),
    }
    return ChainSpec(parameters=Parameters(**parameters), **(plain | changes))


def wallet(name: object, genesis_hash: Hash32 = GENESIS_HASH) -> Wallet:
    return Wallet(key(name), genesis_hash)


def signed(message: Message, with_key: SigningKey, genesis_hash: Hash32 = GENESIS_HASH) -> Message:
    done = sign_message(message, with_key, genesis_hash)
    assert isinstance(done, type(message))
    return done


def vote(
    with_key: SigningKey,
    height: int,
    step: VoteStep,
    block_id: Hash32 | None,
    *,
    round: int = 0,
    polka_round: int = -1,
    genesis_hash: Hash32 = GENESIS_HASH,
) -> Vote:
    unsigned = Vote(height, round, step, block_id, polka_round, Address(with_key.public_key))
    return signed(unsigned, with_key, genesis_hash)


def certificate_of(
    keys: dict[int, SigningKey],
    height: int,
    block_id: Hash32,
    *,
    round: int = 0,
    genesis_hash: Hash32 = GENESIS_HASH,
) -> Certificate:
    """The precommits of these keys, by index."""
    entries = tuple(
        CommitSignature(index, vote(k, height, PRECOMMIT, block_id, round=round, genesis_hash=genesis_hash).signature)
        for index, k in keys.items()
    )
    return Certificate(height, round, block_id, entries)
