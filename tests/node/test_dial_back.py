"""A peer that asks is dialled where it says that it listens, nowhere else, and seldom."""

from __future__ import annotations

from itertools import count

import pytest

from blockchain.node.dial_back import ASK_MS, ASKED_MAX, DIALS_MAX, HOST_DIALS_MAX, INTERVAL_MS, DialBacks, reachable
from blockchain.node.dial_back import to_ask as next_to_ask
from blockchain.node.messages import Dialled, DialMe, encode_frame
from blockchain.node.peers import Peer
from blockchain.seams import DialBack, DialledBack, DialOutcome, PeerConnected, PeerDisconnected, PeerId, Send
from tests.node.test_attacks import PEER, Bench, chain_of

WORLD = "5.9.0.77"
_NUMBERS = count()


def peer(says: str = "", remote: str = WORLD, inbound: bool = True) -> Peer:
    return Peer(PeerId(next(_NUMBERS).to_bytes(32, "big")), says, inbound=inbound, remote=remote)


def test_a_peer_is_dialled_where_it_says_that_it_listens() -> None:
    asking = peer("node.example.org:8010")
    assert DialBacks().on_asked(asking, 0) == DialBack(asking.id, "node.example.org:8010", WORLD)


@pytest.mark.parametrize("says", ["10.0.0.1:22", "localhost:22", "[::ffff:127.0.0.1]:22", "router:80", "nas.local:9"])
def test_nobody_outside_makes_a_node_knock_inside_its_own_network(says: str) -> None:
    assert DialBacks().on_asked(peer(says), 0) == Dialled("not_near")


def test_who_says_of_no_place_is_dialled_nowhere() -> None:
    assert DialBacks().on_asked(peer(), 0) == Dialled("no_address")


def test_one_who_asks_and_one_address_are_dialled_once_in_an_interval() -> None:
    backs, one, other = DialBacks(), peer("5.9.0.1:1"), peer("5.9.0.1:1")
    assert isinstance(backs.on_asked(one, 1_000), DialBack)
    one.address = "5.9.0.1:2"
    assert backs.on_asked(one, 1_001) == backs.on_asked(other, 1_002) == Dialled("busy")
    assert backs.on_asked(other, 999 + INTERVAL_MS) == Dialled("busy")
    assert isinstance(backs.on_asked(other, 1_000 + INTERVAL_MS), DialBack)
    assert isinstance(backs.on_asked(one, 0), DialBack), "the clock was set back: nobody waits for it"


def test_the_answer_goes_out_on_the_connection_on_which_it_was_asked_for_and_once() -> None:
    """Else who asked on one that is over, because it or this node stood still, takes it for unasked."""
    bench = Bench(chain_of(4)[0], None)

    def answers() -> list[bytes]:
        bench.effects.clear()
        bench.feed(DialledBack(PEER, "reached"))
        return [effect.frame for effect in bench.effects if isinstance(effect, Send)]

    def connect() -> None:
        bench.feed(PeerConnected(PEER, "5.9.0.1:1", inbound=True, remote=WORLD))

    bench.feed(PeerDisconnected(PEER))
    connect()
    bench.receive(DialMe())
    bench.receive(DialMe())  # answered at once: busy
    assert answers() == [encode_frame(bench.spec.hash, Dialled("reached"))] and answers() == []
    bench.core = Bench(bench.spec, None).core  # another interval, as it were
    bench.feed(PeerDisconnected(PEER))
    connect()
    bench.receive(DialMe())
    bench.feed(PeerDisconnected(PEER))
    assert answers() == []
    connect()
    assert answers() == []


def test_of_one_host_and_in_all_only_so_many_are_dialled() -> None:
    backs = DialBacks()
    for port in range(1, HOST_DIALS_MAX + 1):
        assert isinstance(backs.on_asked(peer(f"5.9.0.1:{port}"), 0), DialBack)
    assert backs.on_asked(peer("5.9.0.1:99"), 0) == Dialled("busy")
    answers = [backs.on_asked(peer(f"5.{host}.0.1:1"), 0) for host in range(10, 10 + DIALS_MAX)]
    assert sum(isinstance(answer, DialBack) for answer in answers) == DIALS_MAX - HOST_DIALS_MAX
    assert len(backs._lately) == DIALS_MAX
    many = DialBacks()
    assert all(isinstance(many.on_asked(peer(f"localhost:{port}", "::1"), 0), DialBack) for port in range(1, 20))


def test_a_few_are_asked_one_after_the_other_those_first_that_were_dialled() -> None:
    inbound, outbound = [peer() for _ in range(ASKED_MAX)], [peer(inbound=False) for _ in range(2)]
    everybody = [*inbound, *outbound]
    asked = [next_to_ask(everybody, now) for now in range(10)]
    assert asked == [*outbound, *inbound[: ASKED_MAX - 2], *[None] * (10 - ASKED_MAX)]
    assert next_to_ask(everybody, ASK_MS - 1) is None
    assert next_to_ask(everybody, ASK_MS) is outbound[0]
    assert next_to_ask(everybody, -1) is outbound[0], "the clock was set back"


@pytest.mark.parametrize(
    ("outcomes", "verdict", "why"),
    [
        ([], "unknown", "no peer has tried yet"),
        (["busy"], "unknown", "no peer has tried yet"),
        (["no_address", "busy"], "unknown", "tells no peer"),
        (["reached", "busy"], "yes", "1 of 1"),
        (["reached", "no_answer"], "yes", "1 of 2"),
        (["reached", "no_answer", "no_answer"], "no", "1 of 3 peers that tried reached this node: nobody answered"),
        (["other_node"], "no", "somebody else answers"),
        (["not_near", "no_address"], "no", "only nearer nodes"),
    ],
)
def test_a_node_is_reachable_when_half_of_those_that_tried_reached_it(
    outcomes: list[DialOutcome], verdict: str, why: str
) -> None:
    everybody = [peer() for _ in range(ASKED_MAX)]
    for one, outcome in zip(everybody, outcomes, strict=False):
        one.dialled.outcome = outcome
    found = reachable(everybody)
    assert found.verdict == verdict and why in found.why
