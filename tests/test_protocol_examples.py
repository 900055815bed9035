"""The worked values, and the tables of numbers, of docs/protocol.md are those that the code gives.

The document is read, not copied: a row of appendix A is a name and a value, and both sides must have the same names.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec.structs import fields

from blockchain.consensus.lottery import Lottery, first_seed, next_seed, vrf_alpha
from blockchain.consensus.pos import ProofOfStake
from blockchain.demo_chain import GENESIS_TIME_MS, JANE_ADDRESS, demo_spec, john_key
from blockchain.node import messages
from blockchain.node.chain import Chain
from blockchain.node.store import MemoryStore
from blockchain.primitives import codec, merkle, vrf
from blockchain.primitives.address import format_address
from blockchain.primitives.block import Header, VerifiedBlock
from blockchain.primitives.chain import ChainSpec, Parameters
from blockchain.primitives.crypto import Address, Hash32, SigningKey, tagged
from blockchain.primitives.transaction import Transaction
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    CommitSignature,
    Proposal,
    Vote,
    VoteStep,
    certificate_hash,
    empty_certificate,
    sign_message,
    signed_bytes,
)
from blockchain.wallet import Wallet

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"

KEY_A = SigningKey(b"\x01" * 32)
KEY_B = SigningKey(b"\x02" * 32)
A, B = Address(KEY_A.public_key), Address(KEY_B.public_key)
BLOCK_ID = Hash32(b"\xaa" * 32)


def section(number: str) -> str:
    """The text of a numbered section or an appendix, its subsections included."""
    text = DOCUMENT.read_text(encoding="utf-8")
    level, start = next(
        (match[1], match.end()) for match in re.finditer(rf"^(#+) {re.escape(number)}[. ].*$", text, re.MULTILINE)
    )
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(text, start)
    return text[start : end.start() if end else len(text)]


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their heads, each cell without its backquotes."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    rules = [at for at, row in enumerate(cells) if set(row[0]) <= set("-:")]
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def demo_key(name: str) -> SigningKey:
    return SigningKey(sha256(f"blockchain-node demo key, public knowledge: {name}".encode()).digest())


def demo_block(spec: ChainSpec) -> VerifiedBlock:
    """Block 1 of the demo chain: the sample's first two transactions, forged in round 0 a second after genesis."""
    chain = Chain(spec, ProofOfStake(spec.hash), MemoryStore())
    exchange = Wallet(demo_key("exchange"), spec.hash)
    for nonce, recipient in enumerate((JANE_ADDRESS, Address(john_key().public_key))):
        chain.pool.add(exchange.exchange(recipient, 100, nonce), GENESIS_TIME_MS, must_apply=True)
    proof = vrf.prove(demo_key("genesis").seed, vrf_alpha(spec.hash, chain.seed, 1))
    return chain.build_block(0, proof, empty_certificate(spec.hash), GENESIS_TIME_MS + 1_000)


def key_values(genesis_hash: Hash32) -> dict[str, str]:
    transfer = Wallet(KEY_A, genesis_hash).transfer(B, 7, nonce=0, fee=1)
    return {
        "demo genesis hash": genesis_hash.hex(),
        "public key of A": A.hex(),
        "address of A": format_address(A),
        "public key of B": B.hex(),
        "address of B": format_address(B),
        "transfer: signed bytes": tagged("transaction", genesis_hash, transfer.raw[:-66]).hex(),
        "transfer: signature": transfer.transaction.signature.hex(),
        "transfer: encoding": transfer.raw.hex(),
        "transfer: id": transfer.id.hex(),
    }


def vote_values(genesis_hash: Hash32) -> dict[str, str]:
    vote = Vote(1, 0, VoteStep.PRECOMMIT, BLOCK_ID, -1, A)
    proposal = Proposal(1, 0, -1, BLOCK_ID, A)
    announcement = Announcement(A, 5, GENESIS_TIME_MS)
    signed = sign_message(vote, KEY_A, genesis_hash)
    certificate = Certificate(1, 0, BLOCK_ID, (CommitSignature(0, signed.signature),))
    return {
        "precommit: signed bytes": signed_bytes(vote, genesis_hash).hex(),
        "precommit: signature": signed.signature.hex(),
        "proposal: signed bytes": signed_bytes(proposal, genesis_hash).hex(),
        "announcement: signed bytes": signed_bytes(announcement, genesis_hash).hex(),
        "certificate: encoding": codec.encode(certificate).hex(),
        "certificate: hash": certificate_hash(certificate, genesis_hash).hex(),
        "empty certificate: encoding": codec.encode(empty_certificate(genesis_hash)).hex(),
        "empty certificate: hash": certificate_hash(empty_certificate(genesis_hash), genesis_hash).hex(),
        "root of an empty list": merkle.EMPTY_ROOT.hex(),
    }


def lottery_values(genesis_hash: Hash32) -> dict[str, str]:
    seed = first_seed(genesis_hash)
    alpha = vrf_alpha(genesis_hash, seed, 1)
    proof = vrf.prove(KEY_A.seed, alpha)
    output = vrf.verify(KEY_A.public_key, alpha, proof)
    pair = ValidatorSet([Validator(A, KEY_A.public_key, 30), Validator(B, KEY_B.public_key, 70)])
    lottery = Lottery(genesis_hash, seed, 1, pair)
    names = {A: "A", B: "B"}
    values = {
        "set of A 30, B 70: hash": pair.hash(genesis_hash).hex(),
        "seed(1)": seed.hex(),
        "alpha at height 1": alpha.hex(),
        "VRF proof of A": proof.hex(),
        "VRF output of A": output.hex(),
        "seed(2) if A forges": next_seed(genesis_hash, seed, output).hex(),
    }
    for round in (0, 1):
        draw = lottery.draw(round)
        values[f"reference of round {round}"] = draw.reference.hex()
        values[f"point of round {round}"] = str(draw.point)
        values[f"forger of round {round}"] = names[draw.forger]
    return values


def block_values(spec: ChainSpec) -> dict[str, str]:
    block = demo_block(spec)
    state = Chain(spec, ProofOfStake(spec.hash), MemoryStore()).state()
    return {
        "demo: state root of genesis": state.root().hex(),
        "demo block 1: transaction root": block.header.transaction_root.hex(),
        "demo block 1: state root": block.header.state_root.hex(),
        "demo block 1: validators hash": block.header.validators_hash.hex(),
        "demo block 1: header": codec.encode(block.header).hex(),
        "demo block 1: id": block.id.hex(),
    }


def computed() -> dict[str, str]:
    spec = demo_spec()
    return key_values(spec.hash) | vote_values(spec.hash) | lottery_values(spec.hash) | block_values(spec)


def test_the_worked_values_are_what_the_code_gives() -> None:
    documented = dict(rows(section("Appendix A")))
    assert documented == computed()


def test_the_parameters_are_those_of_the_code() -> None:
    documented = {row[0]: row[1] for row in rows(section("9.2"))}
    defaults = {field.name: field.default for field in fields(Parameters)}
    expected = {name: "none" if value is None else f"{value:,}" for name, value in defaults.items()}
    expected["supply_max"] = "2^53 − 1"
    assert documented == expected


def test_header_and_transaction_have_the_documented_fields() -> None:
    assert tuple(row[0] for row in rows(section("4.1"))) == Header.__struct_fields__
    assert tuple(row[0] for row in rows(section("2").replace("   |", "|"))) == Transaction.__struct_fields__


def test_the_genesis_hash_is_over_maps_in_the_documented_order() -> None:
    plain = msgspec.to_builtins(demo_spec(), builtin_types=(bytes,))
    ordered = {row[0]: plain.pop(row[0]) for row in rows(section("9.1"))}
    assert plain == {}
    ordered["parameters"] = {row[0]: ordered["parameters"][row[0]] for row in rows(section("9.2"))}
    assert sha256(b"\x07genesis" + msgspec.msgpack.encode(ordered)).digest() == demo_spec().hash


def test_the_message_kinds_are_those_of_the_code() -> None:
    documented = [row[0] for row in rows(section("8.1")) if len(row) == 3]
    assert documented == [str(kind.__struct_config__.tag) for kind in messages.Message.__args__]


def test_the_maxima_of_messages_are_those_of_the_code() -> None:
    text = section("8.1")
    for number in (
        messages.FRAME_BYTES_MAX,
        messages.ROUNDS_MAX,
        messages.TALLIES_MAX,
        messages.VOTES_MAX,
        messages.IDS_MAX,
        messages.TRANSACTIONS_MAX,
        messages.BLOCKS_MAX,
        messages.ADDRESSES_MAX,
        messages.BITMAP_BYTES_MAX,
    ):
        assert re.search(rf"(?<![\d,]){number:,}(?![\d,])", text), f"{number:,} does not stand in §8.1"


def test_a_section_ends_where_the_next_begins() -> None:
    assert "## 9." not in section("8")
    assert "### 8.2" not in section("8.1")
