"""A validator is started twice, from two copies of its folder, as real processes: none of the two goes on signing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.processes.checks import end_all, wait_votes_again
from tests.processes.findings import check_one_chain, stored_chain
from tests.processes.load import load
from tests.processes.network import Network, free_ports, network
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.waiting import wait_until

LOOK_S: Final = 6  # longer than it takes until a process announces itself again
BLOCKS: Final = 3

pytestmark = pytest.mark.slow


@contextmanager
def started(folder: Path) -> Iterator[Network]:
    """Four validators that sign, with a few blocks behind them; they listen each time that they start again."""
    with network(folder, 4) as net:
        net.start_all()
        net.wait_connected()
        with load(net):
            net.wait_height(BLOCKS)
        for node in net.nodes:
            node.look_s = LOOK_S
        yield net


def copied(net: Network, *, with_node_key: bool) -> NodeProcess:
    """The first node once more, with its key, its signing record and its data, on other ports; not started."""
    first = net.nodes[0]
    node_port, api_port = free_ports(2)
    folder = net.folder / "copy"
    shutil.copytree(first.folder, folder)
    if not with_node_key:
        (folder / "data" / "node_key.pem").unlink()
    seeds = ",".join(f"{HOST}:{node.node_port}" for node in net.nodes)
    made = NodeProcess("copy", node_port, api_port, folder, folder / "key.pem", net.genesis, seeds, look_s=LOOK_S)
    net.nodes.append(made)
    return made


def begin_both(net: Network, how: str, *, with_node_key: bool) -> NodeProcess:
    """The second one starts while the first runs, or with it."""
    first = net.nodes[0]
    first.tell_to_end()
    first.wait_end(10)
    copy = copied(net, with_node_key=with_node_key)
    if how != "together":
        first.start()
        net.wait_for("signs", [first], lambda status: not status.silent)
    else:
        first.start()
    copy.start()
    return copy


@pytest.mark.parametrize("how", ["idle", "busy", "together"])
def test_the_same_validator_on_two_machines(tmp_path: Path, how: str) -> None:
    with started(tmp_path) as net, ExitStack() as stack:
        others = net.nodes[1:]
        if how == "busy":
            stack.enter_context(load(net))
        copy = begin_both(net, how, with_node_key=False)
        both = [net.nodes[0], copy]
        net.wait_for("stopped", both, lambda status: "another process has its key" in status.silent)
        if how != "busy":
            stack.enter_context(load(net))
        net.wait_height(net.height() + 2 * BLOCKS, others)
        stack.close()
        assert all(set(node.failed_checks()) == {"signs"} for node in both)
        assert "signs nothing until it is started again" in both[0].client.status().waiting_for
        check_no_evidence(net)
        assert not [line for line in copy.lines() if line.get("evt.name") in {"proposed", "signing_begun"}]


@pytest.mark.parametrize("how", ["idle", "together"])
def test_a_copy_that_has_the_same_node_id_too(tmp_path: Path, how: str) -> None:
    """The others talk to one of the two at a time, the newer connection; and tell it what they heard of the other."""
    with started(tmp_path) as net:
        both = [net.nodes[0], begin_both(net, how, with_node_key=True)]
        with load(net):
            net.wait_height(net.height() + 2 * BLOCKS, net.nodes[1:4])
            wait_until("one of the two stops", lambda: any(is_stopped(node) for node in both))
            net.wait_height(net.height() + 2 * BLOCKS, net.nodes[1:4])
        check_no_evidence(net)


def test_all_four_are_killed_and_start_again_together(tmp_path: Path) -> None:
    with started(tmp_path) as net:
        with load(net):
            for node in net.nodes:
                node.kill()
        net.start_all()
        net.wait_connected()
        net.wait_for("signs", net.nodes, lambda status: not status.silent)
        height = net.height()
        with load(net):
            for node in net.nodes:
                wait_votes_again(net, node, height)
        end_all(net)
        events = {line.get("evt.name") for node in net.nodes for line in node.lines()}
        assert "signing_begun" in events and not events & {"signing_stopped", "evidence_found", "signature_refused"}


def test_an_older_copy_of_the_folder_is_put_back(tmp_path: Path) -> None:
    with started(tmp_path) as net:
        first, older = net.nodes[0], tmp_path / "older"
        first.tell_to_end()
        first.wait_end(10)
        shutil.copytree(first.folder, older, ignore=shutil.ignore_patterns("log.*", "errors.*"))
        first.start()
        with load(net):
            wait_votes_again(net, first, net.height())
            first.kill()
        shutil.rmtree(first.data_dir)
        shutil.copytree(older, first.folder, dirs_exist_ok=True)
        first.start()
        net.wait_for("stopped", [first], lambda status: "its signing record does not hold" in status.silent)
        with load(net):
            net.wait_height(net.height() + BLOCKS)
        assert set(first.failed_checks()) == {"signs"}, "it follows"
        first.tell_to_end()
        first.wait_end(10)
        lines = [line for line in first.lines() if line.get("evt.name") == "signing_stopped"]
        assert len(lines) == 1 and "--sign_anew" in lines[0]["why"]
        first.environment["BLOCKCHAIN_SIGN_ANEW"] = "true"
        first.start()
        with load(net):
            net.wait_for("signs anew", [first], lambda status: not status.silent)
            wait_votes_again(net, first, net.height())
        check_no_evidence(net)


def is_stopped(node: NodeProcess) -> bool:
    status = node.status()
    return status is not None and "nothing until it is started again" in status.waiting_for


def check_no_evidence(net: Network) -> None:
    end_all(net)
    events = {line.get("evt.name") for node in net.nodes for line in node.lines()}
    assert not events & {"evidence_found", "halted", "signature_refused"}
    chains = [stored_chain(node, net.spec.hash) for node in net.nodes]
    assert all(chain.evidence == 0 for chain in chains)
    check_one_chain(chains)
