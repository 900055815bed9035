"""`demo`: three nodes as separate processes, the sample, and what they agreed on, in a table.

The nodes are started as the README says to start them by hand, each in a fresh data folder, and the sample is the very
script; so a demo that ends well shows that the README's way does.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, whole_number

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.commands.demo_picture import NodePicture
    from blockchain.commands.processes import NodeProcesses

HOST: Final = "localhost"
DEADLINE_SECONDS: Final = 60.0  # a slow machine takes ten; for each of: starting and connecting, and finality
SAMPLE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_STAY_SECONDS: Final = 0.5
_REQUEST_SECONDS: Final = 2.0


class DemoFailed(Exception):
    """What did not come to be, for people."""


@dataclass(frozen=True, slots=True)
class DemoNode:
    """One of the three; `key` is a file of `keys/`, or none for a node that follows."""

    name: str
    node_port: int
    api_port: int
    key: str | None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.api_port}"


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "start three nodes and send the sample",
        run,
        "Start three nodes of the demo chain as separate processes in fresh data folders, send the sample's seven "
        "transactions, show what the nodes agreed on, and keep running until Ctrl-C.",
    )
    parser.add_argument("--once", action="store_true", help="end when they agree: 0, or 1 and the reason when not")
    parser.add_argument("--first_node_port", type=whole_number, default=8010, help=argparse.SUPPRESS)
    parser.add_argument("--first_api_port", type=whole_number, default=8050, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.processes import check_ports_free, interruptible

    nodes = demo_nodes(arguments.first_node_port, arguments.first_api_port)
    check_ports_free(HOST, [port for node in nodes for port in (node.node_port, node.api_port)])
    with interruptible():
        folder = Path(tempfile.mkdtemp(prefix="blockchain-demo-"))
        try:
            code = _run_in(folder, nodes, is_once=arguments.once)
        except DemoFailed as failure:
            print(f"blockchain: the demo failed: {failure}; the nodes' logs are in {folder}", file=sys.stderr)
            return 1
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        return code


def demo_nodes(first_node_port: int, first_api_port: int) -> list[DemoNode]:
    """The README's three: genesis' validator, Jane, and a full node."""
    keys = ("genesis_private_key.pem", "staker_private_key.pem", None)
    names = ("node_one", "node_two", "node_three")
    return [
        DemoNode(name, first_node_port + index, first_api_port + index, key)
        for index, (name, key) in enumerate(zip(names, keys, strict=True))
    ]


def command_of(node: DemoNode) -> list[str]:
    """The README's command, without its Python."""
    from blockchain.commands.keyring import PROJECT, keys_folder

    folder = "./keys" if keys_folder() == PROJECT / "keys" else str(keys_folder())
    flags = [f"--ip={HOST}", f"--node_port={node.node_port}", f"--api_port={node.api_port}"]
    return [*flags, f"--key_file={folder}/{node.key}"] if node.key else flags


def _run_in(folder: Path, nodes: list[DemoNode], *, is_once: bool) -> int:
    from blockchain.commands.demo_picture import check_agreement, picture_table
    from blockchain.commands.processes import NodeProcesses

    with NodeProcesses() as processes:
        _start(processes, nodes, folder)
        _wait_until(nodes, processes, folder, check_connected)
        print(f"Connected. Sending the sample: python sample_transactions.py --url={nodes[0].url}", flush=True)
        _send_sample(nodes[0], folder)
        pictures = _wait_until(nodes, processes, folder, check_agreement)
        print(
            f"\nThe three nodes agree (a block: id, transactions, forger):\n\n{picture_table(pictures)}\n", flush=True
        )
        if not is_once:
            _stay(processes, nodes, folder)
        codes = processes.stop()
    if any(codes.values()):
        raise DemoFailed(f"a node did not end cleanly: exit codes {codes}")
    return 0


def _start(processes: NodeProcesses, nodes: list[DemoNode], folder: Path) -> None:
    from blockchain.commands.processes import clean_environment, python_command

    environment = clean_environment(FIRST_NODE_PORT=str(nodes[0].node_port))
    print("Starting three nodes:", flush=True)
    for node in nodes:
        command = python_command("run_node.py", *command_of(node))
        print(f"  {shlex.join(['python', *command[1:]])}", flush=True)
        own = [f"--data_dir={folder / node.name}", f"--service={node.name}"]
        processes.start_into_file(node.name, [*command, *own], folder / f"{node.name}.log", environment)


def _wait_until(
    nodes: list[DemoNode],
    processes: NodeProcesses,
    folder: Path,
    check: Callable[[list[NodePicture]], str],
) -> list[NodePicture]:
    """Look at the nodes until `check` says "": their pictures. Raises DemoFailed with what it said last."""
    from blockchain.commands.demo_picture import take_picture
    from blockchain.errors import NodeUnreachable

    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        _check_all_run(processes, folder)
        try:
            pictures = [take_picture(node.name, node.url, _REQUEST_SECONDS) for node in nodes]
            why = check(pictures)
            if not why:
                return pictures
        except NodeUnreachable as error:
            why = str(error)
        if time.monotonic() >= deadline:
            raise DemoFailed(f"after {DEADLINE_SECONDS:g} s: {why}")
        time.sleep(_POLL_SECONDS)


def check_connected(pictures: list[NodePicture]) -> str:
    """The first node knows both others, and each other one knows somebody; "" or what is missing."""
    for index, picture in enumerate(pictures):
        wanted = len(pictures) - 1 if index == 0 else 1
        if picture.peers < wanted:
            return f"{picture.name} has {picture.peers} of {wanted} peers"
    return ""


def _check_all_run(processes: NodeProcesses, folder: Path) -> None:
    from blockchain.commands.processes import last_line

    for name, code in processes.ended().items():
        raise DemoFailed(f"{name} ended with {code}: {last_line(folder / f'{name}.log')}")


def _send_sample(node: DemoNode, folder: Path) -> None:
    """The script, as a user runs it, its lines as they come."""
    from blockchain.commands.keyring import PROJECT
    from blockchain.commands.processes import clean_environment, last_line, python_command

    command = python_command("sample_transactions.py", f"--url={node.url}")
    errors = folder / "sample.log"
    with errors.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stderr=output,
                timeout=SAMPLE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the sample took more than {SAMPLE_SECONDS:g} s") from None
    if done.returncode:
        raise DemoFailed(f"the sample ended with {done.returncode}: {last_line(errors)}")


def _stay(processes: NodeProcesses, nodes: list[DemoNode], folder: Path) -> None:
    """Until Ctrl-C, which is how it is meant to end, or until a node ends."""
    try:
        print("API docs:")
        for node in nodes:
            print(f"  {node.name:<10}  {node.url}/api/v1/docs/")
        print(f"Logs: {folder}\nCtrl-C ends all three and deletes their data.", flush=True)
        while True:
            _check_all_run(processes, folder)
            time.sleep(_STAY_SECONDS)
    except KeyboardInterrupt:
        print("\nEnding the three nodes.", flush=True)
