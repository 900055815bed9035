"""The command line: which commands there are, and how errors and interruptions become exit codes.

0: done. 1: it failed, and one line on stderr says why. 2: the command line or a setting is wrong. 130: Ctrl-C. An
expected error (BlockchainError, OSError) never shows a traceback; any other is our bug and does. Each command is a
file in `commands/` with `add_parser` and `run`, and loads what it needs when it is called, so that `--version` and
mistyped flags answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from blockchain import __version__
from blockchain.commands import (
    account,
    block,
    crash_test,
    db,
    demo,
    doctor,
    genesis,
    guilty,
    history,
    keys,
    log_level,
    lottery,
    peers,
    reset,
    run,
    sample,
    send,
    signer,
    simulate,
    status,
    testnet,
    tx,
    validator,
    validators,
    verify_lottery,
    why,
)
from blockchain.commands.arguments import CommandParser
from blockchain.commands.text import printable
from blockchain.errors import BlockchainError, ConfigError

COMMANDS: Final = (
    run,
    demo,
    testnet,
    sample,
    send,
    status,
    block,
    tx,
    account,
    peers,
    validators,
    why,
    lottery,
    verify_lottery,
    keys,
    history,
    validator,
    genesis,
    guilty,
    db,
    doctor,
    crash_test,
    log_level,
    signer,
    simulate,
    reset,
)

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
_DESCRIPTION: Final = "A proof-of-stake validator node: run one, look into it, send transactions."
_ACTIVATE: Final = "activate the environment that `make demo` makes (. .venv/bin/activate), or pip install ."
_EPILOG: Final = "Flags are written with underscores or with hyphens. `blockchain COMMAND --help` says more."


def build_parser() -> CommandParser:
    """The whole command line. A parsed one has `run`: the function that does it and returns the exit code."""
    parser = CommandParser(prog="blockchain", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"blockchain {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say (None: those of this process) and return the exit code."""
    _print_what_the_console_can()
    try:
        arguments = build_parser().parse_args(argv)
        return _run(arguments)
    except SystemExit as end:  # argparse has said what is wrong, or has shown the help
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ConfigError as error:
        return _complain(error, EXIT_USAGE)
    except BrokenPipeError:  # `… | head`: nobody reads on, and there is nothing to say about it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit complains
        return EXIT_FAILED
    except (BlockchainError, OSError) as error:
        return _complain(error, EXIT_FAILED)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blockchain"):
            raise  # ours, and our bug
        return _complain(ConfigError(f"{error.name} is not installed here: {_ACTIVATE}"), EXIT_FAILED)


def _run(arguments: argparse.Namespace) -> int:
    code: int = arguments.run(arguments)
    sys.stdout.flush()  # here a reader that went away is still an error that `main` knows
    return code


def _complain(error: Exception, code: int) -> int:
    line = printable(" ".join(str(error).split())) or type(error).__name__
    print(f"blockchain: {line}", file=sys.stderr)
    return code


def _print_what_the_console_can() -> None:
    """A console that lacks a character shows a question mark, and not a UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
