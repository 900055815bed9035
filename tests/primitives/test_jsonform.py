"""The JSON form: what is written reads back as the same bytes, and what is wrong is refused by name."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.block import Block, Header
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature
from blockchain.primitives.jsonform import (
    block_to_json,
    certificate_to_json,
    chain_to_json,
    evidence_to_json,
    header_to_json,
    transaction_from_json,
    transaction_to_json,
    validators_to_json,
    vote_to_json,
)
from blockchain.primitives.scalars import INTEGER_MAX
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
)
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import (
    Certificate,
    CommitSignature,
    ConflictingProposals,
    ConflictingVotes,
    ForgottenLock,
    Proposal,
    Vote,
    VoteStep,
    empty_certificate,
)

A = Address(b"\xaa" * 32)
B = Address(b"\xbb" * 32)
ID = Hash32(b"\x01" * 32)
SIGNATURE = Signature(b"\x5a" * 64)

amounts = st.integers(1, INTEGER_MAX)
numbers = st.integers(0, INTEGER_MAX)
addresses = st.binary(min_size=32, max_size=32).map(Address)
signatures = st.binary(min_size=64, max_size=64).map(Signature)
payloads = st.one_of(
    st.builds(Transfer, addresses, amounts),
    st.builds(Exchange, addresses, amounts),
    st.builds(Stake, amounts),
    st.builds(Stake, amounts, addresses.map(PublicKey), signatures),
    st.builds(Unstake, amounts),
    st.builds(Rotate, addresses.map(PublicKey), signatures),
    st.builds(Pause, amounts),
    st.just(Resume()),
)
transactions = st.builds(
    Transaction,
    version=st.just(1),
    sender=addresses,
    nonce=numbers,
    fee=numbers,
    expiry=st.none() | numbers,
    payload=payloads,
    signature=signatures,
)


KINDS = (
    Transfer(B, 1),
    Exchange(B, 1),
    Stake(1),
    Stake(1, PublicKey(b"\xcc" * 32), SIGNATURE),
    Unstake(1),
    Rotate(PublicKey(b"\xcc" * 32), SIGNATURE),
    Pause(1),
    Resume(),
)


@pytest.mark.parametrize("payload", KINDS, ids=lambda payload: type(payload).__name__)
def test_every_kind_reads_back_as_the_same_bytes(payload: Payload) -> None:
    transaction = Transaction(version=1, sender=A, nonce=0, fee=0, expiry=None, payload=payload, signature=SIGNATURE)
    text = json.dumps(transaction_to_json(transaction))
    assert codec.encode(transaction_from_json(json.loads(text))) == codec.encode(transaction)


@given(transactions)
def test_every_transaction_reads_back_as_the_same_bytes(transaction: Transaction) -> None:
    text = json.dumps(transaction_to_json(transaction))
    assert codec.encode(transaction_from_json(json.loads(text))) == codec.encode(transaction)


def _transfer() -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "TRANSFER",
        "sender": format_address(A),
        "nonce": 0,
        "fee": 0,
        "expiry": None,
        "payload": {"recipient": format_address(B), "amount": 1},
        "signature": "5a" * 64,
    }


def test_the_form_is_the_documented_one() -> None:
    transaction = Transaction(1, A, 0, 0, None, Transfer(B, 1), SIGNATURE)
    assert transaction_to_json(transaction) == _transfer()
    assert transaction_from_json(_transfer()) == transaction


def test_fee_and_expiry_may_be_left_out_and_a_validator_key_too() -> None:
    value = _transfer() | {"kind": "STAKE", "payload": {"amount": 5}}
    del value["fee"], value["expiry"]
    assert transaction_from_json(value) == Transaction(1, A, 0, 0, None, Stake(5), SIGNATURE)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("version", 2, "version_unknown"),
        ("version", True, "version_unknown"),
        ("version", 1.0, "version_unknown"),
        ("version", None, "version_unknown"),
        ("kind", "MINT", "kind_unknown"),
        ("kind", ["TRANSFER"], "kind_unknown"),
        ("sender", "pos1x", "sender_invalid"),
        ("sender", 7, "sender_invalid"),
        ("nonce", -1, "nonce_negative"),
        ("nonce", 1.5, "nonce_not_integer"),
        ("fee", -1, "fee_negative"),
        ("fee", True, "fee_not_integer"),
        ("fee", INTEGER_MAX + 1, "fee_too_large"),
        ("expiry", "9", "expiry_not_integer"),
        ("expiry", -9, "expiry_negative"),
        ("signature", "5a", "signature_invalid"),
        ("signature", None, "signature_invalid"),
        ("payload", None, "not_an_object"),
        ("payload", [], "not_an_object"),
        ("payload.recipient", 1, "recipient_invalid"),
        ("payload.recipient", "pos1", "recipient_invalid"),
        ("payload.amount", 0, "amount_zero"),
        ("payload.amount", -1, "amount_negative"),
        ("payload.amount", 1.0, "amount_not_integer"),
        ("payload.amount", True, "amount_not_integer"),
        ("payload.amount", 2**53, "amount_too_large"),
        ("payload.memo", "hi", "field_unknown"),
        ("id", "00", "field_unknown"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path: str, value: object, code: str) -> None:
    document = copy.deepcopy(_transfer())
    *parents, name = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    target[name] = value
    with pytest.raises(InvalidTransaction) as caught:
        transaction_from_json(document)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        ("STAKE", {"amount": 5, "validator_key": "00", "proof": "5a" * 64}, "validator_key_invalid"),
        ("STAKE", {"amount": 5, "validator_key": "aa" * 32}, "proof_invalid"),
        ("STAKE", {"amount": 5, "validator_key": "aa" * 32, "proof": "5a"}, "proof_invalid"),
        ("STAKE", {"amount": 5, "proof": "5a" * 64}, "validator_key_invalid"),
        ("UNSTAKE", {"amount": 0}, "amount_zero"),
        ("UNSTAKE", {}, "field_missing"),
        ("ROTATE", {"validator_key": "aa" * 32}, "field_missing"),
        ("ROTATE", {"validator_key": None, "proof": "5a" * 64}, "validator_key_invalid"),
        ("PAUSE", {"blocks": 0}, "blocks_zero"),
        ("PAUSE", {"blocks": 1.5}, "blocks_not_integer"),
        ("RESUME", {"amount": 1}, "field_unknown"),
    ],
)
def test_a_wrong_payload_of_the_other_kinds_is_refused_by_name(kind: str, payload: object, code: str) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        transaction_from_json(_transfer() | {"kind": kind, "payload": payload})
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["version", "kind", "sender", "nonce", "payload", "signature"])
def test_a_missing_field_is_named(name: str) -> None:
    value = _transfer()
    del value[name]
    with pytest.raises(InvalidTransaction, match=name) as caught:
        transaction_from_json(value)
    assert caught.value.code == "field_missing"


@pytest.mark.parametrize("value", [None, 1, "x", [], [{}], {1: 2} | _transfer()])
def test_what_is_no_transaction_is_refused(value: object) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        transaction_from_json(value)
    assert caught.value.code in {"not_an_object", "field_unknown"}


def _header() -> Header:
    return Header(1, 7, 2, ID, 1_000, ID, A, b"\x02" * 80, ID, ID, ID, ID, ID, ID, 1, 1)


VOTE = Vote(7, 2, VoteStep.PREVOTE, ID, -1, A, SIGNATURE)
NIL = Vote(7, 3, VoteStep.PRECOMMIT, None, -1, A, SIGNATURE)
PROPOSAL = Proposal(7, 2, -1, ID, A, SIGNATURE)


def test_a_header_names_its_forger_and_shows_the_rest_as_hex() -> None:
    fields = header_to_json(_header())
    assert fields["forger"] == format_address(A)
    assert fields["seed"] == ID.hex()
    assert fields["vrf_proof"] == "02" * 80
    assert list(fields) == list(Header.__struct_fields__)


def test_a_block_shows_transactions_with_their_ids_and_evidence() -> None:
    transaction = Transaction(1, A, 0, 0, None, Transfer(B, 1), SIGNATURE)
    evidence = ConflictingVotes(VOTE, VOTE)
    block = Block(_header(), (codec.encode(transaction),), (evidence,), empty_certificate(ID))
    shown = block_to_json(ID, block, [Hash32(b"\x07" * 32)])
    assert shown["id"] == ID.hex()
    assert shown["height"] == 7
    assert shown["transactions"] == [{"id": "07" * 32, **_transfer()}]
    assert shown["evidence"] == [evidence_to_json(evidence)]


def test_a_certificate_names_validators_by_index() -> None:
    certificate = Certificate(7, 2, ID, (CommitSignature(3, SIGNATURE),))
    assert certificate_to_json(certificate) == {
        "height": 7,
        "round": 2,
        "block_id": ID.hex(),
        "precommits": [{"index": 3, "signature": SIGNATURE.hex()}],
    }


def test_votes_for_a_value_and_for_nil() -> None:
    assert vote_to_json(VOTE) == {
        "height": 7,
        "round": 2,
        "step": "prevote",
        "block_id": ID.hex(),
        "polka_round": -1,
        "validator": format_address(A),
        "signature": SIGNATURE.hex(),
    }
    assert vote_to_json(NIL)["block_id"] is None
    assert vote_to_json(NIL)["step"] == "precommit"


def test_each_kind_of_evidence() -> None:
    votes = evidence_to_json(ConflictingVotes(VOTE, NIL))
    assert votes == {"kind": "votes", "first": vote_to_json(VOTE), "second": vote_to_json(NIL)}
    proposals = evidence_to_json(ConflictingProposals(PROPOSAL, PROPOSAL))
    assert proposals["kind"] == "proposals"
    assert proposals["first"] == {
        "height": 7,
        "round": 2,
        "valid_round": -1,
        "block_id": ID.hex(),
        "forger": format_address(A),
        "signature": SIGNATURE.hex(),
    }
    lock = evidence_to_json(ForgottenLock(NIL, VOTE))
    assert lock == {"kind": "lock", "precommit": vote_to_json(NIL), "prevote": vote_to_json(VOTE)}


def test_validators_in_address_order() -> None:
    chosen = ValidatorSet([Validator(B, PublicKey(B), 2), Validator(A, PublicKey(A), 1)])
    assert validators_to_json(chosen) == [
        {"address": format_address(A), "key": A.hex(), "stake": 1},
        {"address": format_address(B), "key": B.hex(), "stake": 2},
    ]


@pytest.mark.parametrize("issuer", [None, A])
def test_a_genesis_shows_all_it_says(issuer: Address | None) -> None:
    spec = ChainSpec(
        chain_id="test",
        time_ms=5,
        parameters=Parameters(),
        issuer=issuer,
        accounts=(GenesisAccount(A, 9),),
        validators=(GenesisValidator(A, 1), GenesisValidator(B, 2, PublicKey(A))),
    )
    shown = chain_to_json(spec)
    assert list(shown) == list(ChainSpec.__struct_fields__)
    assert shown["issuer"] == (None if issuer is None else format_address(issuer))
    assert shown["accounts"] == [{"address": format_address(A), "balance": 9}]
    assert shown["validators"] == [
        {"address": format_address(A), "stake": 1, "key": None},
        {"address": format_address(B), "stake": 2, "key": A.hex()},
    ]
    assert json.loads(json.dumps(shown)) == shown
