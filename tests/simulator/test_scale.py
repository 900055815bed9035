"""Large networks: nodes find each other with few peers each; what docs/scale.md shows is what was measured."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.scale import key, kind_of, world_of
from benchmarks.scale_docs import BEGIN, END, PAGE, PLOT, RECORDS, newest, plot, table
from blockchain.node.messages import Have, Status, Votes, encode_frame
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Step
from blockchain.simulator.connections import Discovery
from blockchain.wallet import Wallet
from tests.samples import BLOCK_A, PREVOTE, vote

NODES = 12


def test_nodes_find_each_other_by_peer_exchange_and_keep_to_few_peers() -> None:
    world = world_of(NODES, 1)
    world.connections = Discovery(outbound=3)
    world.run_until(38_000)
    peers = [node.core.peers for node in world.nodes if node.core is not None]
    dialled = [sum(not peer.inbound for peer in known.values()) for known in peers]
    assert max(dialled) == 3 and sum(dialled) * 2 == sum(map(len, peers)) < NODES * (NODES - 1)
    assert sum(dialled) > 3 * NODES * 3 // 4, "nearly all have found as many as they want"
    assert dialled[0] > 0, "the first one knew of nobody, and was told"


def test_a_large_network_decides_and_one_that_left_comes_back() -> None:
    world = world_of(NODES, 2)
    world.run_until(38_000)
    world.crash(5)
    wallet = Wallet(key(0), world.spec.hash)
    world.submit(0, (wallet.transfer(Address(key(1).public_key), 1, 0),))
    world.run_until(43_000, lambda: sum(node.store.head() for node in world.nodes) == NODES - 1)
    gone = world.nodes[5].id
    assert not any(gone in node.core.peers for node in world.nodes if node.core is not None)
    world.start(5)
    assert world.run_until(53_000, lambda: world.nodes[5].store.head() == 1)
    assert world.messages["votes"] > 0 and world.bytes["votes"] > 100 * world.messages["votes"]


def test_the_type_of_a_frame_is_told_by_its_bytes() -> None:
    genesis = BLOCK_A
    said = vote(key(0), 1, PREVOTE, BLOCK_A, genesis_hash=genesis)
    for message, name in (
        (Votes((said,)), "votes"),
        (Have((BLOCK_A,)), "have"),
        (Status(1, 0, Step.PROPOSE, ()), "status"),
    ):
        assert kind_of(encode_frame(genesis, message)) == name


def test_the_page_shows_the_newest_figures() -> None:
    rows = newest(RECORDS.read_text(encoding="utf-8").splitlines())
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0] == table(rows)
    assert PLOT.read_text(encoding="utf-8") == plot(rows)
    circles = ElementTree.fromstring(plot(rows)).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 3 * len(rows) >= 9
