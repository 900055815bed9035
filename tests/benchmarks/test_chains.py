"""Made chains: good by the production rules, the same each time, whole or not there; and stores of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import chains, stores
from benchmarks import data as data_module
from benchmarks.actors import VALIDATORS
from benchmarks.chains import MadeBlock, Maker, Shape, Stretch, made_chain, make_chain
from benchmarks.data import DataSet, quiet
from benchmarks.options import Options
from benchmarks.stores import certificate_of, copy_of, forget_others, make_stores, store_folder
from blockchain.consensus.pos import ProofOfStake
from blockchain.node.chain import Chain
from blockchain.node.store import MemoryStore
from blockchain.node.verify import VerifyContext, verify_block
from blockchain.primitives.validators import verify_certificate
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Write

SHAPE = Shape(3, (Stretch(2, 4, is_opening=True), Stretch(2, 5)))


def test_every_block_passes_every_check_of_a_node(tmp_path: Path) -> None:
    made = make_chain(tmp_path, SHAPE, quiet)
    spec = made.spec()
    store = MemoryStore()
    chain = Chain(spec, ProofOfStake(spec.hash), store)
    context = VerifyContext(spec.hash, 1, {}, lambda _: None)
    sizes = []
    for raw, certificate in made.blocks(1, SHAPE.height):
        block, seal = verify_block(raw, context), certificate_of(certificate)
        assert len(seal.precommits) == 4
        verify_certificate(seal, chain.validators, spec.hash)
        for effect in chain.import_block(block, seal, block.header.time_ms):
            if isinstance(effect, Write):
                store.write(effect.batch)
        sizes.append(len(block.transactions))
    assert sizes == [4, 4, 5, 5] and chain.head.height == SHAPE.height
    assert len(list(chain.state().items(b"a"))) == SHAPE.accounts + VALIDATORS == 11 + 4  # rewards


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (make_chain(tmp_path / name, SHAPE, quiet) for name in ("one", "other"))
    assert list(one.blocks(1, 4)) == list(other.blocks(1, 4)) and one.spec() == other.spec()
    assert list(one.blocks(2, 3)) == list(one.blocks(1, 4))[1:3]


def test_a_maker_that_is_stopped_leaves_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker.next

    def stopped(maker: Maker, transfers: int, *, is_opening: bool) -> MadeBlock:
        if transfers == 5:
            raise KeyboardInterrupt
        return make(maker, transfers, is_opening=is_opening)

    monkeypatch.setattr(chains.Maker, "next", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_chain(tmp_path, SHAPE, quiet)
    assert made_chain(tmp_path, SHAPE) is None
    monkeypatch.undo()
    assert len(list(make_chain(tmp_path, SHAPE, quiet).blocks(1, 4))) == 4


def test_a_store_is_made_once_for_one_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_chain(tmp_path, SHAPE, quiet)
    make_stores(tmp_path, made, (3, 1), quiet)
    for height in (1, 3):
        with copy_of(store_folder(tmp_path, made, height), tmp_path) as folder:
            store = SqliteStore.open(folder, made.spec().hash)
            assert store.head() == height
            store.close()
        assert not folder.exists()
    told: list[str] = []
    make_stores(tmp_path, made, (1, 3), told.append)
    assert told == []
    before = store_folder(tmp_path, made, 1)
    monkeypatch.setattr(stores, "code_key", lambda: "other")
    make_stores(tmp_path, made, (1,), told.append)
    assert store_folder(tmp_path, made, 1).exists() and told
    forget_others(tmp_path)
    assert store_folder(tmp_path, made, 1).exists() and not before.exists()


def test_sets_are_made_those_that_take_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {name: Shape(8, (Stretch(2, transfers),)) for name, transfers in (("large", 2), ("small", 1))}
    monkeypatch.setattr(data_module, "SETS", {name: DataSet(shapes[name], (1,), (2, 2)) for name in shapes})
    monkeypatch.setattr(data_module, "OF_BENCHMARK", {"sync": ("small", "large")})
    assert data_module.chosen("sync,small") == data_module.chosen("") == ["large", "small"]
    assert data_module.chosen("small,finality") == ["small"] and data_module.chosen("finality") == []


def test_data_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    data = DataSet(SHAPE, stores=(2,), synced=(3, 4))
    with pytest.raises(SystemExit, match="make bench-data"):
        data.made(Options(data=tmp_path))
    assert data.made(Options(data=tmp_path, is_quick=True)) == data.made(Options(data=tmp_path))


def test_a_chain_of_other_rules_is_refused_in_words(tmp_path: Path) -> None:
    data = DataSet(SHAPE, stores=(2,), synced=(3, 4))
    blocks = make_chain(tmp_path, SHAPE, quiet).folder / chains.BLOCKS_FILE
    raw = blocks.read_bytes()
    blocks.write_bytes(raw[:5] + b"\xff" + raw[6:])
    with pytest.raises(SystemExit, match="was made by other rules"):
        data.make(tmp_path, quiet)
