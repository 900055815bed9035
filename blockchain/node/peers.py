"""What this node knows of each connected peer: its place, what it holds, what it asks and what it was asked for.

Everything here is bounded: a peer can make this node remember only so much (docs/protocol.md §8.1, §8.3, §8.6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from blockchain.errors import PeerFault
from blockchain.node.apart import Apart
from blockchain.node.early import EarlyFrames
from blockchain.node.known_ids import KnownIds
from blockchain.node.messages import (
    Accuse,
    Announce,
    Blocks,
    Dialled,
    DialMe,
    Fresh,
    GetBlocks,
    GetPeers,
    GetTime,
    Have,
    Message,
    Peers,
    ProposedBlock,
    Status,
    Time,
    Transactions,
    Votes,
    Want,
    cost_of,
)
from blockchain.node.rounds_held import RoundsHeld, VotePlace, place_of
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step, Vote, VoteStep
from blockchain.seams import DialOutcome, PeerId

KNOWN_IDS_MIN: Final = 20_000  # pending transactions that a peer is known to hold; less than twice as many are kept
UNBOUNDED: Final = 2**63
# What a peer may send between two status ticks, about a second: entries of lists, else messages. Far above what an
# honest one needs; what is beyond is left undone, and nothing depends on it: all is said again.
ALLOWANCES: Final[dict[type[Message], int]] = {
    Status: 100,  # each may be answered with all that the peer says it lacks
    Votes: 20_000,  # both steps of the largest set; a signature each, but for those that are held
    ProposedBlock: 100,  # all but the first of a round are dropped before their block is looked at
    Have: 20_000,  # of each id what is news may be asked for, and verified then
    Want: 20_000,
    Transactions: 50_000,  # only as many as were asked for, anyway
    Fresh: 200,  # a signature each: 14 ms a second of a peer that sends them in vain; more goes by ids
    GetBlocks: 20,  # each may be 2 MiB to read and to send
    Blocks: 20,
    GetPeers: 5,
    Peers: 5,
    Announce: 2_500,  # each validator of the largest set speaks each five seconds; a signature each, where it is news
    Accuse: 100,  # two signatures each, and one offence is told once by each peer
    GetTime: 5,  # on connecting and each 30 s
    Time: 5,
    DialMe: 5,  # each five minutes; one of them a minute is a dial
    Dialled: 5,
}
# To verify: not done then.
LABORIOUS: Final = frozenset({Votes, ProposedBlock, Transactions, Fresh, Blocks, Announce, Accuse})
ASKED_FOR: Final = frozenset({Transactions, Blocks, Peers, Time, Dialled})  # what nobody sends unasked
OWED_MAX: Final = 50_000  # entries of a kind that a peer is remembered to have been asked for
BLOCKS_SENT_MAX: Final = 8  # a tick, to who says that it lacks them: up to 4 MiB each for a status of 100 bytes
VOTES_SENT_MAX: Final = ALLOWANCES[Votes] // 2  # a tick, the same: its tick may begin in the middle of one's own
FRESH_SENT_MAX: Final = ALLOWANCES[Fresh] // 2  # a tick, again the same
UNSIGNED_COST: Final = 50  # of an announcement that its validator did not sign: 50 a tick are looked at, 10 ms
OVER_FACTOR: Final = 4  # so many times an allowance is no accident, unless it happens seldom
FLOOD_FACTOR: Final = 40
USELESS_MAX: Final = 1_000  # transactions a tick that do not enter the pool; some never do, of honest peers too
NEWS_MS: Final = 1_000  # before the round trip to a peer is known
NEWS_MARGIN_MS: Final = 40  # for two nodes to handle an offer, a want and the answer
NEWS_STEP_MS: Final = 50  # so that peers that are about as far get the same outline
TICK_MS: Final = 1_000  # for which the allowances are


class ClockState:
    """When the peer was asked for its time last (None: it answered), and how far its clock was ahead of this node's.

    Off by `error_ms` at most, in either direction.
    """

    def __init__(self) -> None:
        self.asked_ms: int | None = None
        self.offset_ms: int | None = None
        self.error_ms: int | None = None


class DialledState:
    """When the peer was asked last to dial this node, and its newest answer; whether it waits for this node's."""

    def __init__(self) -> None:
        self.asked_ms: int | None = None
        self.outcome: DialOutcome | None = None
        self.is_waiting = False


class Peer:
    """One connected peer. It holds what its last status says, what it sent since, and soon what it was sent lately."""

    def __init__(self, peer_id: PeerId, address: str, *, inbound: bool, remote: str = "", agent: str = "") -> None:
        self.id = peer_id
        self.address = address  # where it says that it listens
        self.inbound = inbound
        self.remote = remote  # the IP address of the connection
        self.agent = agent
        self.status: Status | None = None
        self._holds = RoundsHeld()
        self._sent = RoundsHeld()  # since the last tick: a status that comes meanwhile may not tell of it yet
        self._sent_before = RoundsHeld()  # in the tick before that
        self._late = _nothing()  # what it held, and what it was sent, of the height before its own
        self._told = RoundsHeld()  # of this height, whenever it was
        self._listed: set[int] = set()  # the rounds of which the last status told
        self._came: Counter[type[Message]] = Counter()  # since the last tick
        self._owed: Counter[type[Message]] = Counter()  # was asked for, and has not come
        self._blocks_sent = 0  # since the last tick
        self._votes_sent = 0  # of those that it lacked, the same
        self._fresh_sent = 0  # transactions unasked, the same
        self._useless = 0  # transactions of it, the same
        self._excused = 0  # further ones that are no fault of it
        self.unanswered = 0  # transactions that it offered and did not send
        self.apart = Apart()
        self.has_just_come = True  # to the height that it told last
        self.is_presumed = False  # at its height: it has not told that
        self.early = EarlyFrames()
        self.clock = ClockState()
        self.dialled = DialledState()
        self._known = KnownIds(KNOWN_IDS_MIN)

    @property
    def height(self) -> int:
        """The height in progress at the peer; 0 before its first status."""
        return 0 if self.status is None else self.status.height

    @property
    def round(self) -> int:
        return 0 if self.status is None else self.status.round

    @property
    def news_ms(self) -> int:
        """What came here less long ago than this may not have got to it yet, though it was offered at once."""
        if self.clock.error_ms is None:
            return NEWS_MS
        steps = (2 * self.clock.error_ms + NEWS_MARGIN_MS) // NEWS_STEP_MS + 1
        return steps * NEWS_STEP_MS

    def on_status(self, status: Status) -> None:
        """It told where it is. One height below what is presumed, it told that before it came here, or soon comes."""
        if self.is_presumed and status.height == self.height - 1:
            return
        self.has_just_come = status.height != self.height or self.is_presumed
        if status.height != self.height:
            self._keep_late(status.height)
        if self.has_just_come:  # it may have dropped what it was sent before it was there
            self._sent, self._sent_before, self._told = RoundsHeld(), RoundsHeld(), RoundsHeld()
        self._take(status)
        self.is_presumed = False

    def presume(self, height: int) -> None:
        """It is at another height by now, or soon, and has not said so; what it holds there is not known."""
        self._keep_late(height)
        self._sent, self._sent_before, self._told = RoundsHeld(), RoundsHeld(), RoundsHeld()
        self._take(Status(height, 0, Step.PROPOSE, ()))
        self.is_presumed = True

    def note_spoke(self, height: int) -> None:
        """It sent a message of a height: who speaks of one is there."""
        if 0 < self.height < height:
            self.presume(height)

    def _keep_late(self, height: int) -> None:
        is_next = height == self.height + 1
        self._late = (self._holds, self._sent, self._sent_before) if is_next else _nothing()

    def _take(self, status: Status) -> None:
        self.status = status
        self._holds = RoundsHeld.of_status(status)
        self._listed = {holding.round for holding in status.rounds}

    def on_tick(self, passed_ms: int) -> PeerFault | None:
        """Begin to count anew; the worst of what was too much since the last tick, `passed_ms` ago."""
        fault = self._excess(max(passed_ms / TICK_MS, 1))
        self._sent_before, self._sent = self._sent, RoundsHeld()
        self.apart.on_tick()
        self._came.clear()
        self._blocks_sent = 0
        self._votes_sent = 0
        self._fresh_sent = 0
        self._useless = 0
        return fault

    def _excess(self, ticks: float) -> PeerFault | None:
        over = {kind: came / (ALLOWANCES[kind] * ticks) for kind, came in self._came.items()}
        kind = max(over, key=over.__getitem__, default=None)
        if kind is not None and over[kind] > OVER_FACTOR:
            why = f"{over[kind]:.0f} times what it may send of {kind.__name__}"
            return PeerFault("flood", why) if over[kind] > FLOOD_FACTOR else PeerFault("over_allowance", why)
        if self._useless > USELESS_MAX * ticks:
            return PeerFault("useless_transactions", f"{self._useless} transactions that do not apply")
        return None

    def note_came(self, kind: type[Message], cost: int) -> bool:
        """Count a message of the peer; whether it is within what it may send before the next tick."""
        self._came[kind] += cost
        if kind in ASKED_FOR:
            self._owed[kind] = max(self._owed[kind] - cost, 0)
        return self._came[kind] <= ALLOWANCES[kind]

    def left(self, kind: type[Message]) -> int:
        """How much of a kind the peer may still send before the next tick."""
        return ALLOWANCES[kind] - self._came[kind]

    def owed(self, kind: type[Message]) -> int:
        """How much of a kind the peer was asked for and has not sent."""
        return self._owed[kind] if kind in ASKED_FOR else UNBOUNDED

    def note_sent(self, message: Message) -> None:
        """It is told, or asked, this."""
        match message:
            case Want():
                self._owe(Transactions, cost_of(message))
            case GetBlocks():
                self._owe(Blocks, 1)
            case GetPeers():
                self._owe(Peers, 1)
            case GetTime():
                self._owe(Time, 1)
            case DialMe():
                self._owe(Dialled, 1)
            case _:
                pass

    def _owe(self, kind: type[Message], more: int) -> None:
        self._owed[kind] = min(self._owed[kind] + more, OWED_MAX)

    def may_be_sent_block(self) -> bool:
        """Whether a block of the height in progress is sent to it before the next tick; counts it if so."""
        self._blocks_sent += 1
        return self._blocks_sent <= BLOCKS_SENT_MAX

    def may_be_sent_vote(self) -> bool:
        """Whether one more vote that it lacks is sent to it before the next tick; counts it if so."""
        self._votes_sent += 1
        return self._votes_sent <= VOTES_SENT_MAX

    def may_be_sent_fresh(self, count: int) -> bool:
        """Whether so many transactions are sent to it unasked before the next tick; counts them if so."""
        if self._fresh_sent + count > FRESH_SENT_MAX:
            return False
        self._fresh_sent += count
        return True

    def excuse(self, count: int) -> None:
        """It was asked for so many transactions of a block, which need not apply."""
        self._excused = min(self._excused + count, OWED_MAX)

    def note_useless(self) -> None:
        """It sent a transaction that does not apply."""
        if self._excused:
            self._excused -= 1
        else:
            self._useless += 1

    def may_lack(self, round: int) -> bool:
        """Whether it is known what the peer holds of a round: it listed it, or has not come to it yet.

        A peer that has told nothing of its height holds what it has shown since.
        """
        return self.is_presumed or round in self._listed or round > self.round

    def lacks(self, vote: Vote, index: int) -> bool:
        """Whether the peer may lack this vote of the validator with that index, and was not sent it lately."""
        return self.lacked(place_of(vote), 1 << index) != 0

    def lacked(self, place: VotePlace, voters: int) -> int:
        """Of whom among these validators, as bits, it may lack the vote, and was not sent it lately."""
        known = self._holds.voters(place) | self._sent.voters(place) | self._sent_before.voters(place)
        return voters & ~known

    def take_votes(self, height: int, place: VotePlace, voters: int) -> int:
        """Of whom among these validators, as bits, the vote of a height is to be sent to it; it counts as told now."""
        awaited = self.votes_awaited(height, place, voters)
        if awaited and self.height == height:
            self.note_votes_sent(place, awaited)
        elif awaited:
            self._late[1].add_votes(place, awaited)
        return awaited

    def votes_awaited(self, height: int, place: VotePlace, voters: int) -> int:
        """Of whom among these validators, as bits, the vote of a height is of use to it, and it may lack it."""
        if self.height == height:
            return self.lacked(place, voters)
        if self.height != height + 1 or not (place[1] is VoteStep.PRECOMMIT or self.is_presumed):
            return 0
        for held in self._late:
            voters &= ~held.voters(place)
        return voters

    def note_late(self, place: VotePlace, voters: int) -> int:
        """It has these votes of the height before its own. Returns those that crossed, as `note_votes`."""
        holds, sent, sent_before = self._late
        crossed = voters & (sent.voters(place) | sent_before.voters(place))
        holds.add_votes(place, voters)
        return crossed

    def note_votes(self, place: VotePlace, voters: int) -> int:
        """It has these votes: it sent them. Returns those that were sent to it too: they crossed on their way."""
        crossed = voters & (self._sent.voters(place) | self._sent_before.voters(place))
        self._holds.add_votes(place, voters)
        return crossed

    def note_votes_sent(self, place: VotePlace, voters: int) -> None:
        self._sent.add_votes(place, voters)

    def lacks_proposal(self, round: int) -> bool:
        """Whether the peer may lack the proposal of a round, and was not sent it lately."""
        return not (
            self._holds.has_proposal(round) or self._sent.has_proposal(round) or self._sent_before.has_proposal(round)
        )

    def note_proposal(self, round: int) -> None:
        """It has the proposal of this round: it sent it."""
        self._holds.add_proposal(round)

    def note_proposal_sent(self, round: int) -> None:
        self._sent.add_proposal(round)
        self._told.add_proposal(round)

    def was_sent_proposal(self, round: int) -> bool:
        """Whether it was sent the proposal of a round of this height before, however long ago."""
        return self._told.has_proposal(round)

    def knows(self, transaction_id: Hash32) -> bool:
        return transaction_id in self._known

    def unknown_of(self, ids: Iterable[Hash32]) -> tuple[Hash32, ...]:
        """Those of them that it is not known to hold."""
        return self._known.missing(ids)

    def note_known(self, ids: Iterable[Hash32]) -> None:
        self._known.note(ids)

    def forget(self, transaction_id: Hash32) -> None:
        """It did not send this one when asked."""
        self._known.forget(transaction_id)
        self.unanswered += 1


def _nothing() -> tuple[RoundsHeld, RoundsHeld, RoundsHeld]:
    return RoundsHeld(), RoundsHeld(), RoundsHeld()
