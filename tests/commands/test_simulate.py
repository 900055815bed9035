"""`simulate`: a transcript, a verdict, and on failure what replays it; a user's mistake is one line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from blockchain.cli import main
from blockchain.primitives.validators import ValidatorSet

SHORT = ("--validators", "4", "--followers", "0", "--byzantine", "0", "--heights", "2", "--calm")
APART = "0,1/2,3@0.001-9"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["simulate", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_is_told_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "--seed", "3", *SHORT)
    assert (code, err) == (0, "")
    assert "height 1 round 0: node" in out and "prevotes 0 1 2 3" in out and "all healed" in out
    assert "verdict: every rule held" in out.splitlines()[-1]
    assert said(capsys, "--seed", "3", *SHORT)[1] == out


def test_every_event_is_printed_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "--seed", "3", "--all", *SHORT)
    assert "forger_drawn height=1 round=0" in out


def test_a_scenario_is_printed_and_played_from_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = said(capsys, "--seed", "3", "--json", *SHORT)
    file = tmp_path / "scenario.json"
    file.write_text(out, encoding="utf-8")
    assert said(capsys, "--scenario", str(file)) == said(capsys, "--seed", "3", *SHORT)


def test_a_table_of_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "--seed", "3", "--runs", "1", *SHORT)
    assert code == 0 and "per 1,000 heights: rounds" in out and "1 seeds: height" in out


def test_a_failure_gives_the_command_that_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: one vote is a quorum. Halves that hear nothing of each other decide by themselves."""
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, stake: stake > 0)
    monkeypatch.setattr("blockchain.simulator.shrinking.RUNS_MAX", 3)
    arguments = ("--seed", "3", *SHORT, "--partition", APART)
    code, out, err = said(capsys, *arguments)
    assert (code, err) == (1, "") and "verdict: broken: seed 3: nodes" in out
    replays = [line.removeprefix("replay: ") for line in out.splitlines() if line.startswith("replay: ")]
    assert len(replays) == 2 and replays[1].startswith(f"{replays[0]} --without ")
    for replay in replays:
        assert replay.startswith("python -m blockchain simulate --seed 3 ")
        again, told, _ = said(capsys, *replay.split()[4:], "--no_shrink")
        assert again == 1 and "different blocks final" in told and f"replay: {replay}" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("--loss", "1"),
        ("--heights", "0"),
        ("--partition", "0,1"),
        ("--partition", "0/9@1-2", "--validators", "4", "--followers", "0"),
        ("--partition", "0/0@1-2"),
        ("--partition", "0/1@2-1"),
        ("--validators", "101"),
        ("--validators", "4", "--byzantine", "2"),
        ("--without", "everything"),
        ("--scenario", "not/there.json"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, *arguments)
    assert code in (1, 2) and out == ""
    assert err.strip().splitlines()[-1].startswith("blockchain")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--scenario", "some.json", "--seed", "1"), "leave out --seed"),
        (("--scenario", "some.json", "--calm", "--heights", "2"), "leave out --heights, --calm"),
        (("--runs", "2", "--json", "--all"), "leave out --json, --all"),
        (("--runs", "2", "--scenario", "some.json"), "leave out --scenario"),
        (("--without", "node4", *SHORT), "node4 can not be left out: there is none"),
        (("--without", "fault0", *SHORT), "fault0 can not be left out: there is none"),
        (("--without", "actor1", *SHORT), "actor1 can not be left out: there is none"),
        (("--without", "loss", "--loss", "0", *SHORT), "loss can not be left out: there is none"),
        (("--without", "heights0", *SHORT), "number of heights to wait for, 1 or more"),
        (("--without", "heights1,heights2", *SHORT), "heights5 stands once"),
        (("--without", "heights99", *SHORT), "heights99 leaves nothing out: there are"),
        (("--without", "", *SHORT), "'' can not be left out"),
        (("--without", "node0,node1,node2,node3", *SHORT), "no node is a validator"),
        (("--partition", "0/1@1-999999999"), "it ends after second 3600"),
        (("--followers", "101"), "100 at most"),
        (("--scenario", "not/there.json"), "can not be read"),
    ],
)
def test_what_would_be_ignored_or_never_end_is_refused(
    arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "") and why in err


@pytest.mark.parametrize(
    "changes",
    [
        {"heights": 0},
        {"load_ms": 0},
        {"storm_ms": -1},
        {"links": {"delay_ms": [9, 1]}},
        {"links": {"loss": 7}},
        {"absent": [0, 1, 2, 3]},
        {"faults": [{"kind": "crash", "at_ms": 5, "until_ms": 1, "nodes": [0]}]},
    ],
)
def test_a_file_whose_numbers_can_not_be_is_no_scenario(
    changes: dict[str, object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is nobody's broken rule."""
    scenario = json.loads(said(capsys, "--json", *SHORT)[1])
    (tmp_path / "scenario.json").write_text(json.dumps(scenario | changes), encoding="utf-8")
    code, out, err = said(capsys, "--scenario", str(tmp_path / "scenario.json"))
    assert (code, out) == (2, "") and "no scenario: " in err


def test_a_file_with_a_space_in_its_name_is_replayed_as_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "my scenario.json"
    file.write_text(said(capsys, "--seed", "3", *SHORT, "--partition", APART, "--json")[1], encoding="utf-8")
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, stake: stake > 0)
    _, out, _ = said(capsys, "--scenario", str(file), "--no_shrink")
    replay = shlex.split(out.splitlines()[-1].removeprefix("replay: "))
    assert said(capsys, *replay[4:], "--no_shrink")[1] == out
