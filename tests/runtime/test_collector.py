"""The cycle collector of a node: it passes over what was there before, and still takes cycles away."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from blockchain.runtime.collector import YOUNG_MAX, rest_collector


@pytest.fixture
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("restored")
def test_what_was_there_before_is_looked_at_no_more() -> None:
    kept = Cycle()
    rest_collector()
    assert gc.get_freeze_count() > 0
    assert not any(one is kept for one in gc.get_objects())


@pytest.mark.usefixtures("restored")
def test_cycles_that_come_later_still_go() -> None:
    rest_collector()
    gone = ref(Cycle())
    assert gc.isenabled()
    many = [[number] for number in range(2 * YOUNG_MAX)]
    assert len(many) == 2 * YOUNG_MAX and gone() is None
