"""What the tests of crashes share: telling the nodes of a network to end, and looking at everything afterwards."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.processes.findings import check_logs, check_one_chain, check_records_lead, check_signed_once, stored_chain
from tests.processes.load import Load
from tests.processes.network import Network
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import PATIENCE_SECONDS, wait_until

END_SECONDS: Final = 5.0  # a node that is told to end has ended by then


def wait_votes_again(net: Network, node: NodeProcess, since: int) -> None:
    """Until a certificate of a height above `since` holds the node's precommit, as another node shows it."""
    place = place_of(net, node)
    observer = next(other for other in net.nodes if other is not node)
    seen = since

    def look() -> bool:
        nonlocal seen
        while (block := observer.client.block(seen + 1)) is not None:
            seen += 1
            assert block.certificate is not None
            if any(precommit.index == place for precommit in block.certificate.precommits):
                return True
        return False

    wait_until(f"a precommit of {node.name} in a certificate after height {since}", look)


def place_of(net: Network, node: NodeProcess) -> int:
    """The place of the node's validator on the line, by which certificates name it."""
    addresses = [validator.address for validator in net.spec.validators]
    return sorted(addresses).index(addresses[net.nodes.index(node)])


def wait_all_final(net: Network, seconds: float = PATIENCE_SECONDS) -> None:
    """Until no pool holds anything, and all nodes are at one height."""

    def look() -> bool:
        statuses = [node.client.status() for node in net.nodes]
        return all(one.pool.pending == 0 and one.height == statuses[0].height for one in statuses)

    wait_until("empty pools at one height", look, seconds)


def end_all(net: Network) -> None:
    for node in net.nodes:
        node.tell_to_end()
    codes = {node.name: node.wait_end(END_SECONDS) for node in net.nodes}
    assert set(codes.values()) == {0}, f"exit codes {codes}"


def check_everything(net: Network, running: Load) -> Counter[str]:
    """End all; then: one chain, nothing lost, nothing signed twice, nothing bad in any log. The warnings that came."""
    end_all(net)
    chains = [stored_chain(node, net.spec.hash) for node in net.nodes]
    check_one_chain(chains)
    check_signed_once(chains)
    check_records_lead(net, chains)
    for chain in chains:
        lost = running.acknowledged - set(chain.transaction_ids)
        assert not lost, f"{len(lost)} of {len(running.acknowledged)} acknowledged are not final at {chain.name}"
    assert running.refused == []
    return check_logs(net.nodes)
