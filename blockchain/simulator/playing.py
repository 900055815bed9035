"""Play a scenario: the storm, the healing, and what all nodes must come to after it.

Theory of operation. Faults come and go, and clients send without a pause, so that height follows height. When the storm
is over everything arrives and every node is up, but for those that are absent for good; fresh load comes in, and all
nodes must decide, agree and come to rest before the deadline. What must always hold is `invariants.py`'s business; a
run that breaks it raises `Violation` with the seed, so that it can be played again.
"""

from __future__ import annotations

from functools import partial
from random import Random
from traceback import extract_tb
from typing import Final

from msgspec.structs import replace

from blockchain.seams import ForgerDrawn, NodeEvent, RoundTimedOut, TransactionAccepted, TransactionsAccepted
from blockchain.simulator.byzantine.cast import turn
from blockchain.simulator.drawing import draw
from blockchain.simulator.faults import Fault
from blockchain.simulator.invariants import check_word, check_world, is_settled, unsettled
from blockchain.simulator.liveness import Turns, check_liveness
from blockchain.simulator.load import Load
from blockchain.simulator.node import Node
from blockchain.simulator.outcome import Outcome, count
from blockchain.simulator.scenario import WALLETS, Scenario, key, keys_of, spec_of
from blockchain.simulator.wishes import NO_WISHES, Wishes
from blockchain.simulator.world import Violation, World

HEIGHTS_AFTER: Final = 2  # that all must decide after healing
DEADLINE_MS: Final = 120_000  # of virtual time after healing; the time-outs grow to four seconds at most
LOOK_MS: Final = 250  # how often the driver looks whether all have come to rest
REST_MS: Final = 2_000  # for which rest must last: two status ticks, so that nothing is on its way any more
WAITING_MAX: Final = 8  # transactions in a pool, beyond which a client waits: more make no height come sooner


def run_seed(seed: int, wishes: Wishes = NO_WISHES) -> Outcome:
    """Draw a scenario and play it. Raises Violation."""
    scenario = draw(seed, wishes)
    return play(scenario, world_of(scenario))


def world_of(scenario: Scenario) -> World:
    """The world of a scenario before time begins; nobody runs yet."""
    world = World(spec_of(scenario), keys_of(scenario), scenario.seed, scenario.links, scenario.skew_max_ms)
    world.outlined_min = scenario.outlined_min
    world.verify_ms_max = scenario.verify_ms_max
    for number, names in scenario.hostile:
        turn(world, number, names)
    return world


def play(scenario: Scenario, world: World) -> Outcome:
    """Play a scenario to its end in its world, and check it. Raises Violation, also where a node falls over."""
    try:
        return _play(scenario, world)
    except Violation:
        raise
    except Exception as error:  # the loop that drives the cores: whatever ends one is to be replayed and shrunk
        where = extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {where.name}: {error}"
        raise Violation(f"seed {world.seed}: a node falls over with {what}") from error


def _play(scenario: Scenario, world: World) -> Outcome:
    turns = Turns()
    world.watch = partial(_watch, world, turns)
    storm = _Storm(scenario, world)
    while not storm.is_over:
        world.run_until(min(world.time_ms + LOOK_MS, scenario.storm_ms))
    healed_ms, before = world.time_ms, len(world.events)
    storm.heal()
    decided_ms = _settle(scenario, world, storm.load)
    check_world(world, storm.load)
    asked = check_liveness(scenario, world, turns, before)
    return replace(count(world, healed_ms, decided_ms), good_rounds=asked.good, hidden_rounds=asked.hidden)


def _watch(world: World, turns: Turns, node: Node, event: NodeEvent) -> None:
    """Judge what a node says when it says it."""
    check_word(world, node, event)
    if isinstance(event, ForgerDrawn | RoundTimedOut | TransactionAccepted | TransactionsAccepted):
        turns.note(world.time_ms, node, event)


class _Storm:
    """The time before healing: faults, and clients that always have something to send."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self._scenario = scenario
        self._world = world
        self._rng = Random(f"clients {scenario.seed}")
        self._raging: list[Fault] = []
        self._is_healed = False
        wallets = tuple(key("wallet", number) for number in range(WALLETS))
        self.load = Load(world, wallets, key("wallet", WALLETS), is_staking=scenario.is_staking)
        for number in scenario.absent:
            world.nodes[number].is_absent = True
        for number in range(len(world.nodes)):
            world.start(number)
        for fault in scenario.faults:
            world.at(fault.at_ms, partial(self._begin, fault))
            world.at(fault.until_ms, partial(self._end, fault))
        self._flow()

    @property
    def is_over(self) -> bool:
        """Whether it is time, or high enough for the rest to be decided after healing."""
        goal = max(self._scenario.heights - HEIGHTS_AFTER, 1)
        highest = max(node.store.head() for node in self._world.honest)
        time_ms = self._world.time_ms
        return time_ms >= self._scenario.storm_ms or (highest >= goal and time_ms >= self._scenario.storm_min_ms)

    def heal(self) -> None:
        """From now on everything arrives and every node that is there at all is up."""
        world = self._world
        world.network.heal(self._scenario.healed_delay_ms)  # first: what nodes say when they start arrives
        for fault in tuple(self._raging):
            self._end(fault)
        world.verify_ms_max = 0
        self._is_healed = True
        for node in world.nodes:
            world.spare(node.number)
            if node.core is None:
                world.start(node.number)
        delay_ms = self._scenario.healed_delay_ms
        world.tell(
            "all healed" + (f"; a message takes {delay_ms[0]} to {delay_ms[1]} ms from now on" if delay_ms else "")
        )

    def _begin(self, fault: Fault) -> None:
        if self._is_healed:
            return
        self._raging.append(fault)
        self._world.tell(fault.words)
        fault.begin(self._world)

    def _end(self, fault: Fault) -> None:
        if fault not in self._raging:
            return
        self._raging.remove(fault)
        self._world.tell(f"over: {fault.words}")
        fault.end(self._world)

    def _flow(self) -> None:
        """A client's next submission, and the one after it."""
        if self._is_healed:
            return
        pools = [len(node.core.chain.pool) for node in self._world.honest if node.core is not None]
        if min(pools, default=WAITING_MAX) < WAITING_MAX:
            self.load.send()
        self._world.at(self._world.time_ms + self._rng.randint(1, 2 * self._scenario.load_ms), self._flow)


def _settle(scenario: Scenario, world: World, load: Load) -> int:
    """Fresh load until two more heights are decided, then rest to the very end; returns when all had decided one."""
    head = max(node.store.head() for node in world.honest)
    goal = max(head + HEIGHTS_AFTER, scenario.heights)
    deadline_ms = world.time_ms + DEADLINE_MS
    decided_ms = -1
    rests_since = -1
    while True:
        if world.time_ms >= deadline_ms:
            raise Violation(f"seed {world.seed}: not at rest at {world.time_ms} ms: {unsettled(world, head)}")
        least = min(node.store.head() for node in world.honest)
        if decided_ms < 0 and least > head:
            decided_ms = world.time_ms
        if least < goal and not _has_plenty(world):
            load.send_fresh()
        if least < goal or not is_settled(world):
            rests_since = -1
        elif rests_since < 0:
            rests_since = world.time_ms
        elif world.time_ms >= rests_since + REST_MS:
            return decided_ms
        world.run_until(world.time_ms + LOOK_MS)


def _has_plenty(world: World) -> bool:
    """Whether every pool has what a block takes."""
    pools = [node.core.chain.pool.ready_count for node in world.honest if node.core is not None]
    return min(pools, default=0) >= world.spec.parameters.block_threshold
