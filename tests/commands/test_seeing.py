"""why and validators: what an operator asks when a height took long, or a turn was missed."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from blockchain.cli import EXIT_FAILED, main
from blockchain.client import Client
from blockchain.client.seen import MissedHeight
from blockchain.commands.validators import _missed_text, record_page
from blockchain.primitives.validators import Validator, ValidatorSet
from tests.api.fake_node import ALICE, BOB, BOB_KEY
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line


def test_why_shows_the_verdict_and_what_happened_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["why", "3", f"--url={url}"]) == 0
        lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["height", "3"] and lines[1].startswith("verdict  Round 0's block by pos1")
    timeline = [line for line in lines if line.startswith("+")]
    assert [line.split()[0] for line in timeline] == ["+0", "+9", "+9", "+12", "+40"]
    assert f"its forger is {ALICE.address_text}" in timeline[0]
    assert "round 0: prevote of pos1" in timeline[1] and timeline[1].endswith("for nil")
    assert "time-out of propose" in timeline[2] and "the proposal, 3 ms after the time-out" in timeline[3]
    assert timeline[4].endswith("final") and "refused" in lines[-1]


def test_why_of_the_height_in_progress_and_of_one_that_was_not_seen(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["why", f"--url={url}"]) == 0
        assert "It is not final yet: the pool." in capsys.readouterr().out
        assert main(["why", "1", f"--url={url}"]) == 0
        assert "This node did not see it live." in capsys.readouterr().out
        assert main(["why", "1", f"--url={url}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["seen"] is None
        assert main(["why", "9", f"--url={url}"]) == EXIT_FAILED
        assert "height 9 is neither final at this node nor in progress" in stderr_line(capsys)


def test_validators_shows_what_each_did(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["validators", f"--url={url}"]) == 0
        heading, _, names, _, row = capsys.readouterr().out.splitlines()
        assert heading == "1 validator at height 4, stake 1; over blocks 1 to 3"
        assert names.split()[:5] == ["VALIDATOR", "STAKE", "SHARE", "ONLINE", "WINS"]
        assert row.split()[1:] == ["1", "100.00", "%", "no", "3", "3.0", "1.000", "3", "1", "1", "50.00", "%", "9", "4"]
        assert main(["validators", f"--url={url}", "--height=1"]) == 0
        heading, _, names, _, row = capsys.readouterr().out.splitlines()
        assert (heading, names.split()) == ("1 validator at height 1, stake 1", ["VALIDATOR", "STAKE", "SHARE"])
        assert row.split()[0] == ALICE.address_text
        assert main(["validators", f"--url={url}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["validators"][0]["record"]["wins"] == 3
        assert main(["validators", f"--url={url}", "--height=9"]) == EXIT_FAILED
        assert "does not hold the set of height 9" in stderr_line(capsys)


def test_one_validator_and_why_it_missed_a_height(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["validators", ALICE.address_text, f"--url={url}"]) == 0
        out = capsys.readouterr().out
        assert "3 of 3 draws, 3.0 expected, p 1.000" in out and "1 turn let pass" in out
        assert "50.00 %: missing in 1 of 2 certificates" in out
        assert "6 by forging, 3 by signing; 4 lost" in out
        assert "height 1  late: its precommit came 12 ms after the certificate was there" in out
        assert main(["validators", ALICE.address_text, f"--url={url}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["missed_heights"] == [{"height": 1, "reason": "late", "late_ms": 12}]
        assert main(["validators", BOB.address_text, f"--url={url}"]) == EXIT_FAILED
        assert "give the account's address" in stderr_line(capsys)


def test_a_validator_is_found_by_the_key_that_votes_for_its_account(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, node):
        node.members = ValidatorSet([Validator(ALICE.address, BOB_KEY.public_key, 1)])
        assert main(["validators", BOB.address_text, f"--url={url}"]) == 0
        assert f"address  {ALICE.address_text}" in capsys.readouterr().out


def test_one_that_is_away_is_not_said_to_have_left_for_good() -> None:
    with running_api() as (url, _), Client(url) as node:
        found = node.validator(ALICE.address_text)
    assert found is not None
    assert "key      none: it is not in the set of this height" in record_page(replace(found, key=None))


def test_each_reason_has_its_words() -> None:
    reasons = ["offline", "silent", "nil", "left_out", "", "of a newer node"]
    told = [_missed_text(MissedHeight(4, reason, None)) for reason in reasons]
    assert all(text.startswith("height 4  ") for text in told) and len(set(told)) == 5
