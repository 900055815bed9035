"""Links are cut and healed: the chain stops or goes on as its stake says, and afterwards all agree within seconds.

`pytest -m slow tests/processes/test_partitions.py -s` prints for each way to cut how long the healing took.
"""

from __future__ import annotations

import faulthandler
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from blockchain.primitives.address import format_address
from tests.processes.checks import check_everything, wait_all_final
from tests.processes.load import load
from tests.processes.network import Network, network
from tests.processes.partitions import (
    linked_network,
    wait_going_on,
    wait_one_head,
    wait_said_to_be_stopped,
    wait_stopped,
)
from tests.processes.proxy import Cut, Links, Pair, between
from tests.processes.waiting import wait_until

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")

SHAPES: Final[dict[str, list[Pair]]] = {
    "two from two": between((0, 1), (2, 3)),
    "one from three": between((0,), (1, 2, 3)),
    "what one says": [(0, other) for other in (1, 2, 3)],
    "what one hears": [(other, 0) for other in (1, 2, 3)],
}
SHORT_SECONDS: Final = 3.0  # shorter than a silence that is noticed
LONG_SECONDS: Final = 20.0  # longer: all has been given up, and is dialled again with the longest pause


@pytest.fixture
def minutes() -> None:
    """For a test that takes some: without pytest's alarm for tests that hang."""
    faulthandler.cancel_dump_traceback_later()


def test_two_are_cut_from_two_and_later_killed_and_the_chain_stops_and_goes_on(tmp_path: Path) -> None:
    with linked_network(tmp_path, 4) as (net, wires):
        with load(net) as running:
            net.wait_height(2)
            wires.cut(SHAPES["two from two"], Cut.REFUSED)
            wait_stopped(net.nodes, running)
            wires.heal()
            wait_going_on(net)
            left, killed = net.nodes[:2], net.nodes[2:]
            for node in killed:
                node.kill()
            wait_said_to_be_stopped(net, left, killed)
            killed[0].start()
            wait_going_on(net, [*left, killed[0]])
            wait_until("ready again", lambda: not any(node.failed_checks() for node in left))
            killed[1].start()
            net.wait_height(net.height(), killed)
        wait_all_final(net)
        check_everything(net, running)


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, LONG_SECONDS])
def test_two_stand_still_and_the_chain_stops_and_goes_on_when_one_does(seconds: float, tmp_path: Path) -> None:
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        with load(net) as running:
            net.wait_height(2)
            left, stopped = net.nodes[:2], net.nodes[2:]
            for node in stopped:
                node.stop()
            wait_said_to_be_stopped(net, left, stopped)
            time.sleep(seconds)  # what is drawn out here is how long they stand still
            stopped[0].go_on()
            print(f"{seconds:.0f} s: one goes on: {wait_going_on(net, [*left, stopped[0]]):.1f} s", flush=True)
            assert not any(node.failed_checks() for node in left)
            stopped[1].go_on()
            print(f"{seconds:.0f} s: the other too: {wait_going_on(net):.1f} s", flush=True)
        wait_all_final(net)
        check_everything(net, running)


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, LONG_SECONDS])
def test_one_stands_still_on_a_chain_that_falls_idle_and_catches_up(seconds: float, tmp_path: Path) -> None:
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        net.nodes[3].stop()
        net.nodes[0].client.submit([net.wallets[0].transfer(net.wallets[1].address, 1, 0)])
        net.wait_height(1, net.nodes[:3])
        time.sleep(seconds)
        net.nodes[3].go_on()
        print(f"{seconds:.0f} s: one head: {wait_one_head(net.nodes, 1):.1f} s", flush=True)
        wait_until("ready", lambda: not any(node.failed_checks() for node in net.nodes))


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, LONG_SECONDS])
def test_all_ways_to_cut_with_transactions_flowing(seconds: float, tmp_path: Path) -> None:
    with linked_network(tmp_path, 4) as (net, wires):
        with load(net) as running:
            net.wait_height(2)
            for how in Cut:
                for shape, directions in SHAPES.items():
                    wires.cut(directions, how)
                    time.sleep(seconds)  # what is drawn out here is the cut itself
                    wires.heal()
                    _report(how, shape, seconds, "busy", wait_going_on(net))
        wait_all_final(net)
        check_everything(net, running)


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, LONG_SECONDS])
def test_all_ways_to_cut_on_an_idle_chain(seconds: float, tmp_path: Path) -> None:
    with linked_network(tmp_path, 4) as (net, wires):
        for how in Cut:
            for shape, directions in SHAPES.items():
                top = _cut_while_idle(net, wires, directions, how, seconds)
                _report(how, shape, seconds, "idle", wait_one_head(net.nodes, top))
                started = time.monotonic()
                at = net.height()
                _pay(net, 0)
                wait_one_head(net.nodes, at + 1)
                print(f"    one transaction final everywhere after {time.monotonic() - started:.1f} s", flush=True)


def _cut_while_idle(net: Network, wires: Links, directions: list[Pair], how: Cut, seconds: float) -> int:
    """Cut; where the others can go on without node 0, they do so once, and are idle again; heal. Their height."""
    at = net.height()
    wires.cut(directions, how)
    if directions != SHAPES["two from two"]:
        _pay(net, 1)
        at += 1
        net.wait_height(at, net.nodes[1:])
    time.sleep(seconds)
    wires.heal()
    return at


def _pay(net: Network, index: int) -> None:
    """The account of this node pays, through this node."""
    node, wallet = net.nodes[index].client, net.wallets[index]
    nonce = node.account(format_address(wallet.address)).next_nonce
    node.submit([wallet.transfer(net.wallets[index - 1].address, 1, nonce)])


def _report(how: Cut, shape: str, seconds: float, load_: str, healing: float) -> None:
    print(
        f"{how.value:8} {shape:15} for {seconds:2.0f} s, {load_}: agreed {healing:.1f} s after the healing", flush=True
    )
