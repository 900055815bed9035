"""The demo, end to end: three processes, the sample, the same three blocks on all of them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 180


def three_free_ports(besides: range) -> range:
    """Three ports in a row that nobody listens on, none of them in `besides`."""
    for _ in range(100):
        with ExitStack() as stack, socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            start = first.getsockname()[1]
            if set(range(start, start + 3)) & set(besides) or start + 2 > 65535:
                continue
            try:
                for port in (start + 1, start + 2):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return range(start, start + 3)
    raise AssertionError("no three free ports in a row")


def demo_command(*more: str) -> list[str]:
    node_ports = three_free_ports(range(0))
    api_ports = three_free_ports(node_ports)
    ports = [f"--first_node_port={node_ports.start}", f"--first_api_port={api_ports.start}"]
    return [sys.executable, "-m", "blockchain", "demo", *ports, *more]


def test_three_nodes_agree_on_three_blocks_and_leave_one_transaction() -> None:
    done = subprocess.run(
        demo_command("--once"), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accepted ") == 7
    rows = [line for line in done.stdout.splitlines() if re.match(r"node_(one|two|three) +3 ", line)]
    assert len(rows) == 3
    assert len({re.sub(r"^node_\w+ +", "", row) for row in rows}) == 1
    assert all("pool holds 1 of 2" in row and len(re.findall(r"[0-9a-f]{10} 2 [a-z]+", row)) == 3 for row in rows)


@pytest.mark.skipif(os.name == "nt", reason="no signal that asks a process to end on Windows")
def test_it_runs_until_it_is_asked_to_end() -> None:
    with subprocess.Popen(demo_command(), cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as demo:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        folder = next((Path(line.split()[1]) for line in lines if line.startswith("Logs: ")), None)
        assert folder is not None and folder.is_dir()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(SECONDS) == 0
    assert not folder.exists()
