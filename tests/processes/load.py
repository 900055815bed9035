"""Clients that hand in transactions while nodes come and go, and remember what was acknowledged.

Each client is a person with one account and one node. It sends a batch, and where no answer comes it sends the same
batch again until one does: a node that has it already says so. What got a 202 is acknowledged: none of it may be lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from blockchain.client import Client, RequestRefused, Submission
from blockchain.errors import NodeUnreachable
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.wallet import Wallet
from tests.processes.network import Network

BATCH: Final = 4
PAUSE_SECONDS: Final = 0.2  # between batches: some twenty transactions a second of each client
TOO_FAR_AHEAD: Final = "nonce_gap"
_REQUEST_SECONDS: Final = 3.0
_JOIN_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Pace:
    """Of one client."""

    batch: int = BATCH
    pause_s: float = PAUSE_SECONDS
    fee: int = 0


class Sender(threading.Thread):
    """Sends until it is told to stop; what it says is read after it has ended, or as a moment's picture before."""

    def __init__(self, url: str, wallet: Wallet, recipient: Address, stopped: threading.Event, pace: Pace) -> None:
        super().__init__(name=f"sender to {url}", daemon=True)
        self._pace = pace
        self._url = url
        self._wallet = wallet
        self._recipient = recipient
        self._stopped = stopped
        self._nonce = 0
        self.acknowledged: list[str] = []
        self.refused: list[str] = []

    def run(self) -> None:
        with Client(self._url, _REQUEST_SECONDS) as node:
            while not self._stopped.is_set():
                self._hand_in(node, self._next_batch())
                self._stopped.wait(self._pace.pause_s)

    def _next_batch(self) -> list[VerifiedTransaction]:
        nonces = range(self._nonce, self._nonce + self._pace.batch)
        self._nonce += self._pace.batch
        return [self._wallet.transfer(self._recipient, 1, nonce, self._pace.fee) for nonce in nonces]

    def _hand_in(self, node: Client, batch: list[VerifiedTransaction]) -> None:
        while not self._stopped.is_set():
            try:
                results = node.submit_each(batch)
                self._note([one for one in results if one.code != TOO_FAR_AHEAD])
                if all(one.code != TOO_FAR_AHEAD for one in results):
                    return
                self._stopped.wait(PAUSE_SECONDS)  # the chain stands still, and holds all that it takes of one account
            except NodeUnreachable:
                self._stopped.wait(PAUSE_SECONDS)  # it is down, or was killed before it answered
            except RequestRefused as error:
                if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    self.refused.append(f"{error.status} {error.code}: {error.why}")
                    return
                self._stopped.wait(PAUSE_SECONDS)  # it is full, or stopping, and asks for another try

    def _note(self, results: list[Submission]) -> None:
        for result in results:
            if result.is_accepted and result.id is not None:
                self.acknowledged.append(result.id)
            else:
                self.refused.append(f"{result.code}: {result.why}")


class Load:
    """All senders of a network."""

    def __init__(self, senders: list[Sender], stopped: threading.Event) -> None:
        self._senders = senders
        self._stopped = stopped

    @property
    def acknowledged(self) -> set[str]:
        return {one for sender in self._senders for one in list(sender.acknowledged)}

    @property
    def refused(self) -> list[str]:
        return [one for sender in self._senders for one in list(sender.refused)]

    def stop(self) -> None:
        self._stopped.set()
        for sender in self._senders:
            sender.join(_JOIN_SECONDS)
            assert not sender.is_alive(), f"{sender.name} does not end"


@contextmanager
def load(net: Network, pace: Pace = Pace()) -> Iterator[Load]:
    """A client at every node that has an account, until the end of the block or until `stop`."""
    stopped = threading.Event()
    recipients = [*net.wallets[1:], net.wallets[0]]
    senders = [
        Sender(node.client.url, wallet, recipient.address, stopped, pace)
        for node, wallet, recipient in zip(net.nodes, net.wallets, recipients, strict=False)
    ]
    running = Load(senders, stopped)
    for sender in senders:
        sender.start()
    try:
        yield running
    finally:
        running.stop()
