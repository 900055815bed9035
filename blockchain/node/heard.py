"""What peers say, once it is verified: each kind of message to the room that it is for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from blockchain.errors import PeerFault
from blockchain.node.agreement import Agreement
from blockchain.node.context import context_of
from blockchain.node.early import EARLY_BYTES_AT_ONCE
from blockchain.node.messages import (
    Ahead,
    Announce,
    GetBlocks,
    GetPeers,
    Have,
    Nothing,
    Peers,
    Status,
    Verified,
    VerifiedAnnouncement,
    VerifiedBlocks,
    VerifiedEvidence,
    VerifiedFresh,
    VerifiedOutline,
    VerifiedProposal,
    VerifiedTransactions,
    VerifiedVotes,
    Want,
    cost_of,
    kind_of,
)
from blockchain.node.peers import Peer
from blockchain.node.rooms import Rooms
from blockchain.node.verify import verify_frame
from blockchain.primitives.vote import Announcement, Vote
from blockchain.seams import Effect, HeadMoved, PeerId, Penalize, SetTimer, TimerKey, TimerKind, VoteReceived


class Heard:
    """Messages of connected peers, and faults in them."""

    def __init__(self, rooms: Rooms, agreement: Agreement) -> None:
        self._rooms = rooms
        self._agreement = agreement
        self._begun = rooms.chain.height  # the height of which what came early is handled
        self._early: deque[PeerId] = deque()  # whose frames of it wait

    def on_message(self, peer: Peer, message: Verified, now: int) -> list[Effect]:
        """Count it, and handle it if it is within what the peer may send."""
        is_within = peer.note_came(kind_of(message), cost_of(message))
        if isinstance(message, Status):
            peer.on_status(message)  # where a peer is, is known however often it says so
        return self._on_allowed(peer, message, now) if is_within else []

    def _on_allowed(self, peer: Peer, message: Verified, now: int) -> list[Effect]:
        rooms = self._rooms
        match message:
            case Status():
                missing = rooms.gossip.catch_up(peer, now) if message.height == peer.height else []
                return [*missing, *rooms.sync.on_status(peer.id)]
            case Ahead():
                return self._on_ahead(peer, message)
            case VerifiedVotes(votes=votes, held=held, ahead=ahead):
                asked = self._on_ahead(peer, ahead) if ahead is not None else []  # first: the votes may end the height
                return [*asked, *self._on_votes(peer, votes, held, now)]
            case VerifiedProposal() | VerifiedOutline():
                return self._on_proposal(peer, message, now)
            case VerifiedTransactions(transactions=transactions) | VerifiedFresh(transactions=transactions):
                whole = self._complete(rooms.outlines.on_bodies(transactions), now)
                is_fresh = isinstance(message, VerifiedFresh)
                return [*whole, *rooms.admission.receive(peer, transactions, now, is_fresh=is_fresh)]
            case VerifiedBlocks():
                return self.follow(rooms.sync.on_blocks(peer.id, message, now), now)
            case VerifiedAnnouncement(announcement=announcement):
                return self.on_announced(announcement, peer.id, now)
            case VerifiedEvidence(evidence=evidence):
                rooms.lookout.on_evidence(evidence)
                return self._agreement.on_evidence(evidence, peer.id)
            case Have(ids=ids):
                rooms.passing_on.on_have(peer, ids)
                return rooms.relay.on_have(peer, ids)
            case Want(ids=ids):
                rooms.passing_on.on_want(ids)
                return rooms.relay.on_want(peer, ids)
            case GetBlocks():
                return rooms.sync.serve(peer, message)
            case GetPeers():
                return [rooms.peers.send(peer, rooms.exchange.answer(peer, rooms.peers))]
            case Peers(addresses=addresses):
                return rooms.exchange.try_told(peer, addresses, rooms.peers)
            case Nothing():
                return []  # of another height: the status of its sender tells where it is
            case _:
                return rooms.surroundings.on_message(peer, message, now)

    def on_fault(self, peer: PeerId, fault: PeerFault) -> list[Effect]:
        """A message of this peer did not verify."""
        return [Penalize(peer, fault.reason, fault.why), *self._rooms.sync.on_fault(peer, fault.reason)]

    def on_announced(self, announcement: Announcement, sender: PeerId | None, now: int) -> list[Effect]:
        """A validator is there; `sender` is None where this node said so itself."""
        rooms = self._rooms
        rooms.lookout.on_announced(announcement, sender, now)
        if not rooms.announcements.take(announcement, rooms.chain.validators, now):
            return []
        rooms.liveness.on_heard(announcement.validator)
        return rooms.peers.send_all(Announce(announcement), but=sender)

    def follow(self, effects: list[Effect], now: int) -> list[Effect]:
        """What sync did; the engine learns of the head that it did not decide."""
        rooms, out = self._rooms, self._agreement.pass_on(effects, now)
        if rooms.chain.height == rooms.engine.current.height:
            return out
        rooms.whereabouts.owe(rooms.chain.height)
        return [*out, *self._agreement.drive(HeadMoved(), now)]

    # ------------------------------------------------------------------------------------------------ the next height

    def _on_ahead(self, peer: Peer, told: Ahead) -> list[Effect]:
        """Who speaks of a height says that it is there; what it says of the next one waits until that begins."""
        effects: list[Effect] = []
        if told.height > peer.height and peer.note_came(Status, 1):
            peer.presume(told.height)
            effects = self._rooms.sync.on_spoke(peer.id)
        if told.height == self._rooms.chain.height + 1:
            peer.early.keep(told.frame)
        return effects

    def begin_height(self, now: int) -> list[Effect]:
        """After each input: what peers said of this height before it was begun, as much as is handled at once."""
        if self._begun == self._rooms.chain.height:
            return []
        self._begun = self._rooms.chain.height
        early = [peer for peer in self._rooms.peers.values() if peer.early.size]
        self._early = deque(peer.id for peer in sorted(early, key=lambda peer: peer.early.size))
        return [*self.take_early(now), *self._tell_of_losses()]

    def _tell_of_losses(self) -> list[Effect]:
        """To whoever said more than was kept: it sends that again. Others have lost nothing."""
        peers, status = self._rooms.peers, self._rooms.gossip.status
        return [peers.send(peer, status()) for peer in peers.values() if peer.early.take_loss()]

    def take_early(self, now: int) -> list[Effect]:
        """Some of it, each peer's frames at a time; a timer for the rest. It was counted when it came."""
        effects: list[Effect] = []
        taken = 0
        while self._early:
            peer = self._rooms.peers.get(self._early[0])
            taken += 0 if peer is None else peer.early.size
            if taken > EARLY_BYTES_AT_ONCE:
                return [*effects, SetTimer(TimerKey(TimerKind.EARLY), 0)]
            self._early.popleft()
            if peer is not None:
                effects.extend(self._take_of(peer, now))
        return effects

    def _take_of(self, peer: Peer, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for frame in peer.early.take():
            try:
                message = verify_frame(frame, context_of(self._rooms, peer.id))
            except PeerFault as fault:
                return [*effects, *self.on_fault(peer.id, fault)]
            effects.extend(self._on_allowed(peer, message, now))
        return effects

    # ------------------------------------------------------------------------------------------------ agreement

    def _on_proposal(self, peer: Peer, told: VerifiedProposal | VerifiedOutline, now: int) -> list[Effect]:
        peer.note_spoke(told.proposal.height)
        if peer.height == told.proposal.height:
            peer.note_proposal(told.proposal.round)
        self._rooms.lookout.on_heard(told.proposal, peer.id)
        return self._complete(self._rooms.outlines.on_told(peer, told), now)

    def _complete(self, effects: list[Effect], now: int) -> list[Effect]:
        """What came of outlines; the engine learns of those blocks that are whole now."""
        out = self._agreement.pass_on(effects, now)
        for given in self._rooms.outlines.take_whole():
            out.extend(self._agreement.drive(given, now))
        return out

    def _on_votes(self, peer: Peer, votes: Iterable[Vote], held: Iterable[Vote], now: int) -> list[Effect]:
        rooms, effects = self._rooms, list[Effect]()
        rooms.gossip.note_votes_of(peer, held)
        for vote in votes:
            rooms.gossip.note_votes_of(peer, (vote,))
            rooms.liveness.on_heard(vote.validator)
            rooms.lookout.on_heard(vote, peer.id)
            effects.extend(self._agreement.drive(VoteReceived(vote, peer.id), now))
        return effects
