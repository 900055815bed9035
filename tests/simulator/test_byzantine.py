"""Each hostile actor does what its name says; less than a third of the stake of it breaks nothing; offences cost it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from blockchain.consensus.evidence import accused, author_of
from blockchain.node.evidence_pool import EvidencePool
from blockchain.node.messages import Blocks, GetPeers, Have, Peers, Status, Time, Transactions, Votes, Want
from blockchain.primitives.vote import ConflictingProposals, ConflictingVotes, Evidence, ForgottenLock, Vote, VoteStep
from blockchain.seams import BlockRejected, ClockOff, Locked, ProposalUntimely, Proposed
from blockchain.simulator.byzantine.cast import ACTORS, draw_hostile
from blockchain.simulator.byzantine.telling import AHEAD
from blockchain.simulator.world import Violation
from tests.simulator.villain import VillainStage


def burnt(play: VillainStage, kind: type[Evidence]) -> None:
    play.await_burnt()
    [found] = play.evidence()
    assert isinstance(found, kind) and accused(found)[1] == play.address
    play.check()


def test_it_forges_twice_and_pays_for_it() -> None:
    play = VillainStage({0: ("forges_twice",)})
    play.stage.pay(play.honest[0])
    burnt(play, ConflictingProposals)
    shown = [{told.block_id for told in play.own_proposals(number) if told.height == 1} for number in play.honest]
    assert all(len(blocks) == 1 for blocks in shown) and len(set.union(*shown)) == 2


def test_it_votes_twice_and_pays_for_it() -> None:
    play = VillainStage({0: ("votes_twice",)})
    play.stage.pay(play.honest[0])
    burnt(play, ConflictingVotes)
    for number in play.honest:
        values = {vote.block_id for vote in play.own_votes(number) if vote.height == 1}
        assert len(values) > 1


def test_it_shows_two_faces_and_pays_for_it() -> None:
    play = VillainStage({0: ("shows_two_faces",)})
    play.stage.pay(play.honest[0])
    burnt(play, ConflictingVotes)
    shown = [{vote.block_id for vote in play.own_votes(number) if vote.height == 1} for number in play.honest]
    assert all(len(values) == 1 for values in shown) and len(set.union(*shown)) == 2


def test_what_it_signs_of_a_height_that_is_over_is_not_recorded_with_the_next() -> None:
    """Others' votes may end a height in the very input in which it votes: the store would lack that block (§5.6)."""
    play = VillainStage({0: ("replays_votes",)})
    number = play.drawn[0]
    node = play.stage.world.nodes[number]
    play.stage.pay(play.honest[0])
    play.stage.run(3_000)
    assert node.core is not None and node.core.chain.head.height == 1
    [key] = node.keys
    for height, is_asked in ((1, False), (2, True)):
        vote = Vote(height, 0, VoteStep.PRECOMMIT, None, -1, play.address)
        node.conduct.signs(play.stage.world, node, vote, key)
        assert (vote in node.core.engine.current.asked) is is_asked


def hide_lock(play: VillainStage) -> None:
    """The forger of round 1 locks in round 0, seen by nobody, as in plays.py."""
    stage = play.stage
    forger, locker = play.drawn[:2]
    deaf, other = play.drawn[2:]
    stage.run(1_000)
    network = stage.world.network
    network.cut = frozenset({(n, forger) for n in range(4)} | {(forger, n) for n in range(4)})
    stage.pay(locker)
    stage.run(100)
    mute = {(locker, forger), (locker, other), (locker, deaf)}
    network.cut = frozenset(mute | {(forger, deaf), (other, deaf)})
    stage.pay_again(forger)
    stage.run(235)
    network.cut = frozenset(mute)
    stage.run(300)
    assert [event.round for event in stage.events(Locked, locker)] == [0]
    network.heal()


def test_it_forgets_its_lock_and_pays_for_it() -> None:
    play = VillainStage({1: ("forgets_lock",)})
    hide_lock(play)
    burnt(play, ForgottenLock)
    new = next(told for told in play.own_proposals() if told.height == 1)
    assert (new.round, new.valid_round) == (1, -1), "a new block, though it was locked"
    assert {vote.block_id for vote in play.own_votes() if vote.round == 1} == {new.block_id}


def test_it_claims_a_polka_that_never_was() -> None:
    play = VillainStage({1: ("claims_polka",)})
    stage = play.stage
    stage.run(1_000)
    forger, liar = play.drawn[:2]
    stage.world.network.cut = frozenset((one, other) for one in (forger, liar) for other in play.drawn[2:])
    for number in range(4):
        stage.pay(number) if number == 0 else stage.pay_again(number)
    stage.run(320)
    stage.world.network.heal()
    assert stage.run(20_000, lambda: min(play.heads()) == 1)
    [again] = {told for told in play.own_proposals() if told.height == 1}
    assert (again.round, again.valid_round) == (1, 0)
    assert not [event for event in stage.events(Locked) if event.round == 0], "there was no polka"
    assert play.block(1).id != again.block_id or play.block(1).header.round > 0
    assert any(vote.polka_round == 0 for vote in play.own_votes() if vote.round == 1)
    play.check()
    assert play.evidence() == []


def test_it_forges_nothing() -> None:
    play = VillainStage({0: ("forges_nothing",)})
    play.grow()
    assert play.block(1).header.round > 0 and not play.stage.events(Proposed, play.villain)
    assert any(vote.block_id for vote in play.own_votes())
    play.check()


def test_it_votes_nil() -> None:
    play = VillainStage({1: ("votes_nil",)})
    play.grow(2)
    votes = play.own_votes()
    assert {vote.step for vote in votes} == set(VoteStep) and {vote.block_id for vote in votes} == {None}
    assert len(play.block(2).block.parent_certificate.precommits) == 3
    play.check()


def test_it_sends_wrong_roots_and_another_votes_for_them() -> None:
    play = VillainStage({0: ("sends_wrong_roots",), 1: ("votes_for_invalid",)}, validators=7)
    play.grow()
    rejected = play.stage.events(BlockRejected)
    assert len(rejected) >= len(play.honest) and all("state_root" in event.why for event in rejected)
    wrong = {event.block_id for event in rejected}
    votes = [vote for vote in play.world.docket.signed() if vote.block_id in wrong]
    assert {author_of(vote) for vote in votes} == {play.stage.address(number) for number in play.villains}
    assert play.block(1).id not in wrong and play.block(1).header.round > 0
    play.check()


def test_it_withholds_bodies() -> None:
    play = VillainStage({3: ("withholds_bodies",)}, followers=1)
    paid = play.stage.pay(play.villain)
    play.stage.run(5_000)
    assert any(paid in told.ids for told in play.told(Have)) and not play.told(Transactions)
    assert play.heads() == [0, 0, 0]
    play.stage.pay_again(play.honest[0])
    assert play.stage.run(20_000, lambda: min(play.heads()) == 1)
    play.check()
    play.stage.start(4)
    assert play.stage.run(20_000, lambda: play.stage.heads()[4] == max(play.heads()))
    assert not play.told(Blocks)


def test_it_tells_of_its_blocks_by_ids_that_nobody_else_has() -> None:
    play = VillainStage({0: ("names_only",)})
    paid = play.stage.pay(play.villain)
    play.stage.run(5_000)
    asked = {sender for sender, to, said in play.sent if to == play.villain and said == Want((paid,))}
    assert asked == set(play.honest) and not play.told(Transactions) and play.heads() == [0, 0, 0]
    play.stage.pay_again(play.honest[0])
    assert play.stage.run(20_000, lambda: min(play.heads()) == 1)
    play.check()


def test_it_withholds_its_proof_unless_that_makes_it_forge_again() -> None:
    play = VillainStage({0: ("withholds_proof",)})
    play.grow()
    assert play.block(1).header.forger != play.address, "it was its turn"
    for height in range(2, 40):
        play.grow()
        if play.block(height).header.forger == play.address and play.block(height).header.round == 0:
            assert play.stage.forger(0) == play.villain
            break
    else:
        pytest.fail("it never forged")
    play.check()


def test_it_warps_time() -> None:
    play = VillainStage({0: ("warps_time",)})
    while not play.stage.events(ProposalUntimely):
        play.grow()
    assert {event.forger for event in play.stage.events(ProposalUntimely)} == {play.address}
    assert any(told.time_ms - told.asked_ms > 3_000_000 for told in play.told(Time))
    assert not play.stage.events(ClockOff), "one liar moves no median"
    play.check()


def test_it_replays_votes() -> None:
    play = VillainStage({0: ("replays_votes",)})
    play.grow(2)
    before = len(play.sent)
    play.stage.run(3_000)
    replayed = [message for sender, _, message in play.sent[before:] if sender == play.villain]
    assert any(vote.height == 1 for message in replayed for vote in getattr(message, "votes", ()))
    play.check()
    assert play.evidence() == []


def test_it_floods_until_nobody_talks_to_it() -> None:
    play = VillainStage({0: ("floods",)})
    play.stage.run(20_000)
    assert play.told(GetPeers)
    for number in play.honest:
        [why] = play.world.nodes[number].scores.banned.values()
        assert why.startswith(("flood", "over_allowance"))
    play.check()


def test_it_lies_in_sync() -> None:
    play = VillainStage({0: ("lies_in_sync",)}, followers=1)
    play.grow(2)
    assert any(told.height > AHEAD for told in play.told(Status))
    play.stage.start(4)
    assert play.stage.run(60_000, lambda: play.stage.heads()[4] == max(play.heads()))
    assert play.told(Blocks) or play.world.nodes[play.villain].id in play.world.nodes[4].scores.banned
    play.check()


def test_it_poisons_peer_exchange() -> None:
    play = VillainStage({0: ("poisons_exchange",)})
    play.stage.run(31_000)
    poison = {address for told in play.told(Peers) for address in told.addresses}
    assert len(poison) > 64
    passed_on = {
        address
        for sender, _, message in play.sent
        if sender != play.villain and isinstance(message, Peers)
        for address in message.addresses
    }
    assert not passed_on & poison
    play.check()


def test_it_leaves_out_precommits() -> None:
    play = VillainStage({0: ("leaves_out_precommits",)})
    while not any(play.block(height).header.forger == play.address for height in range(2, max(play.heads()) + 1)):
        play.grow()
    for height in range(2, max(play.heads()) + 1):
        block = play.block(height)
        signers = len(block.block.parent_certificate.precommits)
        assert signers == (3 if block.header.forger == play.address else 4)
    others = {vote.validator for told in play.told(Votes) for vote in told.votes} - {play.address}
    assert not others
    play.check()


# ------------------------------------------------------------------------------------------------ all of them


def test_every_actor_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in ACTORS if f'"{name}"' in text} == ACTORS.keys()


def test_drawn_hostile_validators_have_less_than_a_third() -> None:
    stakes = [1_000, 400, 700, 900, 300, 200, 1_500]
    draws = [draw_hostile(Random(seed), stakes) for seed in range(300)]
    for hostile in draws:
        assert 3 * sum(stakes[number] for number, _ in hostile) < 0.9 * sum(stakes)
        assert all(1 <= len(names) <= 3 and set(names) <= ACTORS.keys() for _, names in hostile)
    assert {name for hostile in draws for _, names in hostile for name in names} == set(ACTORS)
    assert draws == [draw_hostile(Random(seed), stakes) for seed in range(300)]


def test_an_offence_that_costs_nothing_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvidencePool, "add", lambda *_, **__: False)
    play = VillainStage({0: ("votes_twice",)})
    with pytest.raises(Violation, match=r"offended at heights .* and has lost nothing"):
        play.check()
