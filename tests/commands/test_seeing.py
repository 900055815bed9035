"""why and validators: what an operator asks when a height took long, or a turn was missed."""

from __future__ import annotations

import json

import pytest

from blockchain.cli import EXIT_FAILED, main
from tests.api.fake_node import ALICE
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
