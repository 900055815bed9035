"""The register of attacks and its negative controls say the same, and name code and tests that are there.

Whether a control really makes its test fail is what `make controls` finds out; here its record is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.planted import Mutant
from tests.mutants.register import REGISTERS

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = ROOT / "docs" / "security.md"
RECORD: Final = ROOT / "tests" / "records" / "controls.jsonl"
ATTACKS_MIN: Final = 34
_ENTRY: Final = re.compile(
    r"- \*\*`(?P<name>\w+)`\*\* (?P<attack>.+?) \*Defence:\* (?P<defence>.+?) "
    r"\*Place:\* \[(?P<file>[^\]]+)\]\(\.\./(?P=file)\) `(?P<place>[\w.]+)`\. "
    r"\*Test:\* \[(?P<test_file>[^\]]+)\]\(\.\./(?P=test_file)\) `(?P<test>\w+)`\. \*Control:\* (?P<control>.+?)\.$"
)
_DEFINED: Final = re.compile(r"^(    )?(?:async )?(def|class) (\w+)", re.MULTILINE)


class Attack(NamedTuple):
    """One entry of the register, each field as it stands there."""

    name: str
    attack: str
    defence: str
    file: str
    place: str
    test_file: str
    test: str
    control: str


def attacks_in(text: str) -> list[Attack]:
    """The entries of the register. Raises AssertionError for one that is not written like the others."""
    register = text.partition("\n## The register\n")[2].partition("\n## ")[0]
    blocks = re.split(r"\n(?=- |#|\n)", register)
    entries = [" ".join(block.split()) for block in blocks if block.startswith("- ")]
    found = [_ENTRY.match(entry) for entry in entries]
    assert None not in found, [entry[:60] for entry, match in zip(entries, found, strict=True) if match is None]
    return [Attack(**match.groupdict()) for match in found if match is not None]


def differences(attacks: Sequence[Attack], controls: Sequence[Mutant]) -> Iterator[str]:
    """Where the document and the data do not say the same."""
    known = {control.name: control for control in controls}
    yield from (f"{attack.name}: no control" for attack in attacks if attack.name not in known)
    yield from (f"{name}: not in the document" for name in known.keys() - {attack.name for attack in attacks})
    for attack in attacks:
        control = known.get(attack.name)
        if control is None:
            continue
        if control.caught_by != f"{attack.test_file}::{attack.test}":
            yield f"{attack.name}: another test than {control.caught_by}"
        if attack.file not in {change.file for change in control.changes}:
            yield f"{attack.name}: its control changes another file than {attack.file}"
        if attack.control != control.why:
            yield f"{attack.name}: its control is {control.why!r}"


def missing(attack: Attack) -> Iterator[str]:
    """What the entry names and is not there."""
    if attack.place not in _names_in(attack.file):
        yield f"{attack.name}: no {attack.place} in {attack.file}"
    if attack.test not in _names_in(attack.test_file):
        yield f"{attack.name}: no {attack.test} in {attack.test_file}"


@cache
def _names_in(file: str) -> frozenset[str]:
    """The functions, classes and methods of a file, these with the name of their class; none where there is no file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    names, inside = set(), ""
    for indent, form, name in _DEFINED.findall(path.read_text(encoding="utf-8")):
        names.add(f"{inside}.{name}" if indent else name)
        if not indent:
            inside = name if form == "class" else ""
    return frozenset(names)


@cache
def _attacks() -> list[Attack]:
    return attacks_in(DOCUMENT.read_text(encoding="utf-8"))


def test_every_attack_has_its_control_and_the_reverse() -> None:
    attacks = _attacks()
    assert len({attack.name for attack in attacks}) == len(attacks) >= ATTACKS_MIN
    assert not list(differences(attacks, REGISTERS["controls"].mutants))
    assert not REGISTERS["controls"].is_demo_run, "a control may break all that there is"


def test_every_control_was_seen_to_make_its_test_fail() -> None:
    """One that nobody has run shows nothing: `make controls ONLY=name` leaves a line in the record."""
    lines = RECORD.read_text(encoding="utf-8").splitlines()
    seen = {name for line in lines for name in json.loads(line)["caught"]}
    assert not {control.name for control in REGISTERS["controls"].mutants} - seen


def test_the_code_and_the_tests_that_it_names_are_there() -> None:
    assert not [fault for attack in _attacks() for fault in missing(attack)]


def test_the_advisories_lead_to_attacks_of_the_register() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("\n## What published advisories taught\n")[2]
    last = [row.rsplit("|", 2)[1] for row in table.partition("\n## ")[0].splitlines() if row.startswith("| ")]
    named = {
        name for cell in last for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell) if not name.startswith("test_")
    }
    assert len(named) > 10 and named <= {attack.name for attack in _attacks()}


SOUND: Final = """
## The register

### History

- **`long_range`** Old keys sign
  another chain. *Defence:* One follows.
  *Place:* [blockchain/node/trust.py](../blockchain/node/trust.py) `Trust.on_started`. *Test:*
  [tests/node/test_trust.py](../tests/node/test_trust.py) `test_a_demo_is_trusted_however_old_it_is`. *Control:* none
  is too old.

## What else
- no entry
"""


def test_an_entry_that_is_wrong_is_seen() -> None:
    [attack] = attacks_in(SOUND)
    assert attack.attack == "Old keys sign another chain." and attack.control == "none is too old"
    assert not list(missing(attack))
    assert list(missing(attack._replace(place="Trust.on_nothing"))) and list(missing(attack._replace(test_file="x.py")))
    [control] = [one for one in REGISTERS["controls"].mutants if one.name == "long_range"]
    fits = attack._replace(control=control.why, test=control.caught_by.partition("::")[2])
    assert not list(differences([fits], [control]))
    for wrong in (
        attack,
        fits._replace(file="blockchain/cli.py"),
        fits._replace(test="test_other"),
        fits._replace(name="x"),
    ):
        assert list(differences([wrong], [control]))
    assert list(differences([], [control]))
