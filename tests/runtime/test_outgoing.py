"""What is about transactions is sent after all else, and each of the two in its order."""

from __future__ import annotations

import pytest

from blockchain.node.messages import Fresh, Have, Status, Transactions, Want, encode_frame
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.runtime.outgoing import Outgoing
from tests.runtime.live_nodes import KEYS, Node, started
from tests.runtime.scenarios import run

GENESIS = Hash32(b"\x11" * 32)
LATER = [
    encode_frame(GENESIS, one) for one in (Have((GENESIS,)), Want((GENESIS,)), Transactions((b"t",)), Fresh((b"t",)))
]
FIRST = [encode_frame(GENESIS, Status(number, 0, Step.PROPOSE, ())) for number in range(1, 4)]


def test_a_vote_is_sent_before_transactions_that_wait_already() -> None:
    waiting = Outgoing()
    for message in (*LATER[:2], *FIRST[:2], *LATER[2:]):
        waiting.put(message)
    assert (len(waiting), waiting.bytes) == (6, sum(map(len, [*FIRST[:2], *LATER])))
    assert [waiting.take() for _ in range(3)] == [*FIRST[:2], LATER[0]]
    waiting.put(FIRST[2])
    assert [waiting.take() for _ in range(4)] == [FIRST[2], *LATER[1:]]
    assert (len(waiting), waiting.bytes) == (0, 0)
    with pytest.raises(IndexError):
        waiting.take()


def test_so_it_is_on_a_connection() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            one.p2p.dial(other.address, other.id)
            await one.up()
            await other.up()
            for message in (*LATER, *FIRST):  # the writer has no turn meanwhile
                assert one.p2p.send(other.id, message)
            assert [await other.frame() for _ in range(len(LATER) + len(FIRST))] == [*FIRST, *LATER]

    run(scenario())
