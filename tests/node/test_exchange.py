"""Peer exchange: only what this node has met is told of, and only as far as it can be reached."""

from __future__ import annotations

import pytest

from blockchain.node.exchange import MET_MAX, Exchange
from blockchain.node.messages import ADDRESSES_MAX
from blockchain.node.peers import Peer
from blockchain.node.reach import Reach, is_exchanged, reach_of_host, source_of
from blockchain.primitives.host_port import is_host_port
from blockchain.seams import Dial, PeerId

WORLD, NETWORK, MACHINE = "203.0.113.9", "172.18.0.3", "127.0.0.1"
PUBLIC, PRIVATE, LOOPBACK = "5.9.0.1:1", "10.0.0.1:1", "localhost:1"

REACHES = {
    Reach.MACHINE: "localhost a.localhost 127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 0.0.0.0 :: 224.0.0.1 127.1 0x7f.1 "
    "0x7f000001 2130706433 localhost.",
    Reach.NETWORK: "10.1.2.3 192.168.0.1 172.18.0.2 169.254.1.1 100.64.0.1 fd00::1 fe80::1 node-1 printer.local "
    "db.internal nas.home.arpa ::ffff:10.0.0.1 255.255.255.255",
    Reach.WORLD: "5.9.0.1 2a00::1 example.org node-1.example.org ::ffff:5.9.0.1 127.example.org Example.ORG.",
}


@pytest.mark.parametrize(("host", "reach"), [(host, reach) for reach in REACHES for host in REACHES[reach].split()])
def test_how_far_a_host_is_seen_by_its_name(host: str, reach: Reach) -> None:
    assert reach_of_host(host) is reach


@pytest.mark.parametrize(
    ("remote", "exchanged"),
    [
        (MACHINE, {PUBLIC, PRIVATE, LOOPBACK}),
        ("::1", {PUBLIC, PRIVATE, LOOPBACK}),
        (NETWORK, {PUBLIC, PRIVATE}),
        ("fe80::1%eth0", {PUBLIC, PRIVATE}),
        ("5.9.0.77", {PUBLIC}),
        ("", {PUBLIC}),
    ],
)
def test_what_is_near_is_not_exchanged_with_who_is_far(remote: str, exchanged: set[str]) -> None:
    addresses = {PUBLIC, PRIVATE, LOOPBACK}
    assert all(is_host_port(address) for address in addresses)
    assert {address for address in addresses if is_exchanged(address, remote)} == exchanged
    assert not is_exchanged("no address", remote)


class Bench:
    def __init__(self) -> None:
        self.exchange = Exchange()
        self.peers: dict[PeerId, Peer] = {}

    def join(self, number: int, remote: str = MACHINE, says: str = "", *, inbound: bool = True) -> Peer:
        peer = Peer(PeerId(number.to_bytes(32, "big")), says, inbound=inbound, remote=remote)
        self.peers[peer.id] = peer
        return peer

    def answer(self, asking: Peer) -> tuple[str, ...]:
        return self.exchange.answer(asking, self.peers).addresses

    def tried(self, teller: Peer, *addresses: str) -> list[str]:
        effects = self.exchange.try_told(teller, addresses, self.peers)
        assert all(isinstance(effect, Dial) and effect.teller == teller.id for effect in effects)
        return [address for effect in effects if isinstance(effect, Dial) for address in effect.addresses]


def test_only_where_this_node_met_somebody_itself_is_told_of() -> None:
    bench = Bench()
    asking, other = bench.join(1, says="localhost:1"), bench.join(2, says="localhost:2")
    assert bench.answer(asking) == ()
    bench.exchange.on_met(other.id, "localhost:2")
    bench.exchange.on_met(other.id, "localhost:22")
    bench.exchange.on_met(asking.id, "localhost:1")
    bench.exchange.on_met(PeerId(b"\xff" * 32), "localhost:3")
    bench.exchange.on_met(bench.join(3).id, "localhost:33")
    assert bench.answer(asking) == ("localhost:2",), "not who asks, who is gone, or what its node does not advertise"


def test_a_peer_that_connects_again_was_met_already() -> None:
    bench = Bench()
    asking, other = bench.join(1), bench.join(2, says="localhost:2")
    bench.exchange.on_met(other.id, "localhost:2")
    del bench.peers[other.id]
    assert bench.answer(asking) == ()
    bench.join(2, says="localhost:2")
    assert bench.answer(asking) == ("localhost:2",)


def test_what_only_neighbours_can_reach_is_not_told_to_strangers() -> None:
    bench = Bench()
    for number, address in enumerate((PUBLIC, PRIVATE, LOOPBACK)):
        bench.exchange.on_met(bench.join(number, says=address).id, address)
    assert bench.answer(bench.join(8, "5.9.0.77")) == (PUBLIC,)
    assert bench.answer(bench.join(9, NETWORK)) == (PUBLIC, PRIVATE)


def test_nobody_outside_makes_a_node_dial_into_its_own_network() -> None:
    bench = Bench()
    stranger = bench.join(1, "5.9.0.77", says="10.0.0.1:22")
    assert bench.tried(stranger, PUBLIC, PRIVATE, LOOPBACK, "127.1:22", "[::ffff:127.0.0.1]:22", "router:80") == [
        PUBLIC
    ]
    assert bench.exchange.try_own(stranger) == []


def test_a_peer_is_tried_where_it_says_that_it_listens() -> None:
    bench = Bench()
    peer = bench.join(1, says="localhost:9")
    assert bench.exchange.try_own(peer) == [Dial(("localhost:9",), peer.id)]
    assert bench.exchange.try_own(bench.join(2)) == [], "it says nothing"
    bench.exchange.on_met(peer.id, "localhost:9")
    assert bench.exchange.try_own(peer) == [], "it was met there"


def test_where_a_connected_peer_was_met_is_not_tried_again() -> None:
    bench = Bench()
    teller = bench.join(1)
    bench.exchange.on_met(bench.join(2).id, "localhost:2")
    assert bench.tried(teller, "localhost:2", "localhost:3", "localhost:3") == ["localhost:3"]


def test_what_is_remembered_and_told_is_bounded() -> None:
    bench = Bench()
    asking = bench.join(0)
    for number in range(1, MET_MAX + 50):
        bench.exchange.on_met(bench.join(number, says=f"localhost:{number}").id, f"localhost:{number}")
    assert len(bench.exchange._met) == MET_MAX and len(bench.answer(asking)) == ADDRESSES_MAX


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_whose_connection_it_is(host: str, source: str) -> None:
    assert source_of(host) == source
