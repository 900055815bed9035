"""The registers: planted bugs, and defences switched off, by name.

For each register, whether the demo must still pass with what is planted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.mutants import (
    agreement,
    controls_api,
    controls_bytes,
    controls_chain,
    controls_keys,
    controls_peers,
    disk_and_wire,
    finality,
    lottery,
    nodes,
    outlines,
    passing_on,
    value,
)
from tests.mutants.planted import Mutant


@dataclass(frozen=True, slots=True)
class Register:
    """`is_demo_run`: a bug counts only if the demo still passes with it, for then only a test can see it."""

    mutants: tuple[Mutant, ...]
    is_demo_run: bool


_PLANTED: Final = (
    *agreement.MUTANTS,
    *lottery.MUTANTS,
    *value.MUTANTS,
    *nodes.MUTANTS,
    *outlines.MUTANTS,
    *passing_on.MUTANTS,
    *finality.MUTANTS,
    *disk_and_wire.MUTANTS,
)
_CONTROLS: Final = (
    *controls_chain.CONTROLS,
    *controls_bytes.CONTROLS,
    *controls_peers.CONTROLS,
    *controls_keys.CONTROLS,
    *controls_api.CONTROLS,
)

REGISTERS: Final = {
    "mutants": Register(_PLANTED, is_demo_run=True),
    "controls": Register(_CONTROLS, is_demo_run=False),
}
