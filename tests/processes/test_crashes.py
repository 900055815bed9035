"""Real nodes are killed in the middle of load (kill -9): the chain goes on, and nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.processes.checks import check_everything, end_all, wait_all_final, wait_votes_again
from tests.processes.findings import check_logs, check_one_chain, stored_chain
from tests.processes.load import load
from tests.processes.network import Network, network
from tests.processes.node_process import NodeProcess

BLOCKS: Final = 3  # so many more make the claim "it goes on"


@pytest.mark.slow
def test_any_one_is_killed_under_load_and_comes_back(tmp_path: Path) -> None:
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        with load(net) as running:
            net.wait_height(BLOCKS)
            for victim in net.nodes:
                at = net.height()
                victim.kill()
                net.wait_height(at + BLOCKS, [node for node in net.nodes if node is not victim])
                victim.start()
                missed = net.height()
                net.wait_height(missed, [victim])
                wait_votes_again(net, victim, missed)
        wait_all_final(net)
        check_everything(net, running)
        assert len(running.acknowledged) > 4 * BLOCKS


@pytest.mark.slow
def test_the_drawn_forger_is_killed_before_it_proposes(tmp_path: Path) -> None:
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        forger = drawn_forger(net)  # nothing to forge yet, so it stays the forger of the height in progress
        others = [node for node in net.nodes if node is not forger]
        forger.kill()
        with load(net) as running:
            net.wait_height(BLOCKS, others)
            first = others[0].client.block(1)
            assert first is not None and first.round >= 1  # its round passed without a proposal
            forger.start()
            missed = net.height()
            wait_votes_again(net, forger, missed)
        wait_all_final(net)
        warnings = check_everything(net, running)
        assert warnings["round_timed_out"] >= 1


def test_all_are_killed_at_once_under_load_and_lose_nothing(tmp_path: Path) -> None:
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        with load(net) as running:
            net.wait_height(2 * BLOCKS)
            before = [block.id for block in net.nodes[0].client.blocks(limit=100).blocks]
            acknowledged = running.acknowledged
            for node in net.nodes:
                node.process.kill()
            for node in net.nodes:
                node.kill()  # which waits for its end
            at = len(before)
            net.start_all()
            net.wait_height(at + BLOCKS)
        wait_all_final(net)
        assert [block.id for block in net.nodes[-1].client.blocks(at + 1, 100).blocks] == before
        assert acknowledged < running.acknowledged
        check_everything(net, running)


def test_a_late_follower_without_key_syncs_and_so_does_one_that_was_killed(tmp_path: Path) -> None:
    with network(tmp_path, 1) as net:
        net.start_all()
        with load(net):
            net.wait_height(10)
            follower = net.add_follower()
            follower.start()
            net.wait_height(10, [follower])
            follower.kill()
            at = net.height()
            net.wait_height(at + 10, net.nodes[:1])
            follower.start()
            net.wait_height(at + 10)
        wait_all_final(net)
        status = follower.client.status()
        assert status.validator is None and not status.is_active
        end_all(net)
        check_one_chain([stored_chain(node, net.spec.hash) for node in net.nodes])
        check_logs(net.nodes)


def test_an_acknowledged_transaction_is_never_unknown_nor_a_block_that_the_status_names(tmp_path: Path) -> None:
    with network(tmp_path, 1) as net:
        net.start_all()
        net.wait_for("an answer", net.nodes, lambda status: True)
        node, wallet = net.nodes[0].client, net.wallets[0]
        for nonce in range(40):  # each passes from the pool to the store while it is asked for
            (identifier,) = node.submit([wallet.transfer(wallet.address, 1, nonce)])
            while (seen := node.transaction(identifier)) is not None and seen.state != "final":
                pass
            assert seen is not None
            assert node.block(node.status().height) is not None


def drawn_forger(net: Network) -> NodeProcess:
    """The node whose validator is drawn for round 0 of the height in progress."""
    address = net.nodes[0].client.consensus().forger
    (forger,) = [node for node in net.nodes if node.client.status().validator == address]
    return forger
