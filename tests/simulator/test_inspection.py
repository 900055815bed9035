"""What is verified once for all nodes is not taken for granted where it depends on who asks."""

from __future__ import annotations

import pytest

from blockchain.errors import PeerFault
from blockchain.node.core import Core
from blockchain.node.messages import GetPeers, Peers, Status, VerifiedVotes, Votes, encode_frame
from blockchain.primitives.vote import Step
from blockchain.simulator import inspection as inspection_module
from blockchain.simulator.inspection import Inspection
from tests.samples import BLOCK_A, PRECOMMIT, PREVOTE, vote
from tests.simulator.stage import Stage


def running() -> tuple[Stage, list[Core]]:
    """Three nodes that are connected, at height 1."""
    stage = Stage()
    stage.start(0, 1, 2)
    stage.run(2_000)
    return stage, [node.core for node in stage.world.nodes if node.core is not None]


def test_an_answer_to_one_node_is_not_asked_for_by_another() -> None:
    stage = Stage()
    stage.start(0, 1, 2)
    stage.run(2_000)
    asking, other = stage.world.nodes[0].core, stage.world.nodes[1].core
    sender = stage.world.nodes[2].id
    assert asking is not None and other is not None
    frame = encode_frame(stage.world.spec.hash, Peers(()))
    inspection = Inspection()
    asking.peers.send(asking.peers[sender], GetPeers())
    assert inspection.verify(frame, asking, sender) == Peers(())
    with pytest.raises(PeerFault) as fault:
        inspection.verify(frame, other, sender)
    assert fault.value.reason == "unasked"


def test_all_nodes_keep_one_copy_of_a_vote() -> None:
    stage, (one, other, _) = running()
    sender, chain = stage.world.nodes[2].id, stage.world.spec.hash
    key = next(iter(stage.world.nodes[2].keys.values()))
    said, later = (vote(key, 1, step, BLOCK_A, genesis_hash=chain) for step in (PREVOTE, PRECOMMIT))
    inspection = Inspection()
    alone = inspection.verify(encode_frame(chain, Votes((said,))), one, sender)
    among = inspection.verify(encode_frame(chain, Votes((said, later))), other, sender)
    assert isinstance(alone, VerifiedVotes) and isinstance(among, VerifiedVotes)
    assert (alone.votes, among.votes) == ((said,), (said, later)), "news to both of them"
    assert among.votes[0] is alone.votes[0] is not said


@pytest.mark.parametrize("bound", ["FRAMES_MAX", "FRAMES_BYTES_MAX", "VOTES_MAX"])
def test_only_so_much_is_remembered(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was forgotten is verified again, to the same end."""
    monkeypatch.setattr(inspection_module, bound, 1)
    stage, (core, *_) = running()
    sender, chain = stage.world.nodes[2].id, stage.world.spec.hash
    key = next(iter(stage.world.nodes[2].keys.values()))
    inspection = Inspection()
    for round in range(5):
        said = vote(key, 1, PREVOTE, BLOCK_A, round=round, genesis_hash=chain)
        assert inspection.verify(encode_frame(chain, Votes((said,))), core, sender) == VerifiedVotes((said,))
        assert len(inspection._votes if bound == "VOTES_MAX" else inspection._frames) == 1
    place = Status(1, 0, Step.PROPOSE, ())
    assert inspection.verify(encode_frame(chain, place), core, sender) == place
