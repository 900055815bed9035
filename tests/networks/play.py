"""A manifest is played: the network starts, bears its blows under load, and everything that is claimed is looked at."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from blockchain.errors import NodeUnreachable
from tests.networks.blows import RECOVERY_SECONDS, begin, end, recovery
from tests.networks.build import Built, built
from tests.networks.claims import Finality, check_logs, check_stores, check_transactions, end_all, wait_all_decided
from tests.networks.ears import ears
from tests.networks.manifest import Manifest, Round
from tests.networks.processor import Processor
from tests.networks.stakers import Staker, staking
from tests.processes.load import Load, Pace, load
from tests.processes.node_process import HOST
from tests.processes.waiting import wait_until

START_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 1.0  # between two looks at what is final: a page of blocks of each node


class Healed(Struct, frozen=True):
    """What a round came to: seconds from the end of its blows until each node was well, and the joining one level."""

    blows: tuple[str, ...]
    seconds: float
    slowest: str
    ran_s: float  # all nodes together, until all were well
    waited_s: float  # for a processor, the same
    joined: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """What is told of a network all of whose claims hold."""

    healed: tuple[Healed, ...]
    height: int
    transactions: dict[str, int]
    stake_changes: int
    signatures_heard: int
    warnings: dict[str, int]
    seconds: float


def play(manifest: Manifest, folder: Path) -> Outcome:
    """Raises AssertionError for the first claim that does not hold; nothing runs on after that."""
    started = time.monotonic()
    with built(manifest, folder) as made:
        return _Play(made).run(started)


class _Play:
    def __init__(self, made: Built) -> None:
        self._made = made
        self._manifest = made.manifest
        self._net = made.net
        self._nodes = [node for node, plan in zip(made.net.nodes, made.manifest.nodes, strict=True) if not plan.is_late]
        self._finality = Finality()
        self._looked = 0.0

    def run(self, started: float) -> Outcome:
        addresses = [f"{HOST}:{node.node_port}" for node in self._net.nodes]
        with ears(self._net.spec, addresses) as heard:
            with ExitStack() as stack:
                running, stakers = self._begin(stack)
                healed = tuple(self._round(number) for number in range(len(self._manifest.rounds)))
            wait_all_decided(self._nodes)
            acknowledged = running.acknowledged.union(*(staker.acknowledged for staker in stakers))
            ends = check_transactions(self._nodes, acknowledged, self._finality)
            end_all(self._nodes)
        check_stores(self._net, self._nodes)
        assert heard.contradictions == [], f"signed twice: {heard.contradictions}"
        assert running.refused == [], f"refused: {running.refused[:3]}"
        late = [_in_words(one) for one in healed if one.seconds > RECOVERY_SECONDS]
        assert not late, f"well again only {'; '.join(late)}"
        return Outcome(
            healed=healed,
            height=max(self._finality.blocks),
            transactions=dict(ends),
            stake_changes=sum(len(staker.acknowledged) for staker in stakers),
            signatures_heard=len(heard.heard),
            warnings=dict(check_logs(self._nodes)),
            seconds=round(time.monotonic() - started, 1),
        )

    def _begin(self, stack: ExitStack) -> tuple[Load, list[Staker]]:
        for signer in self._made.signers.values():
            signer.start()
        for node in self._nodes:
            node.start()
        plan = self._manifest.load
        running = stack.enter_context(load(self._net, Pace(plan.batch, plan.pause_ms / 1_000, plan.fee)))
        wait_until("the first blocks", lambda: all(self._heights()) and min(self._heights()) >= 2, START_SECONDS)
        owners = self._manifest.validators[: plan.stakers]
        places = [(self._net.nodes[index].client.url, self._made.owners[index]) for index in owners]
        return running, stack.enter_context(staking(places))

    def _heights(self) -> list[int]:
        statuses = [node.status() for node in self._nodes]
        return [0 if status is None else status.height for status in statuses]

    def _round(self, number: int) -> Healed:
        """Nodes that join with it start when its blows have begun."""
        one = self._manifest.rounds[number]
        for blow in one.blows:
            begin(self._made, blow)
        joined = self._join(number)
        time.sleep(one.lasts_ms / 1_000)
        for blow in sorted(one.blows, key=lambda blow: blow.kind != "disk"):  # which may have to be waited for
            end(self._made, blow)
        processor = Processor(self._nodes)
        took = recovery(self._net, self._nodes, self._look)
        slowest = max(took, key=lambda name: took[name])
        healed = Healed(tuple(map(str, one.blows)), round(took[slowest], 1), slowest, *processor.seconds(), joined)
        self._tell(number, one, healed)
        return healed

    def _join(self, number: int) -> tuple[str, ...]:
        joining = [
            node for node, plan in zip(self._net.nodes, self._manifest.nodes, strict=True) if plan.joins == number
        ]
        for node in joining:
            node.start()
        self._nodes += joining
        return tuple(node.name for node in joining)

    def _look(self) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            for node in self._nodes:
                with suppress(NodeUnreachable):
                    self._finality.look(node.name, node.client)

    def _tell(self, number: int, one: Round, healed: Healed) -> None:
        joined = f", {', '.join(healed.joined)} joins" if healed.joined else ""
        print(
            f"  {number + 1}. {', '.join(healed.blows)} for {one.lasts_ms / 1_000:.1f} s{joined}: well again after "
            f"{healed.seconds:.1f} s ({healed.slowest} last; the nodes ran {healed.ran_s:.1f} s and waited for a "
            f"processor {healed.waited_s:.1f} s), height {self._net.height()}",
            flush=True,
        )


def _in_words(late: Healed) -> str:
    return (
        f"{late.seconds:.1f} s after {', '.join(late.blows)} ({late.slowest} last; the nodes ran {late.ran_s:.1f} s "
        f"and waited for a processor {late.waited_s:.1f} s)"
    )
