"""Bugs in the rules of agreement."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

MUTANTS: Final = (
    Mutant(
        "two_thirds_are_a_quorum",
        "two thirds and a third of hostile stake between them make two quorums that share no honest validator",
        "tests/primitives/test_validators.py::test_exactly_two_thirds_are_not_enough",
        (
            Change(
                "blockchain/primitives/validators.py",
                "return 3 * stake > 2 * self.total",
                "return 3 * stake >= 2 * self.total",
            ),
        ),
    ),
)
