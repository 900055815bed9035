"""Gossip: who is told what (docs/protocol.md §8.4).

Proposals and votes go out at once to every peer that may lack them and does not get them elsewhere (`apart.py`).
Nothing of the height in progress may be lost, so peers also tell each other what they hold, on connecting, on change
and each second, and each sends what the other lacks. Transactions travel by have and want, in lists; a want that stays
unanswered is asked of another peer, and the pool is offered again bit by bit, since a have may be lost: a transaction
that only one node holds would wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, assert_never

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.height import HeightInProgress
from blockchain.node.apart import Lag, crossed_with_several, has_said, have_same_places, is_shown_all
from blockchain.node.bodies import OUTLINED_MIN, Bodies
from blockchain.node.chain import Chain
from blockchain.node.disputes import disputed, show_disputed
from blockchain.node.held_votes import Bundle, HeldVotes, hold_ms
from blockchain.node.messages import (
    IDS_MAX,
    ROUNDS_MAX,
    TRANSACTIONS_MAX,
    VOTES_MAX,
    Accuse,
    Have,
    Message,
    ProposedBlock,
    Status,
    Transactions,
    Votes,
    Want,
    encode_frame,
)
from blockchain.node.peers import ALLOWANCES, Peer
from blockchain.node.rounds_held import VotePlace, holdings_of, place_of
from blockchain.node.wanted import Wanted
from blockchain.primitives.block import BLOCK_EVIDENCE_MAX, VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Proposal, Vote, VoteStep
from blockchain.seams import Broadcast, Effect, PeerId, Send, SetTimer, TimerKey, TimerKind

OFFER_TICKS: Final = 2  # each so many status ticks, some of the pool is offered again
OFFER_IDS: Final = 500  # so many of it: 16 KB a peer
TOLD_EVIDENCE: Final = ALLOWANCES[Accuse] // 2  # pieces at once: the tick of a peer may begin in between
DECLINED_MAX: Final = 20_000
FRAME_TRANSACTIONS_BYTES: Final = 512 * 1024
WANT_IDS: Final = 250  # of a pool in one want: what comes is a turn of the core, and votes wait for it


class Gossip:
    """The peers and what to tell them. Knows the engine and the chain to read from; changes neither."""

    def __init__(self, chain: Chain, engine: BftEngine, outlined_min: int = OUTLINED_MIN) -> None:
        """`outlined_min`: a block of fewer transactions goes whole."""
        self._chain = chain
        self._engine = engine
        self.bodies = Bodies(chain, engine, outlined_min)
        self._wanted = Wanted(self._is_held)
        self._declined: dict[Hash32, None] = {}  # did not enter the pool at this height: not wanted again
        self._declined_at = 0
        self._accused = 0  # how far into the evidence it was told again
        self._offered = 0  # how far into the pool it was offered again
        self._tick = 0
        self._older = 0  # where the rotating window over older rounds stands
        self._held = HeldVotes()
        self._lag = Lag()
        self._members = engine.current.validators  # whose bits stand in `Peer.apart`
        self._height = engine.current.height
        self.secret = 0  # given at the start
        self.peers: dict[PeerId, Peer] = {}

    def send(self, peer: Peer, message: Message) -> Send:
        peer.note_sent(message)
        return Send((peer.id,), encode_frame(self._chain.genesis_hash, message))

    def send_all(self, message: Message, but: PeerId | None = None) -> list[Effect]:
        ids = tuple(peer_id for peer_id in self.peers if peer_id != but)
        for peer_id in ids:
            self.peers[peer_id].note_sent(message)
        return [Send(ids, encode_frame(self._chain.genesis_hash, message))] if ids else []

    # ------------------------------------------------------------------------------------------------ agreement

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
        if is_decided and self._height == before + 1:
            for peer in self.peers.values():
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
        now, parents = self._engine.current, self._chain.parent_validators
        for (height, place), voters in self._bundle(votes).voters.items():
            peer.note_spoke(height)
            if height not in (peer.height, peer.height - 1):
                continue
            crossed = (peer.note_votes if height == peer.height else peer.note_late)(place, voters)
            if crossed and (height == now.height or have_same_places(parents, now.validators)):
                peer.apart.note(crossed)

    def tell_evidence(self, peer: Peer) -> list[Effect]:
        """What waits for a block, to a new peer: no more than it takes in a second."""
        return [self.send(peer, Accuse(each)) for each in self._chain.evidence.pieces()[:TOLD_EVIDENCE]]

    def catch_up(self, peer: Peer, now: int) -> list[Effect]:
        """Send a peer at this height what it lacks of it: all where it has been there for a while."""
        kept = self._kept_from(peer, self._near()) if peer.has_just_come else 0
        is_kept = peer.height == self._engine.current.height and has_said(self._engine.current, kept)
        begun = self._lag.begin(peer.height) if is_kept else []
        return [*begun, *self._send_missing(peer, kept, now)]

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
                effects.append(self.send_proposal(peer, proposal, now))
        votes = list(self._missing_votes(peer, current, ~kept))
        for start in range(0, len(votes), VOTES_MAX):
            effects.append(self.send(peer, Votes(tuple(votes[start : start + VOTES_MAX]))))
        return effects

    def send_proposal(self, peer: Peer, proposal: Proposal, now: int) -> Send:
        """One of the height in progress that this node holds; with its whole block where it goes to it again."""
        block = self._engine.current.blocks[Hash32(proposal.block_id)]
        is_again = peer.was_sent_proposal(proposal.round)
        peer.note_proposal_sent(proposal.round)
        raw = block.raw if is_again else self.bodies.outline(block, peer.news_ms, now)
        return self.send(peer, ProposedBlock(proposal, raw))

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
        effects = [effect for peer in self.peers.values() for effect in self._send_missing(peer, 0, now)]
        self._lag.end(height)
        return effects

    def _near(self) -> int:
        """The validators, as bits, whose votes have crossed with several peers; never this one."""
        members = self._engine.current.validators
        if not have_same_places(members, self._members):
            self._members = members
            for each in self.peers.values():
                each.apart.forget_all()
        own = self._engine.validator
        near = crossed_with_several(each.apart for each in self.peers.values())
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
        if not is_own and not self._is_awaited_now(vote):
            return self._lag.begin(vote.height) if vote.height == self._engine.current.height else []
        is_first = self._held.add(vote)
        if self._held.is_full:
            return self.spread_votes()
        return [SetTimer(TimerKey(TimerKind.VOTES), delay_ms)] if is_first else []

    def _is_awaited_now(self, vote: Vote) -> bool:
        """Whether a peer may lack this vote of another and does not get it elsewhere, or a dispute is to be shown."""
        current, members = self._engine.current, self._engine.current.validators
        if disputed(current) or not have_same_places(members, self._chain.parent_validators):
            return True
        place, bit, near = place_of(vote), 1 << members.index[vote.validator], self._near()
        return any(
            not self._kept_from(peer, near) & bit
            for peer in self.peers.values()
            if peer.votes_awaited(vote.height, place, bit)
        )

    def on_timer(self, key: TimerKey, now: int) -> list[Effect]:
        """What was held back may go now."""
        if key.kind is TimerKind.LAG:
            return self.on_lag_over(key.height, now)
        return [*self.spread_votes(), *show_disputed(self, self._engine.current, now)]

    def spread_votes(self) -> list[Effect]:
        """What is held back, to all who may lack some of it."""
        return self._spread(self._bundle(self._held.take()))

    def _bundle(self, votes: Iterable[Vote]) -> Bundle:
        current = self._engine.current
        return Bundle(votes, {current.height: current.validators, current.height - 1: self._chain.parent_validators})

    def _spread(self, votes: Bundle) -> list[Effect]:
        """To the peers at a vote's height, or one on, where a precommit may complete the certificate."""
        targets: dict[tuple[tuple[int, VotePlace, int], ...], list[PeerId]] = {}
        effects: list[Effect] = []
        near = self._near()
        for peer in self.peers.values():
            kept = self._kept_from(peer, near)
            at = self._engine.current.height
            if any(height == at and voters & kept for (height, _), voters in votes.voters.items()):
                effects.extend(self._lag.begin(at))
            lacked = tuple(
                (height, place, told)
                for (height, place), voters in votes.voters.items()
                if (told := peer.take_votes(height, place, voters & ~kept))
            )
            if lacked:
                targets.setdefault(lacked, []).append(peer.id)
        effects.extend(
            Send(tuple(peers), encode_frame(self._chain.genesis_hash, Votes(votes.those(lacked))))
            for lacked, peers in targets.items()
        )
        return effects

    def _spread_proposal(self, proposal: Proposal, block: VerifiedBlock, now: int) -> list[Effect]:
        targets: dict[bytes, list[PeerId]] = {}
        effects: list[Effect] = []
        author = self._near() & 1 << self._engine.current.validators.index[proposal.forger]
        for peer in self.peers.values():
            if self._kept_from(peer, author):
                effects.extend(self._lag.begin(proposal.height))
            elif peer.height == proposal.height and peer.lacks_proposal(proposal.round):
                peer.note_proposal_sent(proposal.round)
                targets.setdefault(self.bodies.outline(block, peer.news_ms, now), []).append(peer.id)
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

    # ------------------------------------------------------------------------------------------------ transactions

    def announce(self, ids: Iterable[Hash32]) -> list[Effect]:
        """Tell each peer of the pending transactions that it is not known to hold."""
        offered = [transaction_id for transaction_id in ids if self._chain.pool.get(transaction_id) is not None]
        effects: list[Effect] = []
        for peer in self.peers.values():
            effects.extend(self.offer(peer, offered))
        return effects

    def offer(self, peer: Peer, ids: Iterable[Hash32]) -> list[Effect]:
        new = peer.unknown_of(ids)[:IDS_MAX]
        peer.note_known(new)
        return [self.send(peer, Have(new))] if new else []

    def on_have(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        peer.note_known(ids)
        return self._want(peer, ids)

    def on_want(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Send the bodies asked for that are still here, in frames of bounded size."""
        peer.note_known(ids)
        raws = self.bodies.raws(dict.fromkeys(ids))
        return [self.send(peer, Transactions(part)) for part in _parts(raws)]

    def on_arrived(self, ids: Iterable[Hash32]) -> None:
        self._wanted.let_go(ids)

    def on_declined(self, transaction_id: Hash32) -> None:
        """A peer's transaction that cannot enter the pool; at the next height it may."""
        if self._declined_at != self._chain.height:
            self._declined_at = self._chain.height
            self._declined = {}
        if len(self._declined) < DECLINED_MAX:
            self._declined[transaction_id] = None

    def on_tick(self) -> list[Effect]:
        """Each second: the status to all, and wants that nobody answered to somebody else."""
        self._tick += 1
        self._older += ROUNDS_MAX // 2
        effects = self.send_all(self.status())
        effects.extend(self._want_of_others())
        effects.extend(effect for peer in self.peers.values() for effect in self.want_more(peer))
        self.bodies.let_go()
        if self._tick % OFFER_TICKS == 0:
            effects.extend(self._offer_again())
            effects.extend(self._accuse_again())
        return effects

    def _accuse_again(self) -> list[Effect]:
        """The next of the evidence that waits, to everybody: a forger that lacks it can never put it into a block."""
        pieces = self._chain.evidence.pieces()
        if self._accused >= len(pieces):
            self._accused = 0
        part = pieces[self._accused : self._accused + BLOCK_EVIDENCE_MAX]
        self._accused += len(part)
        return [effect for evidence in part for effect in self.send_all(Accuse(evidence))]

    def _offer_again(self) -> list[Effect]:
        """The next part of the pool to everybody, whatever they are thought to hold."""
        if self._offered >= len(self._chain.pool):
            self._offered = 0
        part = islice(self._chain.pool, self._offered, self._offered + OFFER_IDS)
        ids = tuple(verified.id for verified in part)
        self._offered += len(ids)
        return self.send_all(Have(ids)) if ids else []

    def on_disconnected(self, gone: PeerId) -> list[Effect]:
        """What that peer was asked for, to others; it knows of no question when it is back."""
        return self._ask_others(self._wanted.on_disconnected(gone))

    def _want_of_others(self) -> list[Effect]:
        """What was asked for and did not come. Who did not send it is not thought to hold it any more."""
        overdue = self._wanted.on_tick()
        for transaction_id in overdue:
            silent = self.peers.get(self._wanted.release(transaction_id))
            if silent is not None:
                silent.forget(transaction_id)
        return self._ask_others(overdue)

    def _ask_others(self, ids: list[Hash32]) -> list[Effect]:
        effects: list[Effect] = []
        for peer in sorted(self.peers.values(), key=lambda peer: peer.unanswered):  # else two could take turns for ever
            effects.extend(self._want(peer, tuple(i for i in ids if peer.knows(i))))
        return effects

    def _want(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Ask for what is news, now or when others have come."""
        new = self._wanted.want(peer.id, self._news(ids), len(self.peers))
        return self._ask_for(peer, new, WANT_IDS)

    def want_more(self, peer: Peer) -> list[Effect]:
        """Ask for the next of what a peer offered, as far as there is room."""
        ids = self._wanted.take(peer.id, len(self.peers))
        return self._ask_for(peer, ids, WANT_IDS)

    def fetch(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Ask a peer for what its block has, whoever else was asked for it, whether or not the pool would take it."""
        peer.note_known(ids)
        peer.excuse(len(ids))
        self._wanted.ask(peer.id, ids)
        return self._ask_for(peer, ids, TRANSACTIONS_MAX)

    def _ask_for(self, peer: Peer, ids: Sequence[Hash32], at_once: int) -> list[Effect]:
        return [self.send(peer, Want(tuple(ids[start : start + at_once]))) for start in range(0, len(ids), at_once)]

    def _news(self, ids: Iterable[Hash32]) -> Iterator[Hash32]:
        """What became final long ago counts as news: to look for it takes longer than to verify and refuse it."""
        pending, final, wanted = self._chain.pool.get, self._chain.newly_final, self._wanted
        declined = self._declined if self._declined_at == self._chain.height else ()
        return (i for i in ids if pending(i) is None and i not in final and i not in wanted and i not in declined)

    def _is_held(self, transaction_id: Hash32) -> bool:
        return self._chain.pool.get(transaction_id) is not None or transaction_id in self._chain.newly_final


def _parts(raws: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """In parts for a frame each."""
    start = size = 0
    for at, raw in enumerate(raws):
        if size + len(raw) > FRAME_TRANSACTIONS_BYTES:
            yield tuple(raws[start:at])
            start, size = at, 0
        size += len(raw)
    if raws:
        yield tuple(raws[start:])
