"""Every fuzz target, shortly and without the fuzzer: its samples are taken, and seeded mutants of them find nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.target import NAMES, target_of

MUTANTS: Final = 10


def test_each_module_is_a_target() -> None:
    found = {path.stem for path in (Path(__file__).parent / "targets").glob("*.py")}
    assert found == set(NAMES)


_SLOW: Final = frozenset({"query", "http"})  # they build an application first


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name for name in NAMES]
)
def test_nothing_is_found_at_once(name: str) -> None:
    target, rng = target_of(name), Random(7)
    samples = target.samples()
    assert any(list(map(target.run, samples))), "no sample is taken"
    assert all(len(sample) <= target.bytes_max for sample in samples)
    for _ in range(MUTANTS):
        raw = rng.choice(samples)
        target.run(rng.choice((target.mutate, mutate_bytes))(raw, rng)[: target.bytes_max])
