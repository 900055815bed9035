"""What befalls a node: each kind of blow begins, lasts and ends; and how long a network takes to be well again."""

from __future__ import annotations

import time
from collections.abc import Callable
from subprocess import TimeoutExpired
from typing import Final

import httpx

from tests.networks.build import Built
from tests.networks.manifest import Blow
from tests.networks.processor import Processor
from tests.processes.network import Network
from tests.processes.node_process import NodeProcess
from tests.processes.proxy import Cut, between
from tests.processes.waiting import wait_until

RECOVERY_SECONDS: Final = 20.0  # what a network has after the end of a blow
GIVEN_UP_SECONDS: Final = 90.0  # waited for all the same, to tell late from never
BLOCKS: Final = 2  # beyond any that were there: the network goes on, and this node with it
_END_SECONDS: Final = 10.0
_FULL_SECONDS: Final = 20.0  # a node that has something to write notices a full disk at once


def begin(built: Built, blow: Blow) -> None:
    node = built.net.nodes[blow.node]
    match blow.kind:
        case "kill":
            node.kill()
        case "restart":
            node.tell_to_end()
            code = node.wait_end(_END_SECONDS)
            assert code == 0, f"{node.name} was told to end, and ended with {code}: {node.last_words()}"
        case "stop":
            node.stop()
        case "cut":
            assert built.wires is not None
            others = [index for index in range(len(built.net.nodes)) if index != blow.node]
            built.wires.cut(between((blow.node,), others), Cut[blow.how])
        case "signer":
            built.signers[blow.node].kill()
        case "disk":
            built.marks[blow.node].touch()


def end(built: Built, blow: Blow) -> None:
    """After this it is the network's turn."""
    node = built.net.nodes[blow.node]
    match blow.kind:
        case "kill" | "restart":
            node.start()
        case "stop":
            node.go_on()
        case "cut":
            assert built.wires is not None
            built.wires.heal()
        case "signer":
            built.signers[blow.node].start()
        case "disk":
            _make_room(built, blow.node)


def _make_room(built: Built, index: int) -> None:
    """It has ended with one line, unless there was nothing to write; then it never noticed."""
    node = built.net.nodes[index]
    try:
        code = node.wait_end(_FULL_SECONDS)
    except TimeoutExpired:
        built.marks[index].unlink()
        return
    said = node.last_words()
    assert code == 1 and said.count("\n") == 0 and "the disk is full" in said, f"{node.name} ended with {code}: {said}"
    built.marks[index].unlink()
    node.start()


def recovery(net: Network, nodes: list[NodeProcess], look: Callable[[], None]) -> dict[str, float]:
    """Until each of the nodes answers, is ready and holds blocks that nobody held before; the seconds of each.

    `look` is called between. Raises AssertionError for a node that never does, with what it says of itself.
    """
    started = time.monotonic()
    processor = Processor(nodes)
    goal = net.height() + BLOCKS
    took: dict[str, float] = {}
    words: dict[str, str] = {}

    def is_well() -> bool:
        look()
        for node in nodes:
            if node.name not in took:
                words[node.name] = _ails(node, goal)
                if not words[node.name]:
                    took[node.name] = time.monotonic() - started
        return len(took) == len(nodes)

    try:
        wait_until("the network is well again", is_well, GIVEN_UP_SECONDS)
    except AssertionError as error:
        ailing = "; ".join(f"{name}: {why}" for name, why in words.items() if why)
        ran, waited = processor.seconds()
        told = f"its nodes ran for {ran} s and waited for a processor for {waited} s"
        raise AssertionError(f"{error}, to hold block {goal}; {told}; {ailing}") from None
    return took


def _ails(node: NodeProcess, goal: int) -> str:
    status = node.status()
    if status is None:
        return "does not answer"
    if status.height < goal:
        return f"at height {status.height} with {status.peers} peers, waiting for {status.waiting_for}"
    try:
        failed = node.failed_checks()
    except httpx.HTTPError:
        return "does not answer"
    return "; ".join(f"{name}: {why}" for name, why in failed.items())
