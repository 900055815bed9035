"""Proofs of a real chain, through the API's JSON, checked offline; and not one byte of them can be another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import msgspec
import pytest

from blockchain.api import render_proofs
from blockchain.api.render_seeing import Page
from blockchain.api.render_seeing import validators as render_validators
from blockchain.api.rendered import RenderedBlock
from blockchain.client import AccountProof, TransactionProof, ValidatorList
from blockchain.client.proofs import (
    ProvenAccount,
    ProvenPayment,
    genesis_validators,
    next_validators,
    verify_account,
    verify_header,
    verify_payment,
)
from blockchain.errors import (
    BlockchainError,
    InvalidAddress,
    InvalidCertificate,
    InvalidProof,
    InvalidSignature,
    MalformedMessage,
)
from blockchain.node.core import Core
from blockchain.node.proofs import account_proof_of
from blockchain.primitives.address import format_address
from blockchain.primitives.records import Account
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.validators import ValidatorSet
from tests.node.one_chain import Node, spec_with
from tests.samples import OTHER_CHAIN, address, wallet

T = TypeVar("T")

FEW = {"block_threshold": 1, "block_max_transactions": 10, "stake_delay": 0}


class Story:
    """Two blocks: five payments, then a stake; and the proofs of them, as a client gets them."""

    def __init__(self) -> None:
        self.node = Node(spec_with(**FEW))
        self.genesis = self.node.spec.hash
        self.payments = [self.node.pay("a", nonce, amount=10 + nonce, fee=1) for nonce in range(5)]
        self.node.grow(*self.payments)
        self.stake = wallet("b", self.genesis).stake(25, 0)
        self.node.grow(self.stake)
        self.core = Core(self.node.spec, self.node.store, frozenset())
        self.validators = genesis_validators(self.node.spec)

    def payment(self, verified: VerifiedTransaction) -> TransactionProof:
        height, position = self.node.store.locate(verified.id) or (0, 0)
        block = self.node.store.block(height)
        assert block is not None
        return _through_json(render_proofs.transaction_proof(RenderedBlock(block), position), TransactionProof)

    def account(self, name: str) -> AccountProof:
        view = account_proof_of(self.core, self.node.store, address(name))
        assert view is not None
        return _through_json(
            render_proofs.account_proof(view.address, view.proof, RenderedBlock(view.block)), AccountProof
        )

    def block_id(self, height: int) -> bytes:
        block = self.node.store.block(height)
        assert block is not None
        return block.id

    def check_payment(self, proof: TransactionProof) -> ProvenPayment:
        header = verify_header(proof.header, proof.certificate, self.validators, self.genesis)
        return verify_payment(proof, header.id, self.genesis)

    def check_account(self, proof: AccountProof, name: str = "a") -> ProvenAccount:
        header = verify_header(proof.header, proof.certificate, self.validators, self.genesis)
        return verify_account(proof, format_address(address(name)), header.id, self.genesis)


def _through_json(value: object, kind: type[T]) -> T:
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


# ---------------------------------------------------------------------------------------------- what is proven


def test_every_payment_of_a_block_is_proven_with_its_place_and_time(story: Story) -> None:
    for position, payment in enumerate(story.payments):
        proven = story.check_payment(story.payment(payment))
        assert (proven.verified, proven.height, proven.position) == (payment, 1, position)
        assert proven.time_ms > story.node.spec.time_ms
    assert story.check_payment(story.payment(story.stake)).height == 2


def test_an_account_is_proven_after_the_newest_block(story: Story) -> None:
    proven = story.check_account(story.account("a"))
    assert proven.address == address("a")
    assert (proven.height, proven.account, proven.stake) == (2, Account(1_000 - 60 - 5, 5), None)
    proven = story.check_account(story.account("b"), "b")
    assert (proven.account, proven.stake and proven.stake.staked) == (Account(1_000 + 60 - 25, 1), 25)


def test_an_account_that_has_nothing_is_proven_too(story: Story) -> None:
    for number in range(20):  # at an empty place, or by somebody else's record
        proven = story.check_account(story.account(f"nobody {number}"), f"nobody {number}")
        assert (proven.account, proven.stake) == (Account(0, 0), None)


def test_the_next_set_is_the_one_that_a_header_names(story: Story) -> None:
    proof = story.payment(story.stake)
    header = verify_header(proof.header, proof.certificate, story.validators, story.genesis)
    chosen = story.core.chain.validators
    told = _through_json(render_validators(Page(3, chosen, None, 1_000), story.genesis, None), ValidatorList)
    assert next_validators(header, told, story.genesis) == chosen
    assert len(chosen) == len(story.validators) + 1
    first = story.payment(story.payments[0])
    earlier = verify_header(first.header, first.certificate, story.validators, story.genesis)
    with pytest.raises(InvalidProof, match="next height"):
        next_validators(earlier, told, story.genesis)
    wrong = msgspec.structs.replace(told.validators[0], address="pos1")
    with pytest.raises(InvalidProof, match="not an address"):
        next_validators(header, msgspec.structs.replace(told, validators=(wrong,)), story.genesis)


def test_before_the_first_block_there_is_nothing_to_prove_with() -> None:
    node = Node(spec_with(**FEW))
    assert account_proof_of(Core(node.spec, node.store, frozenset()), node.store, address("a")) is None


# ---------------------------------------------------------------------------------------------- what is refused


def flips(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], object]]:
    """Every place in a JSON value with one byte, or number, changed."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for at, changed in flips(inner, (*path, name)):
                yield at, {**value, name: changed}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for at, changed in flips(inner, (*path, index)):
                yield at, [*value[:index], changed, *value[index + 1 :]]
        for index in range(len(value)):
            yield (*path, index, "left out"), [*value[:index], *value[index + 1 :]]
    elif isinstance(value, str):
        raw = bytes.fromhex(value)
        for index in range(len(raw)):
            yield (*path, index), (raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]).hex()
        for other in ("", value[:-2], value + "00"):
            if other != value:
                yield (*path, len(other)), other
    elif isinstance(value, int):
        for number in (value + 1, -1, 2**53, 2**70):
            yield (*path, number), number


def _passed(proof: Any, check: Callable[[Any], object]) -> list[tuple[object, ...]]:
    """The changes that went unnoticed."""
    unnoticed = []
    for path, changed in flips(msgspec.to_builtins(proof)):
        try:
            check(msgspec.convert(changed, type(proof)))
        except BlockchainError:
            continue
        unnoticed.append(path)
    return unnoticed


def test_no_byte_of_a_payments_proof_can_be_another(story: Story) -> None:
    """All three validators' signatures are needed, so that none of them can be left out either."""
    proof = story.payment(story.payments[3])
    assert len(proof.path) > 1
    assert _passed(proof, story.check_payment) == []


def test_no_byte_of_an_accounts_proof_can_be_another(story: Story) -> None:
    for name in ("a", "b", "nobody 1", "nobody 2"):
        proof = story.account(name)
        assert _passed(proof, partial(story.check_account, name=name)) == []


def test_an_account_is_not_proven_by_the_proof_of_another(story: Story) -> None:
    with pytest.raises(InvalidProof):
        story.check_account(story.account("a"), "b")
    with pytest.raises(InvalidAddress):
        verify_account(story.account("a"), "pos1", story.block_id(2), story.genesis)


def test_a_header_of_another_set_or_chain(story: Story) -> None:
    proof = story.payment(story.payments[0])
    with pytest.raises(InvalidProof, match="another validator set"):
        verify_header(proof.header, proof.certificate, ValidatorSet(()), story.genesis)
    with pytest.raises(InvalidProof, match="another validator set"):
        verify_header(proof.header, proof.certificate, story.validators, OTHER_CHAIN)


def test_two_thirds_are_not_enough(story: Story) -> None:
    proof = story.payment(story.payments[0])
    short = msgspec.structs.replace(proof.certificate, precommits=proof.certificate.precommits[:2])
    with pytest.raises(InvalidCertificate, match="two thirds"):
        verify_header(proof.header, short, story.validators, story.genesis)


def test_the_certificate_of_another_block(story: Story) -> None:
    first, second = story.payment(story.payments[0]), story.payment(story.stake)
    with pytest.raises(InvalidCertificate, match="another block"):
        verify_header(first.header, second.certificate, story.validators, story.genesis)


def test_a_payment_under_another_header(story: Story) -> None:
    proof = story.payment(story.payments[0])
    with pytest.raises(InvalidProof, match="trusted block"):
        verify_payment(proof, story.block_id(2), story.genesis)
    header = story.payment(story.stake).header
    with pytest.raises(InvalidProof):
        verify_payment(msgspec.structs.replace(proof, header=header), story.block_id(2), story.genesis)


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"raw": "zz"}, MalformedMessage),
        ({"raw": "٣٣"}, MalformedMessage),
        ({"header": "00"}, MalformedMessage),
        ({"raw": "00"}, MalformedMessage),
        ({"id": "00" * 32}, InvalidProof),
        ({"path": ("00",)}, InvalidProof),
    ],
)
def test_what_is_wrong_has_a_name(changes: dict[str, Any], error: type[BlockchainError], story: Story) -> None:
    with pytest.raises(error):
        story.check_payment(msgspec.structs.replace(story.payment(story.payments[0]), **changes))


def test_a_transaction_that_its_sender_did_not_sign(story: Story) -> None:
    proof = story.payment(story.payments[0])
    forged = proof.raw[:-2] + ("00" if proof.raw[-2:] != "00" else "01")
    with pytest.raises(InvalidSignature):
        story.check_payment(msgspec.structs.replace(proof, raw=forged))


def test_a_proven_header_says_its_id(story: Story) -> None:
    proof = story.payment(story.payments[0])
    header = verify_header(proof.header, proof.certificate, story.validators, story.genesis)
    assert header.id == story.block_id(1)
    assert header.header.height == 1
