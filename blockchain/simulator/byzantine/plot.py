"""Plots of more than a third: hostile validators that together make two blocks of one height final.

Theory of operation. The honest are on two sides that do not hear each other; each hostile validator runs twice with
one key, once on each side, so that each side has more than two thirds of the stake. The left side decides first; then
the right one does, by one of three plots, as docs/protocol.md §5.9 tells them apart:

- `votes_twice`: in the same rounds, by voting twice there;
- `forgets_lock`: in a later round, by prevotes that show no polka since the precommits on the left;
- `claims_polka`: in a later round, by prevotes that claim a polka in which nobody voted.

Less than two thirds are hostile, so no side decides without somebody honest. What follows is for whoever plays it: that
what the honest hold, put together, names more than a third of the stake and nobody honest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from blockchain.consensus.accountability import Findings, find_guilty
from blockchain.consensus.evidence import messages_of
from blockchain.node.evidence_pool import EVIDENCE_BYTES_MAX
from blockchain.node.kept_prevotes import read_prevotes
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.primitives.vote import Certificate, Evidence, Fork, Proposal, Vote
from blockchain.seams import TimerFired, TimerKey, TimerKind
from blockchain.simulator.byzantine.actor import HEEDLESS, Actor, Hostile, Proposing, Puppet, is_prevote_for_value
from blockchain.simulator.network import Links
from blockchain.simulator.node import Node
from blockchain.simulator.world import Violation, World
from blockchain.wallet import Wallet

GENESIS_MS: Final = 1_700_000_000_000
DEADLINE_MS: Final = 60_000  # of virtual time for each side to decide
PAYMENTS_MS: Final = 500

Kind = Literal["votes_twice", "forgets_lock", "claims_polka"]
KINDS: Final[tuple[Kind, ...]] = ("votes_twice", "forgets_lock", "claims_polka")


class Plot(Struct, frozen=True, kw_only=True):
    """Who is hostile, and on which side the honest are; by position in `stakes`."""

    seed: int
    kind: Kind
    stakes: tuple[int, ...]
    hostile: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    loss: float


class Verdict(Struct, frozen=True):
    """What the honest can show of a fork."""

    height: int
    findings: Findings


class WaitsForRound(Actor):
    """It leaves out the rounds up to one, which others skip with it (L55); then it may claim a polka in that round."""

    def __init__(self, round: int, *, claims: bool) -> None:
        self._round = round
        self._claims = claims

    def begins(self, me: Puppet) -> None:
        for round in range(self._round + 1):  # each as if it had waited for its precommits (L65)
            me.world.feed(me.node, TimerFired(TimerKey(TimerKind.PRECOMMIT, me.current.height, round)))

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        return (proposal, block) if proposal.round > self._round else None

    def votes(self, me: Puppet, vote: Vote) -> Vote | None:
        if vote.round <= self._round:
            return None
        return replace(vote, polka_round=self._round) if self._claims and is_prevote_for_value(vote) else vote


def draw_plot(seed: int, kind: Kind) -> Plot:
    """Four to seven validators, of whom more than one third and less than two are hostile, by stake."""
    rng = Random(f"plot {seed}")
    while True:
        stakes = tuple(rng.randint(10, 30) for _ in range(rng.randint(4, 7)))
        order = rng.sample(range(len(stakes)), len(stakes))
        first, second = sorted(rng.sample(range(1, len(stakes)), 2))
        hostile, left, right = (tuple(sorted(part)) for part in (order[:first], order[first:second], order[second:]))
        plot = Plot(
            seed=seed,
            kind=kind,
            stakes=stakes,
            hostile=hostile,
            left=left,
            right=right,
            loss=rng.choice((0.0, 0.0, 0.1)),
        )
        if _can_fork(plot):
            return plot


def play_plot(plot: Plot) -> Verdict:
    """Play a plot to its fork, and judge it. Raises Violation where there is no fork, or not enough is shown."""
    world, wallet = _world_of(plot)
    sides = plot.left, plot.right
    count = len(plot.stakes)
    twins = tuple(range(count, count + len(plot.hostile)))
    world.network.groups = frozenset((*plot.left, *plot.hostile)), frozenset((*plot.right, *twins))
    for number in (*plot.left, *plot.hostile):
        world.start(number)
    _decide(world, wallet, plot.left, 1)
    certificate = _certificate_in(world.nodes[plot.left[0]])
    late = () if plot.kind == "votes_twice" else (WaitsForRound(certificate.round, claims=plot.kind == "claims_polka"),)
    for number in twins:
        _turn(world, number, late)
    for number in (*plot.right, *twins):
        world.start(number)
    _decide(world, wallet, plot.right, 2)
    if len({_certificate_in(world.nodes[side[0]]).block_id for side in sides}) < 2:
        raise Violation(f"plot {plot.seed}: both sides made the same block final")
    return _judge(plot, world)


def _can_fork(plot: Plot) -> bool:
    total = sum(plot.stakes)
    hostile, left, right = (sum(plot.stakes[n] for n in part) for part in (plot.hostile, plot.left, plot.right))
    is_between = total < 3 * hostile < 2 * total
    return is_between and all(3 * (hostile + side) > 2 * total for side in (left, right))


def _world_of(plot: Plot) -> tuple[World, Wallet]:
    keys = [_key("validator", number) for number in range(len(plot.stakes))]
    rich = _key("wallet", 0)
    owner = Address(rich.public_key)
    spec = ChainSpec(
        chain_id=f"plot-{plot.seed}",
        time_ms=GENESIS_MS,
        parameters=Parameters(propose_timeout_ms=300, prevote_timeout_ms=200, precommit_timeout_ms=200),
        accounts=(GenesisAccount(owner, 1_000_000),),
        validators=tuple(
            GenesisValidator(Address(held.public_key), stake) for held, stake in zip(keys, plot.stakes, strict=True)
        ),
    )
    links = Links(delay_ms=(5, 60), loss=plot.loss)
    world = World(spec, [*keys, *(keys[number] for number in plot.hostile)], plot.seed, links)
    world.may_fork = True
    for number in plot.hostile:
        _turn(world, number, ())
    return world, Wallet(rich, spec.hash)


def _key(name: str, number: int) -> SigningKey:
    return SigningKey(f"{name} {number}".encode().ljust(32, b"\0"))


def _turn(world: World, number: int, actors: tuple[Actor, ...]) -> None:
    node = world.nodes[number]
    node.conduct = Hostile(actors)
    node.caution = HEEDLESS
    world.docket.suspect(map(Address, node.keys))


def _decide(world: World, wallet: Wallet, side: Sequence[int], amount: int) -> None:
    """Pay at somebody honest of a side, a sum of its own so that its block is too, until all of them have block 1."""
    verified = wallet.transfer(wallet.address, amount, 0)
    for _ in range(DEADLINE_MS // PAYMENTS_MS):
        for number in side:
            world.submit(number, (verified,))
        if world.run_until(world.time_ms + PAYMENTS_MS, lambda: all(_has_decided(world, number) for number in side)):
            return
    raise Violation(f"plot {world.seed}: nodes {side} have decided nothing")


def _has_decided(world: World, number: int) -> bool:
    return world.nodes[number].store.head() > 0


def _certificate_in(node: Node) -> Certificate:
    stored = node.store.block(1)
    assert stored is not None, "a node that has decided"
    return codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)


def _judge(plot: Plot, world: World) -> Verdict:
    """With all that the honest hold. Raises Violation."""
    first, second = (_certificate_in(world.nodes[side[0]]) for side in (plot.left, plot.right))
    validators = world.nodes[plot.left[0]].store.validators(1)
    assert validators is not None, "a set of a final height"
    votes = [vote for node in world.honest for vote in _votes_of(node)]
    findings = find_guilty(first, second, votes, validators, world.spec.hash)
    named = {one.validator.address for one in findings.guilty} | {one.validator.address for one in findings.unproven}
    if not named <= world.docket.suspects:
        raise Violation(f"plot {plot.seed}: somebody honest is named")
    if 3 * (findings.guilty_stake + findings.unproven_stake) <= findings.total:
        raise Violation(f"plot {plot.seed}: {findings.guilty_stake} + {findings.unproven_stake} of {findings.total}")
    return Verdict(1, findings)


def _votes_of(node: Node) -> Iterator[Vote]:
    """What a node kept of height 1: the prevotes of later rounds, and what stands in evidence."""
    yield from read_prevotes(node.store, 1)
    for raw in node.store.evidence():
        found = codec.decode(raw, Evidence | Fork, bytes_max=EVIDENCE_BYTES_MAX)  # type: ignore[arg-type]
        if not isinstance(found, Fork):
            yield from (each for each in messages_of(found) if isinstance(each, Vote))
