"""The core of a node: one method, `handle(input, now) -> list[Effect]`.

It drives the engine, the chain with its pool and the way into it, gossip, sync and what is known of peers (`rooms.py`).
It does no I/O, reads no clock and draws no randomness; the runtime and the simulator drive the very same class. The
driver calls it, one input at a time, and performs the effects of one input before the next (docs/architecture.md).
"""

from __future__ import annotations

from itertools import islice
from typing import Final, assert_never

from blockchain.ledger.smt_build import HERE, Builders
from blockchain.node.agreement import Agreement
from blockchain.node.announcements import ANNOUNCE_MS
from blockchain.node.block_timers import BlockTimers
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.node.checkpoint import UNVOUCHED, Vouched
from blockchain.node.context import context_of
from blockchain.node.heard import Heard
from blockchain.node.inputs import BlocksArrived, Input, MessageFaulty, MessageReceived
from blockchain.node.lookout import CAREFUL, Caution
from blockchain.node.messages import Announce, GetPeers
from blockchain.node.peers import Peer
from blockchain.node.rooms import Rooms
from blockchain.node.stored_round import read_round
from blockchain.node.verify import VerifyContext
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Announcement, Proposal, Vote
from blockchain.seams import (
    DialledBack,
    Effect,
    Emit,
    EngineInput,
    Halted,
    NodeStarted,
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
    VrfProved,
    VrfRefused,
)

STATUS_MS: Final = 1_000
ANNOUNCED_MAX: Final = 1_000  # on connecting: far fewer than may wait for one peer; the others speak in a moment
PEERS_MS: Final = 30_000


class Core(Rooms):
    """The rooms of a node, each given the inputs that are for it."""

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
        super().__init__(spec, store, keys, vouched, caution, builders, outlined_min)
        self.lost_signers: dict[PublicKey, str] = {}  # keys of this node that cannot sign now, and why
        self._store = store
        self._agreement = Agreement(self, store.halted())
        self._heard = Heard(self, self._agreement)
        self._block_timers = BlockTimers(self.chain)
        self._instance = self._ticked_ms = 0
        self._ready = (0, 0)
        self._out: list[Effect] = []

    @property
    def halted(self) -> str:
        """Why it stopped for good, once something happened that must never happen; empty: it did not."""
        return self._agreement.halted

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
                peer = self.peers.get(peer_id)
                if peer is not None:
                    self._out.extend(self._heard.on_message(peer, message, now))
            case BlocksArrived(peer=peer_id):
                self.sync.on_arrived(peer_id)
            case MessageFaulty(peer=peer_id, fault=fault):
                self._out.extend(self._heard.on_fault(peer_id, fault))
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
                self._out.extend(self._heard.on_announced(announcement, None, now))
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
        self._out.extend(self._heard.begin_height(now))
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
            self._agreement.halt(self.halted)
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

    # ------------------------------------------------------------------------------------------------ peers

    def _on_connected(self, given: PeerConnected, now: int) -> None:
        peer = Peer(given.peer, given.address, inbound=given.inbound, remote=given.remote, agent=given.agent)
        self.peers[given.peer] = peer
        self._out.append(Emit(PeerJoined(given.peer, given.address, given.inbound)))
        self._out.append(self.peers.send(peer, self.gossip.status()))
        self._out.extend(self.relay.offer(peer, (verified.id for verified in self.chain.pool)))
        self._out.append(self.peers.send(peer, GetPeers()))
        self._out.extend(self.exchange.try_own(peer))
        self._out.extend(self.surroundings.on_connected(peer, now))
        self._out.extend(self.gossip.tell_evidence(peer))
        for announcement in islice(self.announcements, ANNOUNCED_MAX):
            self._out.append(self.peers.send(peer, Announce(announcement)))

    def _on_disconnected(self, peer_id: PeerId) -> None:
        if self.peers.pop(peer_id, None) is not None:
            self.sync.on_disconnected(peer_id)
            self._out.extend(self.relay.on_disconnected(peer_id))
            self._out.append(Emit(PeerLeft(peer_id)))

    # ------------------------------------------------------------------------------------------------ time

    def _on_timer(self, key: TimerKey, now: int) -> None:
        match key.kind:
            case TimerKind.STATUS:
                self._settle_accounts(now)
                self.announcements.on_tick(now)
                self._out.extend(self.admission.on_tick(now))
                self._out.extend(self.gossip.on_tick())
                self._out.extend(self.relay.on_tick())
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
                self._out.extend(self.peers.send_all(GetPeers()))
                self._out.extend(self.surroundings.on_peers_tick(now))
                self._set_timer(TimerKind.PEERS, PEERS_MS)
            case TimerKind.VOTES | TimerKind.LAG:
                self._out.extend(self.gossip.on_timer(key, now))
            case TimerKind.OFFER:
                self._out.extend(self.passing_on.on_timer())
            case TimerKind.STEP:
                self._out.extend(self.whereabouts.on_timer())
            case TimerKind.LOOK:
                self.lookout.advance()
            case TimerKind.SYNC:
                self._out.extend(self._heard.follow(self.sync.advance(now), now))
            case TimerKind.EARLY:
                self._out.extend(self._heard.take_early(now))
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
        for peer in self.peers.values():
            fault = peer.on_tick(passed_ms)
            if fault is not None:
                self._out.append(Penalize(peer.id, fault.reason, fault.why))

    def _set_timer(self, kind: TimerKind, delay_ms: int) -> None:
        self._out.append(SetTimer(TimerKey(kind), delay_ms))

    # ------------------------------------------------------------------------------------------------ after each input

    def _drive(self, given: EngineInput, now: int) -> None:
        self._out.extend(self._agreement.drive(given, now))

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
        self._out.extend(self.whereabouts.follow())
