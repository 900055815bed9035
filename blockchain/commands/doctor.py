"""`doctor`: is this machine fit to run this node? Before a run, or beside it; with the settings of `run`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_settings, read_settings
from blockchain.commands.text import printable

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.commands.checks import Finding
    from blockchain.config import NodeConfig
    from blockchain.primitives.chain import ChainSpec

_LABELS: Final = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "skip": "not checked"}
_LABEL_WIDTH: Final = 11
_STEP_SECONDS_MAX: Final = 0.5  # between two clocks that both run at the pace of time


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "doctor",
        "check this machine, the settings, keys and data of a node, before or while it runs",
        run,
        "Check what a node needs: libraries, genesis, key and signing record, data folder and disk, store, ports, "
        "clock, the nodes to dial first. Takes the same settings as `run`, changes nothing, and exits with 1 when "
        "something fails.",
    )
    add_settings(parser)
    parser.add_argument("--url", help="API of another node, to compare chain and clock with (default: none)")


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec

    config = read_settings(arguments)
    spec = read_spec(config.genesis)
    failed = 0
    for finding in examine(config, spec, arguments.url):
        failed += finding.level == "fail"
        print(f"{_LABELS[finding.level].ljust(_LABEL_WIDTH)}  {finding.what}: {printable(finding.text)}", flush=True)
    return 1 if failed else 0


def examine(config: NodeConfig, spec: ChainSpec, url: str | None) -> Iterator[Finding]:
    """All checks, those that wait for others last."""
    from blockchain.commands import checks

    wall, steady = time.time(), time.monotonic()
    yield from checks.check_program()
    yield from checks.check_chain(config, spec)
    yield from checks.check_key(config, spec)
    yield from checks.check_folder(config)
    yield from checks.check_store(config, spec, time.time_ns() // 1_000_000)
    yield from checks.check_ports(config)
    yield from checks.check_open_files()
    yield from _check_seeds(config, spec)
    if url is None:
        yield checks.Finding("skip", "clock", "against another machine's: name a node's API with --url")
    else:
        yield from checks.check_other_node(url, spec)
    if abs((time.time() - wall) - (time.monotonic() - steady)) > _STEP_SECONDS_MAX:
        yield checks.Finding("warn", "clock", "it was set while this ran: let NTP slew it, and not step it")


def _check_seeds(config: NodeConfig, spec: ChainSpec) -> Iterable[Finding]:
    from blockchain.commands.checks import Finding
    from blockchain.commands.probe import probe
    from blockchain.runtime.folder_lock import is_locked

    if is_locked(config.data_dir):
        yield Finding("skip", "seeds", "this node is running: `blockchain peers` shows whom it reaches")
        return
    if not config.seeds:
        yield Finding("ok", "seeds", "none: this node waits to be dialled")
    for address, why in probe(config.seeds, spec.hash, config.data_dir).items():
        if not why:
            yield Finding("ok", "seeds", f"{address} is of this chain")
        else:
            yield Finding("fail" if "other_chain" in why else "warn", "seeds", f"{address}: {why}")
