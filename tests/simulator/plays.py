"""Hand-made histories on a `Stage`, each played to its end; told line by line in golden/*.txt."""

from __future__ import annotations

from msgspec.structs import replace

from tests.simulator.stage import PARAMETERS, Stage

ALL = (0, 1, 2, 3)


def two_blocks() -> Stage:
    """Nothing goes wrong: a payment, a block; another payment, another block."""
    stage = Stage()
    stage.start(*ALL)
    for height in (1, 2):
        stage.pay(0)
        stage.run(1_000)
        assert stage.heads() == [height] * 4
    return stage


def forger_crashes() -> Stage:
    """The forger of round 0 stops when its proposal has reached one other only, and stays away.

    That one cannot be alone with it for long: it passes the proposal on, and three decide without the forger.
    """
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    forger = stage.forger(0)
    heard = next(number for number in ALL if number != forger)
    stage.world.network.cut = frozenset((forger, number) for number in ALL if number != heard)
    stage.pay(forger)
    stage.run(5)  # the proposal is on its way, once
    stage.crash(forger)
    stage.run(5_000, lambda: sum(head == 1 for head in stage.heads()) == 3)
    return stage


def forger_is_lost() -> Stage:
    """The forger of round 0 stops before anybody hears its proposal; comes back, and takes part in what follows."""
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    forger = stage.forger(0)
    others = [number for number in ALL if number != forger]
    stage.world.network.cut = frozenset((forger, number) for number in others)
    stage.pay(forger)
    stage.run(5)
    stage.crash(forger)
    stage.world.network.cut = frozenset()
    stage.pay_again(others[0])
    stage.run(5_000, lambda: sum(head == 1 for head in stage.heads()) == 3)
    stage.start(forger)
    stage.run(5_000, lambda: min(stage.heads()) == 1)
    return stage


def hidden_lock() -> Stage:
    """A validator locks in round 0, unseen by the others, and is the forger of round 1: it proposes its block again.

    The deaf one hears of no proposal and prevotes nil. The forger and the other one prevote for the block, but do not
    hear the locker: two votes and a nil make no polka, so they precommit nil. Only the locker sees three votes.

    The time-outs are long: what a cut swallowed is sent again after one to two seconds.
    """
    stage = Stage(parameters=replace(PARAMETERS, prevote_timeout_ms=3_000, precommit_timeout_ms=3_000))
    stage.start(*ALL)
    stage.run(1_000)
    forger, locker = stage.forger(0), stage.forger(1)
    deaf, other = (number for number in ALL if number not in (forger, locker))
    to_forger = {(number, forger) for number in ALL}
    stage.world.network.cut = frozenset(to_forger | {(forger, number) for number in ALL})
    stage.pay(locker)
    stage.run(100)  # all but the forger hold the payment: their propose time-outs run
    mute = {(locker, forger), (locker, other), (locker, deaf)}
    stage.world.network.cut = frozenset(mute | {(forger, deaf), (other, deaf)})
    stage.pay_again(forger)
    stage.run(235)  # the locker is locked, the deaf one has prevoted nil
    stage.world.network.cut = frozenset(mute)
    stage.run(5_000)  # all have precommitted
    stage.world.network.heal()
    stage.run(10_000, lambda: min(stage.heads()) == 1)
    return stage
