"""What a node under attack must go on doing, and what it may take: looked at from outside, twice a second.

Final within so many seconds, answers to another client, memory and descriptors within bounds that follow from the
node's own maxima. Linux: /proc has both.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from blockchain.api.connection import CONNECTIONS_MAX, LINGERING_MAX
from blockchain.client import Client
from blockchain.errors import BlockchainError
from blockchain.primitives.crypto import Address
from blockchain.runtime.listening import BACKLOG
from blockchain.runtime.peer_events import P2PLimits
from blockchain.wallet import Wallet
from tests.processes.node_process import NodeProcess

_LIMITS: Final = P2PLimits(message_bytes_max=0)
# Connections of both ports with what is still told why it is one too many, and the files, pipes and dials of a node.
# Of each listening socket, two for each port, as many more are accepted before the first of them is looked at.
DESCRIPTORS_MAX: Final = CONNECTIONS_MAX + LINGERING_MAX + _LIMITS.inbound_max + 32 + 128 + 4 * BACKLOG
MEMORY_MIB_MAX: Final = 384  # above what it had: what both ports may buffer together, and the allocator's leavings
FINAL_SECONDS_MAX: Final = 15.0  # of a payment handed to another node, on a machine that the attackers share
ANSWER_SECONDS_MAX: Final = 10.0
_LOOK_SECONDS: Final = 0.5
_PAGE_MIB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20
_OTHER_CLIENT: Final = "127.9.9.9"


class Resources(threading.Thread):
    """Memory and descriptors of a process."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="resources", daemon=True)
        self._folder = Path("/proc") / str(pid)
        self._ended = threading.Event()
        self.memory_mib = 0.0
        self.descriptors = 0

    def look(self) -> tuple[float, int]:
        """Now: MiB of memory, and descriptors."""
        pages = int((self._folder / "statm").read_text("ascii").split()[1])
        return pages * _PAGE_MIB, len(os.listdir(self._folder / "fd"))

    def run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            with suppress(OSError):
                memory, descriptors = self.look()
                self.memory_mib, self.descriptors = max(self.memory_mib, memory), max(self.descriptors, descriptors)

    def end(self) -> None:
        self._ended.set()
        self.join()


class Payments(threading.Thread):
    """Pays through a node that is left alone, one payment after the other, and takes the time until each is final."""

    def __init__(self, node: NodeProcess, wallet: Wallet, nonce: int) -> None:
        super().__init__(name="payments", daemon=True)
        self._url = node.client.url
        self._wallet = wallet
        self._ended = threading.Event()
        self.nonce = nonce
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        with Client(self._url, ANSWER_SECONDS_MAX) as client:
            while not self._ended.is_set():
                began = time.monotonic()
                payment = self._wallet.transfer(Address(bytes(31) + b"\x01"), 1, self.nonce)
                try:
                    client.submit([payment])
                    client.wait_final(payment.id.hex(), 4 * FINAL_SECONDS_MAX)
                except BlockchainError as error:
                    self.errors.append(str(error))
                    return
                self.nonce += 1
                self.seconds.append(time.monotonic() - began)

    def end(self) -> None:
        self._ended.set()
        self.join()


class Answers(threading.Thread):
    """Asks the node under attack for its status, as a client with an address of its own."""

    def __init__(self, node: NodeProcess) -> None:
        super().__init__(name="answers", daemon=True)
        self._url = f"http://127.0.0.1:{node.api_port}/api/v1/status/"
        self._ended = threading.Event()
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            began = time.monotonic()
            try:
                transport = httpx.HTTPTransport(local_address=_OTHER_CLIENT)
                with httpx.Client(transport=transport, timeout=2 * ANSWER_SECONDS_MAX) as http:
                    http.get(self._url).raise_for_status()
            except httpx.HTTPError as error:
                self.errors.append(repr(error))
            self.seconds.append(time.monotonic() - began)

    def end(self) -> None:
        self._ended.set()
        self.join()
