"""How a node ends when it is told to, whatever goes on around it; and how it ends when its disk is full.

Always: exit code 0, one line in the log that says so, nothing on standard error. The bound on the time is generous,
since machines of tests are loaded; on an idle one it takes less than three seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from blockchain.client import Client
from blockchain.errors import NodeUnreachable, RequestRefused
from blockchain.primitives.crypto import Hash32
from tests.processes.filling_disk import on_a_filling_disk
from tests.processes.findings import check_logs
from tests.processes.network import all_closed, free_ports, network
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.waiting import wait_until
from tests.samples import wallet

GENEROUS_SECONDS: Final = 20.0
CONNECTIONS: Final = 50
HALF_A_BODY: Final = b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
HALF_A_HEAD: Final = b"GET /api/v1/status HTTP/1.1\r\nHo"
LARGE: Final = b"GET /api/v1/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8  # 12 MB, not read
WAITS: Final = "GET /api/v1/transactions/{}/?wait=final&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")
pytestmark = posix_only


@pytest.fixture(name="node")
def node_fixture(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node of the demo chain as from a terminal, not started."""
    node_port, api_port = free_ports(2)
    node = NodeProcess("node", node_port, api_port, tmp_path / "node", is_child=False)
    with all_closed([node]):
        yield node


def check_ends(node: NodeProcess) -> None:
    assert node.wait_end(GENEROUS_SECONDS) == 0, node.last_words()
    check_logs([node])
    said = [line["message"] for line in node.lines() if line.get("evt.name") == "stopping"]
    assert said == ["stopping"]


def test_fifty_clients_of_every_kind_do_not_hold_it_up(node: NodeProcess) -> None:
    """Neither those of the API, nor connections that never become peers; nor does it end twice, told twice."""
    node.start()
    wait_until("an answer", node.status)
    with ExitStack() as stack:
        for index in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection((HOST, node.api_port)))
            client.sendall((b"", HALF_A_BODY, HALF_A_HEAD, LARGE)[index % 4])
        for index in range(CONNECTIONS // 2):  # fewer than one source may open
            client = stack.enter_context(socket.create_connection((HOST, node.node_port)))
            client.sendall((b"", UPGRADE)[index % 2])
        node.client.ping()

        def tell_again() -> bool:
            node.process.send_signal(signal.SIGINT)  # to nobody, once it has ended
            return not node.is_running

        node.process.terminate()
        wait_until("its end", tell_again, GENEROUS_SECONDS)
        check_ends(node)


@pytest.mark.skipif(sys.platform != "linux", reason="needs to find the node's own processes")
def test_a_worker_that_stands_still_does_not_hold_it_up(node: NodeProcess) -> None:
    """As one that somebody stopped: what waits for it is not waited for."""
    node.environment["BLOCKCHAIN_VERIFY_WORKERS"] = "1"
    node.start()
    wait_until("an answer", node.status)
    poor = wallet("poor", Hash32(bytes.fromhex(node.client.status().genesis_hash)))
    first, second = ([poor.transfer(poor.address, 1, nonce) for nonce in range(at, at + 200)] for at in (0, 200))
    node.client.submit_each(first)
    (worker,) = children_of(node.process.pid)
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(Client(node.client.url, GENEROUS_SECONDS).submit_each, second)
        for _ in range(10):
            node.client.ping()
        node.process.terminate()
        check_ends(node)
        assert isinstance(waiting.exception(), NodeUnreachable | RequestRefused)


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            _, parent, *_ = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            if int(parent) == pid:
                found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs to see which signals a process handles")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_told_while_the_program_is_loaded_it_ends_without_a_word(number: signal.Signals, node: NodeProcess) -> None:
    node.start()

    def handles_it() -> bool:
        status = Path(f"/proc/{node.process.pid}/status").read_text("ascii")
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    wait_until("the first line of the program", handles_it)
    node.process.send_signal(number)
    assert node.wait_end(GENEROUS_SECONDS) == 0
    assert node.last_words() == ""


def test_neither_peers_that_do_not_read_nor_clients_that_wait_hold_it_up(tmp_path: Path) -> None:
    with network(tmp_path, 2) as net:
        first, other = net.nodes
        first.is_child = False
        net.start_all()
        net.wait_connected()
        other.process.send_signal(signal.SIGSTOP)
        wallet = net.wallets[0]
        first.client.submit([wallet.transfer(wallet.address, 1, nonce) for nonce in range(100)])  # news for the other
        waiting = wallet.transfer(wallet.address, 1, 0).id.hex()
        with socket.create_connection((HOST, first.api_port)) as client:
            client.sendall(WAITS.format(waiting).encode())
            first.client.ping()
            first.process.terminate()
            check_ends(first)


def test_a_full_disk_is_one_line_and_with_room_it_goes_on(tmp_path: Path) -> None:
    mark = tmp_path / "full"
    with network(tmp_path, 1) as net:
        (node,) = net.nodes
        (wallet,) = net.wallets
        on_a_filling_disk(node, mark)
        node.start()
        wait_until("an answer", node.status)
        node.client.submit([wallet.transfer(wallet.address, 1, 0)])
        net.wait_height(1)
        mark.touch()
        with pytest.raises((NodeUnreachable, RequestRefused)):  # never an acknowledgement
            node.client.submit([wallet.transfer(wallet.address, 1, 1)])
        assert node.wait_end(GENEROUS_SECONDS) == 1
        said = node.last_words()
        assert said.count("\n") == 0 and said.startswith("blockchain: "), said
        assert "the disk is full: make room and start again" in said
        assert "Traceback" not in node.log().read_text("utf-8")
        mark.unlink()
        node.start()
        wait_until("an answer", node.status)
        node.client.submit([wallet.transfer(wallet.address, 1, 1)])
        net.wait_height(2)
