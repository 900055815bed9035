"""Addresses that peers told of: dialled, and given up where nobody answers (docs/protocol.md §8.3).

Anybody can tell of addresses where nobody is. They must neither take all the room that the dialler has nor make this
node knock there for ever. An address that was given up may be told of again, and is dialled again then. What the
operator named is never given up; it does not come here.
"""

from __future__ import annotations

from typing import Final, Protocol

from blockchain.primitives.host_port import is_host_port
from blockchain.runtime.dialler import DialState

ATTEMPTS_MAX: Final = 5  # in a row where nobody was ever met; with the dialler's backoff over some seconds
PROVED_ATTEMPTS_MAX: Final = 20_000  # where a node of this chain was met: about a day; it may wait to be found
TOLD_MAX: Final = 128  # half of what the dialler takes: the rest is the operator's


class Dials(Protocol):
    """What this needs of `P2P`."""

    def dial(self, address: str) -> bool: ...

    def forget(self, address: str) -> None: ...

    def dials(self) -> list[DialState]: ...


class ToldAddresses:
    """At most TOLD_MAX are dialled; more are not taken until some are given up."""

    def __init__(self, p2p: Dials) -> None:
        self._p2p = p2p
        self._attempts: dict[str, int] = {}  # that are left, of each address that is dialled because a peer told of it

    def dial(self, address: str) -> None:
        """Dial an address, unless that is done already or there is no room."""
        if address in self._attempts or len(self._attempts) >= TOLD_MAX or not is_host_port(address):
            return
        if any(known.address == address for known in self._p2p.dials()):
            return
        if self._p2p.dial(address):
            self._attempts[address] = ATTEMPTS_MAX

    def on_failed(self, address: str) -> None:
        """Nobody answered there; the operator's own addresses are no matter of this."""
        if address not in self._attempts:
            return
        self._attempts[address] -= 1
        if self._attempts[address] == 0:
            del self._attempts[address]
            self._p2p.forget(address)

    def on_connected(self, address: str) -> None:
        if address in self._attempts:
            self._attempts[address] = PROVED_ATTEMPTS_MAX
