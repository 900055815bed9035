"""What runs in a process of its own, run here: a node that takes over a chain, the stages of it, nodes of some age."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.aged_node import block_seconds, start
from benchmarks.chains import MadeBlock, Shape, Stretch
from benchmarks.data import DataSet
from benchmarks.growth import _draw_seconds, _election_seconds, staked
from benchmarks.options import Options
from benchmarks.stages import play
from benchmarks.stopwatch import Stopwatch, Timed
from benchmarks.stores import store_folder
from benchmarks.sync import signed_in
from benchmarks.sync_node import Answer, Peers, Watched, sync

DATA = DataSet(Shape(5, (Stretch(1, 3), Stretch(4, 6))), stores=(1,), synced=(2, 5))


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(1, tmp_path, is_quick=True)


def synced(options: Options, blocks: list[MadeBlock]) -> tuple[Answer, int]:
    """What it took, and the head after it."""
    made = DATA.made(options)
    spec = made.spec()
    store = Watched.open(store_folder(options.data, made, 1), spec.hash)
    assert isinstance(store, Watched)
    try:
        answer = asyncio.run(sync(spec, store, Peers(spec.hash, blocks, 2), 5))
        return answer, store.head()
    finally:
        store.close()


def test_a_node_takes_over_the_chain(options: Options) -> None:
    answer, head = synced(options, list(DATA.made(options).blocks(2, 5)))
    assert head == 5 and answer.seconds > 0


def test_a_bad_signature_is_not_taken_over(options: Options) -> None:
    """The node bans its peer, which these peers do not know."""
    blocks = list(DATA.made(options).blocks(2, 5))
    signature = signed_in(DATA.made(options), 4, 4)[0].message[:64]
    assert signature in blocks[2].raw
    blocks[2] = MadeBlock(blocks[2].raw.replace(signature, signature[::-1]), blocks[2].certificate)
    with pytest.raises(AttributeError, match="bans"):
        synced(options, blocks)


def test_stages_are_of_every_transaction(options: Options) -> None:
    made = DATA.made(options)
    answer = play(made, store_folder(options.data, made, 1), 2, 5)
    assert answer.transactions == 24
    for stage in ("signatures", "apply", "state root", "certificates and VRF", "store: state", "rest"):
        assert answer.seconds[stage] > 0, stage


def test_aged_nodes_start_and_take_blocks(options: Options) -> None:
    made = DATA.made(options)
    folder = store_folder(options.data, made, 1)
    assert start(made.spec(), folder).seconds > 0
    assert len(block_seconds(made, made.spec(), folder, 2, 4)) == 3


@pytest.mark.parametrize("stake", [1, 10**12, 10**17])
def test_an_election_changes_the_set(stake: int) -> None:
    """The last is more than a chain can hold."""
    spec = staked(5, stake)
    assert _draw_seconds(spec) > 0 and _election_seconds(spec) > 0


class Toy:
    """Functions within functions."""

    def outer(self) -> str:
        return self.inner() + "!"

    def inner(self) -> str:
        return "done"


def test_an_inner_stage_takes_its_time_from_the_outer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 11.0, 14.0, 20.0, 100.0])
    monkeypatch.setattr("benchmarks.stopwatch.perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch.watching([Timed(Toy, "outer", "outer"), Timed(Toy, "inner", "inner")]), watch.stage("rest"):
        assert Toy().outer() == "done!"
    assert dict(watch.seconds) == {"inner": 3.0, "outer": 7.0, "rest": 90.0}
    assert Toy().outer() == "done!"  # nothing is timed any more: the clock has ended


def test_a_function_that_is_gone_is_noticed() -> None:
    with pytest.raises(AttributeError), Stopwatch().watching([Timed(Toy, "gone", "gone")]):
        pass
