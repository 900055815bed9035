"""Large sets and long heights: what a peer that comes is sent must neither cut it off nor blame the sender."""

from __future__ import annotations

from typing import TypeVar

import pytest

from blockchain.node import core, peers
from blockchain.node.messages import Announce, Holdings, Message, Status, Votes, decode_frame
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Announcement, Step, VoteStep, sign_message
from blockchain.runtime.peer_events import P2PLimits
from blockchain.seams import PeerConnected, PeerId, Send, TimerFired, TimerKey, TimerKind
from tests.node.test_attacks import NOW, Bench, chain_of
from tests.samples import vote

M = TypeVar("M", bound=Message)


def sent(node: Bench, kind: type[M]) -> list[M]:
    messages = [decode_frame(effect.frame).message for effect in node.effects if isinstance(effect, Send)]
    return [message for message in messages if isinstance(message, kind)]


def test_status_after_status_gets_only_so_many_votes_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes to a stalled height lacks all of it at once: more than a peer may send, and more than waits for one."""
    monkeypatch.setattr(peers, "VOTES_SENT_MAX", 3)
    spec, keys = chain_of(4)
    node = Bench(spec, None)
    for held in keys[:2]:
        for step in (VoteStep.PREVOTE, VoteStep.PRECOMMIT):
            node.receive(Votes((vote(held, 1, step, None, genesis_hash=spec.hash),)))
    for lacked in (Holdings(0, False, ()), Holdings(0, False, ())):
        node.effects.clear()
        for _ in range(20):
            node.receive(Status(2, 0, Step.PROPOSE, ()))  # of what it was sent before nothing is known then
            node.receive(Status(1, 0, Step.PROPOSE, (lacked,)))
        assert sum(len(message.votes) for message in sent(node, Votes)) == 3
        node.feed(TimerFired(TimerKey(TimerKind.STATUS)))


def test_however_many_validators_speak_a_new_peer_has_room_for_what_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be a validator costs one unit of stake: thousands must not keep all nodes from connecting with each other."""
    assert P2PLimits().outgoing_messages_max // 2 > core.ANNOUNCED_MAX
    monkeypatch.setattr(core, "ANNOUNCED_MAX", 2)
    spec, keys = chain_of(4)
    node = Bench(spec, None)
    for held in keys:
        said = sign_message(Announcement(Address(held.public_key), 1, NOW), held, spec.hash)
        assert isinstance(said, Announcement)
        node.receive(Announce(said))
    assert len(list(node.core.announcements)) == 4
    node.effects.clear()
    node.feed(PeerConnected(PeerId(b"q" * 32), "", inbound=True))
    assert len(sent(node, Announce)) == 2
