"""`log-level`: see or change how much a running node logs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_settings, add_url, read_settings
from blockchain.config import LOG_LEVELS

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "log-level",
        "see or change how much a running node logs",
        run,
        "See or change the least level that a running node logs. The node has to be run with --admin_token_file, and "
        "this needs the same file. A node that is started again has the level of its settings.",
    )
    parser.add_argument("level", nargs="?", choices=LOG_LEVELS, help="the new level (default: show the one in force)")
    add_url(parser)
    add_settings(parser, "admin_token_file")


def run(arguments: argparse.Namespace) -> int:
    from blockchain.api.admin import read_token_text
    from blockchain.client import Client
    from blockchain.errors import ConfigError

    path = read_settings(arguments).admin_token_file
    if path is None:
        raise ConfigError("--admin_token_file is missing: name the file of the token that the node was started with")
    token = read_token_text(path)
    with Client(arguments.url) as node:
        print(node.log_level(token, arguments.level).level)
    return 0
