"""What the API tells of the node's own state, and whether it is well."""

from __future__ import annotations

import pytest

from blockchain import __version__
from blockchain.api import schemas
from blockchain.node.liveness import stall_limit_ms
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from tests.api.asking import ask, check_problem, get_json
from tests.api.fake_node import ALICE, ALICE_KEY, BOB, SPEC, FakeNode

V1 = "/api/v1"


def test_status_in_a_few_lines() -> None:
    node = FakeNode()
    node.make_pending()
    status = get_json(node, f"{V1}/status/")
    assert (status["version"], status["chain_id"]) == (__version__, "test")
    assert (status["height"], status["is_halted"], status["is_syncing"]) == (3, "", False)
    assert status["validator"] == ALICE.address_text
    assert (status["pool"]["pending"], status["pool"]["threshold"]) == (1, 2)
    assert status["waiting_for"] == "pool holds 1 of 2"


def test_consensus_says_whose_stake_is_missing() -> None:
    consensus = get_json(FakeNode(), f"{V1}/consensus/")
    assert (consensus["height"], consensus["round"], consensus["step"]) == (4, 0, "propose")
    assert consensus["missing_prevotes"] == [{"validator": ALICE.address_text, "stake": 1}]
    assert consensus["quorum_stake"] == 1
    assert (consensus["online_stake"], consensus["offline"]) == (0, [{"validator": ALICE.address_text, "stake": 1}])
    assert consensus["locked_block"] is None


@pytest.mark.parametrize("spelling", [ALICE.address_text, ALICE.address_text.upper(), ALICE.address.hex()])
def test_an_account_by_each_spelling_of_its_address(spelling: str) -> None:
    account = get_json(FakeNode(), f"{V1}/accounts/{spelling}/")
    assert account["address"] == ALICE.address_text
    assert (account["balance"], account["stake"], account["next_nonce"]) == (994, 1, 6)
    assert (account["validator_key"], account["validator_key_from"]) == (ALICE_KEY.public_key.hex(), 7)


def test_an_account_that_holds_nothing() -> None:
    account = get_json(FakeNode(), f"{V1}/accounts/{BOB.address_text}/")
    assert (account["balance"], account["nonce"], account["validator_key"]) == (0, 0, None)
    assert account["validator_key_from"] is None


@pytest.mark.parametrize("address", ["pos1", "x", ALICE.address_text[:-1] + "q", "ab" * 31])
def test_what_is_no_address(address: str) -> None:
    check_problem(ask(FakeNode(), f"{V1}/accounts/{address}/"), 422, "invalid_address")


def test_the_validators_come_in_pages_in_the_order_of_their_lots() -> None:
    node = FakeNode()
    members = [Validator(Address(digest * 32), PublicKey(digest * 32), 1) for digest in (b"\x09", b"\x03", b"\x05")]
    node.members = ValidatorSet(members)
    first = get_json(node, f"{V1}/validators/?limit=2")
    assert (first["count"], first["total_stake"], len(first["validators"])) == (3, 3, 2)
    second = get_json(node, f"{V1}/validators/?limit=2&after={first['next']}&height={first['height']}")
    assert second["next"] is None and second["hash"] == first["hash"]
    shown = [one["address"] for one in (*first["validators"], *second["validators"])]
    assert shown == [format_address(one.address) for one in node.members.validators]
    assert get_json(node, f"{V1}/validators/?after={shown[2]}")["validators"] == []
    between = format_address(Address(b"\x04" * 32))
    assert [one["address"] for one in get_json(node, f"{V1}/validators/?after={between}")["validators"]] == shown[1:]
    assert ask(node, f"{V1}/validators/?limit=1001").status_code == 422
    assert ask(node, f"{V1}/validators/?after=nobody").json()["code"] == "invalid_address"


def test_one_validator_with_the_heights_that_it_missed() -> None:
    told = get_json(FakeNode(), f"{V1}/validators/{ALICE.address_text}/")
    assert told["missed_heights"] == [{"height": 1, "reason": "late", "late_ms": 12}]
    response = ask(FakeNode(), f"{V1}/validators/{BOB.address_text}/")
    assert (response.status_code, response.json()["code"]) == (404, "validator_not_found")


def test_a_height_that_is_not_there_yet_has_no_why() -> None:
    assert get_json(FakeNode(), f"{V1}/consensus/why/?height=4")["final"] is None
    response = ask(FakeNode(), f"{V1}/consensus/why/?height=5")
    assert (response.status_code, response.json()["code"]) == (404, "height_not_found")


def test_the_validators_of_a_height() -> None:
    node = FakeNode()
    now, then = get_json(node, f"{V1}/validators/"), get_json(node, f"{V1}/validators/?height=2")
    assert (now["height"], then["height"], now["total_stake"]) == (4, 2, 1)
    member = {"address": format_address(ALICE.address), "key": ALICE.address.hex(), "stake": 1, "share": 1.0}
    record = {"draws": 3, "expected_wins": 3.0, "wins": 3, "p_value": 1.0, "forged": 3, "let_pass": 1}
    record |= {"certificates": 2, "missed": 1, "uptime": 0.5, "earned_forging": 6, "earned_signing": 3, "lost": 4}
    assert now["validators"] == [{**member, "is_online": False, "record": record}]
    assert then["validators"] == [{**member, "is_online": None, "record": None}]
    assert (now["window"], then["window"]) == ({"first": 1, "last": 3, "blocks": 3}, None)
    check_problem(ask(node, f"{V1}/validators/?height=5"), 404, "validators_not_found")


def test_peers_and_why_others_could_not_be_reached() -> None:
    answer = get_json(FakeNode(), f"{V1}/peers/")
    assert answer["peers"][0]["address"] == "localhost:8011"
    (dial,) = answer["dials"]
    assert (dial["attempts"], dial["last_error"], dial["is_connected"]) == (4, "connection refused", False)
    assert (dial["last_attempt_ms"], dial["next_attempt_ms"]) == (9_000, 13_000)


def test_peers_come_with_their_scores_and_who_is_banned() -> None:
    answer = get_json(FakeNode(), f"{V1}/peers/")
    (peer,) = answer["peers"]
    assert (peer["remote"], peer["agent"], peer["score"]) == ("127.0.0.1", "blockchain/1.0", 5)
    id_ban, address_ban = answer["bans"]
    assert (id_ban["peer"], id_ban["address"]) == ("0f" * 32, "")
    assert (address_ban["peer"], address_ban["address"]) == (None, "203.0.113.7")
    assert (id_ban["reason"], id_ban["seconds_left"], id_ban["times"]) == ("bad_signature", 431, 1)


def test_a_lottery_receipt() -> None:
    receipt = get_json(FakeNode(), f"{V1}/lottery/2/0/")
    assert receipt["forger"] == ALICE.address_text
    assert (receipt["interval"], receipt["point"], receipt["total_stake"]) == ([0, 1], 0, 1)
    assert receipt["vrf_proof"] == "b2" * 80
    other = get_json(FakeNode(), f"{V1}/lottery/2/1/")
    assert (other["vrf_proof"], other["left_out"]) == (None, [BOB.address_text])
    check_problem(ask(FakeNode(), f"{V1}/lottery/9/0/"), 404, "lottery_not_found")


# ---------------------------------------------------------------------------------------------------- health


def test_a_node_that_halted_is_alive_and_not_ready() -> None:
    node = FakeNode()
    node.is_halted = "two certificates at height 3"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["checks"] == {
        "not_halted": {"ok": False, "why": "halted: two certificates at height 3"},
        "synced": {"ok": True, "why": ""},
        "not_stalled": {"ok": True, "why": ""},
        "trusted": {"ok": True, "why": ""},
        "signs": {"ok": True, "why": ""},
    }
    assert "two certificates" in str(document["detail"])
    assert ask(node, "/livez").status_code == 200
    document = check_problem(ask(node, "/health"), 503, "not_usable")
    assert "two certificates" in str(document["detail"])


def test_a_node_that_is_syncing_is_not_ready() -> None:
    node = FakeNode()
    node.is_syncing = True
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "syncing: at height 3, a peer at 8"
    health = ask(node, "/health")
    assert health.status_code == 206
    answer = schemas.SyncingAnswer.model_validate_json(health.content)
    assert [name for name, check in answer.checks.items() if not check.ok] == ["synced"]


def test_a_node_that_does_not_trust_its_chain_is_not_ready() -> None:
    node = FakeNode()
    node.untrusted = "block 3 is too old"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "not trusted: block 3 is too old"
    check_problem(ask(node, "/health"), 503, "not_usable")
    assert ask(node, f"{V1}/status/").json()["untrusted"] == "block 3 is too old"


def test_a_validator_that_signs_nothing_is_not_ready() -> None:
    node = FakeNode()
    node.silent = "another process has its key"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "signs nothing: another process has its key"
    assert ask(node, f"{V1}/status/").json()["silent"] == "another process has its key"
    node.is_syncing = True
    assert ask(node, "/health").status_code == 206, "first it catches up, as any other"


def test_a_chain_that_is_stopped_is_not_ready_and_its_node_not_usable() -> None:
    node = FakeNode()
    node.stalled_ms = stall_limit_ms(SPEC.parameters) - 1
    assert ask(node, "/readyz").status_code == 200
    node.stalled_ms += 1
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "stopped: nothing final for 20 s, waiting for pool holds 1 of 2"
    check_problem(ask(node, "/health"), 503, "not_usable")
    node.is_syncing = True
    check_problem(ask(node, "/health"), 503, "not_usable")
