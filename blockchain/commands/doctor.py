"""`doctor`: is this machine fit to run this node? Before a run, or beside it; with the settings of `run`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_settings, read_settings

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.commands.finding import Finding
    from blockchain.config import NodeConfig
    from blockchain.primitives.chain import ChainSpec

_STEP_SECONDS_MAX: Final = 0.5  # between two clocks that both run at the pace of time


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "doctor",
        "check this machine, the settings, keys and data of a node, before or while it runs",
        run,
        "Check what a node needs: libraries, genesis, key and signing record, data folder and disk, store, ports, who "
        "can ask its API; and by its peers, or the nodes to dial first: chain, versions, clocks, whether they reach "
        "it, and whether its key is seen elsewhere. Takes the same settings as `run`, changes nothing, and exits with "
        "1 when something fails.",
    )
    add_settings(parser)
    parser.add_argument("--url", help="API of another node, to compare chain and clock with (default: none)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON: level, what, text, fix")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for a warning too")


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.commands.text import json_text

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    bad = {"fail", "warn"} if arguments.strict else {"fail"}
    findings = []
    for finding in examine(config, spec, arguments.url):
        findings.append(finding)
        if not arguments.json:
            print(finding.line(), flush=True)
    is_fit = not any(finding.level in bad for finding in findings)
    if arguments.json:
        print(json_text({"is_fit": is_fit, "findings": findings}))
    return 0 if is_fit else 1


def examine(config: NodeConfig, spec: ChainSpec, url: str | None) -> Iterator[Finding]:
    """All checks, those that wait for others last."""
    from blockchain.commands import checks, checks_peers
    from blockchain.commands.checks_disk import check_disk
    from blockchain.commands.finding import warn
    from blockchain.runtime.folder_lock import is_locked

    wall, steady = time.time(), time.monotonic()
    yield from checks.check_program()
    yield from checks.check_chain(config, spec)
    found, keys = checks.check_key(config, spec)
    yield from found
    yield from checks.check_api(config, spec)
    yield from check_disk(config, spec)
    yield from checks.check_store(config, spec, time.time_ns() // 1_000_000)
    yield from checks.check_ports(config)
    yield from checks.check_open_files()
    if is_locked(config.data_dir):
        yield from checks_peers.check_running(config, spec)
    else:
        yield from checks_peers.check_seeds(config, spec, keys)
    if url is not None:
        yield from checks_peers.check_other_node(url, spec)
    if abs((time.time() - wall) - (time.monotonic() - steady)) > _STEP_SECONDS_MAX:
        yield warn("clock", "it was set while this ran", "let NTP slew it, and not step it")
