"""The JSON form of what the chain holds, shared by API, client and command line.

Addresses are bech32m, hashes, keys and signatures hex, amounts integers. It is a way to write the values down, and
never what is hashed or signed: a signed transaction read from JSON is encoded canonically before anything looks at
its signature (docs/protocol.md §1). What is read is checked field by field, so that a refusal names the field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, assert_never

import msgspec

from blockchain.errors import InvalidTransaction
from blockchain.primitives.address import format_address
from blockchain.primitives.block import Block, Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Address, PublicKey, Signature
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
    decode_transaction,
)
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.values import check_address, check_bytes, check_integer
from blockchain.primitives.vote import (
    Certificate,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Vote,
)

JsonObject = dict[str, object]

_REQUIRED: Final = frozenset({"version", "kind", "sender", "nonce", "payload", "signature"})
_OPTIONAL: Final = frozenset({"fee", "expiry"})


# ---------------------------------------------------------------------------------------------- transactions


def transaction_to_json(transaction: Transaction) -> JsonObject:
    """A signed transaction, every field readable; `transaction_from_json` gives the same transaction again."""
    return {
        "version": transaction.version,
        "kind": transaction.kind,
        "sender": format_address(transaction.sender),
        "nonce": transaction.nonce,
        "fee": transaction.fee,
        "expiry": transaction.expiry,
        "payload": _payload_to_json(transaction.payload),
        "signature": transaction.signature.hex(),
    }


def transaction_from_json(value: object) -> Transaction:
    """Read a signed transaction (fee 0 and expiry null may be left out). The signature is not checked here.

    Raises InvalidTransaction with a code that names the field: `amount_negative`, `recipient_invalid`,
    `field_missing`, `kind_unknown`, …
    """
    fields = _check_fields("the transaction", value, _REQUIRED, _OPTIONAL)
    if fields["version"] != 1 or isinstance(fields["version"], bool | float):
        raise InvalidTransaction("version_unknown", "version has to be 1")
    kind = fields["kind"]
    read = _PAYLOADS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise InvalidTransaction("kind_unknown", f"kind has to be one of {', '.join(_PAYLOADS)}")
    expiry = fields.get("expiry")
    return Transaction(
        version=1,
        sender=check_address("sender", _check_text("sender", fields["sender"])),
        nonce=check_integer("nonce", fields["nonce"]),
        fee=check_integer("fee", fields.get("fee", 0)),
        expiry=None if expiry is None else check_integer("expiry", expiry),
        payload=read(fields["payload"]),
        signature=Signature(check_bytes("signature", fields["signature"], SIGNATURE_BYTES)),
    )


def _payload_to_json(payload: Payload) -> JsonObject:
    match payload:
        case Exchange(recipient, amount) | Transfer(recipient, amount):
            return {"recipient": format_address(recipient), "amount": amount}
        case Stake(amount, key, proof):
            return {"amount": amount, "validator_key": hex_or_none(key), "proof": hex_or_none(proof)}
        case Unstake(amount):
            return {"amount": amount}
        case Rotate(key, proof):
            return {"validator_key": key.hex(), "proof": proof.hex()}
        case Pause(blocks):
            return {"blocks": blocks}
        case Resume():
            return {}
        case _:
            assert_never(payload)


def _read_transfer(value: object) -> Transfer:
    return Transfer(*_read_recipient_and_amount(value))


def _read_exchange(value: object) -> Exchange:
    return Exchange(*_read_recipient_and_amount(value))


def _read_recipient_and_amount(value: object) -> tuple[Address, int]:
    fields = _check_fields("the payload", value, frozenset({"recipient", "amount"}))
    recipient = check_address("recipient", _check_text("recipient", fields["recipient"]))
    return recipient, check_integer("amount", fields["amount"], minimum=1)


def _read_stake(value: object) -> Stake:
    fields = _check_fields("the payload", value, frozenset({"amount"}), frozenset({"validator_key", "proof"}))
    amount = check_integer("amount", fields["amount"], minimum=1)
    if fields.get("validator_key") is None and fields.get("proof") is None:
        return Stake(amount)
    return Stake(amount, *_read_key_and_proof(fields))


def _read_unstake(value: object) -> Unstake:
    fields = _check_fields("the payload", value, frozenset({"amount"}))
    return Unstake(check_integer("amount", fields["amount"], minimum=1))


def _read_rotate(value: object) -> Rotate:
    return Rotate(*_read_key_and_proof(_check_fields("the payload", value, frozenset({"validator_key", "proof"}))))


def _read_pause(value: object) -> Pause:
    fields = _check_fields("the payload", value, frozenset({"blocks"}))
    return Pause(check_integer("blocks", fields["blocks"], minimum=1))


def _read_resume(value: object) -> Resume:
    _check_fields("the payload", value, frozenset())
    return Resume()


def _read_key_and_proof(fields: JsonObject) -> tuple[PublicKey, Signature]:
    return (
        PublicKey(check_bytes("validator_key", fields.get("validator_key"), PUBLIC_KEY_BYTES)),
        Signature(check_bytes("proof", fields.get("proof"), SIGNATURE_BYTES)),
    )


_PAYLOADS: Final[dict[str, Callable[[object], Payload]]] = {
    "EXCHANGE": _read_exchange,
    "TRANSFER": _read_transfer,
    "STAKE": _read_stake,
    "UNSTAKE": _read_unstake,
    "ROTATE": _read_rotate,
    "PAUSE": _read_pause,
    "RESUME": _read_resume,
}


def _check_fields(
    what: str, value: object, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> JsonObject:
    if not isinstance(value, dict):
        raise InvalidTransaction("not_an_object", f"{what} has to be a JSON object")
    missing = sorted(required - value.keys())
    if missing:
        raise InvalidTransaction("field_missing", f"{what} has no {missing[0]}")
    unknown = value.keys() - required - optional
    if unknown:
        raise InvalidTransaction(
            "field_unknown", f"{what} has a field that means nothing: {min(map(str, unknown))[:40]!r}"
        )
    return value


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidTransaction(f"{name}_invalid", f"{name} has to be an address, as text")
    return value


# ---------------------------------------------------------------------------------------------------- blocks


def header_to_json(header: Header) -> JsonObject:
    """Every field of the header, so that whoever reads it can compute the block's id."""
    fields: JsonObject = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in msgspec.structs.asdict(header).items()
    }
    return fields | {"forger": format_address(header.forger)}


def block_to_json(block_id: bytes, block: Block, transaction_ids: Sequence[bytes]) -> JsonObject:
    """Id, header fields, transactions with their ids, evidence; not the parent's certificate, which is long."""
    transactions = [
        {"id": identifier.hex(), **transaction_to_json(decode_transaction(raw))}
        for identifier, raw in zip(transaction_ids, block.transactions, strict=True)
    ]
    return {
        "id": block_id.hex(),
        **header_to_json(block.header),
        "transactions": transactions,
        "evidence": [evidence_to_json(item) for item in block.evidence],
    }


def certificate_to_json(certificate: Certificate) -> JsonObject:
    """The precommits name validators by their index in the set of that height."""
    return {
        "height": certificate.height,
        "round": certificate.round,
        "block_id": certificate.block_id.hex(),
        "precommits": [{"index": entry.index, "signature": entry.signature.hex()} for entry in certificate.precommits],
    }


# ----------------------------------------------------------------------------------------------------- votes


def vote_to_json(vote: Vote) -> JsonObject:
    return {
        "height": vote.height,
        "round": vote.round,
        "step": vote.step.name.lower(),
        "block_id": hex_or_none(vote.block_id),
        "polka_round": vote.polka_round,
        "validator": format_address(vote.validator),
        "signature": vote.signature.hex(),
    }


def proposal_to_json(proposal: Proposal) -> JsonObject:
    return {
        "height": proposal.height,
        "round": proposal.round,
        "valid_round": proposal.valid_round,
        "block_id": proposal.block_id.hex(),
        "forger": format_address(proposal.forger),
        "signature": proposal.signature.hex(),
    }


def evidence_to_json(evidence: Evidence) -> JsonObject:
    """Two signed messages that no correct validator makes; `kind` is the tag of docs/protocol.md §5.8."""
    match evidence:
        case ConflictingVotes(first, second):
            return {"kind": "votes", "first": vote_to_json(first), "second": vote_to_json(second)}
        case ConflictingProposals(one, other):
            return {"kind": "proposals", "first": proposal_to_json(one), "second": proposal_to_json(other)}
        case ForgottenLock(precommit, prevote):
            return {"kind": "lock", "precommit": vote_to_json(precommit), "prevote": vote_to_json(prevote)}
        case _:
            assert_never(evidence)


# ---------------------------------------------------------------------------------------------------- others


def validators_to_json(validators: ValidatorSet) -> list[JsonObject]:
    return [
        {"address": format_address(one.address), "key": one.key.hex(), "stake": one.stake}
        for one in validators.validators
    ]


def chain_to_json(spec: ChainSpec) -> JsonObject:
    """All that genesis says, as a genesis file has it; a validator without a key of its own has null there."""
    return {
        "version": spec.version,
        "chain_id": spec.chain_id,
        "time_ms": spec.time_ms,
        "demo": spec.demo,
        "engine": spec.engine,
        "ledger": spec.ledger,
        "parameters": msgspec.structs.asdict(spec.parameters),
        "issuer": None if spec.issuer is None else format_address(spec.issuer),
        "accounts": [{"address": format_address(one.address), "balance": one.balance} for one in spec.accounts],
        "validators": [
            {"address": format_address(one.address), "stake": one.stake, "key": hex_or_none(one.key)}
            for one in spec.validators
        ],
    }


def hex_or_none(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
