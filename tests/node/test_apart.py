"""What two peers both have from its author is not passed on between them, for a moment, and is never withheld."""

from __future__ import annotations

from itertools import count

import pytest

from blockchain.node import peers
from blockchain.node.apart import APART_TICKS, LAG_MS, SHOWN_ONE_IN, is_shown_all
from blockchain.node.held_votes import RELAY_MS
from blockchain.node.messages import Holdings, ProposedBlock, Tally, Votes
from blockchain.node.peers import TICK_MS
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Step, Vote
from blockchain.seams import Broadcast, Effect, SetTimer, TimerKey, TimerKind
from tests.node.gossip_bench import ONE, THREE, TWO, Bench, sent
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE

LAG = SetTimer(TimerKey(TimerKind.LAG, 1), LAG_MS)
RELAY = SetTimer(TimerKey(TimerKind.VOTES), RELAY_MS)


class Crossed(Bench):
    """Prevotes of these validators, at round 0, were sent to ONE and THREE and by them; TWO only hears."""

    def __init__(self, *voters: int, node: Node | None = None) -> None:
        super().__init__(TWO, node=node)
        self.gossip.secret = next(secret for secret in count() if not self.heights_shown(secret))
        for peer in (ONE, THREE):
            self.tell(peer, Holdings(0, False, ()))
        for who in voters:
            self.cross(self.vote(who, PREVOTE, None, height=self.node.chain.height))

    def heights_shown(self, secret: int) -> list[int]:
        return [height for height in (1, 2) for peer in (ONE, THREE) if is_shown_all(secret, height, peer)]

    def cross(self, cast: Vote) -> None:
        self.spread(cast)
        for peer in (ONE, THREE):
            self.gossip.note_votes_of(self.peers[peer], (cast,))

    def next(self, who: int, value: Hash32 | None = BLOCK_A) -> Vote:
        """One that the engine counts."""
        cast = self.vote(who, PREVOTE, value)
        self.hold(cast)
        return cast

    def to_one(self, effects: list[Effect]) -> list[Vote]:
        return [vote for peers, message in sent(effects, Votes) if ONE in peers for vote in message.votes]

    def lacks_all(self) -> list[Effect]:
        """ONE says again that it has nothing."""
        return self.gossip.catch_up(self.tell(ONE, Holdings(0, False, ())), NOW)


def test_votes_that_crossed_are_kept_from_that_peer_a_while_and_then_sent() -> None:
    bench = Crossed(1)
    kept, other = bench.next(1), bench.next(2)
    effects = bench.spread(kept, other)
    assert LAG in effects
    assert bench.to_one(effects) == [other], "of that validator alone"
    assert [votes for peers, votes in sent(effects, Votes) if TWO in peers] == [Votes((kept, other))]
    assert LAG not in bench.spread(bench.next(0)), "the timer is set with the first"
    assert bench.to_one(bench.gossip.on_lag_over(1, NOW)) == [kept]
    assert LAG in bench.spread(bench.next(1, None)), "and again with the next"


def test_what_the_peer_has_shown_meanwhile_is_not_sent_at_all() -> None:
    bench = Crossed(1)
    kept = bench.next(1)
    bench.spread(kept)
    bench.gossip.note_votes_of(bench.peers[ONE], (kept,))
    assert bench.to_one(bench.gossip.on_lag_over(1, NOW)) == []


def test_the_timer_of_a_height_that_is_over_sends_nothing() -> None:
    bench = Crossed(1)
    bench.spread(bench.next(1))
    assert bench.gossip.on_lag_over(0, NOW) == []
    assert len(bench.to_one(bench.gossip.on_lag_over(1, NOW))) == 1


def test_votes_that_only_one_side_sent_did_not_cross() -> None:
    bench = Crossed()
    for peer in (ONE, THREE):
        bench.gossip.note_votes_of(bench.peers[peer], (bench.vote(1, PREVOTE, None),))
    bench.spread(bench.vote(1, PREVOTE, None), bench.vote(2, PREVOTE, None))
    votes = [bench.next(1), bench.next(2)]
    assert bench.to_one(bench.spread(*votes)) == votes


def test_a_peer_that_has_been_at_the_height_is_sent_at_once_what_it_lacks() -> None:
    bench = Crossed(1)
    kept = bench.next(1)
    bench.spread(kept)
    assert bench.to_one(bench.lacks_all()) == [kept]


def test_a_peer_that_comes_to_the_height_gets_it_elsewhere_first() -> None:
    bench = Crossed(1)
    bench.tell(ONE, height=9)
    kept, other = bench.next(1), bench.next(2)
    come = bench.gossip.catch_up(bench.tell(ONE, Holdings(0, False, ())), NOW)
    assert bench.to_one(come) == [other] and LAG in come
    assert bench.to_one(bench.gossip.on_lag_over(1, NOW)) == [kept]


@pytest.mark.parametrize("is_over", [False, True])
def test_who_lacked_it_after_that_while_is_told_at_once_from_then_on(is_over: bool) -> None:
    bench = Crossed(1)
    if is_over:
        bench.gossip.on_lag_over(1, NOW)
    bench.next(1)
    assert len(bench.to_one(bench.lacks_all())) == 1
    assert len(bench.to_one(bench.spread(bench.next(1, None)))) == 0, "it was sent a moment ago, by the crossing"
    later = bench.vote(1, PRECOMMIT, BLOCK_A)
    bench.hold(later)
    assert bench.to_one(bench.spread(later)) == ([later] if is_over else [])


def test_a_vote_that_is_kept_from_all_is_not_held_for_the_relay_before_that() -> None:
    bench = Crossed(1)
    kept = bench.next(1)
    assert bench.gossip.broadcast(Broadcast(kept), NOW) == [RELAY], "TWO has it from nobody else"
    del bench.peers[TWO]
    bench.gossip.spread_votes()
    later = bench.vote(1, PRECOMMIT, BLOCK_A)
    bench.hold(later)
    assert bench.gossip.broadcast(Broadcast(later), NOW) == [], "the lag of this height has begun with the first"
    assert bench.gossip.spread_votes() == []
    assert bench.to_one(bench.gossip.on_lag_over(1, NOW)) == [kept, later]
    unlike = bench.vote(2, PRECOMMIT, BLOCK_A)
    assert bench.gossip.broadcast(Broadcast(unlike), NOW) == [RELAY], "this validator's votes did not cross"


def test_a_late_precommit_that_is_kept_from_all_needs_no_timer() -> None:
    node = Node(spec_with())
    bench = Crossed(1, node=node)
    del bench.peers[TWO]
    node.grow(node.pay("a", 0))
    bench.engine.current.height = 2
    for peer in (ONE, THREE):
        bench.tell(peer, height=2)
    assert bench.gossip.broadcast(Broadcast(bench.vote(1, PRECOMMIT, node.chain.head.id, height=1)), NOW) == []
    unlike = bench.vote(2, PRECOMMIT, node.chain.head.id, height=1)
    assert bench.gossip.broadcast(Broadcast(unlike), NOW) == [RELAY]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_precommit_that_was_kept_goes_to_who_tells_of_the_next_height(is_late: bool) -> None:
    """Who forges that waits for it."""
    node = Node(spec_with())
    bench = Crossed(1, node=node)
    kept = bench.vote(1, PRECOMMIT, BLOCK_A, height=1)
    if not is_late:
        bench.gossip.broadcast(Broadcast(kept), NOW)
    node.grow(node.pay("a", 0))
    bench.engine.current.height = 2
    for peer in bench.peers.values():
        peer.presume(2)
    if is_late:
        bench.gossip.broadcast(Broadcast(kept), NOW)
    assert bench.to_one(bench.gossip.spread_votes()) == []
    bench.gossip.note_votes_of(bench.peers[THREE], (kept,))
    assert sent(bench.gossip.catch_up(bench.tell(THREE, height=2), NOW), Votes) == [], "it has shown it meanwhile"
    assert bench.to_one(bench.gossip.catch_up(bench.tell(ONE, height=2), NOW)) == [kept]
    assert bench.to_one(bench.gossip.catch_up(bench.tell(ONE, height=2), NOW)) == [], "once"


def test_what_is_kept_of_one_validator_is_not_kept_of_who_had_its_place_at_the_height_before() -> None:
    node = Node(spec_with())
    bench = Crossed(node=node)
    node.grow(node.pay("a", 0))
    current = bench.engine.current
    leaver, *rest = current.validators.validators
    current.height, current.validators = 2, ValidatorSet(tuple(rest))
    for peer in bench.peers:
        bench.tell(peer, Holdings(0, False, ()), height=2)
    who = {Address(key.public_key): number for number, key in enumerate(KEYS)}
    bench.cross(bench.vote(who[rest[0].address], PREVOTE, None, height=2))
    late = bench.vote(who[leaver.address], PRECOMMIT, BLOCK_A, height=1)
    assert bench.to_one(bench.spread(late)) == [late]


def test_who_goes_to_and_fro_between_heights_is_sent_no_more_of_them_than_it_may_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A status is 100 bytes, and may be told a hundred times a second; those that it would bring are 1.5 MB."""
    monkeypatch.setattr(peers, "VOTES_SENT_MAX", 5)
    node = Node(spec_with())
    bench = Crossed(1, node=node)
    for who in range(3):
        bench.gossip.broadcast(Broadcast(bench.vote(who, PRECOMMIT, BLOCK_A, height=1)), NOW)
    node.grow(node.pay("a", 0))
    bench.engine.current.height = 2

    def go_to_and_fro() -> int:
        came = 0
        for height in (1, 2) * 10:
            told = bench.tell(ONE, height=height)
            came += len(bench.to_one(bench.gossip.catch_up(told, NOW))) if height == 2 else 0
        return came

    assert go_to_and_fro() == 5
    bench.peers[ONE].on_tick(TICK_MS)
    assert go_to_and_fro() == 5


def test_precommits_are_remembered_for_their_height_and_the_next() -> None:
    bench = Crossed(1)
    bench.gossip.broadcast(Broadcast(bench.vote(1, PRECOMMIT, BLOCK_A)), NOW)
    bench.gossip.broadcast(Broadcast(bench.vote(1, PRECOMMIT, BLOCK_B)), NOW)
    assert bench.gossip._late._voters == {
        1: {
            (0, PRECOMMIT, BLOCK_B): 1
            << bench.engine.current.validators.index[bench.vote(1, PRECOMMIT, BLOCK_B).validator]
        }
    }
    for height in (2, 3):
        assert len(bench.gossip._late) == 1
        bench.engine.current.height = height
        bench.gossip.follow_height(is_decided=True)
    assert len(bench.gossip._late) == 0


def test_while_a_proposal_is_disputed_the_timer_that_shows_it_is_set() -> None:
    bench = Crossed(0, 1, 2)
    del bench.peers[TWO]
    bench.propose()
    assert bench.gossip.broadcast(Broadcast(bench.next(0)), NOW) == [LAG]
    assert bench.gossip.broadcast(Broadcast(bench.next(1)), NOW) == [RELAY], "more than a third for another block"


def test_ones_own_votes_are_kept_from_nobody() -> None:
    bench = Crossed(1)
    own = bench.next(1)
    bench.engine.current.validator = own.validator
    assert bench.to_one(bench.gossip.broadcast(Broadcast(own), NOW)) == [own]


def test_it_is_found_out_again_from_time_to_time() -> None:
    bench = Crossed(1)
    for _ in range(APART_TICKS):
        assert bench.to_one(bench.spread(bench.next(1))) == []
        bench.peers[ONE].on_tick(TICK_MS)
    assert len(bench.to_one(bench.spread(bench.next(1)))) == 1


def test_another_set_begins_anew() -> None:
    bench = Crossed(1)
    members = bench.engine.current.validators.validators
    bench.engine.current.validators = ValidatorSet(members[1:])
    assert bench.peers[ONE].apart.voters != 0
    bench.spread()
    assert bench.peers[ONE].apart.voters == 0


def test_a_proposal_of_a_validator_whose_votes_crossed_comes_later_too() -> None:
    bench = Crossed(0, 1, 2)
    proposal, block = bench.propose()
    effects = bench.gossip.broadcast(Broadcast(proposal, block), NOW)
    assert [peers for peers, _ in sent(effects, ProposedBlock)] == [(TWO,)] and LAG in effects
    assert [peers for peers, _ in sent(bench.gossip.on_lag_over(1, NOW), ProposedBlock)] == [(ONE,), (THREE,)]


def test_a_proposal_that_ended_its_height_is_told_to_nobody_though_its_forger_has_left_the_set() -> None:
    bench = Crossed(0, 1, 2)
    proposal, block = bench.propose()
    current = bench.engine.current
    left = [one for one in current.validators.validators if one.address != proposal.forger]
    current.height, current.validators = 2, ValidatorSet(tuple(left))
    for peer in bench.peers.values():
        peer.presume(2)
    assert bench.gossip.broadcast(Broadcast(proposal, block), NOW) == []


def test_precommits_that_come_after_the_decision_cross_too_and_are_not_sent_later() -> None:
    node = Node(spec_with())
    node.grow(node.pay("a", 0))
    bench = Bench(node=node)
    peers = [bench.tell(peer, height=2) for peer in (ONE, THREE)]
    late = bench.vote(0, PRECOMMIT, node.chain.head.id)
    assert sent(bench.spread(late), Votes) == [((ONE, THREE), Votes((late,)))]
    for peer in peers:
        assert peer.apart.voters == 0
        bench.gossip.note_votes_of(peer, (late,))
        assert peer.apart.voters == 1 << node.chain.parent_validators.index[late.validator]
    bench.tell(TWO, height=2)
    for height in (1, 2):
        bench.tell(ONE, height=height)
    assert [to for to, _ in sent(bench.spread(late), Votes)] == [(TWO,)]
    assert sent(bench.gossip.on_lag_over(2, NOW), Votes) == []


def test_late_votes_of_another_set_say_nothing_of_who_stands_in_their_place_now() -> None:
    node = Node(spec_with())
    node.grow(node.pay("a", 0))
    bench = Bench(node=node)
    bench.engine.current.validators = ValidatorSet(bench.engine.current.validators.validators[1:])
    bench.spread()
    peer = bench.tell(ONE, height=2)
    late = bench.vote(0, PRECOMMIT, node.chain.head.id)
    bench.spread(late)
    bench.gossip.note_votes_of(peer, (late,))
    assert peer.apart.voters == 0


def test_a_status_that_tells_of_the_vote_is_none_that_lacks_it() -> None:
    bench = Crossed(1)
    bench.gossip.on_lag_over(1, NOW)
    kept = bench.next(1)
    bits = (1 << bench.engine.current.validators.index[kept.validator]).to_bytes(1, "little")
    known = bench.tell(ONE, Holdings(0, False, (Tally(PREVOTE, BLOCK_A, bits),)))
    assert known.status is not None and known.status.step is Step.PROPOSE
    assert bench.gossip.catch_up(known, NOW) == []
    assert known.apart.voters == 1 << bench.engine.current.validators.index[kept.validator]


def test_in_some_heights_that_nobody_foresees_nothing_is_kept_from_a_peer() -> None:
    """Else who votes one way to some and another to the others is never caught where heights are short."""
    bench = Crossed(0, 1, 2)
    bench.gossip.secret = next(secret for secret in count() if bench.heights_shown(secret) == [1])
    shown = next(peer for peer in (ONE, THREE) if is_shown_all(bench.gossip.secret, 1, peer))
    bench.tell(TWO, height=9)
    cast = bench.next(1)
    assert [to for to, _ in sent(bench.spread(cast), Votes)] == [(shown,)]
    proposal, block = bench.propose()
    effects = bench.gossip.broadcast(Broadcast(proposal, block), NOW)
    assert [to for to, _ in sent(effects, ProposedBlock)] == [(shown,)]
    bench.peers[shown].has_just_come = True
    later = bench.next(2)
    assert [votes for _, votes in sent(bench.gossip.catch_up(bench.peers[shown], NOW), Votes)] == [Votes((later,))]


def test_which_heights_these_are_differs_by_node_and_peer() -> None:
    heights = range(1, 1_000)
    shown = [
        {height for height in heights if is_shown_all(secret, height, peer)}
        for secret in (1, 2**64 - 1)
        for peer in (ONE, TWO)
    ]
    assert all(len(heights) / SHOWN_ONE_IN / 2 < len(some) < 2 * len(heights) / SHOWN_ONE_IN for some in shown)
    assert all(one == other or len(one & other) < len(one) / 2 for one in shown for other in shown)


def test_a_proposal_is_shown_once_to_all_where_somebody_honest_voted_for_another_of_its_round() -> None:
    bench = Crossed(0, 1, 2)
    proposal, block = bench.propose()
    bench.gossip.broadcast(Broadcast(proposal, block), NOW)
    for peer in (ONE, THREE):
        bench.tell(peer, Holdings(0, True, ()))
    fired = TimerKey(TimerKind.VOTES)
    for who, value in ((0, None), (1, None), (2, proposal.block_id)):
        bench.next(who, value)
    assert sent(bench.gossip.on_timer(fired, NOW), ProposedBlock) == []
    other = Crossed(0, 1, 2)
    proposal, block = other.propose()
    for who in (0, 1):
        other.next(who)
    assert [to for to, _ in sent(other.gossip.on_timer(fired, NOW), ProposedBlock)] == [(TWO,), (ONE,), (THREE,)]
    assert sent(other.gossip.on_timer(fired, NOW), ProposedBlock) == []
