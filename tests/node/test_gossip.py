"""Gossip: who is told what, that nobody is told what it holds, and that a peer in need gets everything."""

from __future__ import annotations

import pytest

from blockchain.node import gossip as gossip_module
from blockchain.node import held_votes
from blockchain.node.core import Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import (
    ROUNDS_MAX,
    Accuse,
    Holdings,
    ProposedBlock,
    Status,
    Tally,
    VerifiedVotes,
    Votes,
)
from blockchain.node.peers import TICK_MS
from blockchain.node.store import MemoryStore
from blockchain.primitives.vote import ConflictingVotes, Step
from blockchain.seams import (
    Broadcast,
    PeerConnected,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
)
from tests.node.gossip_bench import ONE, THREE, TWO, Bench, sent
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE, vote

# ------------------------------------------------------------------------------------------------ what is held


def test_a_status_tells_the_place_and_the_votes_by_value() -> None:
    bench = Bench()
    _, block = bench.propose()
    bench.hold(bench.vote(0, PREVOTE, block.id), bench.vote(2, PREVOTE, block.id), bench.vote(1, PREVOTE, None))
    status = bench.gossip.status()
    assert (status.height, status.round) == (1, 0)
    [holding] = status.rounds
    assert (holding.round, holding.has_proposal) == (0, True)
    assert set(holding.tallies) == {Tally(PREVOTE, block.id, b"\x05"), Tally(PREVOTE, None, b"\x02")}


def test_a_status_tells_of_every_round_in_turn_and_never_of_too_many() -> None:
    bench = Bench()
    bench.to_round(60)
    seen: set[int] = set()
    for _ in range(20):
        told = [holding.round for holding in bench.gossip.status().rounds]
        assert len(told) <= ROUNDS_MAX and told == sorted(set(told)) and {59, 60} <= set(told)
        seen |= set(told)
        bench.gossip.on_tick()
    assert seen == set(range(61))


def test_everybody_is_told_the_status_each_tick() -> None:
    bench = Bench(ONE, TWO)
    assert sent(bench.gossip.on_tick(), Status) == [((ONE, TWO), bench.gossip.status())]
    assert Bench().gossip.on_tick() == []


# ------------------------------------------------------------------------------------------------ spreading


def test_a_vote_goes_to_those_who_may_lack_it_and_once() -> None:
    bench = Bench(ONE, TWO)
    cast = bench.vote(1, PREVOTE, BLOCK_A)
    bench.tell(TWO, Holdings(0, False, (Tally(PREVOTE, BLOCK_A, b"\x02"),)))
    bench.tell(THREE, height=9)
    assert sent(bench.spread(cast), Votes) == [((ONE,), Votes((cast,)))]
    assert sent(bench.spread(cast), Votes) == []


def test_a_vote_for_another_value_goes_out_too() -> None:
    bench = Bench(ONE)
    bench.spread(bench.vote(1, PREVOTE, BLOCK_A))
    assert len(sent(bench.spread(bench.vote(1, PREVOTE, BLOCK_B)), Votes)) == 1


def test_ones_own_vote_goes_at_once_and_others_a_moment_later_to_who_has_not_sent_them() -> None:
    bench = Bench(ONE, TWO)
    own, others = bench.vote(0, PREVOTE, BLOCK_A), [bench.vote(who, PREVOTE, BLOCK_A) for who in (1, 2)]
    bench.engine.current.validator = own.validator
    timer = SetTimer(TimerKey(TimerKind.VOTES), held_votes.RELAY_MS)
    assert [bench.gossip.broadcast(Broadcast(each), NOW) for each in others] == [[timer], []]
    assert sent(bench.gossip.broadcast(Broadcast(own), NOW), Votes) == [((ONE, TWO), Votes((own,)))]
    for peer, vote_of_it in zip((ONE, TWO), others, strict=True):
        bench.gossip.note_votes_of(bench.peers[peer], (vote_of_it,))
    assert sent(bench.gossip.spread_votes(), Votes) == [((ONE,), Votes((others[1],))), ((TWO,), Votes((others[0],)))]


def test_a_late_precommit_goes_to_those_at_the_next_height() -> None:
    node = Node(spec_with())
    node.grow(node.pay("a", 0))
    bench = Bench(node=node)
    bench.tell(ONE, height=2)
    bench.tell(TWO, height=1)
    bench.tell(THREE, height=4)
    late = bench.vote(0, PRECOMMIT, node.chain.head.id)
    assert sent(bench.spread(late), Votes) == [((ONE, TWO), Votes((late,)))]
    assert sent(bench.spread(late), Votes) == [], "once"
    bench.tell(TWO, height=2)
    assert sent(bench.spread(late), Votes) == [], "it was sent when it was there"
    assert sent(bench.spread(bench.vote(1, PREVOTE, node.chain.head.id)), Votes) == [], "a prevote completes nothing"


def test_a_proposal_goes_with_its_block_to_those_who_lack_it() -> None:
    bench = Bench(ONE, TWO)
    proposal, block = bench.propose()
    bench.tell(TWO, Holdings(0, True, ()))
    bench.tell(THREE, height=2)
    told = Broadcast(proposal, block)
    assert sent(bench.gossip.broadcast(told, NOW), ProposedBlock) == [((ONE,), ProposedBlock(proposal, block.raw))]
    assert bench.gossip.broadcast(told, NOW) == []
    with pytest.raises(AssertionError):
        bench.gossip.broadcast(Broadcast(proposal), NOW)


def test_evidence_goes_to_all() -> None:
    bench = Bench(ONE)
    bench.tell(TWO, height=50)
    evidence = ConflictingVotes(bench.vote(0, PREVOTE, BLOCK_A), bench.vote(0, PREVOTE, BLOCK_B))
    assert sent(bench.peers.send_all(Accuse(evidence)), Accuse) == [((ONE, TWO), Accuse(evidence))]
    assert bench.peers.send_all(Accuse(evidence), but=ONE)[0] == Send((TWO,), frame_of(bench, evidence))


def frame_of(bench: Bench, evidence: ConflictingVotes) -> bytes:
    [send] = bench.peers.send_all(Accuse(evidence))
    assert isinstance(send, Send)
    return send.frame


# ------------------------------------------------------------------------------------------------ catching up


def test_a_peer_that_has_nothing_is_sent_all_of_the_height() -> None:
    bench = Bench()
    proposal, block = bench.propose()
    votes = [bench.vote(who, PREVOTE, block.id) for who in (0, 1)] + [bench.vote(2, PRECOMMIT, None)]
    bench.hold(*votes)
    peer = bench.tell(ONE, Holdings(0, False, ()))
    effects = bench.gossip.catch_up(peer, NOW)
    assert sent(effects, ProposedBlock) == [((ONE,), ProposedBlock(proposal, block.raw))]
    assert [set(message.votes) for _, message in sent(effects, Votes)] == [set(votes)]
    bench.tell(ONE, Holdings(0, False, ()))
    assert bench.gossip.catch_up(peer, NOW) == [], "it may be on its way"
    for _ in range(2):
        peer.on_tick(TICK_MS)
    bench.tell(ONE, Holdings(0, False, ()))
    assert len(bench.gossip.catch_up(peer, NOW)) == 2, "what was lost is sent again"


def test_a_peer_is_sent_only_what_it_lacks() -> None:
    bench = Bench()
    _, block = bench.propose()
    bench.hold(*(bench.vote(who, PREVOTE, block.id) for who in (0, 1)))
    peer = bench.tell(ONE, Holdings(0, True, (Tally(PREVOTE, block.id, b"\x01"),)))
    effects = bench.gossip.catch_up(peer, NOW)
    assert sent(effects, ProposedBlock) == []
    assert [message.votes for _, message in sent(effects, Votes)] == [(bench.vote(1, PREVOTE, block.id),)]


def test_a_peer_of_another_height_is_not_sent_votes_of_this_one() -> None:
    bench = Bench()
    bench.propose()
    for height in (0, 2, 9):
        assert bench.gossip.catch_up(bench.tell(ONE, Holdings(0, False, ()), height=height), NOW) == []


def test_a_peer_in_an_earlier_round_is_sent_the_votes_that_let_it_skip() -> None:
    bench = Bench()
    bench.to_round(5)
    votes = [bench.vote(who, PREVOTE, None, round=5) for who in (0, 1)]
    bench.hold(*votes)
    effects = bench.gossip.catch_up(bench.tell(ONE, Holdings(0, False, ()), round=0), NOW)
    assert [set(message.votes) for _, message in sent(effects, Votes)] == [set(votes)]


def test_votes_are_sent_in_lists_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip_module, "VOTES_MAX", 2)
    bench = Bench()
    bench.hold(*(bench.vote(who, PREVOTE, None) for who in (0, 1, 2)))
    effects = bench.gossip.catch_up(bench.tell(ONE, Holdings(0, False, ())), NOW)
    assert [len(message.votes) for _, message in sent(effects, Votes)] == [2, 1]


# ------------------------------------------------------------------------------------------------ votes put together


def crowd(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two peers of a node that takes three validators for a large set."""
    monkeypatch.setattr(held_votes, "AT_ONCE_MAX", 2)
    monkeypatch.setattr(held_votes, "VALIDATORS_PER_MS", 1)
    return Bench(ONE, TWO)


def test_in_a_large_set_votes_share_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = crowd(monkeypatch)
    votes = tuple(bench.vote(who, PREVOTE, BLOCK_A) for who in range(3))
    effects = [bench.gossip.broadcast(Broadcast(each), NOW) for each in votes]
    assert effects == [[SetTimer(TimerKey(TimerKind.VOTES), held_votes.RELAY_MS)], [], []]
    assert sent(bench.gossip.spread_votes(), Votes) == [((ONE, TWO), Votes(votes))]
    assert bench.gossip.spread_votes() == []
    later = bench.vote(0, PRECOMMIT, BLOCK_A)
    assert bench.gossip.broadcast(Broadcast(later), NOW) == effects[0], "the next one sets the timer again"


def test_what_a_peer_has_sent_meanwhile_is_not_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = crowd(monkeypatch)
    one, other = bench.vote(0, PREVOTE, BLOCK_A), bench.vote(1, PREVOTE, BLOCK_A)
    for each in (one, other):
        bench.gossip.broadcast(Broadcast(each), NOW)
    bench.gossip.note_votes_of(bench.peers[ONE], (one,))
    assert sent(bench.gossip.spread_votes(), Votes) == [((ONE,), Votes((other,))), ((TWO,), Votes((one, other)))]


def test_a_frame_that_is_full_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_votes, "VOTES_MAX", 2)
    bench = crowd(monkeypatch)
    assert sent(bench.gossip.broadcast(Broadcast(bench.vote(0, PREVOTE, BLOCK_A)), NOW), Votes) == []
    [(peers, votes)] = sent(bench.gossip.broadcast(Broadcast(bench.vote(1, PREVOTE, BLOCK_A)), NOW), Votes)
    assert peers == (ONE, TWO) and len(votes.votes) == 2


def test_votes_of_a_height_that_is_long_over_are_not_sent_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = crowd(monkeypatch)
    bench.gossip.broadcast(Broadcast(bench.vote(0, PREVOTE, BLOCK_A, height=1)), NOW)
    bench.tell(ONE, height=9)
    bench.engine.current.height = 9
    assert bench.gossip.spread_votes() == []


@pytest.mark.parametrize(("validators", "ms"), [(1, 0), (50, 0), (51, 2), (100, 5), (1_000, 50), (10_000, 100)])
def test_how_long_a_vote_waits_for_others(validators: int, ms: int) -> None:
    assert held_votes.hold_ms(validators, is_own=True) == ms
    assert held_votes.hold_ms(validators, is_own=False) == max(ms, held_votes.RELAY_MS)


def test_the_timer_of_a_core_sends_what_is_held_back() -> None:
    """Through the core: a vote of a peer comes, waits, and goes to the other peer when the timer fires."""
    spec = spec_with()
    core = Core(spec, MemoryStore(), frozenset())
    core.handle(Started(), NOW)
    for peer in (ONE, TWO):
        core.handle(PeerConnected(peer), NOW)
        core.handle(MessageReceived(peer, Status(1, 0, Step.PROPOSE, ())), NOW)
    said = vote(KEYS[0], 1, PREVOTE, BLOCK_A, genesis_hash=spec.hash)
    effects = core.handle(MessageReceived(ONE, VerifiedVotes((said,))), NOW)
    key = TimerKey(TimerKind.VOTES)
    assert SetTimer(key, held_votes.RELAY_MS) in effects and sent(effects, Votes) == []
    assert sent(core.handle(TimerFired(key), NOW), Votes) == [((TWO,), Votes((said,)))]
