"""Manifests are drawn, written and read the same, and none asks for what no chain can bear."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from blockchain.genesis import check_genesis
from tests.networks.build import keys_of, spec_of
from tests.networks.manifest import CUTS, KINDS, LONG_MS, TOPOLOGIES, Manifest, draw, from_json, peers_of, to_json

SEEDS: Final = range(100)
MANIFESTS: Final = [draw(seed) for seed in SEEDS]


def test_a_seed_always_draws_the_same_and_json_keeps_it() -> None:
    for seed in SEEDS:
        manifest = draw(seed)
        assert manifest == draw(seed)
        assert from_json(to_json(manifest)) == manifest
        assert to_json(from_json(to_json(manifest))) == to_json(manifest)


def test_seeds_differ_and_draw_every_kind() -> None:
    assert len({to_json(manifest) for manifest in MANIFESTS}) == len(SEEDS)
    blows = [blow for manifest in MANIFESTS for one in manifest.rounds for blow in one.blows]
    assert {manifest.topology for manifest in MANIFESTS} == set(TOPOLOGIES)
    assert {blow.kind for blow in blows} == set(KINDS)
    assert {blow.how for blow in blows if blow.kind == "cut"} == set(CUTS)
    assert {len(manifest.validators) for manifest in MANIFESTS} == {4, 5, 6, 7}
    assert {sum(not node.stake for node in manifest.nodes) for manifest in MANIFESTS} == {0, 1, 2}
    assert {sum(node.is_late for node in manifest.nodes) for manifest in MANIFESTS} == {0, 1, 2}


@pytest.mark.parametrize("manifest", MANIFESTS[:20], ids=lambda manifest: str(manifest.seed))
def test_a_manifest_asks_for_nothing_that_no_chain_can_bear(manifest: Manifest) -> None:
    check_genesis(spec_of(manifest, keys_of(manifest), 1_700_000_000_000))
    nodes = manifest.nodes
    assert 3 * sum(node.stake for node in nodes if node.is_late) < sum(node.stake for node in nodes)
    assert not nodes[0].is_late and [node.is_late for node in nodes] == sorted(node.is_late for node in nodes)
    assert [node.joins for node in nodes if node.is_late] == sorted(node.joins for node in nodes if node.is_late)
    for number, one in enumerate(manifest.rounds):
        struck = Counter(blow.node for blow in one.blows)
        assert struck and max(struck.values()) == 1
        assert all(nodes[node].joins < number for node in struck)
        assert sum(blow.kind == "cut" for blow in one.blows) <= 1
        assert one.lasts_ms == LONG_MS or not {blow.kind for blow in one.blows} & {"stop", "cut"}
        assert all(nodes[blow.node].has_signer for blow in one.blows if blow.kind == "signer")
    assert all(node.joins < len(manifest.rounds) for node in nodes)


def test_every_node_dials_one_before_it() -> None:
    """So it finds somebody whenever it starts, and all are one network."""
    for manifest in MANIFESTS:
        assert all(min(peers_of(manifest, node)) < node for node in range(1, len(manifest.nodes)))
