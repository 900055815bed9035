"""`log-level`: see or change how much a running node logs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_settings, read_settings, url_of
from blockchain.settings import LOG_LEVELS

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "log-level",
        "see or change how much a running node logs",
        run,
        "See or change the least level that a running node logs. The node has to be run with --admin_token_file, and "
        "this needs the same file. Asked is the node of these settings. A node that is started again has the level of "
        "its settings.",
    )
    parser.add_argument("level", nargs="?", choices=LOG_LEVELS, help="the new level (default: show the one in force)")
    parser.add_argument("--url", help="API of the node to ask (default: by the settings' ip and api_port)")
    add_settings(parser, "admin_token_file")


def run(arguments: argparse.Namespace) -> int:
    from blockchain.api.admin import read_token_text
    from blockchain.client import Client
    from blockchain.errors import ConfigError

    config = read_settings(arguments)
    path = config.admin_token_file
    if path is None:
        raise ConfigError("--admin_token_file is missing: name the file of the token that the node was started with")
    token = read_token_text(path)
    with Client(arguments.url or url_of(config)) as node:
        print(node.log_level(token, arguments.level).level)
    return 0
