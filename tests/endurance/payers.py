"""Clients that hand in transactions at a pace that is set, to all nodes alike, and count what was acknowledged.

A batch that a node does not answer, or has no room for, is handed in again: nothing is skipped, so each account's
nonce says at the end how many of its transactions became final.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from blockchain.client import Client, RequestRefused
from blockchain.errors import NodeUnreachable
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.wallet import Wallet
from tests.processes.network import Network

PERIOD_SECONDS: Final = 0.5  # between the batches of one client
BATCH_MAX: Final = 500  # half of what one account may have in a pool
_REQUEST_SECONDS: Final = 20.0
_JOIN_SECONDS: Final = 40.0


class Pace:
    """What all clients together hand in. Set by one thread, read by the clients'."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self.rate = 0.0  # transactions a second

    def batch(self, seconds: float) -> int:
        return min(round(self.rate * seconds / self._clients), BATCH_MAX)


class Payer(threading.Thread):
    """One account, at one node."""

    def __init__(self, url: str, wallet: Wallet, pace: Pace, ended: threading.Event) -> None:
        super().__init__(name=f"payer at {url}", daemon=True)
        self._url = url
        self._wallet = wallet
        self._pace = pace
        self._ended = ended
        self.acknowledged = 0  # which is the next nonce
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        due = time.monotonic()
        with Client(self._url, _REQUEST_SECONDS) as node:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                self._hand_in(node, self._made(self._pace.batch(PERIOD_SECONDS)))
                due = max(due + PERIOD_SECONDS, time.monotonic() - PERIOD_SECONDS)  # what was missed is not made up for

    def _made(self, count: int) -> list[VerifiedTransaction]:
        nonces = range(self.acknowledged, self.acknowledged + count)
        return [self._wallet.transfer(self._wallet.address, 1, nonce) for nonce in nonces]

    def _hand_in(self, node: Client, batch: list[VerifiedTransaction]) -> None:
        while batch and not self._ended.is_set():
            try:
                results = node.submit_each(batch)
            except NodeUnreachable:
                self.refused["unreachable"] += 1
                results = []
            except RequestRefused as error:
                self.refused[error.code] += 1
                results = []
            taken = next((place for place, one in enumerate(results) if not one.is_accepted), len(results))
            self.refused.update(one.code for one in results[taken : taken + 1])
            self.acknowledged += taken
            batch = batch[taken:]
            if batch:
                self._ended.wait(PERIOD_SECONDS)


@contextmanager
def paying(net: Network, wallets: list[Wallet]) -> Iterator[tuple[Pace, list[Payer]]]:
    """The clients of the nodes in turn, at rest until a pace is set; they stop at the end of the block."""
    ended = threading.Event()
    pace = Pace(len(wallets))
    urls = [net.nodes[index % len(net.nodes)].client.url for index in range(len(wallets))]
    payers = [Payer(url, wallet, pace, ended) for url, wallet in zip(urls, wallets, strict=True)]
    for payer in payers:
        payer.start()
    try:
        yield pace, payers
    finally:
        ended.set()
        for payer in payers:
            payer.join(_JOIN_SECONDS)
            assert not payer.is_alive(), f"{payer.name} does not end"
