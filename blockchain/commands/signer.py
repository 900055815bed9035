"""`signer`: a validator key in a process of its own, for the nodes that it admits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_password_file
from blockchain.commands.ending import ended_by_signals

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands

_DATA_DIR: Final = Path("data", "signer")


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "signer",
        "hold a validator key for nodes elsewhere",
        run,
        "Hold a validator key and its signing record, and sign for the nodes that are admitted, until Ctrl-C. A node "
        "names it with --signer HOST:PORT@NODE_ID in place of --key_file; NODE_ID is this process's, as "
        "`blockchain keys node` prints it for --data_dir. It signs votes, proposals and announcements of one chain "
        "and proves its lottery; nothing else.",
    )
    parser.add_argument("--key_file", type=Path, required=True, metavar="FILE", help="the validator key (PEM)")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="where nodes reach it")
    parser.add_argument(
        "--admit", type=Path, required=True, metavar="FILE", help="node ids (hex, one a line) that may ask, nobody else"
    )
    parser.add_argument("--genesis", type=Path, metavar="FILE", help="genesis file (default: the built-in demo chain)")
    parser.add_argument(
        "--data_dir", type=Path, default=_DATA_DIR, metavar="DIR", help="folder of its node key (default: %(default)s)"
    )
    add_password_file(parser)


def run(arguments: argparse.Namespace) -> int:
    with ended_by_signals():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    import asyncio

    from blockchain.commands.run import read_spec
    from blockchain.commands.signer_process import SignerConfig, run_signer
    from blockchain.primitives.host_port import parse_host_port
    from blockchain.runtime.event_loop import NodeLoop

    config = SignerConfig(
        key_file=arguments.key_file,
        password_file=arguments.password_file,
        listen=parse_host_port(arguments.listen),
        admit=arguments.admit,
        data_dir=arguments.data_dir,
    )
    spec = read_spec(arguments.genesis)
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        return runner.run(run_signer(config, spec))
