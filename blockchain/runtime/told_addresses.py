"""Addresses that peers told of: dialled, and given up where nobody answers (docs/protocol.md §8.3).

Anybody can tell of addresses where nobody is, or somebody who has nothing to do with it. They must neither take the
room that others' addresses need, nor make this node knock there for ever, nor make many nodes knock at one door. So
there are bounds: of all, of one teller, of one host and of one range of addresses; and one that was given up is left
alone for a while. What the operator named is never given up; it does not come here.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from blockchain.node.reach import Reach, host_of, ip_of, reach_of_host
from blockchain.primitives.host_port import is_host_port, parse_host_port
from blockchain.runtime.dialler import DialState
from blockchain.seams import PeerId

ATTEMPTS_MAX: Final = 5  # in a row where nobody was ever met; with the dialler's backoff over some seconds
PROVED_ATTEMPTS_MAX: Final = 20_000  # where a node of this chain was met: about a day; it may wait to be found
TOLD_MAX: Final = 128  # half of what the dialler takes: the rest is the operator's
TELLER_MAX: Final = 64  # of one teller's, where nobody was met yet: an answer's worth, half of the room
HOST_MAX: Final = 8  # ports of one host, but for this machine's own
RANGE_MAX: Final = 32  # of one range of public addresses: IPv4 /16, IPv6 /32, about what one owner gets cheaply
REST_S: Final = 300.0  # for which an address that was given up is not tried again
RESTING_MAX: Final = 1_000  # the one given up first is forgotten first


class Dials(Protocol):
    """What this needs of `P2P`."""

    def dial(self, address: str, *, told_from: str) -> bool: ...

    def forget(self, address: str) -> None: ...

    def dials(self) -> list[DialState]: ...


@dataclass(slots=True)
class _Told:
    """One address that is dialled because a peer told of it."""

    teller: PeerId
    host: str  # as `host_of`
    range: str  # as `_range_of`
    attempts_left: int = ATTEMPTS_MAX
    is_proved: bool = False


class ToldAddresses:
    """At most TOLD_MAX are dialled; more are not taken until some are given up. `clock` gives monotonic seconds."""

    def __init__(self, p2p: Dials, clock: Callable[[], float] = time.monotonic) -> None:
        self._p2p = p2p
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._resting: dict[str, float] = {}  # until when, of those that were given up

    def dial(self, address: str, teller: PeerId, remote: str = "") -> None:
        """Dial an address, unless that is done already, it rests, or there is no room for one like it.

        `remote` is the IP address that the teller is connected from.
        """
        if address in self._told or not is_host_port(address) or self._rests(address):
            return
        if any(known.address == address for known in self._p2p.dials()):
            return
        host = parse_host_port(address).host
        told = _Told(teller, host_of(host), _range_of(host))
        if self._has_room(told) and self._p2p.dial(address, told_from=remote):
            self._told[address] = told

    def is_told(self, address: str) -> bool:
        """Whether it is dialled because a peer told of it, and not because the operator did."""
        return address in self._told

    def on_failed(self, address: str) -> None:
        """Nobody of this chain answered there; the operator's own addresses are no matter of this."""
        told = self._told.get(address)
        if told is None:
            return
        told.attempts_left -= 1
        if told.attempts_left == 0:
            del self._told[address]
            self._p2p.forget(address)
            self._let_rest(address)

    def on_met(self, address: str) -> None:
        """A node of this chain is there."""
        told = self._told.get(address)
        if told is not None:
            told.is_proved = True
            told.attempts_left = PROVED_ATTEMPTS_MAX

    def _has_room(self, new: _Told) -> bool:
        others = self._told.values()
        of_teller = sum(told.teller == new.teller and not told.is_proved for told in others)
        of_host = sum(told.host == new.host for told in others)
        of_range = sum(told.range == new.range for told in others)
        return (
            len(self._told) < TOLD_MAX
            and of_teller < TELLER_MAX
            and (of_host < HOST_MAX or reach_of_host(new.host) is Reach.MACHINE)
            and (of_range < RANGE_MAX or not new.range)
        )

    def _rests(self, address: str) -> bool:
        return self._resting.get(address, 0.0) > self._clock()

    def _let_rest(self, address: str) -> None:
        self._resting.pop(address, None)
        self._resting[address] = self._clock() + REST_S
        while len(self._resting) > RESTING_MAX:
            del self._resting[next(iter(self._resting))]


def _range_of(host: str) -> str:
    """The range that a public IP address is in; empty for names and private ones."""
    ip = ip_of(host)
    if ip is None or not ip.is_global:
        return ""
    return str(ipaddress.ip_network((ip, 16 if ip.version == 4 else 32), strict=False))
