"""Addresses that peers told of are given up where nobody answers, and leave room for others."""

from __future__ import annotations

import pytest

from blockchain.runtime.dialler import DialState
from blockchain.runtime.told_addresses import (
    ATTEMPTS_MAX,
    HOST_MAX,
    PROVED_ATTEMPTS_MAX,
    RANGE_MAX,
    REST_S,
    RESTING_MAX,
    TELLER_MAX,
    TOLD_MAX,
    ToldAddresses,
)
from blockchain.seams import PeerId

ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)


class Dialled:
    """A dialler that only takes notes."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    def dial(self, address: str, *, told_from: str) -> bool:
        self.addresses.append(address)
        return True

    def forget(self, address: str) -> None:
        self.addresses.remove(address)

    def dials(self) -> list[DialState]:
        return [DialState(address, "waiting", "", 0, None) for address in self.addresses]


class Bench:
    def __init__(self, *seeds: str) -> None:
        self.now = 0.0
        self.p2p = Dialled(*seeds)
        self.told = ToldAddresses(self.p2p, lambda: self.now)

    @property
    def dialled(self) -> list[str]:
        return self.p2p.addresses

    def tell(self, *addresses: str, teller: PeerId = ANN) -> None:
        for address in addresses:
            self.told.dial(address, teller)

    def fail(self, address: str, times: int = ATTEMPTS_MAX) -> None:
        for _ in range(times):
            self.told.on_failed(address)


def test_an_address_where_nobody_answers_is_given_up_and_left_alone_for_a_while() -> None:
    bench = Bench()
    bench.tell("nobody:1")
    bench.fail("nobody:1", ATTEMPTS_MAX - 1)
    assert bench.dialled == ["nobody:1"]
    bench.fail("nobody:1", 1)
    bench.tell("nobody:1", teller=BOB)
    assert bench.dialled == []
    bench.now += REST_S
    bench.tell("nobody:1")
    assert bench.dialled == ["nobody:1"]


def test_where_a_node_was_met_it_is_looked_for_much_longer() -> None:
    """It may be restarted, and its own first address be gone meanwhile: then nobody else would find it."""
    bench = Bench()
    bench.tell("somebody:1")
    bench.told.on_met("somebody:1")
    bench.fail("somebody:1", PROVED_ATTEMPTS_MAX - 1)
    assert bench.dialled == ["somebody:1"]
    bench.fail("somebody:1", 1)
    assert bench.dialled == []


def test_what_the_operator_named_is_never_given_up() -> None:
    bench = Bench("seed:1")
    bench.tell("seed:1")
    assert not bench.told.is_told("seed:1")
    bench.told.on_met("seed:1")
    bench.fail("seed:1", 3 * ATTEMPTS_MAX)
    assert bench.dialled == ["seed:1"]


def test_no_teller_takes_the_room_that_others_need() -> None:
    bench = Bench()
    bench.tell(*(f"lie{number}:1" for number in range(10 * TOLD_MAX)))
    assert len(bench.dialled) == TELLER_MAX < TOLD_MAX
    bench.tell("somebody:1", teller=BOB)
    assert bench.dialled[-1] == "somebody:1"
    bench.tell("somebody:2", "no address")
    assert bench.dialled[-1] == "somebody:1"
    bench.told.on_met("lie7:1")  # what turned out to be true makes room for more of the same teller
    bench.tell("somebody:2")
    assert bench.dialled[-1] == "somebody:2"


def test_all_together_take_only_so_much_room_and_drive_out_nobody_who_was_met() -> None:
    bench = Bench("seed:1")
    bench.tell("somebody:1")
    bench.told.on_met("somebody:1")
    for number in range(10):
        bench.tell(*(f"lie{number}-{n}:1" for n in range(TOLD_MAX)), teller=PeerId(bytes([number]) * 32))
    assert len(bench.dialled) == 1 + TOLD_MAX
    assert bench.dialled[:2] == ["seed:1", "somebody:1"]


@pytest.mark.parametrize("host", ["203.0.113.7", "[::ffff:203.0.113.7]", "victim.example.org", "[2a00::7]"])
def test_one_host_is_not_knocked_at_by_all(host: str) -> None:
    bench = Bench()
    for number in range(1, 100):
        bench.tell(f"{host}:{number}", teller=PeerId(bytes([number]) * 32))
    assert len(bench.dialled) == HOST_MAX


def test_one_host_is_one_host_however_it_is_written() -> None:
    bench = Bench()
    for number in range(HOST_MAX):
        bench.tell(f"victim.example.org:{number + 1}")
        bench.tell(f"203.0.113.7:{number + 1}")
        bench.tell(f"[2a00::{number + 1}]:1")  # one IPv6 host has a /64
    full = list(bench.dialled)
    bench.tell("Victim.EXAMPLE.org:99", "[::ffff:203.0.113.7]:99", "[2a00::ffff]:99")
    assert bench.dialled == full and len(full) == 3 * HOST_MAX


def test_many_nodes_on_this_machine_are_no_attack() -> None:
    bench = Bench()
    bench.tell(*(f"localhost:{number}" for number in range(1, 41)))
    assert len(bench.dialled) == 40


@pytest.mark.parametrize("form", ["5.9.{}.{}:1", "[2a00:1::{:x}{:02x}:0:0:0:1]:1"])
def test_one_range_of_addresses_does_not_take_all_the_room(form: str) -> None:
    bench = Bench()
    bench.tell(*(form.format(number // 250, number % 250) for number in range(500)))
    assert len(bench.dialled) == RANGE_MAX
    bench.tell("5.10.0.1:1")
    assert bench.dialled[-1] == "5.10.0.1:1"


def test_a_private_network_is_no_range() -> None:
    bench = Bench()
    bench.tell(*(f"10.0.0.{number}:1" for number in range(1, 2 + RANGE_MAX)))
    assert len(bench.dialled) == 1 + RANGE_MAX


def test_what_rests_is_bounded() -> None:
    bench = Bench()
    for number in range(RESTING_MAX + 5):
        bench.tell(f"host{number}:1")
        bench.fail(f"host{number}:1")
    assert len(bench.told._resting) == RESTING_MAX
