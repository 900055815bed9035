"""`make hostile-clients`: four validators as real processes, one of them under attack, each attack for so long.

    python -m tests.hostile --seconds 20 [--only churn,deaf]

Linux only: attackers come from many addresses of this machine, and /proc tells what the node takes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.hostile.attacks import ATTACKS, Attack, Place
from tests.hostile.watch import (
    ANSWER_SECONDS_MAX,
    DESCRIPTORS_MAX,
    FINAL_SECONDS_MAX,
    MEMORY_MIB_MAX,
    Answers,
    Payments,
    Resources,
)
from tests.processes.network import Network, network
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import wait_until
from tests.record_lines import append_record

VALIDATORS: Final = 4
LET_GO_SECONDS_MAX: Final = 45.0  # after an attack: the longest idle time of a connection, and a little
LEFT_OVER: Final = 16  # descriptors more than before it, then


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each attack")
    parser.add_argument("--only", default=",".join(ATTACKS))
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, network(Path(folder), VALIDATORS) as net:
        net.start_all()
        net.wait_connected()
        nonce = 0
        for name in names:
            results[name], nonce = _attacked(net, ATTACKS[name], given.seconds, nonce)
            print(f"{name:<15} {results[name]}", flush=True)
        log_errors = _log_errors(net.nodes[0])
    faults = [f"{name}: {fault}" for name, result in results.items() for fault in _faults(result)]
    faults += [f"the log: {line}" for line in log_errors[:5]]
    print("\n".join(faults) or "all bounds held")
    append_record("hostile-clients", {"seconds": given.seconds, "attacks": results, "faults": faults})
    return 1 if faults else 0


def _attacked(net: Network, attack: Attack, seconds: float, nonce: int) -> tuple[dict[str, object], int]:
    target, other = net.nodes[0], net.nodes[1]
    resources = Resources(target.process.pid)
    memory, descriptors = resources.look()
    payments, answers = Payments(other, net.wallets[0], nonce), Answers(target)
    watchers = (resources, payments, answers)
    height = net.height()
    for one in watchers:
        one.start()
    asyncio.run(_for_a_while(attack(Place(target.node_port, target.api_port, net.spec.hash)), seconds))
    for one in watchers:
        one.end()
    let_go = _let_go_after(target, descriptors)
    return {
        "final": len(payments.seconds),
        "final_max_s": round(max(payments.seconds, default=0.0), 2),
        "payment_errors": payments.errors,
        "heights": net.height() - height,
        "answers": len(answers.seconds),
        "answer_max_s": round(max(answers.seconds, default=0.0), 2),
        "answer_errors": answers.errors[:3],
        "memory_before_mib": round(memory),
        "memory_max_mib": round(resources.memory_mib),
        "descriptors_before": descriptors,
        "descriptors_max": resources.descriptors,
        "let_go_s": round(let_go, 1),
    }, payments.nonce


async def _for_a_while(attack: object, seconds: float) -> None:
    assert asyncio.iscoroutine(attack)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await attack


def _let_go_after(target: NodeProcess, before: int) -> float:
    """How long the node keeps descriptors of attackers that are gone."""
    resources, began = Resources(target.process.pid), time.monotonic()
    wait_until("descriptors let go", lambda: resources.look()[1] <= before + LEFT_OVER, 2 * LET_GO_SECONDS_MAX)
    return time.monotonic() - began


def _faults(result: dict[str, object]) -> list[str]:
    bounds = {
        "final_max_s": FINAL_SECONDS_MAX,
        "answer_max_s": ANSWER_SECONDS_MAX,
        "memory_max_mib": float(str(result["memory_before_mib"])) + MEMORY_MIB_MAX,
        "descriptors_max": DESCRIPTORS_MAX,
        "let_go_s": LET_GO_SECONDS_MAX,
    }
    found = [
        f"{name} {result[name]}, {most} allowed" for name, most in bounds.items() if float(str(result[name])) > most
    ]
    found += [f"{name} is 0" for name in ("final", "heights", "answers") if not result[name]]
    return found + [f"{name}: {result[name]}" for name in ("payment_errors", "answer_errors") if result[name]]


def _log_errors(node: NodeProcess) -> list[str]:
    """No client makes a node say that it failed."""
    lines = (*node.lines(),)
    return [str(line) for line in lines if line.get("status") == "error"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
