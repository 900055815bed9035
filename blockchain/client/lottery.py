"""Checking a lottery receipt without a node: why this validator, and no other, was drawn (docs/protocol.md §7.5).

What is trusted is the chain's genesis file, which gives the validator set as long as that has not changed; or beside
it the hash of the set, or the id of a block, from somebody whom one believes. From there on everything is computed
again: header, seed, draw and proof. A receipt that is wrong in one field is refused with the name of that field.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from blockchain.client import answers
from blockchain.client.proofs import genesis_validators, read_certificate, read_header, read_validators
from blockchain.consensus.lottery import Draw, Lottery, first_seed, next_seed, vrf_alpha
from blockchain.errors import (
    BlockchainError,
    InvalidAddress,
    InvalidCertificate,
    InvalidProof,
    InvalidReceipt,
    MalformedMessage,
)
from blockchain.primitives import vrf
from blockchain.primitives.address import parse_address
from blockchain.primitives.block import Header, block_id
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet, verify_certificate
from blockchain.primitives.vote import Certificate

ROUNDS_MAX: Final = 1_000  # what a node gives receipts for: a later round takes all the draws before it


class ProvenDraw(Struct, frozen=True):
    """What a receipt proves. `is_forged`: the final block of the height was built by this draw's winner."""

    height: int
    round: int
    forger: Address
    stake: int
    total_stake: int
    is_final: bool  # there is a block of this height
    is_forged: bool


class _Headers(Struct, frozen=True):
    """Of the height, and of the one before; None where there is none (yet)."""

    own: Header | None
    parent: Header | None


def verify_lottery(
    receipt: answers.Lottery, spec: ChainSpec, *, validators_hash: bytes | None = None, trusted_id: bytes | None = None
) -> ProvenDraw:
    """That (height, round) was won as the receipt says, on the chain with this genesis.

    Trusted is the set of genesis; or in its place the set with this hash (32 bytes); or the block with this id, which
    is that of the receipt's height, and for the height in progress its parent. Raises InvalidReceipt with the first
    field that is wrong.
    """
    if receipt.genesis_hash != spec.hash.hex():
        raise InvalidReceipt(
            "genesis_hash",
            f"the receipt is of another chain than the genesis that it is checked with ({spec.chain_id})",
        )
    if not 0 <= receipt.round <= ROUNDS_MAX:
        raise InvalidReceipt("round", f"receipts are for rounds 0 to {ROUNDS_MAX}")
    headers = _Headers(_header("header", receipt.header), _header("parent_header", receipt.parent_header))
    members = _members(receipt)
    _check_trust(headers, members, spec, validators_hash, trusted_id)
    _check_certificate(receipt, headers, members, spec.hash, trusted_id)
    _check_height(receipt, headers, spec.hash)
    _check_seed(receipt, headers, members, spec.hash)
    lottery = Lottery(spec.hash, Hash32(bytes.fromhex(receipt.seed)), receipt.height, members)
    draw = lottery.draw(receipt.round)
    _check_draw(receipt, draw, members)
    _check_proof(receipt, headers.own, draw, members, spec.hash)
    return ProvenDraw(
        height=receipt.height,
        round=receipt.round,
        forger=draw.forger,
        stake=members.stake_of(draw.forger),
        total_stake=members.total,
        is_final=headers.own is not None,
        is_forged=receipt.vrf_proof is not None,
    )


# ---------------------------------------------------------------------------------------------------- what is trusted


def _check_trust(
    headers: _Headers,
    members: ValidatorSet,
    spec: ChainSpec,
    validators_hash: bytes | None,
    trusted_id: bytes | None,
) -> None:
    """The set is the trusted one, and so is the header that a trusted id is of."""
    own_hash = members.hash(spec.hash)
    if trusted_id is not None:
        name, newest = ("header", headers.own) if headers.own is not None else ("parent_header", headers.parent)
        if newest is None or block_id(newest, spec.hash) != trusted_id:
            raise InvalidReceipt(name, "not that of the trusted block")
    elif validators_hash is None and members != genesis_validators(spec):
        raise InvalidReceipt(
            "validators",
            "not those of genesis. If they have changed since, trust the hash of the set, or the id of the block, from "
            "somebody whom you believe",
        )
    if validators_hash is not None and own_hash != validators_hash:
        raise InvalidReceipt("validators", "not the trusted set")
    named = _named_set(headers)
    if trusted_id is not None and named != own_hash:
        raise InvalidReceipt("validators", "not the set that the header names")


def _named_set(headers: _Headers) -> Hash32 | None:
    """The hash of the height's set, as the newest header has it."""
    if headers.own is not None:
        return headers.own.validators_hash
    return None if headers.parent is None else headers.parent.next_validators_hash


def _check_certificate(
    receipt: answers.Lottery,
    headers: _Headers,
    members: ValidatorSet,
    genesis_hash: Hash32,
    trusted_id: bytes | None,
) -> None:
    """The newest header is final. The parent's signers are the height's, unless the set has just changed."""
    newest = headers.own or headers.parent
    if newest is None:
        if receipt.certificate is not None:
            raise InvalidReceipt("header", "it is missing, though there is a certificate")
        return
    if receipt.certificate is None:
        raise InvalidReceipt("certificate", "it is missing")
    certificate = _certificate(receipt.certificate)
    if headers.own is None and newest.validators_hash != newest.next_validators_hash:
        if trusted_id is None:
            raise InvalidReceipt("certificate", "others signed it than this set: trust the id of the block before")
    else:
        try:
            verify_certificate(certificate, members, genesis_hash)
        except InvalidCertificate as error:
            raise InvalidReceipt("certificate", error.why) from None
    if (certificate.height, certificate.block_id) != (newest.height, block_id(newest, genesis_hash)):
        is_own = headers.own is not None or certificate.height == receipt.height
        raise InvalidReceipt("header" if is_own else "parent_header", "not the one that is certified")
    if _named_set(headers) != members.hash(genesis_hash):
        raise InvalidReceipt("header" if headers.own is not None else "parent_header", "it names another set")


def _check_height(receipt: answers.Lottery, headers: _Headers, genesis_hash: Hash32) -> None:
    """Both headers are those of the height and of the one before, and the one leads to the other."""
    if headers.own is not None and headers.own.height != receipt.height:
        raise InvalidReceipt("height", f"the header is of height {headers.own.height}")
    parent = genesis_hash if headers.parent is None else block_id(headers.parent, genesis_hash)
    if headers.own is not None and headers.own.parent != parent:
        raise InvalidReceipt("parent_header", "not the header's parent")
    if receipt.height != (0 if headers.parent is None else headers.parent.height) + 1:
        raise InvalidReceipt("height", "the header before it is not of the height before")


# ---------------------------------------------------------------------------------------------------- what follows


def _check_seed(receipt: answers.Lottery, headers: _Headers, members: ValidatorSet, genesis_hash: Hash32) -> None:
    parent = headers.parent
    if parent is None:
        seed = first_seed(genesis_hash)
    else:
        seed = next_seed(genesis_hash, parent.seed, _output(parent, members, genesis_hash))
    if receipt.seed != seed.hex():
        raise InvalidReceipt("seed", "not the one that follows from the block before")
    if headers.own is not None and headers.own.seed != seed:
        raise InvalidReceipt("header", "its seed does not follow from the block before")


def _output(parent: Header, members: ValidatorSet, genesis_hash: Hash32) -> bytes:
    """The VRF output of the block before. Where the set has just changed, those who signed have checked its proof."""
    forger = members.get(parent.forger) if parent.validators_hash == members.hash(genesis_hash) else None
    try:
        if forger is None:
            return vrf.output(parent.vrf_proof)
        return vrf.verify(forger.key, vrf_alpha(genesis_hash, parent.seed, parent.height), parent.vrf_proof)
    except InvalidProof as error:
        raise InvalidReceipt("parent_header", error.what) from None


def _check_draw(receipt: answers.Lottery, draw: Draw, members: ValidatorSet) -> None:
    """What the receipt says of the draw. Where more than one thing differs, it is the draw of another round."""
    if receipt.total_stake != members.total:
        raise InvalidReceipt("total_stake", f"the set's is {members.total}")
    wrong = [
        name
        for name, is_good in (
            ("reference", receipt.reference == draw.reference.hex()),
            ("point", receipt.point == draw.point),
            ("left_out", _addresses(receipt.left_out) == draw.left_out),
            ("forger", _addresses((receipt.forger,)) == (draw.forger,)),
            ("interval", receipt.interval == draw.interval),
        )
        if not is_good
    ]
    if wrong:
        raise InvalidReceipt(wrong[0] if len(wrong) == 1 else "round", "not what the draw of this round gives")


def _check_proof(
    receipt: answers.Lottery, header: Header | None, draw: Draw, members: ValidatorSet, genesis_hash: Hash32
) -> None:
    """A receipt of the round that the final block was built in has its proof, and no other has one."""
    if header is None or header.round != receipt.round:
        if receipt.vrf_proof is not None:
            is_headers = header is not None and receipt.vrf_proof == header.vrf_proof.hex()
            raise InvalidReceipt("round" if is_headers else "vrf_proof", "no block of this round is final")
        return
    if header.forger != draw.forger:
        raise InvalidReceipt("header", "its forger was not drawn")
    if receipt.vrf_proof != header.vrf_proof.hex():
        raise InvalidReceipt("vrf_proof", "not the header's")
    forger = members.get(draw.forger)
    assert forger is not None, "a draw is won by a member"
    try:
        vrf.verify(forger.key, vrf_alpha(genesis_hash, header.seed, header.height), header.vrf_proof)
    except InvalidProof as error:
        raise InvalidReceipt("vrf_proof", error.what) from None


# ---------------------------------------------------------------------------------------------------- reading


def _members(receipt: answers.Lottery) -> ValidatorSet:
    try:
        members = read_validators(receipt.validators)
    except BlockchainError as error:
        raise InvalidReceipt("validators", str(error)) from None
    if not members or len(members) != len(receipt.validators):
        raise InvalidReceipt("validators", "none, or one stands there twice")
    return members


def _header(name: str, text: str | None) -> Header | None:
    try:
        return None if text is None else read_header(text)
    except MalformedMessage as error:
        raise InvalidReceipt(name, str(error)) from None


def _certificate(told: answers.Certificate) -> Certificate:
    try:
        return read_certificate(told)
    except BlockchainError as error:
        raise InvalidReceipt("certificate", str(error)) from None


def _addresses(texts: tuple[str, ...]) -> tuple[Address, ...] | None:
    """None where one is no address."""
    try:
        return tuple(parse_address(text) for text in texts)
    except InvalidAddress:
        return None
