"""Gossip: who is told what (docs/protocol.md §8.4).

Proposals and votes go out at once to every peer that may lack them and does not get them elsewhere (`apart.py`).
Nothing of the height in progress may be lost, so peers also tell each other what they hold, on connecting, on change
and each second, and each sends what the other lacks. Transactions that wait for a block travel otherwise (`relay.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.height import HeightInProgress
from blockchain.node.apart import Lag, crossed_with_several, has_said, have_same_places, is_shown_all
from blockchain.node.bodies import Bodies
from blockchain.node.chain import Chain
from blockchain.node.connected import Connected
from blockchain.node.disputes import disputed, disputed_for
from blockchain.node.held_votes import Bundle, HeldVotes, hold_ms
from blockchain.node.late_precommits import LatePrecommits
from blockchain.node.messages import (
    ROUNDS_MAX,
    VOTES_MAX,
    Accuse,
    ProposedBlock,
    Status,
    Votes,
    encode_frame,
)
from blockchain.node.peers import ALLOWANCES, Peer
from blockchain.node.rounds_held import VotePlace, holdings_of, place_of
from blockchain.primitives.block import BLOCK_EVIDENCE_MAX, VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Proposal, Vote, VoteStep
from blockchain.seams import Broadcast, Effect, PeerId, Send, SetTimer, TimerKey, TimerKind

ACCUSE_TICKS: Final = 2  # each so many status ticks, some of the evidence is told again
TOLD_EVIDENCE: Final = ALLOWANCES[Accuse] // 2  # pieces at once: the tick of a peer may begin in between


class Gossip:
    """What to tell the peers. Knows the engine and the chain to read from; changes neither."""

    def __init__(self, chain: Chain, engine: BftEngine, peers: Connected, bodies: Bodies) -> None:
        self._chain = chain
        self._engine = engine
        self._peers = peers
        self._bodies = bodies
        self._accused = 0  # how far into the evidence it was told again
        self._tick = 0
        self._older = 0  # where the rotating window over older rounds stands
        self._held = HeldVotes()
        self._late = LatePrecommits()  # of this height and the one before
        self._lag = Lag()
        self._members = engine.current.validators  # whose bits stand in `Peer.apart`
        self._height = engine.current.height
        self.secret = 0  # given at the start

    def status(self) -> Status:
        """Where this node is, and what it holds of the rounds that matter now."""
        current = self._engine.current
        rules = current.rules
        round = max(rules.round, 0)
        held = tuple(holdings_of(current, number) for number in self._rounds_that_matter(current))
        return Status(current.height, round, rules.step, held)

    def follow_height(self, *, is_decided: bool) -> None:
        """The height was decided here: who was at it with this node is taken to go on with it."""
        before, self._height = self._height, self._engine.current.height
        if before != self._height:
            self._late.let_go(self._height - 1)
        if is_decided and self._height == before + 1:
            for peer in self._peers.values():
                if peer.height == before:
                    peer.presume(self._height)

    def broadcast(self, told: Broadcast, now: int) -> list[Effect]:
        """What the engine has to say, to every peer that may lack it."""
        message = told.message
        match message:
            case Vote():
                return self._hold_vote(message)
            case Proposal():
                assert told.block is not None, "a proposal travels with its block"
                return self._spread_proposal(message, told.block, now)
            case _:
                assert_never(message)

    def note_votes_of(self, peer: Peer, votes: Iterable[Vote]) -> None:
        """The sender of votes holds them."""
        now = self._engine.current
        for (height, place), voters in self._bundle(votes).voters.items():
            peer.note_spoke(height)
            if height not in (peer.height, peer.height - 1):
                continue
            crossed = (peer.note_votes if height == peer.height else peer.note_late)(place, voters)
            if crossed and (height == now.height or self._has_places_of_parents()):
                peer.apart.note(crossed)

    def tell_evidence(self, peer: Peer) -> list[Effect]:
        """What waits for a block, to a new peer: no more than it takes in a second."""
        return [self._peers.send(peer, Accuse(each)) for each in self._chain.evidence.pieces()[:TOLD_EVIDENCE]]

    def catch_up(self, peer: Peer, now: int) -> list[Effect]:
        """Send a peer at this height what it lacks of it: all where it has been there for a while."""
        kept = self._kept_from(peer, self._near()) if peer.has_just_come else 0
        is_kept = peer.height == self._engine.current.height and has_said(self._engine.current, kept)
        begun = self._lag.begin(peer.height) if is_kept else []
        return [*begun, *self._send_missing(peer, kept, now), *self._send_late(peer)]

    def _send_late(self, peer: Peer) -> list[Effect]:
        """Precommits of the height before that a peer at this one may lack: it lasts there, maybe for want of them."""
        at = self._engine.current.height
        lacked = self._late.take_for(peer, at - 1) if peer.height == at else []
        pieces = (tuple(lacked[start : start + VOTES_MAX]) for start in range(0, len(lacked), VOTES_MAX))
        return [self._peers.send(peer, Votes(piece)) for piece in pieces]

    def _send_missing(self, peer: Peer, kept: int, now: int) -> list[Effect]:
        """But for what is kept from it: messages of these validators, as bits."""
        current = self._engine.current
        if peer.height != current.height:
            return []
        effects: list[Effect] = []
        for round, proposal in reversed(current.proposals.items()):
            if kept >> current.validators.index[proposal.forger] & 1:
                continue
            lacks = peer.may_lack(round) and peer.lacks_proposal(round) and round <= peer.round + 1
            if lacks and peer.may_be_sent_block():
                effects.append(self._send_proposal(peer, proposal, now))
        votes = list(self._missing_votes(peer, current, ~kept))
        for start in range(0, len(votes), VOTES_MAX):
            effects.append(self._peers.send(peer, Votes(tuple(votes[start : start + VOTES_MAX]))))
        return effects

    def _send_proposal(self, peer: Peer, proposal: Proposal, now: int) -> Send:
        """One of the height in progress that this node holds; with its whole block where it goes to it again."""
        block = self._engine.current.blocks[Hash32(proposal.block_id)]
        is_again = peer.was_sent_proposal(proposal.round)
        peer.note_proposal_sent(proposal.round)
        raw = block.raw if is_again else self._bodies.outline(block, peer.news_ms, now)
        return self._peers.send(peer, ProposedBlock(proposal, raw))

    def _missing_votes(self, peer: Peer, current: HeightInProgress, among: int) -> Iterator[Vote]:
        index = current.validators.index
        for round, votes in current.rules.book.rounds.items():
            for step in (VoteStep.PREVOTE, VoteStep.PRECOMMIT) if peer.may_lack(round) else ():
                cast = votes.of(step)
                lacked = {
                    value: peer.lacked((round, step, value), voters & among) for value, voters in cast.voters.items()
                }
                for vote in cast.votes.values() if any(lacked.values()) else ():
                    bit = 1 << index[vote.validator]
                    if lacked[vote.block_id] & bit:
                        if not peer.may_be_sent_vote():
                            return
                        peer.note_votes_sent(place_of(vote), bit)
                        if self._lag.was_at(current.height):
                            peer.apart.forget(bit)
                        yield vote

    def on_lag_over(self, height: int, now: int) -> list[Effect]:
        """What was kept from peers that have not shown meanwhile that they have it, where the height still lasts."""
        if height != self._engine.current.height:
            return []
        effects = [effect for peer in self._peers.values() for effect in self._send_missing(peer, 0, now)]
        self._lag.end(height)
        return effects

    def _near(self) -> int:
        """The validators, as bits, whose votes have crossed with several peers; never this one."""
        members = self._engine.current.validators
        if not have_same_places(members, self._members):
            self._members = members
            for each in self._peers.values():
                each.apart.forget_all()
        own = self._engine.validator
        near = crossed_with_several(each.apart for each in self._peers.values())
        return near if own is None else near & ~(1 << members.index[own])

    def _kept_from(self, peer: Peer, near: int) -> int:
        """Of these validators, as bits, those whose messages wait here before they go to this peer."""
        kept = near & peer.apart.voters
        return 0 if kept and is_shown_all(self.secret, self._engine.current.height, peer.id) else kept

    def _hold_vote(self, vote: Vote) -> list[Effect]:
        """One's own vote goes out at once where the set is small, any other with those that come meanwhile."""
        is_own = vote.validator == self._engine.validator
        delay_ms = hold_ms(len(self._engine.current.validators), is_own=is_own)
        if delay_ms == 0:
            return self._spread(self._bundle((vote,)))
        if not is_own and vote.step is VoteStep.PRECOMMIT and vote.block_id is not None:
            self._note_late(vote)
        if not is_own and not self._is_awaited_now(vote):
            return self._lag.begin(vote.height) if vote.height == self._engine.current.height else []
        is_first = self._held.add(vote)
        if self._held.is_full:
            return self.spread_votes()
        return [SetTimer(TimerKey(TimerKind.VOTES), delay_ms)] if is_first else []

    def _note_late(self, vote: Vote) -> None:
        members = self._sets().get(vote.height)
        if members is not None:
            self._late.note(vote, 1 << members.index[vote.validator])

    def _has_places_of_parents(self) -> bool:
        """Whether bits of the height in progress stand for the same validators at the height before."""
        return have_same_places(self._engine.current.validators, self._chain.parent_validators)

    def _is_awaited_now(self, vote: Vote) -> bool:
        """Whether a peer may lack this vote of another and does not get it elsewhere, or a dispute is to be shown."""
        current, members = self._engine.current, self._engine.current.validators
        if disputed(current) or not self._has_places_of_parents():
            return True
        place, bit, near = place_of(vote), 1 << members.index[vote.validator], self._near()
        return any(
            not self._kept_from(peer, near) & bit
            for peer in self._peers.values()
            if peer.votes_awaited(vote.height, place, bit)
        )

    def on_timer(self, key: TimerKey, now: int) -> list[Effect]:
        """What was held back may go now."""
        if key.kind is TimerKind.LAG:
            return self.on_lag_over(key.height, now)
        return [*self.spread_votes(), *self._show_disputed(now)]

    def _show_disputed(self, now: int) -> list[Effect]:
        shown = disputed_for(self._peers.values(), self._engine.current)
        return [self._send_proposal(peer, proposal, now) for peer, proposal in shown]

    def spread_votes(self) -> list[Effect]:
        """What is held back, to all who may lack some of it."""
        return self._spread(self._bundle(self._held.take()))

    def _bundle(self, votes: Iterable[Vote]) -> Bundle:
        return Bundle(votes, self._sets())

    def _sets(self) -> dict[int, ValidatorSet]:
        """Of the heights of which votes are told."""
        current = self._engine.current
        return {current.height: current.validators, current.height - 1: self._chain.parent_validators}

    def _spread(self, votes: Bundle) -> list[Effect]:
        """To the peers at a vote's height, or one on, where a precommit may complete the certificate."""
        targets: dict[tuple[tuple[int, VotePlace, int], ...], list[PeerId]] = {}
        effects: list[Effect] = []
        at, near = self._engine.current.height, self._near()
        for peer in self._peers.values():
            kept = self._kept_from(peer, near)
            if any(height == at and voters & kept for (height, _), voters in votes.voters.items()):
                effects.extend(self._lag.begin(at))
            kept_of = {at: kept, at - 1: kept if self._has_places_of_parents() else 0}
            lacked = tuple(
                (height, place, told)
                for (height, place), voters in votes.voters.items()
                if (told := peer.take_votes(height, place, voters & ~kept_of[height]))
            )
            if lacked:
                targets.setdefault(lacked, []).append(peer.id)
        effects.extend(
            Send(tuple(peers), encode_frame(self._chain.genesis_hash, Votes(votes.those(lacked))))
            for lacked, peers in targets.items()
        )
        return effects

    def _spread_proposal(self, proposal: Proposal, block: VerifiedBlock, now: int) -> list[Effect]:
        """None that ended its height: who was there is taken to go on, and its forger may have left the set."""
        if proposal.height != self._engine.current.height:
            return []
        targets: dict[bytes, list[PeerId]] = {}
        effects: list[Effect] = []
        author = self._near() & 1 << self._engine.current.validators.index[proposal.forger]
        for peer in self._peers.values():
            if self._kept_from(peer, author):
                effects.extend(self._lag.begin(proposal.height))
            elif peer.height == proposal.height and peer.lacks_proposal(proposal.round):
                peer.note_proposal_sent(proposal.round)
                targets.setdefault(self._bodies.outline(block, peer.news_ms, now), []).append(peer.id)
        effects.extend(
            Send(tuple(peers), encode_frame(self._chain.genesis_hash, ProposedBlock(proposal, outline)))
            for outline, peers in targets.items()
        )
        return effects

    def _rounds_that_matter(self, current: HeightInProgress) -> list[int]:
        """The round, the one before, those behind locks and proposals; and in turn some of all the older ones."""
        rules = current.rules
        round = max(rules.round, 0)
        candidate = rules.proposals.get(round)
        wanted = {round, round - 1, rules.valid_round, rules.locked_round}
        if candidate is not None:
            wanted.add(candidate.valid_round)
        rounds = sorted(number for number in wanted if number >= 0)
        room = ROUNDS_MAX - len(rounds)
        window = min(room, round)
        older = [(self._older + step) % round for step in range(window)] if round else []
        return sorted({*rounds, *older})

    # ------------------------------------------------------------------------------------------------ each second

    def on_tick(self) -> list[Effect]:
        """The status to all, and now and then some of the evidence that waits."""
        self._tick += 1
        self._older += ROUNDS_MAX // 2
        effects = self._peers.send_all(self.status())
        self._bodies.let_go()
        if self._tick % ACCUSE_TICKS == 0:
            effects.extend(self._accuse_again())
        return effects

    def _accuse_again(self) -> list[Effect]:
        """The next of the evidence that waits, to everybody: a forger that lacks it can never put it into a block."""
        pieces = self._chain.evidence.pieces()
        if self._accused >= len(pieces):
            self._accused = 0
        part = pieces[self._accused : self._accused + BLOCK_EVIDENCE_MAX]
        self._accused += len(part)
        return [effect for evidence in part for effect in self._peers.send_all(Accuse(evidence))]
