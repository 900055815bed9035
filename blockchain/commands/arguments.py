"""What the commands' flags have in common: how they are spelled, and the settings and the node's URL among them."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blockchain.config import NodeConfig, is_wildcard, load_config
from blockchain.settings import SETTINGS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["CommandParser"]

DEFAULT_URL: Final = "http://localhost:8050"
WAIT_SECONDS_MAX: Final = 86_400  # a day: longer than anybody sits before a terminal


class CommandParser(argparse.ArgumentParser):
    """argparse, where `--node-port` is `--node_port` and no flag is understood by its beginning alone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, which sends the arguments of every command through here."""
        given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(_with_underscores(given), namespace)


def _with_underscores(arguments: list[str]) -> list[str]:
    """Flags in the spelling of the parent project; what follows a bare `--` is no flag."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [_spelled(one) for one in arguments[:end]] + arguments[end:]


def _spelled(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def add_command(
    commands: Commands, name: str, what: str, run: Callable[[argparse.Namespace], int], description: str = ""
) -> CommandParser:
    """A command's parser; `what` stands in the list of commands, `description` (or the same) in its own help."""
    parser = commands.add_parser(name, help=what, description=description or f"{what[0].upper()}{what[1:]}.")
    parser.set_defaults(run=run)
    return parser


def add_settings(parser: CommandParser, *names: str) -> None:
    """Flags for these settings of a node (all of them when none is named), and for its config file."""
    for name in names or SETTINGS:
        setting = SETTINGS[name]
        what = f"{setting.what} (default: {setting.default})"
        if setting.is_switch:
            parser.add_argument(f"--{name}", action="store_const", const="true", help=what)
        else:
            parser.add_argument(f"--{name}", metavar="VALUE", help=what)
    parser.add_argument("--config", metavar="FILE", help="config file, TOML; flags and environment win over it")


def read_settings(arguments: argparse.Namespace) -> NodeConfig:
    """The settings that the flags, this process's environment and its files give. Raises ConfigError."""
    flags = {name: getattr(arguments, name, None) for name in (*SETTINGS, "config")}
    return load_config(flags, os.environ, Path())


def add_url(parser: CommandParser) -> None:
    parser.add_argument("--url", default=DEFAULT_URL, help="API of the node to ask (default: %(default)s)")


def url_of(config: NodeConfig) -> str:
    """The API of the node with these settings, as this machine reaches it."""
    host = "localhost" if is_wildcard(config.api_host) else config.api_host
    return f"http://[{host}]:{config.api_port}" if ":" in host else f"http://{host}:{config.api_port}"


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the node's answer as JSON")


def add_password_file(parser: CommandParser) -> None:
    parser.add_argument("--password_file", type=Path, metavar="FILE", help="its first line is the key file's password")


def add_new_password(parser: CommandParser, flag: str = "--password_file") -> None:
    """How the password of a new key file is given; the two exclude each other."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(flag, type=Path, metavar="FILE", help="its first line is the new key file's password")
    choice.add_argument("--no_password", action="store_true", help="do not encrypt: whoever gets the file has the key")


def whole_number(text: str) -> int:
    """An amount, fee or nonce as a person types it: digits, which may be grouped by underscores."""
    if not text.isascii() or not text.replace("_", "").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """How long to wait: not "nan", with which no wait ends as it should, nor without end."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= WAIT_SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 to {WAIT_SECONDS_MAX}")
    return number
