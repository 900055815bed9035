"""The register fits the code as it is, and the runner plants, judges and tidies up as it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.copies import Commands, Done, Stopped, copy_with, make_pattern
from tests.mutants.planted import Change, Mutant, NotPlantable
from tests.mutants.register import REGISTERS
from tests.mutants.run import Trial, Verdict, judge

ROOT = Path(__file__).resolve().parent.parent.parent
ALL = [mutant for register in REGISTERS.values() for mutant in register.mutants]
MUTANTS_MIN = 34


def test_each_bug_can_be_planted_in_the_code_as_it_is() -> None:
    """A change of the code that moves such a line changes the register with it."""
    complaints = []
    for mutant in ALL:
        texts: dict[str, str] = {}
        try:
            for change in mutant.changes:
                texts[change.file] = change.made_in(texts.get(change.file) or _text_of(change.file))
        except NotPlantable as why:
            complaints.append(f"{mutant.name}: {why}")
        complaints += [f"{mutant.name}: changes nothing" for file in texts if texts[file] == _text_of(file)]
    assert not complaints
    assert all(change.file.startswith("blockchain/") for mutant in ALL for change in mutant.changes)


def test_each_names_a_test() -> None:
    places = ((mutant.name, *mutant.caught_by.split("::")) for mutant in ALL)
    assert not [name for name, file, test in places if f"\ndef {test}(" not in _text_of(file)]


@cache
def _text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def test_names_tell_them_apart_and_say_what_they_cost() -> None:
    for register in REGISTERS.values():  # a defence switched off may well be a bug of the other register
        mutants = register.mutants
        assert len({mutant.name for mutant in mutants}) == len(mutants) == len({mutant.changes for mutant in mutants})
    assert all(re.fullmatch(r"[a-z0-9_]+", mutant.name) and mutant.why for mutant in ALL)
    assert len(REGISTERS["mutants"].mutants) >= MUTANTS_MIN


NAME = "tests/test_rule.py::test_equals"
FAILED = f"\nFAILED {NAME}[1] - assert\n"


@pytest.mark.parametrize(
    "demo, test, verdict",
    [
        (0, Done(1, FAILED), Verdict.CAUGHT),
        (None, Done(1, FAILED), Verdict.CAUGHT),
        (None, Done(0, ""), Verdict.SURVIVED),
        (0, Done(0, ""), Verdict.SURVIVED),
        (1, Done(1, FAILED), Verdict.SEEN_BY_DEMO),
        (0, Done(1, f"\nERROR {NAME} - a fixture\n"), Verdict.BROKEN),
        (0, Done(1, "Traceback (most recent call last):"), Verdict.BROKEN),  # pytest itself has ended
        (0, Done(2, f"\nERROR {NAME}\n"), Verdict.BROKEN),  # the module does not even load
        (0, Done(5, ""), Verdict.BROKEN),  # no such test
        (0, Done(None, ""), Verdict.BROKEN),
    ],
)
def test_only_a_test_that_fails_behind_a_demo_that_passes_has_caught_a_bug(
    demo: int | None, test: Done, verdict: Verdict
) -> None:
    assert judge(NAME, None if demo is None else Done(demo, ""), test) is verdict


SOURCE = "def larger(one: int, other: int) -> bool:\n    return one > other\n"
TEST = """from blockchain.rule import larger

def test_more() -> None:
    assert larger(2, 1) and not larger(1, 2)

def test_equals() -> None:
    assert not larger(1, 1)
"""


def _project(folder: Path) -> Path:
    """A tiny checkout with one rule and its tests."""
    project = folder / "project"
    (project / "blockchain").mkdir(parents=True)
    (project / "tests").mkdir()
    (project / "blockchain" / "rule.py").write_text(SOURCE)
    (project / "tests" / "test_rule.py").write_text(TEST)
    (project / ".git").mkdir()
    return project


def _mutant(test: str = "test_equals", old: str = "one > other") -> Mutant:
    change = Change("blockchain/rule.py", old, "one >= other")
    return Mutant("equals", "equals are no larger", f"tests/test_rule.py::{test}", (change,))


def test_a_bug_is_planted_in_a_copy_that_goes_away(tmp_path: Path) -> None:
    project = _project(tmp_path)
    pattern = make_pattern(project, tmp_path)
    assert list(pattern.glob("blockchain/__pycache__/rule.*.pyc"))
    with copy_with(_mutant(), pattern) as folder:
        assert (folder / "blockchain" / "rule.py").read_text() == SOURCE.replace("one > other", "one >= other")
        assert not list(folder.glob("blockchain/__pycache__/*.pyc"))  # else the old code would run
        assert not (folder / ".git").exists()
    assert not folder.exists()
    for place in (project, pattern):
        assert (place / "blockchain" / "rule.py").read_text() == SOURCE


@pytest.mark.parametrize("old", ["one < other", "other"])
def test_a_text_that_stands_there_another_number_of_times_is_not_planted(tmp_path: Path, old: str) -> None:
    pattern = make_pattern(_project(tmp_path), tmp_path)
    trial = Trial(pattern, Commands(), is_demo_run=False)
    assert trial.try_one(_mutant(old=old)).verdict is Verdict.BROKEN
    with pytest.raises(NotPlantable), copy_with(_mutant(old=old), pattern):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"project", "pattern"}


class _Said(Commands):
    """Runs nothing: says what the tiny checkout's demo and tests would, by the code that they would see."""

    def __init__(self, demo: int) -> None:
        super().__init__()
        self.demo = demo
        self.ran: list[str] = []

    def run(self, command: Sequence[str], folder: Path, seconds: float) -> Done:
        self.ran.append(command[-1] if "pytest" in command else " ".join(command[:4]))
        if "pytest" not in command:
            return Done(self.demo, "")
        is_planted = ">=" in (folder / "blockchain" / "rule.py").read_text()
        return Done(1, FAILED) if is_planted and command[-1] == NAME else Done(0, "")


DEMO = "-m blockchain demo --once"
RULE = "tests/test_rule.py::"


@pytest.mark.parametrize(
    "demo, test, verdict, ran",
    [
        (0, "test_equals", Verdict.CAUGHT, [DEMO, f"{RULE}test_equals"]),
        (0, "test_more", Verdict.SURVIVED, [DEMO, f"{RULE}test_more"]),
        (1, "test_equals", Verdict.SEEN_BY_DEMO, [DEMO]),
    ],
)
def test_the_demo_is_run_first_and_then_the_named_test(
    tmp_path: Path, demo: int, test: str, verdict: Verdict, ran: list[str]
) -> None:
    commands = _Said(demo)
    trial = Trial(make_pattern(_project(tmp_path), tmp_path), commands, is_demo_run=True)
    assert not trial.why_unsound([_mutant(test)])
    assert trial.try_one(_mutant(test)).verdict is verdict
    assert commands.ran == [f"{RULE}{test}", *ran]


def test_a_command_says_how_it_ended_and_is_ended_when_it_takes_too_long(tmp_path: Path) -> None:
    code = "import sys, tempfile; print(tempfile.gettempdir()); sys.exit(3)"
    assert Commands().run(["-c", code], tmp_path, 60.0) == Done(3, f"{tmp_path / '.tmp'}\n")
    assert Commands().run(["-c", "input(); import time; time.sleep(600)"], tmp_path, 60.0).code == 1  # nothing to read
    assert Commands().run(["-c", "import time; time.sleep(600)"], tmp_path, 0.01) == Done(None, "")


def test_whoever_asks_for_the_end_gets_it(tmp_path: Path) -> None:
    commands = Commands()
    commands.stop()
    with pytest.raises(Stopped):
        commands.run(["-c", "pass"], tmp_path, 60.0)
