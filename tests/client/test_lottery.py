"""Lottery receipts of a real chain, through the API's JSON, checked offline; and no field of them can be another."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from blockchain.api import render
from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.client.answers import Lottery
from blockchain.client.lottery import ROUNDS_MAX, ProvenDraw, verify_lottery
from blockchain.errors import InvalidReceipt
from blockchain.genesis import dump_genesis
from blockchain.node import reader
from blockchain.node.core import Core
from blockchain.primitives.address import format_address
from blockchain.primitives.block import decode_block
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line
from tests.node.one_chain import NOW, Node, spec_with
from tests.samples import address, wallet

SPEC = replace(spec_with(block_threshold=1, block_max_transactions=10, stake_delay=0), demo=True)
HEIGHTS = 3  # after which a stake changes the set: from height 5 on it is another


@cache
def chain() -> tuple[Node, Core]:
    """Blocks 1 to 4; the third was built in round 1, and with the fourth somebody joins."""
    node = Node(SPEC)
    node.grow(node.pay("a", 0))
    node.grow(node.pay("a", 1))
    node.add(node.pay("a", 2))
    late = node.build(round=1)
    node.perform(node.chain.finalize(late, node.certificate(late), 1, NOW))
    node.grow(wallet("b", SPEC.hash).stake(5, 0))
    return node, Core(SPEC, node.store, frozenset())


def told(height: int, round: int = 0) -> dict[str, Any]:
    node, core = chain()
    receipt = reader.lottery_of(core, node.store, height, round)
    assert receipt is not None
    answer: dict[str, Any] = json.loads(msgspec.json.encode(render.lottery(receipt)))
    return answer


def check(answer: dict[str, Any], **trusted: bytes) -> ProvenDraw:
    return verify_lottery(msgspec.convert(answer, Lottery), SPEC, **trusted)


def blamed(answer: dict[str, Any], **trusted: bytes) -> str:
    with pytest.raises(InvalidReceipt) as refused:
        check(answer, **trusted)
    assert refused.value.field in str(refused.value)
    return refused.value.field


def block_id(height: int) -> bytes:
    stored = chain()[0].store.block(height)
    assert stored is not None
    return stored.id


# ------------------------------------------------------------------------------------------------ good ones


@pytest.mark.parametrize(("height", "round"), [(1, 0), (2, 0), (3, 1), (4, 0)])
def test_the_receipt_of_a_final_block_is_good_by_genesis_alone(height: int, round: int) -> None:
    stored = chain()[0].store.block(height)
    assert stored is not None
    proven = check(told(height, round))
    assert (proven.height, proven.round, proven.is_final, proven.is_forged) == (height, round, True, True)
    assert proven.forger == decode_block(stored.raw).header.forger
    assert (proven.stake, proven.total_stake) == (100, 300)


@pytest.mark.parametrize(("height", "round"), [(3, 0), (3, 2), (3, 7), (1, 1)])
def test_so_is_that_of_a_draw_whose_block_never_came(height: int, round: int) -> None:
    assert check(told(height, round)).is_forged is False


def test_where_the_set_has_changed_somebody_has_to_be_trusted() -> None:
    """Height 5 is in progress, with a set that others than its members made final."""
    receipt = told(5)
    members = chain()[0].chain.validators
    assert blamed(receipt) == "validators"
    assert blamed(receipt, validators_hash=members.hash(SPEC.hash)) == "certificate"
    proven = check(receipt, trusted_id=block_id(4))
    assert (proven.is_final, proven.total_stake) == (False, 305)
    assert blamed(receipt, trusted_id=block_id(3)) == "parent_header"
    assert blamed(receipt, validators_hash=bytes(32)) == "validators"


def test_a_trusted_block_or_set_proves_old_heights_too() -> None:
    members = chain()[0].chain.parent_validators
    assert check(told(2), validators_hash=members.hash(SPEC.hash)).is_forged
    assert check(told(2), trusted_id=block_id(2)).is_forged
    assert blamed(told(2), trusted_id=block_id(1)) == "header"


def test_the_first_height_needs_no_block() -> None:
    core = Core(SPEC, Node(SPEC).store, frozenset())
    receipt = reader.lottery_of(core, Node(SPEC).store, 1, 0)
    assert receipt is not None
    answer = json.loads(msgspec.json.encode(render.lottery(receipt)))
    assert (answer["header"], answer["parent_header"], answer["certificate"]) == (None, None, None)
    assert check(answer).is_final is False
    assert blamed(answer | {"certificate": told(1)["certificate"]}) == "header"
    assert blamed(answer, trusted_id=block_id(1)) == "parent_header"
    assert blamed(answer | {"height": 2}) == "height"


# ------------------------------------------------------------------------------------------------ wrong ones

OTHER_HASH = "ab" * 32


def changes(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """Other values of each field: what an accident and what somebody with a purpose would put there."""
    other, richer = format_address(address("a")), [dict(one) for one in answer["validators"]]
    richer[0]["stake"] += 1
    header, parent = answer["header"], answer["parent_header"]
    votes = answer["certificate"]["precommits"]
    return {
        "genesis_hash": [OTHER_HASH, ""],
        "height": [answer["height"] + 1, answer["height"] - 1, 0, -1, 2**60],
        "round": [answer["round"] + 1, 3, 2, ROUNDS_MAX + 1, -1],
        "seed": [OTHER_HASH, "", told(4)["seed"]],
        "reference": [OTHER_HASH, ""],
        "point": [answer["point"] ^ 1, -1, 2**70],
        "total_stake": [answer["total_stake"] + 1, 0],
        "left_out": [[], [*answer["left_out"], other], ["none"], [other]],
        "forger": [other, answer["left_out"][0], "none"],
        "interval": [[0, 0], [answer["interval"][0], answer["interval"][1] + 1], [-1, 2**70]],
        "validators": [[], answer["validators"][:2], answer["validators"] * 2, richer, [{**richer[0], "key": "00"}]],
        "vrf_proof": [None, "b2" * 80, told(1)["vrf_proof"], ""],
        "header": [None, parent, told(1)["header"], header[:-2] + "01", "00", "x"],
        "parent_header": [None, header, told(1)["header"], parent[:-2] + "01", "00"],
        "certificate": [
            None,
            told(1)["certificate"],
            {**answer["certificate"], "round": 5},
            {**answer["certificate"], "block_id": OTHER_HASH},
            {**answer["certificate"], "block_id": "ab"},
            {**answer["certificate"], "height": -1},
            {**answer["certificate"], "precommits": votes[:2]},
            {**answer["certificate"], "precommits": [{**votes[0], "signature": "00" * 64}, *votes[1:]]},
        ],
    }


@pytest.mark.parametrize("field", Lottery.__struct_fields__)
def test_a_receipt_with_one_other_field_is_refused_and_the_field_is_named(field: str) -> None:
    answer = told(3, 1)
    for value in changes(answer)[field]:
        assert answer[field] != value, "a change that is none"
        found = blamed(answer | {field: value})
        # A certificate that is good, of another block: nothing tells which of the two does not belong here.
        expected = {"header"} if field == "certificate" and value == told(1)["certificate"] else {field}
        assert found in expected, value


def test_every_field_of_the_answer_is_one_of_the_receipt() -> None:
    assert tuple(told(3, 1)) == Lottery.__struct_fields__


def test_the_receipt_of_a_round_that_lost_cannot_take_the_winners_proof() -> None:
    assert blamed(told(3, 0) | {"vrf_proof": told(3, 1)["vrf_proof"]}) in ("round", "vrf_proof")
    assert blamed(told(3, 0) | {"vrf_proof": "b2" * 80}) == "vrf_proof"


# ------------------------------------------------------------------------------------------------ commands


def test_a_file_is_checked_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genesis, file = tmp_path / "genesis.json", tmp_path / "receipt.json"
    genesis.write_bytes(dump_genesis(SPEC))
    file.write_bytes(msgspec.json.encode(told(3, 1)))
    assert main(["verify-lottery", str(file), f"--genesis={genesis}"]) == 0
    out = capsys.readouterr().out
    assert "good" in out and "height   3, round 1" in out and "100 of 300" in out and "validators of genesis" in out
    assert main(["verify-lottery", str(file), f"--genesis={genesis}", f"--block_id={block_id(3).hex()}"]) == 0
    assert block_id(3).hex() in capsys.readouterr().out
    assert main(["verify-lottery", str(file)]) == EXIT_FAILED
    assert (
        "genesis_hash: the receipt is of another chain than the genesis that it is checked with (demo)"
        in stderr_line(capsys)
    )
    wrong_hash = f"--validators_hash={OTHER_HASH}"
    assert main(["verify-lottery", str(file), f"--genesis={genesis}", wrong_hash]) == EXIT_FAILED
    assert "validators: not the trusted set" in stderr_line(capsys)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"height": "one"}', b"[" * 100_000])
def test_what_is_no_receipt_is_a_line(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(content)
    assert main(["verify-lottery", str(file)]) == EXIT_FAILED
    assert "is no lottery receipt" in stderr_line(capsys)


@pytest.mark.parametrize("given", ["ab", "x" * 64])
def test_a_hash_that_is_none_is_a_wrong_command(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-lottery", "-", f"--block_id={given}"]) == EXIT_USAGE
    assert "64 hex digits" in capsys.readouterr().err


def test_a_receipt_is_fetched_from_a_node(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["lottery", "2", f"--url={url}"]) == 0
        receipt = json.loads(capsys.readouterr().out)
        assert (receipt["height"], receipt["round"]) == (2, 0) and set(receipt) == set(Lottery.__struct_fields__)
        assert main(["lottery", "3", "1", f"--url={url}"]) == 0
        assert json.loads(capsys.readouterr().out)["round"] == 1
        assert main(["lottery", "9", f"--url={url}"]) == EXIT_FAILED
        assert "no draw for height 9, round 0" in stderr_line(capsys)
