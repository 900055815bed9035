"""The decision between two connections with one peer, and whose connection it is, without any socket."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from blockchain.runtime.handshake import Peer
from blockchain.runtime.link import Link
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.roster import DuplicateConnection, Roster
from blockchain.runtime.secure_channel import SecureChannel
from blockchain.runtime.websocket import PeerConnection

SMALL, LARGE = b"\x01" * 32, b"\x02" * 32
HANDSHAKE_S = 10.0


def link(peer_id: bytes, *, inbound: bool, since: float = 0.0) -> Link:
    channel = SecureChannel(send_key=bytes(32), receive_key=bytes(32))
    nowhere = cast(PeerConnection, SimpleNamespace(transport=asyncio.Transport()))
    made = Link(nowhere, channel, Peer(peer_id, "", ""), "", inbound, P2PLimits())
    made.since = since
    return made


# own id, is the present one inbound, its age when the newcomer comes, whether the newcomer replaces it
@pytest.mark.parametrize(
    ("own_id", "peer_id", "present_inbound", "age", "replaces"),
    [
        (SMALL, LARGE, False, 0.0, False),  # a simultaneous dial: the smaller id's own dial stays
        (LARGE, SMALL, False, 0.0, True),  # the same, seen from the larger id
        (SMALL, LARGE, False, HANDSHAKE_S - 0.1, False),
        (SMALL, LARGE, False, HANDSHAKE_S, True),  # too old for that: the peer has lost it
        (SMALL, LARGE, True, 0.0, True),  # the peer dialled twice: it has lost the first
        (LARGE, SMALL, True, 0.0, True),
    ],
)
def test_which_of_two_connections_stays(
    own_id: bytes, peer_id: bytes, present_inbound: bool, age: float, replaces: bool
) -> None:
    async def scenario() -> None:
        roster = Roster(own_id, HANDSHAKE_S)
        present = link(peer_id, inbound=present_inbound)
        newcomer = link(peer_id, inbound=True, since=age)
        if present_inbound:
            roster.enter_accepted(present)
        else:
            roster.enter_dialled(present)
        if replaces:
            roster.enter_accepted(newcomer)
            assert "replaced" in present.why
            assert newcomer.replaces is present
            roster.leave(present)  # has no effect on the newcomer
            assert roster.find(peer_id) is newcomer
        else:
            with pytest.raises(DuplicateConnection):
                roster.enter_accepted(newcomer)
            assert not present.why
            assert roster.find(peer_id) is present

    asyncio.run(scenario())


@pytest.mark.parametrize("present_inbound", [True, False])
def test_a_dial_never_replaces(present_inbound: bool) -> None:
    async def scenario() -> None:
        roster = Roster(LARGE, HANDSHAKE_S)
        present = link(SMALL, inbound=present_inbound)
        roster.enter_accepted(present)
        with pytest.raises(DuplicateConnection):
            roster.enter_dialled(link(SMALL, inbound=False, since=1000.0))
        roster.leave(present)
        roster.enter_dialled(link(SMALL, inbound=False))

    asyncio.run(scenario())


def test_a_newcomer_waits_for_all_that_it_replaces() -> None:
    """The one in the middle never came up; the first still has to tell that it is over."""

    async def scenario() -> None:
        roster = Roster(LARGE, HANDSHAKE_S)
        first, second, third = (link(SMALL, inbound=True) for _ in range(3))
        for each in (first, second, third):
            roster.enter_accepted(each)
        waiting = asyncio.create_task(third.replaced_is_gone())
        second.gone.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        first.gone.set()
        await waiting
        assert third.replaces is None

    asyncio.run(scenario())
