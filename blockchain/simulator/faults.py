"""What goes wrong in a simulated world, as data: each kind says when, to whom, in words, and how it begins and ends.

All are frozen and have a JSON form, told apart by `kind`. `begin` and `end` are called at their times by whoever plays
a scenario; ending one that never took hold changes nothing. A disk that lies and a record that is lost are worse than
the protocol lets a machine be: they hit validators of less than a third of the stake in one run (`World.may_spoil`),
and what a lying disk had promised to clients may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from blockchain.node.lookout import Caution
from blockchain.seams import SigningRecord

if TYPE_CHECKING:
    from blockchain.simulator.world import World

LOOK: Final = Caution(look_ms=10_000)  # the setting's default (protocol §5.6 rule 10): who lost a record needs it
NOTHING: Final = "nothing comes of that: the node is down, has no key, or too much stake is unwell already"
LOST_MAX: Final = 30  # writes that a lying disk loses: some heights

Groups = tuple[tuple[int, ...], ...]


class Partition(Struct, frozen=True, kw_only=True, tag_field="kind", tag="partition"):
    """Groups of nodes that hear only each other."""

    at_ms: int
    until_ms: int
    groups: Groups

    @property
    def words(self) -> str:
        return "network split: " + " | ".join(_names(group) for group in self.groups)

    def begin(self, world: World) -> None:
        world.network.groups = _sets(self.groups)

    def end(self, world: World) -> None:
        if world.network.groups == _sets(self.groups):
            world.network.groups = ()


class Healing(Struct, frozen=True, kw_only=True, tag_field="kind", tag="healing"):
    """A partition that heals link by link, in an order of its own and in both directions at different times."""

    at_ms: int
    until_ms: int
    groups: Groups
    order: int  # a seed

    @property
    def words(self) -> str:
        return "network split, mended link by link: " + " | ".join(_names(group) for group in self.groups)

    def begin(self, world: World) -> None:
        links = sorted(
            (a, b) for one in self.groups for other in self.groups if one != other for a in one for b in other
        )
        world.network.cut |= frozenset(links)
        Random(self.order).shuffle(links)
        for number, link in enumerate(links, 1):
            at_ms = self.at_ms + (self.until_ms - self.at_ms) * number // (len(links) + 1)
            world.at(at_ms, partial(_mend, world, frozenset({link})))

    def end(self, world: World) -> None:
        _mend(world, frozenset((a, b) for one in self.groups for other in self.groups for a in one for b in other))


class OneWay(Struct, frozen=True, kw_only=True, tag_field="kind", tag="one_way"):
    """Some nodes are heard by nobody among others, and hear them."""

    at_ms: int
    until_ms: int
    senders: tuple[int, ...]
    receivers: tuple[int, ...]

    @property
    def words(self) -> str:
        return f"nothing from {_names(self.senders)} reaches {_names(self.receivers)}; the other direction works"

    def begin(self, world: World) -> None:
        world.network.cut |= self._links()

    def end(self, world: World) -> None:
        _mend(world, self._links())

    def _links(self) -> frozenset[tuple[int, int]]:
        return frozenset((sender, receiver) for sender in self.senders for receiver in self.receivers)


class Narrow(Struct, frozen=True, kw_only=True, tag_field="kind", tag="narrow"):
    """Nodes that can send only so many bytes a second."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]
    bytes_per_s: int

    @property
    def words(self) -> str:
        return f"sends at most {self.bytes_per_s} bytes a second: {_names(self.nodes)}"

    def begin(self, world: World) -> None:
        world.network.narrow.update(dict.fromkeys(self.nodes, self.bytes_per_s))

    def end(self, world: World) -> None:
        for number in self.nodes:
            world.network.narrow.pop(number, None)


class Crash(Struct, frozen=True, kw_only=True, tag_field="kind", tag="crash"):
    """Nodes that are down. `effects` ≥ 0: they stop after so many more effects, between two effects of one input."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]
    effects: int = -1

    @property
    def words(self) -> str:
        return (f"crash after {self.effects} more actions: " if self.effects >= 0 else "crash: ") + _names(self.nodes)

    def begin(self, world: World) -> None:
        for number in self.nodes:
            if world.nodes[number].core is not None:
                world.crash(number) if self.effects < 0 else world.crash_after(number, self.effects)

    def end(self, world: World) -> None:
        _start(world, self.nodes)


class Pause(Struct, frozen=True, kw_only=True, tag_field="kind", tag="pause"):
    """Nodes that stand still, as by SIGSTOP, and find all that came meanwhile when they go on."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]

    @property
    def words(self) -> str:
        return f"frozen: {_names(self.nodes)}"

    def begin(self, world: World) -> None:
        for number in self.nodes:
            world.nodes[number].pace.is_paused = True

    def end(self, world: World) -> None:
        for number in self.nodes:
            world.nodes[number].pace.is_paused = False
            world.work(number)


class Slow(Struct, frozen=True, kw_only=True, tag_field="kind", tag="slow"):
    """Nodes that need so many ms for each input."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]
    cost_ms: int

    @property
    def words(self) -> str:
        return f"slow, {self.cost_ms} ms for each message: {_names(self.nodes)}"

    def begin(self, world: World) -> None:
        self._set(world, self.cost_ms)

    def end(self, world: World) -> None:
        self._set(world, 0)

    def _set(self, world: World, cost_ms: int) -> None:
        for number in self.nodes:
            world.nodes[number].pace.cost_ms = cost_ms


class ClockStep(Struct, frozen=True, kw_only=True, tag_field="kind", tag="clock_step"):
    """Somebody sets the clocks of nodes wrong, and right again."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]
    by_ms: int

    @property
    def words(self) -> str:
        return f"clock set wrong by {self.by_ms:+} ms: {_names(self.nodes)}"

    def begin(self, world: World) -> None:
        for number in self.nodes:
            world.nodes[number].clock.step(self.by_ms)

    def end(self, world: World) -> None:
        _correct(world, self.nodes)


class ClockDrift(Struct, frozen=True, kw_only=True, tag_field="kind", tag="clock_drift"):
    """Clocks and timers that go too fast or too slowly, by so many millionths; set right at the end."""

    at_ms: int
    until_ms: int
    nodes: tuple[int, ...]
    ppm: int

    @property
    def words(self) -> str:
        return f"clock {abs(self.ppm) / 10_000:g} % too {'fast' if self.ppm > 0 else 'slow'}: {_names(self.nodes)}"

    def begin(self, world: World) -> None:
        for number in self.nodes:
            world.nodes[number].clock.drift(self.ppm, world.time_ms)

    def end(self, world: World) -> None:
        _correct(world, self.nodes)


class LyingDisk(Struct, frozen=True, kw_only=True, tag_field="kind", tag="lying_disk"):
    """A power cut after which the last `writes` of a node's store are gone; its signing record is there.

    The record is ahead of the store then, and the node signs nothing up to its height (protocol §5.6 rule 7).
    """

    at_ms: int
    until_ms: int
    node: int
    writes: int

    @property
    def words(self) -> str:
        return f"crash, and the disk has lost the last {self.writes} writes: node {self.node}"

    def begin(self, world: World) -> None:
        node = world.nodes[self.node]
        if node.core is not None and world.may_spoil(self.node):
            node.has_lost_writes = True
            node.lost_up_to = world.tokens
            world.crash(self.node)
            node.store = node.store.without_last(self.writes)
        else:
            world.tell(NOTHING)

    def end(self, world: World) -> None:
        _start(world, (self.node,))


class RecordGone(Struct, frozen=True, kw_only=True, tag_field="kind", tag="record_gone"):
    """A node is killed, and its signing record is lost, or is that of `at_ms` again; its store is there.

    It starts with a look, as every validator does by default, and stops where it sees a signature of its own that the
    record does not hold (protocol §5.6 rules 11 and 14). Whoever runs it then starts it with `--sign_anew`.
    """

    at_ms: int
    until_ms: int
    node: int
    loss: Literal["lost", "older"]

    @property
    def words(self) -> str:
        record = "without its signing record" if self.loss == "lost" else "with its signing record as it is now"
        return f"killed at the end of this, and started {record}: node {self.node}"

    def begin(self, world: World) -> None:
        """The copy that comes back is made now."""
        node = world.nodes[self.node]
        if not node.records or node.core is None or not world.may_spoil(self.node):
            world.tell(NOTHING)
            return
        node.has_lost_record = True
        node.copies = tuple(
            record if self.loss == "older" else SigningRecord(key, is_new=True) for key, record in node.records.items()
        )

    def end(self, world: World) -> None:
        node = world.nodes[self.node]
        if not node.copies:
            return
        if node.core is not None:
            world.crash(self.node)
        node.records, node.copies = {record.key: record for record in node.copies}, ()
        node.caution = LOOK
        world.start(self.node)


Fault = Partition | Healing | OneWay | Narrow | Crash | Pause | Slow | ClockStep | ClockDrift | LyingDisk | RecordGone


def _names(numbers: Iterable[int]) -> str:
    numbers = tuple(numbers)
    return ("node " if len(numbers) == 1 else "nodes ") + ", ".join(map(str, numbers))


def _sets(groups: Groups) -> tuple[frozenset[int], ...]:
    return tuple(map(frozenset, groups))


def _mend(world: World, links: frozenset[tuple[int, int]]) -> None:
    world.network.cut -= links


def _start(world: World, numbers: Iterable[int]) -> None:
    """Whoever of them is down; a crash that has not come yet, does not come."""
    for number in numbers:
        world.spare(number)
        if world.nodes[number].core is None:
            world.start(number)


def _correct(world: World, numbers: Iterable[int]) -> None:
    for number in numbers:
        world.nodes[number].clock.correct(world.time_ms)
