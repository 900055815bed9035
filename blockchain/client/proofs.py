"""Checking what a node proves, without a node: pure functions over answers, headers and validator sets.

Everything hangs on one trusted thing: the validator set of a height, which a chain's genesis file gives for the first
block, and from then on each verified header for the next. `verify_header` shows with it that a header is final;
`verify_payment` and `verify_account` show from such a header's id that a transaction is final, or what an account has.

    validators = genesis_validators(spec)
    header = verify_header(proof.header, proof.certificate, validators, spec.hash)
    payment = verify_payment(proof, header.id, spec.hash)

What is returned was read from the bytes that were checked, and from nothing else. Every failure is an error of its own:
InvalidProof, InvalidCertificate, InvalidSignature or MalformedMessage.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from blockchain.client import answers
from blockchain.client.seen import ValidatorList
from blockchain.errors import InvalidAddress, InvalidCertificate, InvalidProof, MalformedMessage
from blockchain.primitives import codec, merkle
from blockchain.primitives.address import parse_address
from blockchain.primitives.block import BLOCK_BYTES_MAX, Header, block_id
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import HASH_BYTES, Address, Hash32, PublicKey, Signature
from blockchain.primitives.records import (
    RECORD_BYTES_MAX,
    Account,
    Stakeholder,
    account_key,
    stakeholder_key,
    tree_key,
)
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.primitives.smt_proof import Query, StateProof, verify_proof
from blockchain.primitives.transaction import VerifiedTransaction, verify_transaction
from blockchain.primitives.validators import Validator, ValidatorSet, verify_certificate
from blockchain.primitives.vote import Certificate, CommitSignature

_HEADER_BYTES_MAX: Final = 1_024  # its fields are of fixed size, some 450 bytes


class ProvenHeader(Struct, frozen=True):
    """A header that is final, and its block's id."""

    id: Hash32
    header: Header


class ProvenPayment(Struct, frozen=True):
    """A transaction that is final, where it stands, and when its block was made."""

    verified: VerifiedTransaction
    height: int
    position: int
    time_ms: int


class ProvenAccount(Struct, frozen=True):
    """What an account has after the block at `height`; `stake` is None for one that has none."""

    address: Address
    height: int
    account: Account
    stake: Stakeholder | None


def verify_header(
    header: str, certificate: answers.Certificate, validators: ValidatorSet, genesis_hash: bytes
) -> ProvenHeader:
    """That these header bytes (hex) are of a final block, by the signatures of its height's validators.

    `validators` must be the set of that height; a header's hash of it is compared. Raises MalformedMessage for what is
    no header, InvalidProof for one of another set, InvalidCertificate for a certificate of another block or one that
    more than two thirds of the stake have not signed.
    """
    read = read_header(header)
    if read.validators_hash != validators.hash(genesis_hash):
        raise InvalidProof("the header is of another validator set than the trusted one")
    proven = ProvenHeader(block_id(read, genesis_hash), read)
    signed = read_certificate(certificate)
    if (signed.height, signed.block_id) != (read.height, proven.id):
        raise InvalidCertificate("it is of another block")
    verify_certificate(signed, validators, genesis_hash)
    return proven


def verify_payment(proof: answers.TransactionProof, trusted_id: bytes, genesis_hash: bytes) -> ProvenPayment:
    """That a transaction is in the block with the id `trusted_id` (32 bytes, of a header that the caller trusts).

    Its bytes must be signed by its sender for this chain, and have the id that the proof is about. Raises InvalidProof,
    InvalidSignature or MalformedMessage. RFC 6962 §2.1.1.
    """
    header = _trusted_header(proof.header, trusted_id, genesis_hash)
    verified = verify_transaction(_bytes("raw", proof.raw), genesis_hash)
    if verified.id != _bytes("id", proof.id):
        raise InvalidProof("the transaction has another id")
    path = [_bytes("path", step) for step in proof.path]
    leaf = merkle.leaf_hash(verified.id)
    merkle.verify_inclusion(leaf, proof.position, header.transaction_count, path, header.transaction_root)
    return ProvenPayment(verified, header.height, proof.position, header.time_ms)


def verify_account(proof: answers.AccountProof, address: str, trusted_id: bytes, genesis_hash: bytes) -> ProvenAccount:
    """What the account at `address` (bech32m or hex) has, or that it has nothing, after the block `trusted_id`.

    Raises InvalidProof or MalformedMessage, and InvalidAddress. LIP-0039.
    """
    header = _trusted_header(proof.header, trusted_id, genesis_hash)
    asked = parse_address(address)
    keys = (account_key(asked), stakeholder_key(asked))
    shown = _read_state_proof(proof.proof)
    account, stake = verify_proof([tree_key(key) for key in keys], shown, header.state_root)
    return ProvenAccount(
        address=asked,
        height=header.height,
        account=Account() if account is None else codec.decode(account, Account, bytes_max=RECORD_BYTES_MAX),
        stake=None if stake is None else codec.decode(stake, Stakeholder, bytes_max=RECORD_BYTES_MAX),
    )


def genesis_validators(spec: ChainSpec) -> ValidatorSet:
    """The set that makes the first blocks final, from the genesis file that the caller trusts."""
    return ValidatorSet(
        Validator(member.address, PublicKey(member.address) if member.key is None else member.key, member.stake)
        for member in spec.validators
    )


def next_validators(header: ProvenHeader, told: ValidatorList, genesis_hash: bytes) -> ValidatorSet:
    """The set of the height after a verified header, which names it by its hash. Raises InvalidProof."""
    chosen = read_validators(told.validators)
    if chosen.hash(genesis_hash) != header.header.next_validators_hash:
        raise InvalidProof("not the validators that the header names for the next height")
    return chosen


# ---------------------------------------------------------------------------------------------------- reading


def _trusted_header(text: str, trusted_id: bytes, genesis_hash: bytes) -> Header:
    header = read_header(text)
    if block_id(header, genesis_hash) != trusted_id:
        raise InvalidProof("the header is not the one of the trusted block")
    return header


def read_header(text: str) -> Header:
    """From hex. Raises MalformedMessage."""
    return codec.decode(_bytes("header", text), Header, bytes_max=_HEADER_BYTES_MAX)


def read_certificate(told: answers.Certificate) -> Certificate:
    """Through the codec, which holds the bounds of every field. Raises MalformedMessage or InvalidProof."""
    precommits = tuple(
        CommitSignature(_number(entry.index), Signature(_bytes("signature", entry.signature)))
        for entry in told.precommits
    )
    made = Certificate(_number(told.height), _number(told.round), _hash("block_id", told.block_id), precommits)
    return codec.decode(codec.encode(made), Certificate, bytes_max=BLOCK_BYTES_MAX)


def _read_state_proof(told: answers.StateProof) -> StateProof:
    queries = tuple(
        Query(_hash("key", query.key), _bytes("value", query.value), _bytes("bitmap", query.bitmap))
        for query in told.queries
    )
    return StateProof(tuple(_hash("sibling", sibling) for sibling in told.sibling_hashes), queries)


def read_validators(told: Iterable[answers.Validator]) -> ValidatorSet:
    """Raises InvalidProof for what is no set; a wrong key or stake shows in the set's hash."""
    members = {}
    for one in told:
        try:
            address = parse_address(one.address)
        except InvalidAddress as error:
            raise InvalidProof(str(error)) from None
        members[address] = Validator(address, PublicKey(_hash("key", one.key)), _number(one.stake))
    if len({member.key for member in members.values()}) != len(members):
        raise InvalidProof("two validators with one key")
    return ValidatorSet(members.values())


def _hash(name: str, text: str) -> Hash32:
    value = _bytes(name, text)
    if len(value) != HASH_BYTES:
        raise InvalidProof(f"{name} is not {HASH_BYTES} bytes")
    return Hash32(value)


def _number(value: int) -> int:
    """JSON has numbers of any size; beyond 2^53 - 1 there is no encoding."""
    if not 0 <= value <= INTEGER_MAX:
        raise MalformedMessage(f"{value} is out of range")
    return value


def _bytes(name: str, text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise MalformedMessage(f"{name} is not hex") from None
