"""The core of a node: one method, `handle(input, now) -> list[Effect]`.

It joins the engine, the chain with its pool and the way into it, gossip, sync and what is known of peers. It does no
I/O, reads no clock and draws no randomness; the runtime and the simulator drive the very same class. One task calls
it, one input at a time, and performs the effects of one input before the next (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, assert_never

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.evidence import accused
from blockchain.errors import PeerFault
from blockchain.genesis import ENGINES
from blockchain.ledger.smt_build import HERE, Builders
from blockchain.node.admission import Admission
from blockchain.node.announcements import ANNOUNCE_MS, Announcements
from blockchain.node.block_timers import BlockTimers
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.node.chain import Chain
from blockchain.node.checkpoint import UNVOUCHED, Vouched
from blockchain.node.context import context_of
from blockchain.node.exchange import Exchange
from blockchain.node.gossip import Gossip
from blockchain.node.inputs import BlocksArrived, Input, MessageFaulty, MessageReceived
from blockchain.node.liveness import Liveness
from blockchain.node.lookout import CAREFUL, Caution, Lookout
from blockchain.node.messages import (
    Accuse,
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
from blockchain.node.outlines import Outlines
from blockchain.node.peers import Peer
from blockchain.node.stored_round import read_round
from blockchain.node.surroundings import Surroundings
from blockchain.node.sync import Sync
from blockchain.node.timeline import Timeline
from blockchain.node.trust import Trust
from blockchain.node.verify import VerifyContext, verify_frame
from blockchain.node.whereabouts import Whereabouts
from blockchain.primitives import codec
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Announcement, Evidence, Proposal, Vote
from blockchain.seams import (
    Batch,
    Broadcast,
    DialledBack,
    Effect,
    Emit,
    EngineInput,
    EvidenceFound,
    Halt,
    Halted,
    HeadMoved,
    NodeStarted,
    OffenceSeen,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerJoined,
    PeerLeft,
    PeerMet,
    Penalize,
    PoolChanged,
    SetTimer,
    Sign,
    Signed,
    SignerLost,
    SignerRegained,
    SignRefused,
    Started,
    Store,
    TimerFired,
    TimerKey,
    TimerKind,
    TransactionsSubmitted,
    VoteReceived,
    VrfProved,
    VrfRefused,
    Write,
)

STATUS_MS: Final = 1_000
ANNOUNCED_MAX: Final = 1_000  # on connecting: far fewer than may wait for one peer; the others speak in a moment
PEERS_MS: Final = 30_000


class Core:
    """One chain of one node. `keys` are the validator keys that it holds; without one it follows and does not vote."""

    def __init__(
        self,
        spec: ChainSpec,
        store: Store,
        keys: frozenset[PublicKey],
        vouched: Vouched = UNVOUCHED,
        caution: Caution = CAREFUL,
        builders: Builders = HERE,
        outlined_min: int = OUTLINED_MIN,
    ) -> None:
        selection = ENGINES[spec.engine](spec.hash)
        self.chain = Chain(spec, selection, store, vouched.checkpoint, builders)
        self.trust = Trust(self.chain, store, vouched)
        self.liveness = Liveness()
        self.engine = BftEngine(
            self.chain, selection.forgers, self.chain.genesis_hash, spec.parameters, keys, self.liveness.is_offline
        )
        self.gossip = Gossip(self.chain, self.engine, outlined_min)
        self.outlines = Outlines(self.chain, self.engine, self.gossip)
        self.sync = Sync(self.chain, self.engine, self.gossip, store)
        self.admission = Admission(self.chain, self.gossip, store)
        self.lookout = Lookout(self.chain, self.engine, self.sync, store, keys, caution)
        self.exchange = Exchange()
        self.surroundings = Surroundings(self.gossip, spec.parameters.clock_drift_ms)
        self.keys = keys
        self.halted = store.halted()  # why, once something happened that must never happen
        self.lost_signers: dict[PublicKey, str] = {}  # keys of this node that cannot sign now, and why
        self.announcements = Announcements(spec.parameters.clock_drift_ms)
        self.timeline = Timeline(lambda: self.chain.validators, self.liveness.is_offline)
        self._store = store
        self._block_timers = BlockTimers(self.chain)
        self._instance = self._ticked_ms = 0
        self._whereabouts = Whereabouts(self.gossip, self.engine)
        self._ready = (0, 0)
        self._begun = self.chain.height  # the height of which what came early was handled
        self._out: list[Effect] = []

    def context(self, peer: PeerId | None = None) -> VerifyContext:
        """What the verification of a message may know now; `peer` is who sent it."""
        return context_of(self, peer)

    def handle(self, given: Input, now: int) -> list[Effect]:
        """React to one input. `now`: wall time in ms."""
        self._out = []
        match given:
            case Started():
                self._on_started(given, now)
            case MessageReceived(peer=peer_id, message=message):
                peer = self.gossip.peers.get(peer_id)
                if peer is not None:
                    self._on_message(peer, message, now)
            case BlocksArrived(peer=peer_id):
                self.sync.on_arrived(peer_id)
            case MessageFaulty(peer=peer_id, fault=fault):
                self._on_fault(peer_id, fault)
            case TransactionsSubmitted():
                self._out.extend(self.admission.submit(given, now))
            case PeerConnected():
                self._on_connected(given, now)
            case PeerDisconnected(peer=peer_id):
                self._on_disconnected(peer_id)
            case PeerMet(peer=peer_id, address=address):
                self.exchange.on_met(peer_id, address)
            case DialledBack():
                self._out.extend(self.surroundings.on_dialled_back(given))
            case TimerFired(key=key):
                self._on_timer(key, now)
            case Signed(message=Announcement() as announcement):
                self._on_announced(announcement, None, now)
            case Signed() | VrfProved() | SignRefused() | VrfRefused():
                if isinstance(given, Signed) and isinstance(given.message, Vote | Proposal):
                    self.lookout.on_signed(given.message)
                self._drive(given, now)
            case SignerLost(key=lost, why=why):
                self.lost_signers[lost] = why
            case SignerRegained(record=record):
                self.lost_signers.pop(record.key, None)
                if record.message is not None:
                    self.lookout.on_signed(record.message)  # it may have been signed when nobody waited for it any more
                self._drive(given, now)
            case _:
                assert_never(given)
        self._take_early(now)
        self._follow_up(now)
        return self.admission.unwritten.settle(self._out)

    # ------------------------------------------------------------------------------------------------ beginning

    @property
    def silent(self) -> str:
        """Why this validator signs nothing at the moment; empty: it signs, or it is none."""
        key = self.engine.key
        lost = "" if key is None else self.lost_signers.get(key, "")
        return self.lookout.why or (f"its signer is not there: {lost}" if lost else "")

    def _on_started(self, given: Started, now: int) -> None:
        self._instance = given.instance
        self.gossip.secret = given.secret
        self._out.extend(self.admission.restore(now))
        self.chain.evidence.restore(self._store.evidence())
        self._restore_round()
        self._out.append(Emit(NodeStarted(self.chain.head.height, self.chain.head.id, self.engine.validator)))
        if self.halted:  # before it was started again
            self._halt(self.halted)
            self._out.append(Emit(Halted(self.halted)))
        self._out.extend(self.trust.on_started(now))
        self.lookout.on_started(given, now)
        if self.trust.why or self.lookout.is_silent:
            self.engine.voice.mute()
        self._drive(given, now)
        self._set_timer(TimerKind.STATUS, STATUS_MS)
        self._set_timer(TimerKind.PEERS, PEERS_MS)
        if self.keys:
            self._set_timer(TimerKind.ANNOUNCE, 0)

    def _restore_round(self) -> None:
        stored = read_round(self._store, self.context())
        if stored is not None:
            record, blocks = stored
            self.engine.restore(record, blocks)
            self.chain.pool.protect(verified for block in blocks.values() for verified in block.transactions)

    # ------------------------------------------------------------------------------------------------ messages

    def _on_message(self, peer: Peer, message: Verified, now: int) -> None:
        is_within = peer.note_came(kind_of(message), cost_of(message))
        if isinstance(message, Status):
            peer.on_status(message)  # where a peer is, is known however often it says so
        if is_within:
            self._on_allowed(peer, message, now)

    def _on_allowed(self, peer: Peer, message: Verified, now: int) -> None:
        match message:
            case Status():
                if message.height == peer.height:
                    self._out.extend(self.gossip.catch_up(peer, now))
                self._out.extend(self.sync.on_status(peer.id))
            case Ahead():
                self._on_ahead(peer, message)
            case VerifiedVotes(votes=votes, held=held, ahead=ahead):
                if ahead is not None:  # first: these votes may end the height
                    self._on_ahead(peer, ahead)
                self._on_votes(peer, votes, held, now)
            case VerifiedProposal() | VerifiedOutline():
                self._on_proposal(peer, message, now)
            case VerifiedTransactions(transactions=transactions) | VerifiedFresh(transactions=transactions):
                self._complete(self.outlines.on_bodies(transactions), now)
                is_fresh = isinstance(message, VerifiedFresh)
                self._out.extend(self.admission.receive(peer, transactions, now, is_fresh=is_fresh))
            case VerifiedBlocks():
                self._follow(self.sync.on_blocks(peer.id, message, now), now)
            case VerifiedAnnouncement(announcement=announcement):
                self._on_announced(announcement, peer.id, now)
            case VerifiedEvidence(evidence=evidence):
                self.lookout.on_evidence(evidence)
                self._on_evidence(evidence, peer.id)
            case Have(ids=ids):
                self.admission.passing_on.on_have(peer, ids)
                self._out.extend(self.gossip.on_have(peer, ids))
            case Want(ids=ids):
                self.admission.passing_on.on_want(ids)
                self._out.extend(self.gossip.on_want(peer, ids))
            case GetBlocks():
                self._out.extend(self.sync.serve(peer, message))
            case GetPeers():
                self._out.append(self.gossip.send(peer, self.exchange.answer(peer, self.gossip.peers)))
            case Peers(addresses=addresses):
                self._out.extend(self.exchange.try_told(peer, addresses, self.gossip.peers))
            case Nothing():
                pass  # of another height: the status of its sender tells where it is
            case _:
                self._out.extend(self.surroundings.on_message(peer, message, now))

    def _on_ahead(self, peer: Peer, told: Ahead) -> None:
        """Who speaks of a height says that it is there; what it says of the next one waits until that begins."""
        if told.height > peer.height and peer.note_came(Status, 1):
            peer.presume(told.height)
            self._out.extend(self.sync.on_status(peer.id))
        if told.height == self.chain.height + 1 and not peer.early.keep(told.frame):
            self._whereabouts.owe(told.height)

    def _take_early(self, now: int) -> None:
        """What peers said of this height before it was begun. It was counted when it came."""
        if self._begun == self.chain.height:
            return
        self._begun = self.chain.height
        for peer in self.gossip.peers.values():
            for frame in peer.early.take():
                try:
                    message = verify_frame(frame, self.context(peer.id))
                except PeerFault as fault:
                    self._on_fault(peer.id, fault)
                    break
                self._on_allowed(peer, message, now)

    def _on_fault(self, peer: PeerId, fault: PeerFault) -> None:
        self._out.append(Penalize(peer, fault.reason, fault.why))
        self._out.extend(self.sync.on_fault(peer, fault.reason))

    def _on_proposal(self, peer: Peer, told: VerifiedProposal | VerifiedOutline, now: int) -> None:
        peer.note_spoke(told.proposal.height)
        if peer.height == told.proposal.height:
            peer.note_proposal(told.proposal.round)
        self.lookout.on_heard(told.proposal, peer.id)
        self._complete(self.outlines.on_told(peer, told), now)

    def _complete(self, effects: list[Effect], now: int) -> None:
        """What came of outlines; the engine learns of those blocks that are whole now."""
        self._take(effects, now)
        for given in self.outlines.take_whole():
            self._drive(given, now)

    def _on_votes(self, peer: Peer, votes: Iterable[Vote], held: Iterable[Vote], now: int) -> None:
        self.gossip.note_votes_of(peer, held)
        for vote in votes:
            self.gossip.note_votes_of(peer, (vote,))
            self.liveness.on_heard(vote.validator)
            self.lookout.on_heard(vote, peer.id)
            self._drive(VoteReceived(vote, peer.id), now)

    def _follow(self, effects: list[Effect], now: int) -> None:
        """What sync did; the engine learns of the head that it did not decide."""
        self._take(effects, now)
        if self.chain.height != self.engine.current.height:
            self._whereabouts.owe(self.chain.height)
            self._drive(HeadMoved(), now)

    def _on_evidence(self, evidence: Evidence, sender: PeerId | None) -> None:
        """One proof of an offence is kept and passed on: a validator can sign any number of others."""
        if not self.chain.evidence.add(evidence, is_own=sender is None):
            return
        height, validator = accused(evidence)
        self._out.append(Emit(EvidenceFound(type(evidence).__name__, height, validator)))
        self._out.append(Write(Batch(evidence=(codec.encode(evidence),))))
        self._out.extend(self.gossip.send_all(Accuse(evidence), but=sender))

    def _on_announced(self, announcement: Announcement, sender: PeerId | None, now: int) -> None:
        self.lookout.on_announced(announcement, sender, now)
        if self.announcements.take(announcement, self.chain.validators, now):
            self.liveness.on_heard(announcement.validator)
            self._out.extend(self.gossip.send_all(Announce(announcement), but=sender))

    # ------------------------------------------------------------------------------------------------ peers

    def _on_connected(self, given: PeerConnected, now: int) -> None:
        peer = Peer(given.peer, given.address, inbound=given.inbound, remote=given.remote, agent=given.agent)
        self.gossip.peers[given.peer] = peer
        self._out.append(Emit(PeerJoined(given.peer, given.address, given.inbound)))
        self._out.append(self.gossip.send(peer, self.gossip.status()))
        self._out.extend(self.gossip.offer(peer, (verified.id for verified in self.chain.pool)))
        self._out.append(self.gossip.send(peer, GetPeers()))
        self._out.extend(self.exchange.try_own(peer))
        self._out.extend(self.surroundings.on_connected(peer, now))
        self._out.extend(self.gossip.tell_evidence(peer))
        for announcement in islice(self.announcements, ANNOUNCED_MAX):
            self._out.append(self.gossip.send(peer, Announce(announcement)))

    def _on_disconnected(self, peer_id: PeerId) -> None:
        if self.gossip.peers.pop(peer_id, None) is not None:
            self.sync.on_disconnected(peer_id)
            self._out.extend(self.gossip.on_disconnected(peer_id))
            self._out.append(Emit(PeerLeft(peer_id)))

    # ------------------------------------------------------------------------------------------------ time

    def _on_timer(self, key: TimerKey, now: int) -> None:
        match key.kind:
            case TimerKind.STATUS:
                self._settle_accounts(now)
                self.announcements.on_tick(now)
                self._out.extend(self.admission.on_tick(now))
                self._out.extend(self.gossip.on_tick())
                self._out.extend(self.sync.on_tick(now))
                self._out.extend(self.surroundings.on_tick(now))
                is_awaited = self.engine.is_block_awaited and not self.sync.is_syncing
                self.lookout.on_tick(STATUS_MS)
                self.liveness.note_members(self.chain.parent_validators, self.chain.validators)
                self.liveness.on_tick(STATUS_MS, self.chain.height, is_awaited)
                self._set_timer(TimerKind.STATUS, STATUS_MS)
            case TimerKind.ANNOUNCE:
                self._announce(now)
                self._set_timer(TimerKind.ANNOUNCE, ANNOUNCE_MS)
            case TimerKind.PEERS:
                self._out.extend(self.gossip.send_all(GetPeers()))
                self._out.extend(self.surroundings.on_peers_tick(now))
                self._set_timer(TimerKind.PEERS, PEERS_MS)
            case TimerKind.VOTES | TimerKind.LAG:
                self._out.extend(self.gossip.on_timer(key, now))
            case TimerKind.OFFER:
                self._out.extend(self.admission.passing_on.on_timer())
            case TimerKind.STEP:
                self._out.extend(self._whereabouts.on_timer())
            case TimerKind.LOOK:
                self.lookout.advance()
            case TimerKind.SYNC:
                self._follow(self.sync.advance(now), now)
            case TimerKind.BLOCK_WAIT | TimerKind.HEARTBEAT:
                self._block_timers.on_fired(key)
                self._drive(PoolChanged(), now)
            case _:
                self._drive(TimerFired(key), now)

    def _announce(self, now: int) -> None:
        validator, key = self.engine.validator, self.engine.key
        if validator is not None and key is not None and not self.halted:  # it signs nothing any more
            self._out.append(Sign(Announcement(validator, self._instance, now), key))

    def _settle_accounts(self, now: int) -> None:
        """What each peer sent too much of; a node that stood still meanwhile has got more at once."""
        passed_ms, self._ticked_ms = now - self._ticked_ms, now
        for peer in self.gossip.peers.values():
            fault = peer.on_tick(passed_ms)
            if fault is not None:
                self._out.append(Penalize(peer.id, fault.reason, fault.why))

    def _set_timer(self, kind: TimerKind, delay_ms: int) -> None:
        self._out.append(SetTimer(TimerKey(kind), delay_ms))

    # ------------------------------------------------------------------------------------------------ after each input

    def _drive(self, given: EngineInput, now: int) -> None:
        effects = self.engine.handle(given, now)
        self.gossip.follow_height(is_decided=not isinstance(given, HeadMoved))
        self._take(effects, now)

    def _take(self, effects: list[Effect], now: int) -> None:
        """Pass effects on; a broadcast becomes sends, a halt silences this validator."""
        for effect in effects:
            self.timeline.note(effect, now)
            match effect:
                case Broadcast(message=message, block=block):
                    if block is not None and isinstance(message, Proposal):
                        self.chain.pool.note_proposed(block.transactions, message.height, message.round, now)
                    self._out.extend(self.gossip.broadcast(effect, now))
                case OffenceSeen(evidence=evidence):
                    self._on_evidence(evidence, None)
                case Halt(why=why):
                    self._halt(why)
                    self._out.append(effect)
                case _:
                    self._out.append(effect)

    def _halt(self, why: str) -> None:
        self.halted = self.halted or why
        self.engine.voice.halt()
        self.sync.stop()

    def _hush(self, now: int) -> None:
        """This validator signs where its chain is trusted and nothing was seen of its key that it did not sign."""
        is_silent = bool(self.trust.why) or self.lookout.is_silent
        if is_silent:
            self.engine.voice.mute()
        elif self.engine.voice.is_mute:
            self.engine.voice.unmute()
            self._drive(PoolChanged(), now)  # what it kept back leaves now

    def _follow_up(self, now: int) -> None:
        """What an input may have changed for others: trust, the trigger, its timers, and the place peers know of."""
        self._out.extend(self.trust.on_head())
        self._out.extend(self.lookout.follow(now))
        self._hush(now)
        ready = (self.chain.pool.ready_count, len(self.chain.evidence))
        if ready != self._ready:
            self._ready = ready
            self._drive(PoolChanged(), now)
        self._out.extend(self._block_timers.set_due(now))
        self.timeline.on_due(self.chain.height, self.chain.is_block_due, now)
        self._out.extend(self._whereabouts.follow())
