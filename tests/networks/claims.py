"""What is claimed of a network from outside, through its API while it runs, and of its stores when it has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from blockchain.client import Client
from blockchain.client.answers import Block
from blockchain.commands.keyring import PROJECT
from blockchain.commands.processes import clean_environment
from tests.networks.blows import RECOVERY_SECONDS
from tests.processes.network import Network
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import wait_until

_END_SECONDS: Final = 20.0
_CHECK_SECONDS: Final = 300.0
_NEWEST: Final = 20
_ANSWER_SECONDS: Final = 60.0  # a page of a hundred full blocks, of a node that nobody hurries any more
_LOOKED_AT_MAX: Final = 50  # transactions that are asked for one by one, of each node
# What no crash of another node explains, and no cut.
_BAD_EVENTS: Final = frozenset({"halted", "evidence_found", "block_rejected", "signing_stopped"})
# Why nobody signed where the signer is gone: asked for again when it is back. What a signer itself refuses is bad.
_SIGNER_GONE: Final = ("is not there", "was lost")
_ENDS: Final = frozenset({"refused", "replaced", "evicted", "expired"})


class Finality:
    """Every block that any node ever showed as final, by height: none is ever another one."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[str, str]] = {}

    def look(self, name: str, client: Client) -> None:
        """At its newest ones."""
        self._note(name, client.blocks(limit=_NEWEST).blocks)

    def note_all(self, name: str, client: Client) -> Iterator[Block]:
        first: int | None = 1
        while first is not None:
            page = client.block_range(first)
            self._note(name, page.blocks)
            yield from page.blocks
            first = page.next

    def _note(self, name: str, blocks: Iterable[Block]) -> None:
        for block in blocks:
            said = (block.id, block.state_root)
            assert self.blocks.setdefault(block.height, said) == said, f"{name} holds another block {block.height}"


def wait_all_decided(nodes: list[NodeProcess]) -> None:
    """Until no pool holds anything, none is behind, and all are ready. A chain with a heartbeat goes on meanwhile."""

    def look() -> bool:
        statuses = [status for node in nodes if (status := node.status()) is not None]
        heights = [status.height for status in statuses]
        is_level = len(statuses) == len(nodes) and max(heights) - min(heights) <= 1
        return is_level and not any(status.pool.pending for status in statuses)

    wait_until("empty pools, and nobody behind", look, 3 * RECOVERY_SECONDS)
    for node in nodes:
        failed = node.failed_checks()
        assert not failed, f"{node.name} is not ready: {failed}"


def check_transactions(nodes: list[NodeProcess], acknowledged: set[str], finality: Finality) -> Counter[str]:
    """All hold the same blocks; all that was acknowledged is final, or refused with a reason. How many of each."""
    ends: Counter[str] = Counter()
    for node in nodes:
        with Client(node.client.url, _ANSWER_SECONDS) as client:
            blocks = finality.note_all(node.name, client)
            final = Counter(one.id for block in blocks for one in block.transactions)
        twice = [one for one, count in final.items() if count > 1]
        assert not twice, f"{node.name} holds {len(twice)} transactions twice"
        missing = sorted(acknowledged - set(final))
        ends = Counter({"final": len(acknowledged) - len(missing)})
        for one in missing[:_LOOKED_AT_MAX]:
            ends[_end_of(nodes, one)] += 1
    return ends


def _end_of(nodes: list[NodeProcess], transaction_id: str) -> str:
    """The word of a node that knows it: which was acknowledged where it did not spread from is known there alone."""
    found = [seen for node in nodes if (seen := node.client.transaction(transaction_id)) is not None]
    for seen in found:
        if seen.state in _ENDS and seen.refusal is not None and seen.refusal.why:
            return seen.state
    raise AssertionError(f"acknowledged, and neither final nor refused with a reason: {transaction_id}: {found}")


def end_all(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        node.tell_to_end()
    codes = {node.name: node.wait_end(_END_SECONDS) for node in nodes}
    assert set(codes.values()) == {0}, f"exit codes {codes}"


def check_stores(net: Network, nodes: list[NodeProcess]) -> None:
    """`db check`: every block, certificate, record and sum from genesis on. The nodes have ended."""
    for node in nodes:
        flags = [f"--data_dir={node.data_dir}", f"--genesis={net.genesis}"]
        said = subprocess.run(
            [sys.executable, "-m", "blockchain", "db", "check", *flags],
            cwd=PROJECT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
        assert said.returncode == 0 and "its books balance" in said.stdout, f"{node.name}: {said.stdout}{said.stderr}"


def check_logs(nodes: list[NodeProcess]) -> Counter[str]:
    """No event that accuses a node, and no traceback; how often each warning came. What a kill cut is no line."""
    warnings: Counter[str] = Counter()
    for node in nodes:
        for start in range(1, node.starts + 1):
            for raw in node.log(start).read_bytes().split(b"\n")[:-1]:
                line = json.loads(raw)
                name = line.get("evt.name", "")
                is_bad = name in _BAD_EVENTS or "error.stack" in line
                is_refused = name == "signature_refused" and not any(one in line["why"] for one in _SIGNER_GONE)
                is_blamed = name == "peer_penalized" and line["reason"] == "unasked"
                assert not (is_bad or is_refused or is_blamed), f"{node.name}: {raw.decode()}"
                if line["status"] == "warning":
                    reason = f":{line['reason']}" if name == "peer_penalized" else ""
                    warnings[f"{name or line['message']}{reason}"] += 1
            words = node.errors(start).read_text("utf-8", "replace")
            assert "Traceback" not in words, f"{node.name}, start {start}: {words}"
    return warnings
