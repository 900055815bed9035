"""`run`: one node, until Ctrl-C or a signal to end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import CommandParser, add_command, add_settings, read_settings
from blockchain.commands.ending import ended_by_signals

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.primitives.chain import ChainSpec


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "run",
        "run a node",
        run,
        "Run a node until Ctrl-C. Settings come from flags, then the environment (BLOCKCHAIN_NODE_PORT and so on), "
        "then .env, then the config file, then defaults. A node started again continues where it was.",
    )
    add_settings(parser)
    add_exit_with_parent(parser)


def add_exit_with_parent(parser: CommandParser) -> None:
    """For whoever starts nodes as children: the node ends when its standard input does, however the parent ended."""
    parser.add_argument("--exit_with_parent", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    with ended_by_signals():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.node import run_node
    from blockchain.commands.processes import check_ports_free
    from blockchain.runtime.event_loop import NodeLoop

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    check_ports_free(config.ip, (config.node_port,))  # before anything is opened, or signed
    check_ports_free(config.api_host, (config.api_port,))
    if arguments.exit_with_parent:
        threading.Thread(target=_end_with_input, name="parent", daemon=True).start()
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        return runner.run(run_node(config, spec))


def read_spec(genesis: Path | None) -> ChainSpec:
    """The chain of a genesis file; of the built-in demo when there is none. Raises InvalidGenesis."""
    from blockchain.demo_chain import demo_spec
    from blockchain.errors import InvalidGenesis
    from blockchain.genesis import GENESIS_BYTES_MAX, load_genesis

    if genesis is None:
        return demo_spec()
    try:
        with genesis.open("rb") as file:
            raw = file.read(GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidGenesis(f"{genesis} cannot be read: {error.strerror}: check the name") from None
    return load_genesis(raw, genesis)


def _end_with_input() -> None:
    """Wait for the end of standard input, then end this node as a signal from outside would."""
    while os.read(sys.stdin.fileno(), 4096):  # not through sys.stdin, whose lock a thread must not hold at the exit
        pass
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
