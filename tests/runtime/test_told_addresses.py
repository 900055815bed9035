"""Addresses that peers told of are given up where nobody answers, and leave room for others."""

from __future__ import annotations

from blockchain.runtime.dialler import DialState
from blockchain.runtime.told_addresses import ATTEMPTS_MAX, PROVED_ATTEMPTS_MAX, TOLD_MAX, ToldAddresses


class Dialled:
    """A dialler that only takes notes."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    def dial(self, address: str) -> bool:
        self.addresses.append(address)
        return True

    def forget(self, address: str) -> None:
        self.addresses.remove(address)

    def dials(self) -> list[DialState]:
        return [DialState(address, "waiting", "", 0, None) for address in self.addresses]


def test_an_address_where_nobody_answers_is_given_up_and_may_be_told_of_again() -> None:
    p2p = Dialled()
    told = ToldAddresses(p2p)
    for _ in range(2):
        told.dial("nobody:1")
        for _ in range(ATTEMPTS_MAX - 1):
            told.on_failed("nobody:1")
            assert p2p.addresses == ["nobody:1"]
        told.on_failed("nobody:1")
        assert p2p.addresses == []


def test_where_a_node_was_met_it_is_looked_for_much_longer() -> None:
    """It may be restarted, and its own first address be gone meanwhile: then nobody else would find it."""
    p2p = Dialled()
    told = ToldAddresses(p2p)
    told.dial("somebody:1")
    told.on_connected("somebody:1")
    for _ in range(PROVED_ATTEMPTS_MAX - 1):
        told.on_failed("somebody:1")
    assert p2p.addresses == ["somebody:1"]
    told.on_failed("somebody:1")
    assert p2p.addresses == []


def test_what_the_operator_named_is_never_given_up() -> None:
    p2p = Dialled("seed:1")
    told = ToldAddresses(p2p)
    told.dial("seed:1")
    told.on_connected("seed:1")
    for _ in range(3 * ATTEMPTS_MAX):
        told.on_failed("seed:1")
    assert p2p.addresses == ["seed:1"]


def test_a_liar_cannot_take_all_the_room() -> None:
    p2p = Dialled()
    told = ToldAddresses(p2p)
    for number in range(1, 10 * TOLD_MAX):
        told.dial(f"10.0.0.1:{number}")
    assert len(p2p.addresses) == TOLD_MAX
    told.dial("no address")
    for _ in range(ATTEMPTS_MAX):
        told.on_failed("10.0.0.1:1")
    told.dial("no address")
    told.dial("somebody:1")
    assert p2p.addresses[-1] == "somebody:1"
