"""Child processes: ended cleanly, never outliving their parent, and ports that are busy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from blockchain.commands.processes import (
    NodeProcesses,
    check_ports_free,
    clean_environment,
    interruptible,
    last_line,
    python_command,
)
from blockchain.errors import ConfigError, PortInUse

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60

# A child that says hello, waits for the end of its input, as a node does, and ends cleanly.
POLITE = "import sys; print('hello', flush=True); sys.stdin.read(); print('bye', flush=True)"
# A child that does not care.
STUBBORN = "import time\nwhile True: time.sleep(60)"
# A child that holds a connection open as long as it lives.
HOLDING = "import socket, sys; held = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); sys.stdin.read()"
# A parent with such a child, which waits for ever.
PARENT = f"""
import sys, time
from pathlib import Path
from blockchain.commands.processes import NodeProcesses, clean_environment
with NodeProcesses() as nodes:
    nodes.start_into_file("child", [sys.executable, "-c", {HOLDING!r}, sys.argv[1]], Path(sys.argv[2]), clean_environment())
    while True: time.sleep(60)
"""  # noqa: E501 - a program in a string


def test_children_end_when_asked_and_their_output_is_in_the_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with NodeProcesses() as nodes:
        nodes.start_into_file("one", [sys.executable, "-c", POLITE], log, clean_environment())
        assert nodes.running() == ["one"] and nodes.ended() == {}
        assert nodes.stop() == {"one": 0}
    assert nodes.ended() == {"one": 0} and nodes.running() == []
    assert log.read_text().split() == ["hello", "bye"]
    assert last_line(log) == "bye"


def test_output_comes_line_by_line_behind_the_name() -> None:
    lines: list[str] = []
    come = threading.Event()

    def show(line: str) -> None:
        lines.append(line)
        come.set()

    with NodeProcesses() as nodes:
        nodes.start_with_prefix("node-1", [sys.executable, "-c", POLITE], clean_environment(), show)
        assert come.wait(SECONDS)
    assert lines == ["node-1 | hello", "node-1 | bye"]


def test_a_child_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("blockchain.commands.processes.STOP_SECONDS", 0.01)
    with NodeProcesses() as nodes:
        nodes.start_into_file("one", [sys.executable, "-c", STUBBORN], tmp_path / "log", clean_environment())
    assert nodes.ended()["one"] != 0


def test_children_are_ended_when_the_command_fails(tmp_path: Path) -> None:
    nodes = NodeProcesses()

    def command() -> None:
        with nodes:
            nodes.start_into_file("one", [sys.executable, "-c", POLITE], tmp_path / "log", clean_environment())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command()
    assert nodes.ended() == {"one": 0}


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        port = server.getsockname()[1]
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(port), str(tmp_path / "log")], cwd=ROOT)
        try:
            connection, _ = server.accept()
        finally:
            parent.kill()
            parent.wait(SECONDS)
        with connection:
            connection.settimeout(SECONDS)
            assert connection.recv(1) == b""  # the child is gone, or this times out


def test_settings_of_this_shell_do_not_reach_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCKCHAIN_NODE_PORT", "FIRST_NODE_PORT", "DOCKER_NODE_PORTS", "DOCKER_NODE_CONTAINER_NAMES"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OTHER", "kept")
    found = clean_environment(FIRST_NODE_PORT="8010")
    assert found["OTHER"] == "kept" and found["FIRST_NODE_PORT"] == "8010" and found["BLOCKCHAIN_ENV_FILE"] == ""
    assert not {"BLOCKCHAIN_NODE_PORT", "DOCKER_NODE_PORTS", "DOCKER_NODE_CONTAINER_NAMES"} & found.keys()


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            check_ports_free("127.0.0.1", [port])
        with pytest.raises(PortInUse, match=str(port)):
            check_ports_free("localhost", [port])
    check_ports_free("localhost", [port])


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        check_ports_free("no host", [0])


def test_an_installed_package_has_the_commands_and_not_the_scripts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert python_command("run_node.py", "--x") == [sys.executable, "run_node.py", "--x"]
    monkeypatch.setattr("blockchain.commands.processes.PROJECT", tmp_path)
    assert python_command("run_node.py", "--x") == [sys.executable, "-m", "blockchain", "run", "--x"]
    assert python_command("sample_transactions.py") == [sys.executable, "-m", "blockchain", "sample"]


def test_the_last_line_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == ""


@pytest.mark.skipif(os.name == "nt", reason="no signal of that kind on Windows")
def test_a_request_to_end_is_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
