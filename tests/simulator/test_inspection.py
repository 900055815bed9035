"""What is verified once for all nodes is not taken for granted where it depends on who asks."""

from __future__ import annotations

import pytest

from blockchain.errors import PeerFault
from blockchain.node.messages import GetPeers, Peers, encode_frame
from blockchain.simulator.inspection import Inspection
from tests.simulator.stage import Stage


def test_an_answer_to_one_node_is_not_asked_for_by_another() -> None:
    stage = Stage()
    stage.start(0, 1, 2)
    stage.run(2_000)
    asking, other = stage.world.nodes[0].core, stage.world.nodes[1].core
    sender = stage.world.nodes[2].id
    assert asking is not None and other is not None
    frame = encode_frame(stage.world.spec.hash, Peers(()))
    inspection = Inspection()
    asking.gossip.send(asking.gossip.peers[sender], GetPeers())
    assert inspection.verify(frame, asking, sender) == Peers(())
    with pytest.raises(PeerFault) as fault:
        inspection.verify(frame, other, sender)
    assert fault.value.reason == "unasked"
