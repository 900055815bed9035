"""A node as a process: how it ends, what it refuses in one line, and how nodes find each other in any order."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from blockchain.commands.keyring import PROJECT
from blockchain.demo_chain import demo_spec
from blockchain.runtime.keystore import read_key_file
from blockchain.wallet import Wallet
from tests.processes.checks import END_SECONDS
from tests.processes.findings import check_logs
from tests.processes.network import all_closed, free_ports, network
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.waiting import wait_until

REFUSE_SECONDS: Final = 20.0  # a loaded machine takes two to load the program
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    """Put nodes in; all of them have ended after the test."""
    made: list[NodeProcess] = []
    with all_closed(made):
        yield made


def demo_node(folder: Path, name: str = "node", ports: list[int] | None = None) -> NodeProcess:
    """A node of the demo chain without a key."""
    node_port, api_port = ports or free_ports(2)
    return NodeProcess(name, node_port, api_port, folder / name)


def check_refused(node: NodeProcess, *words: str) -> None:
    """It ends with 1, and all it says is one line with these words in it."""
    assert node.wait_end(REFUSE_SECONDS) == 1
    said = node.last_words()
    assert said.count("\n") == 0 and said.startswith("blockchain: "), said
    assert all(word in said for word in words), said
    assert "Traceback" not in node.log().read_text("utf-8")


@posix_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_it_within_five_seconds(number: signal.Signals, tmp_path: Path, nodes: list[NodeProcess]) -> None:
    node = demo_node(tmp_path)
    node.is_child = False
    nodes.append(node)
    node.start()
    wait_until("an answer", node.status)
    with socket.create_connection((HOST, node.api_port)):  # a client that says nothing holds nobody up
        node.process.send_signal(number)
        assert node.wait_end(END_SECONDS) == 0
    check_logs([node])
    assert [line["evt.name"] for line in node.lines() if line.get("evt.name") == "stopping"] == ["stopping"]


@posix_only
def test_where_uvloop_is_not_installed_it_runs_too(tmp_path: Path, nodes: list[NodeProcess]) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    missed = f'open({str(missing / "missed")!r}, "w").close()'
    (missing / "uvloop.py").write_text(f'{missed}\nraise ImportError("not installed")\n', "utf-8")
    node = demo_node(tmp_path)
    node.is_child = False
    node.environment["PYTHONPATH"] = str(missing)
    nodes.append(node)
    node.start()
    wait_until("an answer", node.status)
    assert (missing / "missed").exists()
    node.process.send_signal(signal.SIGTERM)
    assert node.wait_end(END_SECONDS) == 0
    check_logs([node])


@posix_only
def test_a_client_in_the_middle_of_a_request_does_not_hold_up_the_end(tmp_path: Path, nodes: list[NodeProcess]) -> None:
    node = demo_node(tmp_path)
    node.is_child = False
    nodes.append(node)
    node.start()
    wait_until("an answer", node.status)
    with socket.create_connection((HOST, node.api_port)) as client:
        client.sendall(b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\n{")
        node.client.ping()  # the node has read the half request by then
        node.process.terminate()
        assert node.wait_end(END_SECONDS) == 0


@posix_only
def test_a_signal_during_its_start_ends_it(tmp_path: Path, nodes: list[NodeProcess]) -> None:
    node = demo_node(tmp_path)
    node.is_child = False
    nodes.append(node)
    node.start()
    wait_until("its folder", (node.data_dir / "lock.db").exists)
    node.process.terminate()
    assert node.wait_end(END_SECONDS) == 0
    check_logs([node])


@pytest.mark.parametrize("which", ["node", "api"])
def test_a_busy_port_is_one_clear_line(which: str, tmp_path: Path, nodes: list[NodeProcess]) -> None:
    node = demo_node(tmp_path)
    nodes.append(node)
    port = node.node_port if which == "node" else node.api_port
    with socket.create_server((HOST, port)):
        node.start()
        check_refused(node, str(port), "in use")
    assert not node.data_dir.exists(), "bad input changes nothing"


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with network(tmp_path, 1) as net:
        (first,) = net.nodes
        first.start()
        wait_until("an answer", first.status)
        second = demo_node(tmp_path, "second")
        second.key_file, second.genesis = first.key_file, net.genesis
        second.data_folder = first.data_dir
        net.nodes.append(second)
        second.start()
        check_refused(second, str(first.data_dir), "in use by another node")
        assert first.client.ping()  # the first one goes on


def test_three_nodes_find_each_other_when_the_first_is_started_last(tmp_path: Path, nodes: list[NodeProcess]) -> None:
    ports = free_ports(6)
    for index in range(3):
        node = demo_node(tmp_path, f"node-{index}", ports[2 * index : 2 * index + 2])
        node.seeds, node.environment = "", {"FIRST_NODE_PORT": str(ports[0])}
        nodes.append(node)
    for node in reversed(nodes):
        node.start()
        wait_until("an answer", node.status)

    def all_know_all() -> bool:
        return all((status := node.status()) is not None and status.peers == 2 for node in nodes)

    wait_until("two peers each", all_know_all)
    check_logs(nodes)


def test_nothing_outlives_a_test_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = demo_node(tmp_path)

    def fail_with_a_running_node() -> None:
        with all_closed([node]):
            node.start()
            wait_until("an answer", node.status)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_a_running_node()
    assert not node.is_running
    assert f"---- {node.name}" in capsys.readouterr().err  # its log is shown


@posix_only
def test_a_client_that_waits_is_answered_at_the_end(tmp_path: Path, nodes: list[NodeProcess]) -> None:
    node = demo_node(tmp_path)
    node.is_child = False
    nodes.append(node)
    node.start()
    wait_until("an answer", node.status)
    issuer = Wallet(read_key_file(PROJECT / "keys" / "exchange_private_key.pem", None), demo_spec().hash)
    (identifier,) = node.client.submit([issuer.exchange(issuer.address, 1, 0)])  # one alone makes no block there
    with socket.create_connection((HOST, node.api_port), END_SECONDS) as client:
        path = f"/api/v1/transactions/{identifier}/?wait=final"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        node.client.ping()
        node.process.terminate()
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200") and b'"state":"pending"' in answer
    assert node.wait_end(END_SECONDS) == 0
    check_logs([node])
