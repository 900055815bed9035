"""A deterministic world: a heap of events, one seed, and the production core of every node.

Theory of operation. Virtual time is in ms and moves from event to event. Each node has the core, a store and a signer's
record that survive a crash, and a clock with a skew. The world performs the effects of one input before the next input
of that node, as the runtime does; a signature comes back as an input of its own. Everything that is random is drawn
from one `Random(seed)`, in the order of events, so that the same seed gives the same transcript to the byte.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from typing import Final

from blockchain.consensus.signing import position_of
from blockchain.errors import PeerFault
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.node.checkpoint import Vouched
from blockchain.node.core import Core
from blockchain.node.inputs import Input, MessageFaulty, MessageReceived
from blockchain.node.messages import VerifiedOutline, VerifiedProposal, VerifiedTransactions
from blockchain.node.verify import verify_frame
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import SigningKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Proposal, Signable, Vote
from blockchain.seams import (
    BlockFinalized,
    Dial,
    DialBack,
    Effect,
    Emit,
    Halt,
    NodeEvent,
    PeerDisconnected,
    Penalize,
    ProveVrf,
    Reply,
    Send,
    SetTimer,
    Sign,
    SigningStopped,
    Started,
    SubmissionResult,
    TimerFired,
    TimerKey,
    Token,
    TransactionsSubmitted,
    Write,
)
from blockchain.simulator.bans import Scores
from blockchain.simulator.connections import Connections, Mesh
from blockchain.simulator.finality import Finality
from blockchain.simulator.inspection import Inspection
from blockchain.simulator.justice import Docket
from blockchain.simulator.network import Links, Network
from blockchain.simulator.node import Node
from blockchain.simulator.operator import attend

VOUCHED: Final = Vouched(genesis=True)  # by all operators: where stake unbonds in seconds, every chain is old
EVENTS_MAX: Final = 5_000_000  # of one run; more means that something spins


class Violation(AssertionError):
    """Something that must never happen did; the message says what, where and under which seed."""


class World:
    """All nodes, the network between them, and virtual time."""

    def __init__(
        self, spec: ChainSpec, keys: list[SigningKey | None], seed: int, links: Links, skew_max_ms: int = 0
    ) -> None:
        self.spec = spec
        self.seed = seed
        self.rng = Random(seed)
        self.network = Network(self.rng, links)
        self.time_ms = 0
        self.nodes = [Node(n, key, self.rng.randint(-skew_max_ms, skew_max_ms)) for n, key in enumerate(keys)]
        self.by_id = {node.id: node for node in self.nodes}
        self.transcript: list[str] = []
        self.events: list[tuple[int, NodeEvent]] = []  # (node, what happened)
        self.event_ms: list[int] = []  # when each of them did
        self.replies: dict[Token, tuple[SubmissionResult, ...]] = {}
        self.frames = sha256()  # over every frame that was sent, so that runs compare to the byte
        self.signed: dict[tuple[int, int, int, int], Signable] = {}  # by (node, height, round, step)
        self.docket = Docket()
        self.watch: Callable[[Node, NodeEvent], None] = lambda *_: None  # whoever judges what nodes say
        self.outlined_min = OUTLINED_MIN  # at all nodes
        self.verify_ms_max = 0  # that a node takes for a block, or for transactions; what that peer sends next waits
        self._verified_at: dict[tuple[int, int, int, bool], int] = {}  # by receiver, its life, sender; blocks apart
        self.may_fork = False  # a third and more is hostile: a fork is to be accounted for (protocol §5.9)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._inspection = Inspection()
        self._finality = Finality(spec)
        self.connections: Connections = Mesh()
        self._sequence = 0
        self.tokens = 0  # how many submissions there were

    @property
    def honest(self) -> list[Node]:
        """Those of which every rule must hold."""
        return [node for node in self.present if node.is_honest]

    # ------------------------------------------------------------------------------------------------ scripting

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at a point of virtual time."""
        self._sequence += 1
        heappush(self._heap, (time_ms, self._sequence, action))

    def run_until(self, time_ms: int, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True when `stop` came to hold."""
        heap = self._heap
        for _ in range(EVENTS_MAX):
            if stop is not None and stop():
                return True
            if not heap or heap[0][0] > time_ms:
                self.time_ms = time_ms
                return False
            self.time_ms, _, action = heappop(heap)
            action()
        raise Violation(f"seed {self.seed}: {EVENTS_MAX} events and no end")

    def tell(self, text: str) -> None:
        """A line of the transcript that is no event of a node."""
        self.transcript.append(f"{self.time_ms:>8} {text}")

    def start(self, number: int) -> None:
        """Start a node, or start it again on what it had stored, and have it connected."""
        node = self.nodes[number]
        assert node.core is None, "a node that runs is not started"
        if node.is_absent:
            return
        node.life += 1
        node.timers = {}
        node.pace.forget()
        node.scores = Scores()
        self.connections.on_gone(self, node)
        node.core = Core(
            self.spec, node.store, frozenset(node.keys), VOUCHED, node.caution, outlined_min=self.outlined_min
        )
        self.note(node, "started")
        drawn = node.number << 32 | node.life
        self.feed(node, Started(tuple(node.records.values()), drawn, drawn))
        self.connections.on_started(self, node)
        if node.core is not None:
            node.conduct.begins(self, node)

    @property
    def present(self) -> list[Node]:
        """All but those that are absent for good."""
        return [node for node in self.nodes if not node.is_absent]

    def crash(self, number: int) -> None:
        """Stop a node at once: what it had not written is gone.

        The others learn of it later than of what it sent before, as on a real connection, unless it is back sooner.
        """
        node = self.nodes[number]
        life = node.life
        node.core = None
        self.note(node, "crashed")

        def notice() -> None:
            if node.core is None and node.life == life:
                self.connections.on_gone(self, node)

        self.at(self.time_ms + self.network.links.delay_ms[1], notice)

    def crash_before(self, number: int, dies_before: Callable[[Effect], bool]) -> None:
        """Stop a node in the middle of an input: before the first effect for which this holds."""
        self.nodes[number].dies_before = dies_before

    def crash_after(self, number: int, effects: int) -> None:
        """Stop a node in the middle: after so many more effects, whichever input they answer."""
        left = itertools.count(effects, -1)
        self.crash_before(number, lambda _: next(left) <= 0)

    def spare(self, number: int) -> None:
        """Take back a crash that has not happened yet."""
        self.nodes[number].dies_before = None

    def work(self, number: int) -> None:
        """Let a node whose pace has changed go on with what waits for it."""
        node = self.nodes[number]
        life = node.life

        def later(delay_ms: int, action: Callable[[], None]) -> None:
            self.at(self.time_ms + delay_ms, lambda: action() if node.life == life else None)

        node.pace.work(lambda given: self._handle(node, given), later)

    def may_spoil(self, number: int) -> bool:
        """Whether a machine may lose what none must: all who are not well are three tenths of the stake at most.

        Spoilt, hostile and absent ones are not, nor are members that no node runs: wallets may stake. Less than a
        third, so that those who come into the set meanwhile do not make it more.
        """
        cores = [node.core for node in self.nodes if node.core is not None]
        if not cores:
            return False
        members = max(cores, key=lambda core: core.chain.height).chain.validators
        well = [node for node in self.honest if node.number != number and not (node.is_spoilt or node.is_absent)]
        keys = dict.fromkeys(key for node in well for key in node.keys)
        stake = sum(members.stake_of(members.by_key[key]) for key in keys if key in members.by_key)
        return 10 * (members.total - stake) <= 3 * members.total

    def submit(self, number: int, transactions: tuple[VerifiedTransaction, ...]) -> Token:
        """A client's transactions to one node; a node that is down takes nothing."""
        self.tokens += 1
        token = Token(self.tokens)
        node = self.nodes[number]
        if node.core is not None:
            self.feed(node, TransactionsSubmitted(token, transactions))
        return token

    # ------------------------------------------------------------------------------------------------ driving

    def feed(self, node: Node, given: Input) -> None:
        """One input to a node, and all of its effects: at once, unless its pace says otherwise."""
        if node.core is None:
            return
        if node.pace.is_at_once:
            self._handle(node, given)
        else:
            node.pace.put(given)
            self.work(node.number)

    def _handle(self, node: Node, given: Input) -> None:
        if node.core is None:
            return
        kept = self.docket.of_use(node, given) if self.docket.suspects else []
        for effect in node.core.handle(given, self.wall_ms(node)):
            if node.dies_before is not None and node.dies_before(effect):
                self.spare(node.number)
                self.crash(node.number)
                return
            self._perform(node, effect)
        if kept:
            self._refuse(self.docket.note(node, kept))

    def wall_ms(self, node: Node) -> int:
        return self.spec.time_ms + 1_000_000 + self.time_ms + node.skew_ms + node.clock.ahead_ms(self.time_ms)

    def note(self, node: Node, text: str) -> None:
        self.transcript.append(f"{self.time_ms:>8} node {node.number}: {text}")

    def _perform(self, node: Node, effect: Effect) -> None:
        match effect:
            case Write(batch=batch):
                node.store.write(batch)
            case Send(peers=peers, frame=frame):
                for receiver, twisted, extra_ms in node.conduct.sends(self, node, peers, frame):
                    self.send(node, receiver, twisted, extra_ms)
            case SetTimer(key=key, delay_ms=delay):
                self._set_timer(node, key, delay)
            case Sign(message=message, key=key):
                self.feed_later(node, node.conduct.signs(self, node, message, key))
            case ProveVrf():
                self.feed_later(node, node.conduct.proves(self, node, effect))
            case Emit(event=event):
                self._on_event(node, event)
            case Reply(token=token, results=results):
                self.replies[token] = results
            case Penalize():
                self._blame(node, effect)
            case Halt(why=why):
                if node.is_honest and not self.may_fork:
                    raise Violation(f"seed {self.seed}: node {node.number} halted: {why}")
            case Dial() | DialBack():
                self.connections.on_dial(self, node, effect)
            case _:
                pass

    def send(self, sender: Node, receiver: Node, frame: bytes, extra_ms: int = 0) -> None:
        """Put a frame on the link to another node, which may lose it."""
        life, era = receiver.life, self.network.era
        self.frames.update(frame)

        def arrive() -> None:
            if era == self.network.era:
                self._deliver(sender, receiver, life, frame)

        for delay in self.network.deliveries(sender.number, receiver.number, len(frame), self.time_ms):
            self.at(self.time_ms + extra_ms + delay, arrive)

    def _deliver(self, sender: Node, receiver: Node, life: int, frame: bytes) -> None:
        if receiver.core is None or receiver.life != life or sender.id in receiver.scores.banned:
            return
        try:
            if self.may_fork or not sender.is_honest:  # what is asked for, and what is drawn, differ from node to node
                message = verify_frame(frame, receiver.core.context(sender.id))
            else:
                message = self._inspection.verify(frame, receiver.core, sender.id)
            given: MessageReceived | MessageFaulty = MessageReceived(sender.id, message)
        except PeerFault as fault:
            given = MessageFaulty(sender.id, fault)
        if self.verify_ms_max:
            self._feed_verified(sender, receiver, given)
        else:
            self.feed(receiver, given)

    def _feed_verified(self, sender: Node, receiver: Node, given: MessageReceived | MessageFaulty) -> None:
        """As a thread does it, with what the node knew when the message came: the height may have ended meanwhile."""
        message = given.message if isinstance(given, MessageReceived) else None
        is_beside = isinstance(message, VerifiedTransactions)
        is_large = is_beside or isinstance(message, VerifiedProposal | VerifiedOutline)
        lane = receiver.number, receiver.life, sender.number, is_beside
        due = self.time_ms + (self.rng.randint(0, self.verify_ms_max) if is_large else 0)
        due = self._verified_at[lane] = max(due, self._verified_at.get(lane, 0))
        self.feed_later(receiver, given, due - self.time_ms)

    def _set_timer(self, node: Node, key: TimerKey, delay_ms: int) -> None:
        setting = self._sequence
        life = node.life
        node.timers[key.kind] = setting

        def fire() -> None:
            if node.life == life and node.timers.get(key.kind) == setting:
                del node.timers[key.kind]
                self.feed(node, TimerFired(key))

        self.at(self.time_ms + node.clock.lasts_ms(delay_ms), fire)

    def feed_later(self, node: Node, given: Input | None, delay_ms: int = 0) -> None:
        """An answer, if there is one: an input of its own in this life of a node, after this one's effects."""
        life = node.life
        if given is not None:
            self.at(self.time_ms + delay_ms, lambda: self.feed(node, given) if node.life == life else None)

    def _blame(self, node: Node, fault: Penalize) -> None:
        """Add to a peer's score, and hang up on who is banned. A hostile node's word costs nobody anything."""
        other = self.by_id[fault.peer]
        if not node.is_honest or not node.scores.blame(other.id, fault.reason, fault.why, self.time_ms):
            return
        if other.is_honest and not self.may_fork:
            raise Violation(f"seed {self.seed}: node {node.number} bans an honest peer: {fault.reason}: {fault.why}")
        self.note(node, f"banned node {other.number}: {fault.reason}")
        for one, gone in ((node, other), (other, node)):
            self.at(self.time_ms, partial(self.feed, one, PeerDisconnected(gone.id)))

    def note_signed(self, node: Node, signed: Vote | Proposal) -> None:
        """A signer that keeps its record has signed; two different messages at one place are a Violation."""
        place = (node.number, *position_of(signed))
        if self.signed.setdefault(place, signed) != signed:
            raise Violation(f"seed {self.seed}: node {node.number} signed twice at {place[1:]}")
        self.note(node, f"signed {_words_of(signed)}")

    def _on_event(self, node: Node, event: NodeEvent) -> None:
        self.events.append((node.number, event))
        self.event_ms.append(self.time_ms)
        self.note(node, _line(event))
        self.watch(node, event)
        if isinstance(event, SigningStopped):
            attend(self, node)
        if isinstance(event, BlockFinalized):
            self._check_agreement(node, event)

    def _check_agreement(self, node: Node, event: BlockFinalized) -> None:
        if node.is_honest and not self.may_fork:
            self._refuse(self._finality.complaints(node, event, self.docket.suspects))
            self._refuse(self.docket.lacking(node))

    def _refuse(self, complaints: Iterable[str]) -> None:
        for complaint in () if self.may_fork else complaints:
            raise Violation(f"seed {self.seed}: {complaint}")


def _words_of(signed: Vote | Proposal) -> str:
    step = "proposal" if isinstance(signed, Proposal) else signed.step.name.lower()
    earlier = signed.valid_round if isinstance(signed, Proposal) else signed.polka_round
    shown = f" polka_round={earlier}" if earlier >= 0 else ""
    value = "nil" if signed.block_id is None else _word(signed.block_id)
    return f"{step} height={signed.height} round={signed.round} block_id={value}{shown}"


def _line(event: NodeEvent) -> str:
    """One event as text, the same in every process: fields in order, bytes in short hex."""
    fields = (f"{name}={_word(getattr(event, name))}" for name in event.__struct_fields__)
    return f"{event.__struct_config__.tag} {' '.join(fields)}"


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:8]
    if isinstance(value, tuple):
        return f"{len(value)}:" + ",".join(_word(item) for item in value)
    return str(value)
