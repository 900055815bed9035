"""Builds and signs transactions without a node: a key, the chain's genesis hash, and nothing else.

Nonces are the caller's: a node's `account` answer has the next one. Values are checked before anything is signed, so
that a float, a bool or a zero never becomes a signature; whether the transaction applies is for the ledger to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import (
    HASH_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Address,
    PublicKey,
    Signature,
    SigningKey,
)
from blockchain.primitives.transaction import (
    Exchange,
    Pause,
    Payload,
    Resume,
    Rotate,
    Stake,
    Transaction,
    Transfer,
    Unstake,
    VerifiedTransaction,
    sign_transaction,
    transaction_id,
)
from blockchain.primitives.values import check_address, check_bytes, check_integer


@dataclass(frozen=True, slots=True)
class Wallet:
    """One account on one chain. A recipient is given as 32 bytes, as bech32m text or as hex.

    Every method returns the signed transaction with its canonical bytes (`raw`) and its id, ready to be sent, and
    raises InvalidTransaction with a code that names the value: `amount_zero`, `amount_negative`,
    `amount_not_integer`, `amount_too_large`, the same for `nonce`, `fee` and `expiry`, and `recipient_invalid`.
    """

    key: SigningKey
    genesis_hash: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "genesis_hash", check_bytes("genesis_hash", self.genesis_hash, HASH_BYTES))

    @property
    def address(self) -> Address:
        return Address(self.key.public_key)

    @property
    def address_text(self) -> str:
        """The address as people write it, `pos1…`."""
        return format_address(self.address)

    def transfer(
        self, recipient: Address | str, amount: int, nonce: int, fee: int = 0, expiry: int | None = None
    ) -> VerifiedTransaction:
        """Move `amount` from this account to `recipient`."""
        return self._sign(Transfer(_recipient(recipient), _amount(amount)), nonce, fee, expiry)

    def exchange(
        self, recipient: Address | str, amount: int, nonce: int, fee: int = 0, expiry: int | None = None
    ) -> VerifiedTransaction:
        """Mint `amount` to `recipient`: applies only when this account is the issuer that genesis names."""
        return self._sign(Exchange(_recipient(recipient), _amount(amount)), nonce, fee, expiry)

    def stake(
        self,
        amount: int,
        nonce: int,
        fee: int = 0,
        expiry: int | None = None,
        validator_key: PublicKey | None = None,
        proof: Signature | None = None,
    ) -> VerifiedTransaction:
        """Lock `amount` as stake; `validator_key` signs the votes (None: the account's own key).

        A key that is named comes with its proof, which `prove_possession` makes where that key is held.
        """
        if validator_key is None and proof is None:
            return self._sign(Stake(_amount(amount)), nonce, fee, expiry)
        return self._sign(Stake(_amount(amount), *_key_and_proof(validator_key, proof)), nonce, fee, expiry)

    def unstake(self, amount: int, nonce: int, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
        """Take `amount` of the stake back; it is paid out after the chain's unbonding time."""
        return self._sign(Unstake(_amount(amount)), nonce, fee, expiry)

    def rotate(
        self, validator_key: PublicKey, proof: Signature, nonce: int, fee: int = 0, expiry: int | None = None
    ) -> VerifiedTransaction:
        """Validate with another key, after the chain's delay; `proof` as in `stake`."""
        return self._sign(Rotate(*_key_and_proof(validator_key, proof)), nonce, fee, expiry)

    def pause(self, blocks: int, nonce: int, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
        """Leave the set for so many heights, after the chain's delay."""
        return self._sign(Pause(check_integer("blocks", blocks, minimum=1)), nonce, fee, expiry)

    def resume(self, nonce: int, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
        """Come back from a suspension, or early from a pause."""
        return self._sign(Resume(), nonce, fee, expiry)

    def _sign(self, payload: Payload, nonce: int, fee: int, expiry: int | None) -> VerifiedTransaction:
        unsigned = Transaction(
            version=1,
            sender=self.address,
            nonce=check_integer("nonce", nonce),
            fee=check_integer("fee", fee),
            expiry=None if expiry is None else check_integer("expiry", expiry),
            payload=payload,
        )
        signed = sign_transaction(unsigned, self.key, self.genesis_hash)
        raw = codec.encode(signed)
        return VerifiedTransaction(transaction_id(self.genesis_hash, raw), raw, signed)


def _recipient(value: Address | str) -> Address:
    return check_address("recipient", value)


def _key_and_proof(key: PublicKey | None, proof: Signature | None) -> tuple[PublicKey, Signature]:
    return (
        PublicKey(check_bytes("validator_key", key, PUBLIC_KEY_BYTES)),
        Signature(check_bytes("proof", proof, SIGNATURE_BYTES)),
    )


def _amount(value: int) -> int:
    return check_integer("amount", value, minimum=1)
