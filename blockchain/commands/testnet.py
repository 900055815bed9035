"""`testnet`: keys, genesis, a folder for each node and a compose file; `--run` starts the nodes here."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_new_password, whole_number
from blockchain.commands.genesis import add_parameters, read_parameters
from blockchain.config import ENV_PREFIX
from blockchain.errors import ConfigError
from blockchain.primitives.host_port import PORT_MAX

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.commands.processes import NodeProcesses
    from blockchain.commands.testnet_files import Testnet, TestnetPassword, TestnetPlan

VALIDATORS_HERE_MAX: Final = 100  # processes and ports of one machine; a larger chain is made with `genesis create`
DEFAULT_OUTPUT: Final = Path("data", "testnet")
DEFAULT_VALIDATORS: Final = 4  # the fewest equal ones that tolerate one fault
_POLL_SECONDS: Final = 0.2


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "testnet",
        "make a chain of your own, and run it here",
        run,
        "Make a chain of your own: new keys, genesis with equal stakes, a folder with a config file for each node, and "
        "a compose file. With --run its nodes start here until Ctrl-C; an existing one is started again. All keys are "
        "encrypted with one password: that of --password_file or BLOCKCHAIN_PASSWORD, or a new one, in DIR/password.",
    )
    parser.add_argument("--validators", type=whole_number, help=f"how many (default: {DEFAULT_VALIDATORS})")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--run", action="store_true", dest="run_here", help="start the nodes here, until Ctrl-C")
    parser.add_argument("--first_node_port", type=whole_number, default=8010, help="default: %(default)s")
    parser.add_argument("--first_api_port", type=whole_number, default=8050, help="default: %(default)s")
    parser.add_argument("--chain_id", default="testnet", help="label for people (default: %(default)s)")
    add_new_password(parser)
    add_parameters(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.testnet_files import GENESIS_FILE, read_testnet, write_testnet

    folder: Path = arguments.output
    if arguments.run_here and (folder / GENESIS_FILE).is_file():
        if arguments.validators is not None or arguments.set or arguments.password_file or arguments.no_password:
            raise ConfigError(
                f"{folder} holds a testnet already: start it with --run, and without what is for a new one"
            )
        return _run_here(read_testnet(folder))
    plan = _plan(arguments)
    testnet = write_testnet(plan)
    print(_summary(testnet, plan.password))
    return _run_here(testnet) if arguments.run_here else 0


def _plan(arguments: argparse.Namespace) -> TestnetPlan:
    from blockchain.commands.testnet_files import TestnetPlan

    validators = DEFAULT_VALIDATORS if arguments.validators is None else arguments.validators
    if not 1 <= validators <= VALIDATORS_HERE_MAX:
        raise ConfigError(f"--validators is {validators}: it has to be 1 to {VALIDATORS_HERE_MAX}")
    first_node, first_api = arguments.first_node_port, arguments.first_api_port
    for flag, first in (("--first_node_port", first_node), ("--first_api_port", first_api)):
        if not 1 <= first <= PORT_MAX - validators + 1:
            raise ConfigError(
                f"{flag} is {first}: with {validators} nodes it has to be 1 to {PORT_MAX - validators + 1}"
            )
    if abs(first_node - first_api) < validators:
        raise ConfigError("--first_node_port and --first_api_port are so close that ports of the nodes would meet")
    parameters = read_parameters(arguments.set, block_threshold=1, block_max_wait_ms=1_000, stake_delay=32)
    return TestnetPlan(
        folder=arguments.output,
        chain_id=arguments.chain_id,
        time_ms=time.time_ns() // 1_000_000,
        parameters=parameters,
        validators=validators,
        first_node_port=first_node,
        first_api_port=first_api,
        password=_password(arguments),
    )


def _password(arguments: argparse.Namespace) -> TestnetPassword:
    """Given, or drawn: nobody has to type for a testnet, which is started again and again."""
    from blockchain.commands.passwords import given_password
    from blockchain.commands.testnet_files import TestnetPassword

    if arguments.no_password:
        return TestnetPassword()
    given = given_password(arguments.password_file)
    return TestnetPassword.draw(arguments.output) if given is None else TestnetPassword(given, arguments.password_file)


def _summary(testnet: Testnet, password: TestnetPassword) -> str:
    from blockchain.commands.testnet_files import COMPOSE_FILE, password_text

    folder = testnet.folder
    lines = [
        f"Made {folder}: genesis {testnet.genesis_hash}",
        "",
        "Start each node in a terminal of its own:",
        *(f"  {testnet.start_command(node)}" for node in testnet.nodes),
        "",
        f"or all of them here:    python -m blockchain testnet --run --output={shlex.quote(str(folder))}",
        f"or as containers:       docker compose -f {shlex.quote(str(folder / COMPOSE_FILE))} up --build",
        "",
        f"Keys of the issuer and of two funded accounts: {folder / 'keys'}",
        password_text(password),
    ]
    if 3 * (len(testnet.nodes) - 1) <= 2 * len(testnet.nodes):
        lines.append("With fewer than four equal validators the chain stops when one of them does.")
    return "\n".join(lines)


def _run_here(testnet: Testnet) -> int:
    """All nodes as children, their logs in one stream, until Ctrl-C or until the last of them has ended."""
    from blockchain.commands.processes import (
        NodeProcesses,
        check_ports_free,
        clean_environment,
        interruptible,
        python_command,
    )

    check_ports_free("localhost", [port for node in testnet.nodes for port in (node.node_port, node.api_port)])
    lock = threading.Lock()

    def show(line: str) -> None:
        with lock:  # the lines of several threads, whole
            print(line, flush=True)

    with interruptible(), NodeProcesses() as processes:
        for node in testnet.nodes:
            command = python_command("run_node.py", testnet.config_flag(node))
            processes.start_with_prefix(node.name, command, clean_environment(**_passed_on()), show)
        try:
            return _watch(processes, testnet)
        except KeyboardInterrupt:
            codes = processes.stop()
            return 1 if any(codes.values()) else 0


def _passed_on() -> dict[str, str]:
    """What somebody may choose for all nodes, and the password of their keys; all else is each node's own."""
    names = [f"{ENV_PREFIX}{name}" for name in ("LOG_FORMAT", "LOG_LEVEL", "PASSWORD")]
    return {name: os.environ[name] for name in names if name in os.environ}


def _watch(processes: NodeProcesses, testnet: Testnet) -> int:
    """Says when a node has ended, and how to start it again; returns when none is left."""
    said: set[str] = set()
    while processes.running():
        for node in testnet.nodes:
            code = processes.ended().get(node.name)
            if code is not None and node.name not in said:
                said.add(node.name)
                again = testnet.start_command(node)
                print(f"blockchain: {node.name} ended with {code}; start it again with: {again}", file=sys.stderr)
        time.sleep(_POLL_SECONDS)
    print("blockchain: no node is running any more", file=sys.stderr)
    return 1
