"""The registers: planted bugs by name, and, for each register, whether the demo must still pass with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.mutants import agreement, disk_and_wire, lottery, nodes, value
from tests.mutants.planted import Mutant


@dataclass(frozen=True, slots=True)
class Register:
    """`is_demo_run`: a bug counts only if the demo still passes with it, for then only a test can see it."""

    mutants: tuple[Mutant, ...]
    is_demo_run: bool


_PLANTED: Final = (*agreement.MUTANTS, *lottery.MUTANTS, *value.MUTANTS, *nodes.MUTANTS, *disk_and_wire.MUTANTS)

REGISTERS: Final = {
    "mutants": Register(_PLANTED, is_demo_run=True),
}
