"""The stage of a Twins scenario: who hears what and when.

Theory of operation. A message takes no time, processes take turns at one message each, and a time-out fires when
nobody has anything to read, the earliest first. Within a group everybody hears what any of it passes on or has passed
on before, as by the core's gossip, B and D what A says first, C what A' says first. A message that its receiver's
engine did not take (a round too early, a second vote) is given again when the receiver knows more. When no time-out
is left in a period, whoever lags behind fetches the final block from one of its group. Nothing is drawn at random.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from blockchain.consensus.signing import step_of
from blockchain.consensus.timeouts import STEP_OF
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import Validator
from blockchain.primitives.vote import Step
from blockchain.seams import Broadcast, TimerFired, TimerKey
from blockchain.simulator.twins.process import KEYS, Making, Message, Process
from blockchain.simulator.twins.scenario import HONEST, NAMES, TWINS, VALIDATOR_OF, WHOLE, Period, Scenario

ROUNDS_MAX: Final = 30  # of a scenario; more means that it does not come to a decision
TURNS_MAX: Final = 20_000  # of the processes, in one scenario; more means that something spins


class _Drawn:
    """The forgers of a scenario, where the lottery would be."""

    def __init__(self, scenario: Scenario, validators: tuple[Validator, ...]) -> None:
        self._scenario = scenario
        self._validators = validators

    def forger(self, round: int) -> Address:
        return Address(self._validators[self._scenario.forger(round)].address)


class Stage:
    """The five processes, what lies between them, and the period in progress."""

    def __init__(self, scenario: Scenario, making: Making, twin: Making) -> None:
        members = [
            Validator(Address(k.public_key), k.public_key, s) for k, s in zip(KEYS, scenario.stakes, strict=True)
        ]
        self.processes = []
        for number, validator in enumerate(VALIDATOR_OF):
            made = twin if number in TWINS else making
            validators = made.validators(members)
            drawn = _Drawn(scenario, validators.validators)
            self.processes.append(Process(number, KEYS[validator], validators, drawn, made))
        self.syncs = 0
        self.healed_round = (
            -1
        )  # the highest that an honest process was in when the network became whole; −1: all decided
        self._period: Period | None = None
        self._split = WHOLE
        self._inboxes: list[deque[tuple[int, Message]]] = [deque() for _ in NAMES]
        self._blocks: dict[Message, VerifiedBlock | None] = {}
        self._sent: list[set[Message]] = [set() for _ in NAMES]  # to each, and what is its own
        self._untaken: list[list[Message]] = [[] for _ in NAMES]
        self._knew: list[tuple[int, int]] = [(-1, -1) for _ in NAMES]  # when it was last given those again
        self._due: dict[tuple[int, TimerKey], int] = {}  # in virtual ms
        self._time_ms = 0

    def begin(self, period: Period | None, starting: Iterable[int]) -> None:
        """A new split, with some processes started, or killed and started again; None: the network is whole."""
        self._period = period
        self._split = WHOLE if period is None else period.split
        if period is None:
            undecided = (p for p in self.processes if p.number in HONEST and p.app.final is None)
            self.healed_round = max((process.round for process in undecided), default=-1)
        for number in starting:
            self._start(number)
        for process in self.processes:
            for message in list(process.said):
                self._tell(process.number, message)

    def run(self) -> None:
        """Until nothing can happen in this period any more."""
        for _ in range(TURNS_MAX):
            if not (self._read() or self._give_again() or self._fire() or self._sync()):
                return
        raise AssertionError("it does not come to rest")

    # ------------------------------------------------------------------------------------------------ moving

    def _start(self, number: int) -> None:
        """Whoever was killed hears everything once more."""
        self._inboxes[number].clear()
        self._sent[number] = set()
        self._untaken[number] = []
        self._due = {at: due for at, due in self._due.items() if at[0] != number}
        self._after(number, self.processes[number].start())

    def _read(self) -> bool:
        """Everybody reads one message."""
        did = False
        for number, inbox in enumerate(self._inboxes):
            if inbox:
                did = True
                self._give(number, _next(inbox, number))
        return did

    def _give(self, number: int, message: Message) -> None:
        process = self.processes[number]
        process.given.append(message)
        self._after(number, process.take(message, self._blocks[message]))
        if message not in process.said:
            self._untaken[number].append(message)

    def _give_again(self) -> bool:
        """Give what an engine did not take once more, if it knows more than then."""
        did = False
        for number, process in enumerate(self.processes):
            knows = (len(process.said), process.round)
            if self._untaken[number] and knows != self._knew[number]:
                self._knew[number] = knows
                did = True
                untaken, self._untaken[number] = self._untaken[number], []
                for message in untaken:
                    self._give(number, message)
        return did

    def _fire(self) -> bool:
        """The earliest time-out that the period allows."""
        allowed = (
            (due, at[0], at[1])
            for at, due in self._due.items()
            if at[1].round < ROUNDS_MAX and self._may_be(at[1].round, STEP_OF[at[1].kind])
        )
        first = min(allowed, default=None, key=lambda one: one[:2])
        if first is None:
            return False
        self._time_ms = max(self._time_ms, first[0])
        del self._due[first[1], first[2]]
        self._after(first[1], self.processes[first[1]].handle(TimerFired(first[2])))
        return True

    def _sync(self) -> bool:
        """Whoever has no final block fetches it from the first of its group that has one."""
        for process in self.processes:
            for other in self.processes:
                final = other.app.final
                is_near = self._split[process.number] == self._split[other.number]
                if process.app.final is None and final is not None and is_near:
                    self.syncs += 1
                    self._after(process.number, process.sync(*final))
                    return True
        return False

    def _after(self, number: int, told: list[Broadcast]) -> None:
        """What a process's engine did with an input leaves it, and its timers run."""
        process = self.processes[number]
        for key, delay in process.timers.items():
            if key.kind in STEP_OF:  # a signer that refuses by its rule refuses again
                self._due[number, key] = self._time_ms + delay
        process.timers.clear()
        for one in told:
            self._blocks[one.message] = one.block
            self._sent[number].add(one.message)
            self._tell(number, one.message)

    def _tell(self, sender: int, message: Message) -> None:
        if not self._may_be(message.round, step_of(message)):
            return
        for receiver, group in enumerate(self._split):
            if group == self._split[sender] and message not in self._sent[receiver]:
                self._sent[receiver].add(message)
                self._inboxes[receiver].append((sender, message))

    def _may_be(self, round: int, step: Step) -> bool:
        period = self._period
        return period is None or (round, step) <= (period.round, period.step)


def _next(inbox: deque[tuple[int, Message]], reader: int) -> Message:
    """The oldest message; C reads what A' says before all else, so that two proposals split the honest."""
    if reader == HONEST[1]:
        for at, (sender, message) in enumerate(inbox):
            if sender == TWINS[1]:
                del inbox[at]
                return message
    return inbox.popleft()[1]
