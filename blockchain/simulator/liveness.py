"""After healing the first round whose forger is honest and on line decides, unless a hidden lock stands against it.

What is asked, of each round of a height that was decided: a round is *good* when nothing but the rules could keep it
from deciding. It is then a Violation if that height was decided in a later round only. Good is one

- whose forger is honest, and proposed;
- in which *voters* of more than two thirds of the stake of that height take part, the forger among them, that are free
  to vote for the proposal. A voter is an honest validator whose peers all know that it is at that height, and to which
  links as they are after healing (they lose nothing, and no message takes longer than `delay_ms` says) bring the
  proposal before it has waited for one for its time-out, and to all voters its votes within theirs; who lacks some of
  its transactions, as after a start, has them two messages later. It is free unless it has *locked* in an earlier
  round, later than the proposal's valid round, on another block.

What all others do cannot matter, as they have less than a third: hostile ones, those who came later, members that no
node runs. So it is asked in all runs, whatever happened before healing. A validator that has lost writes or a record,
or whose clock was set back, may be silent for a while (protocol §5.6): it counts as on line where it has signed both
votes of that round, and its silence was over when that was proposed. One that says that a proposal is too far ahead of
its clock (protocol §4.5) is no voter.

*Hidden* is a round that would be good but for locks. It need not decide, nor need the next such one, until somebody
forges who knows the lock (L15); but a forger that has locked itself, and proposes another block, is a Violation.

An honest forger whose turn comes after healing, that may sign and has what a block takes (`Turns`), has to propose,
unless its turn is over before it has waited for precommits (protocol §4.4).

All this is asked in scenarios with a `healed_delay_ms`, two drawn ones of three: there links keep the order after
healing, as connections do, what was on its way is lost, and delays leave room in round 0. Else an old message could
tell peers that a node is where it was, which they believe until its next status; so there a run has to decide, and no
more is asked of single rounds. Nor is it asked of a round before its voters have told, after healing, that they are at
its height, nor while a node starts. Nor, for `LOST_ANEW_MS` after healing, of one in which a block of a round before
healing is proposed again: the prevotes behind it may have been lost then, and be on their way anew (protocol §8.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from blockchain.node.core import STATUS_MS
from blockchain.node.held_votes import hold_ms
from blockchain.node.peers import TICK_MS
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Step
from blockchain.seams import (
    BlockFinalized,
    ForgerDrawn,
    Locked,
    NodeEvent,
    NodeStarted,
    ProposalUntimely,
    Proposed,
    RoundTimedOut,
    SigningBegun,
)
from blockchain.simulator.node import Node
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.world import Violation, World

LOST_ANEW_MS: Final = 2 * TICK_MS + STATUS_MS  # until what was lost counts so, and a status says who lacks it

Place = tuple[int, int]  # height and round


class Asked(NamedTuple):
    """Rounds of which it was asked, and those that a lock excused."""

    good: int
    hidden: int


class Made(NamedTuple):
    """What an honest forger has proposed."""

    time_ms: int
    node: int
    valid_round: int
    block_id: Hash32


class Turns:
    """Which honest forgers had something to propose while it was their turn: looked at then, in their cores.

    And who waited in vain for a proposal of which it had all but some transactions.
    """

    def __init__(self) -> None:
        self.due: dict[tuple[int, int, int], int] = {}  # by height, round and node: since when, in ms
        self.lacked: set[tuple[int, int, int]] = set()  # height, round, node
        self._forging: dict[int, Place] = {}  # by node: its newest turn

    def note(self, time_ms: int, node: Node, event: NodeEvent) -> None:
        """A node has come into a round, or taken in a transaction, or waits for a proposal no longer."""
        core = node.core
        if core is None or not node.is_honest:
            return
        if isinstance(event, RoundTimedOut):
            if event.step is Step.PROPOSE and core.outlines.of(event.round) is not None:
                self.lacked.add((event.height, event.round, node.number))
            return
        current = core.engine.current
        if isinstance(event, ForgerDrawn) and event.forger == current.validator:
            self._forging[node.number] = event.height, event.round
        place = current.height, current.rules.round
        if self._forging.get(node.number) != place or current.rules.step is not Step.PROPOSE:
            return
        has_something = current.rules.valid_value is not None or core.chain.is_block_due()
        if has_something and core.engine.voice.may_sign(current):
            self.due.setdefault((*place, node.number), time_ms)


def check_liveness(scenario: Scenario, world: World, turns: Turns, healed: int) -> Asked:
    """How many rounds were good, and how many would have been but for locks; `healed`: the number of events before.

    Raises Violation where a good one does not decide.
    """
    if scenario.healed_delay_ms is None or world.network.links.regions:
        return Asked(0, 0)
    seen = _Seen(world, healed)
    _check_turns(world, turns, seen)
    good = hidden = 0
    for place, made in sorted(seen.made.items()):
        height, round = place
        if round > seen.decided.get(height, -1) or seen.may_lack_polka(height, made):
            continue
        members = world.nodes[made.node].store.validators(height)
        assert members is not None, "a decided height without its set"
        voters, forger = _voters(world, seen, turns, place, members), world.nodes[made.node]
        if forger not in voters or not _are_enough(voters, members):
            continue
        if seen.is_locked_against(forger, place) and not forger.is_spoilt:
            raise Violation(f"seed {world.seed}: node {made.node} is locked and proposes another block at {place}")
        if not _are_enough([node for node in voters if not seen.is_locked_against(node, place)], members):
            hidden += 1
            continue
        good += 1
        if seen.decided[height] > round:
            raise Violation(
                f"seed {world.seed}: round {round} of height {height} is good, and round {seen.decided[height]} decides"
            )
    return Asked(good, hidden)


def _check_turns(world: World, turns: Turns, seen: _Seen) -> None:
    """Who was drawn, and had something to propose, proposed. Raises Violation."""
    wait_ms = world.spec.parameters.commit_wait_ms
    for (height, round, number), time_ms in turns.due.items():
        is_well = not (world.nodes[number].is_spoilt or world.nodes[number].clock.was_set_back)
        has_begun = seen.arrived.get((height, number), time_ms + 1) <= time_ms and time_ms not in seen.starts
        if not (is_well and has_begun) or (height, round) in seen.made or height not in seen.decided:
            continue
        later = (seen.entries.get((height, at), {}).get(number) for at in range(round + 1, seen.decided[height] + 1))
        left_ms = next((entered_ms for entered_ms in later if entered_ms is not None), 0)
        if min(left_ms, seen.timed_out.get((height, round, number), left_ms)) > time_ms + wait_ms:
            raise Violation(
                f"seed {world.seed}: node {number} is drawn for round {round} of height {height}, has something to "
                "propose, and does not"
            )


class _Seen:
    """What honest nodes said: who came into which round when, what was proposed in it, locked, and decided."""

    def __init__(self, world: World, healed: int) -> None:
        self.entries: dict[Place, dict[int, int]] = {}  # by node: when it came into the round, in ms
        self.arrived: dict[tuple[int, int], int] = {}  # by height and node: when it told that it is there
        self.starts: list[int] = []  # of nodes, in ms
        self.made: dict[Place, Made] = {}
        self.untimely: set[tuple[int, int, int]] = set()  # height, round, node
        self.begun: dict[tuple[int, int], int] = {}  # by height and node: when it signed again, after a silence, in ms
        self.locks: dict[tuple[int, int], list[Locked]] = {}  # by height and node
        self.decided: dict[int, int] = {}  # by height: the earliest round that decided it
        self.timed_out: dict[tuple[int, int, int], int] = {}  # height, round, node: when it waited no longer
        self._healed_ms = world.event_ms[min(healed, len(world.event_ms) - 1)]
        told = zip(world.event_ms, world.events, strict=True)
        for at, (time_ms, (number, event)) in enumerate(told):
            self._is_healed = at >= healed
            if world.nodes[number].is_honest:
                self._note(time_ms, number, event)

    def _note(self, time_ms: int, node: int, event: NodeEvent) -> None:
        match event:
            case NodeStarted():
                self.starts.append(time_ms)
            case ForgerDrawn(height=height, round=round):
                self.entries.setdefault((height, round), {}).setdefault(node, time_ms)
                self._arrive(time_ms, node, height)
            case Proposed(height=height, round=round, valid_round=valid_round, block_id=id_):
                self.made.setdefault((height, round), Made(time_ms, node, valid_round, id_))
            case RoundTimedOut(height=height, round=round, step=Step.PROPOSE):
                self.timed_out.setdefault((height, round, node), time_ms)
            case ProposalUntimely(height=height, round=round):
                self.untimely.add((height, round, node))
            case SigningBegun(height=height):
                self.begun[height, node] = time_ms
            case Locked(height=height):
                self.locks.setdefault((height, node), []).append(event)
            case BlockFinalized(height=height, decided_round=round):
                self.decided[height] = min(round, self.decided.get(height, round))
                self._arrive(time_ms, node, height + 1)
            case _:
                pass

    def _arrive(self, time_ms: int, node: int, height: int) -> None:
        if self._is_healed:
            self.arrived.setdefault((height, node), time_ms)

    def may_lack_polka(self, height: int, made: Made) -> bool:
        """Whether the prevotes that let a block be proposed again (L28) may have been lost, and not come anew yet."""
        if made.valid_round < 0 or made.time_ms >= self._healed_ms + LOST_ANEW_MS:
            return False
        entered = self.entries.get((height, made.valid_round), {}).values()
        return min(entered, default=0) < self._healed_ms

    def is_near(self, node: Node, place: Place) -> bool:
        """Whether it was no more than two rounds behind when it was proposed: else it may not keep the proposal."""
        height, round = place
        entries = (self.entries.get((height, near), {}).get(node.number) for near in range(round - 2, round + 1))
        return any(entered_ms is not None and entered_ms <= self.made[place].time_ms for entered_ms in entries)

    def has_waited(self, node: Node, place: Place, propose_ms: int, arrives_ms: int) -> bool:
        """Whether it has waited for a proposal for as long as it must, before this one can be there.

        Its time-out begins with the round or later: once it has a reason to expect one (protocol §5.3).
        """
        timed_out_ms = self.timed_out.get((*place, node.number), arrives_ms + 1)
        return self.entries[place][node.number] + propose_ms <= timed_out_ms <= arrives_ms

    def is_locked_against(self, node: Node, place: Place) -> bool:
        """Whether it came into the round with a lock that keeps it from voting for the proposal (L23, L29)."""
        height, round = place
        made = self.made[place]
        locks = [lock for lock in self.locks.get((height, node.number), ()) if lock.round < round]
        return bool(locks) and locks[-1].round > made.valid_round and locks[-1].block_id != made.block_id


def _voters(world: World, seen: _Seen, turns: Turns, place: Place, members: ValidatorSet) -> list[Node]:
    """Who is on line, known to be at this height, and in time for the proposal with all others here."""
    made_ms = seen.made[place].time_ms
    trip_ms = world.network.links.delay_ms[1] + hold_ms(len(members), is_own=True)
    if any(made_ms - trip_ms < start_ms < made_ms + 4 * trip_ms for start_ms in seen.starts):
        return []
    entered = seen.entries.get(place, {})
    timeouts = _timeouts_ms(world.spec.parameters, place[1])

    def trips(node: Node) -> int:
        """Until it has the whole proposal: with what it lacks it takes two more, to ask for that and to get it."""
        return 3 if (*place, node.number) in turns.lacked else 1

    return [
        node
        for node in world.honest
        if node.number in entered
        and seen.arrived.get((place[0], node.number), made_ms) + trip_ms <= made_ms
        and seen.is_near(node, place)
        and _is_in_time(entered[node.number] - made_ms, trip_ms, timeouts)
        and not seen.has_waited(node, place, timeouts[0], made_ms + trip_ms * trips(node))
        and _is_on_line(world, seen, node, place)
    ]


def _timeouts_ms(parameters: Parameters, round: int) -> tuple[int, int, int]:
    """Of the three steps (protocol §5.5)."""
    propose = parameters.propose_timeout_ms + parameters.propose_delta_ms * round
    prevote = parameters.prevote_timeout_ms + parameters.prevote_delta_ms * round
    precommit = parameters.precommit_timeout_ms + parameters.precommit_delta_ms * round
    most = parameters.timeout_max_ms
    return min(propose, most), min(prevote, most), min(precommit, most)


def _is_in_time(after_ms: int, trip_ms: int, timeouts_ms: tuple[int, int, int]) -> bool:
    """Of a voter that comes into the round so long after the proposal was made (less than 0: before).

    It has the proposal a trip after it was made; all voters have its prevote a trip later, and its precommit once more
    so much later. Time-outs of votes begin where a voter has voted, so not before the proposal was made.
    """
    _, prevote_ms, precommit_ms = timeouts_ms
    votes_ms = max(after_ms, trip_ms)
    return votes_ms + trip_ms < prevote_ms and votes_ms + 2 * trip_ms < precommit_ms


def _is_on_line(world: World, seen: _Seen, node: Node, place: Place) -> bool:
    if (*place, node.number) in seen.untimely:
        return False
    if not (node.is_spoilt or node.clock.was_set_back):
        return True
    was_silent = seen.begun.get((place[0], node.number), 0) > seen.made[place].time_ms  # what it kept back came late
    has_signed = all((node.number, *place, step) in world.signed for step in (Step.PREVOTE, Step.PRECOMMIT))
    return has_signed and not was_silent


def _are_enough(nodes: Iterable[Node], members: ValidatorSet) -> bool:
    """More than two thirds of the stake of that height."""
    keys = {key for node in nodes for key in node.keys if key in members.by_key}
    return members.is_quorum(sum(members.stake_of(members.by_key[key]) for key in keys))
