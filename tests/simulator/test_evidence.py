"""A validator that signs what its signer would refuse: found, told, put into a block, and paid for (protocol §5.8).

Node 3 never runs: the test has its key, and no signer that says no. The others are the real core.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blockchain.consensus.accountability import find_guilty
from blockchain.consensus.lottery import vrf_alpha
from blockchain.ledger.records import stakeholder
from blockchain.ledger.supply import check_supply
from blockchain.node.kept_prevotes import read_prevotes
from blockchain.node.messages import Message, ProposedBlock, Votes, encode_frame
from blockchain.node.store import MemoryStore
from blockchain.primitives import codec, vrf
from blockchain.primitives.block import VerifiedBlock, decode_block
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.vote import (
    Certificate,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Fork,
    Proposal,
    Vote,
    VoteStep,
    sign_message,
)
from blockchain.seams import BlockFinalized, Effect, EvidenceFound, Halt, Locked, PeerConnected, Penalize, Proposed
from blockchain.simulator.network import Links
from blockchain.simulator.node import Node
from blockchain.simulator.world import World
from tests.simulator.stage import LINKS, Stage

A, B, C = (Hash32(bytes([number]) * 32) for number in (1, 2, 3))
HONEST = (0, 1, 2)


class Hostile:
    """Validator 3 of a stage in which 0 to 2 run, and its key in the hands of the test."""

    def __init__(self, followers: int = 0, links: Links = LINKS) -> None:
        self.stage = Stage(followers, links=links)
        self.world = self.stage.world
        self.key = self.stage.keys[3]
        self.address = Address(self.key.public_key)
        self.world.docket.suspect([self.address])
        self.stage.start(*HONEST)
        for number in HONEST:
            self.meet(number)

    def meet(self, number: int) -> None:
        self.world.feed(self.world.nodes[number], PeerConnected(self.world.nodes[3].id, "", inbound=True))

    def tell(self, number: int, message: Message) -> None:
        """A message to one node, which verifies it as any other."""
        node = self.world.nodes[number]
        self.world._deliver(self.world.nodes[3], node, node.life, encode_frame(self.stage.spec.hash, message))

    def vote(self, number: int, height: int, round: int, step: VoteStep, value: Hash32 | None, polka: int = -1) -> None:
        unsigned = Vote(height, round, step, value, polka, self.address)
        signed = sign_message(unsigned, self.key, self.stage.spec.hash)
        assert isinstance(signed, Vote)
        self.tell(number, Votes((signed,)))

    def propose(self, number: int, round: int, block: VerifiedBlock) -> None:
        unsigned = Proposal(block.header.height, round, -1, block.id, self.address)
        signed = sign_message(unsigned, self.key, self.stage.spec.hash)
        assert isinstance(signed, Proposal)
        self.tell(number, ProposedBlock(signed, block.raw))

    def to_turn(self) -> int:
        """Let blocks be made until node 3 is drawn in one of the first three rounds; returns which."""
        for _ in range(30):
            drawn = [self.stage.forger(round) for round in range(3)]
            if 3 in drawn:
                return drawn.index(3)
            self.grow()
        raise AssertionError("it is never drawn")

    def grow(self) -> None:
        """One more block."""
        head = max(self.stage.heads())
        self.stage.pay(0)
        assert self.stage.run(20_000, lambda: min(self.stage.heads()[number] for number in HONEST) > head)

    def blocks(self, round: int) -> tuple[VerifiedBlock, VerifiedBlock]:
        """Two blocks that it could propose."""
        core = self.world.nodes[0].core
        assert core is not None
        chain = core.chain
        self.stage.pay(0)
        proof = vrf.prove(self.key.seed, vrf_alpha(chain.genesis_hash, chain.seed, chain.height))
        now = self.world.wall_ms(self.world.nodes[0])
        one, other = (chain.build_block(round, proof, core.engine.commit, now + extra) for extra in (0, 1))
        return one, other

    def included(self) -> list[Evidence]:
        """The evidence in final blocks, the same at all that run."""
        return [
            evidence
            for height in range(1, self.world.nodes[0].store.head() + 1)
            if (stored := self.world.nodes[0].store.block(height)) is not None
            for evidence in decode_block(stored.raw).evidence
        ]

    def is_out(self, number: int) -> bool:
        core = self.world.nodes[number].core
        return core is not None and core.chain.ledger.is_out(core.chain.state(), self.address)

    def left(self, number: int) -> int:
        """What is left of its stake, on its way back, by the books of a node in which no unit is missing."""
        core = self.world.nodes[number].core
        assert core is not None
        state = core.chain.state()
        check_supply(state)
        holder = stakeholder(state, self.address)
        assert holder is not None and holder.staked == 0
        return holder.unbonding_amount

    def await_verdict(self, ms: int = 20_000) -> None:
        assert self.stage.run(ms, lambda: all(self.is_out(number) for number in HONEST))


def double_prevote(hostile: Hostile) -> None:
    hostile.vote(0, 1, 0, VoteStep.PREVOTE, A)
    hostile.vote(0, 1, 0, VoteStep.PREVOTE, None)


def double_precommit(hostile: Hostile) -> None:
    hostile.vote(1, 1, 0, VoteStep.PRECOMMIT, A)
    hostile.vote(1, 1, 0, VoteStep.PRECOMMIT, B)


def forgotten_lock(hostile: Hostile) -> None:
    hostile.vote(2, 1, 0, VoteStep.PRECOMMIT, A)
    hostile.vote(2, 1, 1, VoteStep.PREVOTE, B)


def split_votes(hostile: Hostile) -> None:
    """One vote to one node, the other to another: gossip brings them together."""
    hostile.vote(0, 1, 0, VoteStep.PREVOTE, A)
    hostile.vote(1, 1, 0, VoteStep.PREVOTE, B)
    hostile.stage.pay(2)


def two_proposals(hostile: Hostile) -> None:
    round = hostile.to_turn()
    one, other = hostile.blocks(round)
    hostile.propose(0, round, one)
    hostile.propose(0, round, other)


def late_lock(hostile: Hostile) -> None:
    """The prevote comes in time, and the precommit that it forgets when the height is decided."""
    height = max(hostile.stage.heads()) + 1
    hostile.vote(0, height, 1, VoteStep.PREVOTE, B)
    hostile.grow()
    hostile.vote(0, height, 0, VoteStep.PRECOMMIT, A)


OFFENCES: dict[str, tuple[Callable[[Hostile], None], type[Evidence]]] = {
    "a double prevote": (double_prevote, ConflictingVotes),
    "a double precommit": (double_precommit, ConflictingVotes),
    "votes to two nodes": (split_votes, ConflictingVotes),
    "a forgotten lock": (forgotten_lock, ForgottenLock),
    "a lock that shows late": (late_lock, ForgottenLock),
    "two proposals": (two_proposals, ConflictingProposals),
}


@pytest.mark.parametrize("offend, kind", OFFENCES.values(), ids=OFFENCES.keys())
def test_an_offence_is_found_told_included_and_counts_once(
    offend: Callable[[Hostile], None], kind: type[Evidence]
) -> None:
    hostile = Hostile()
    offend(hostile)
    hostile.await_verdict()
    [evidence] = hostile.included()
    assert isinstance(evidence, kind)
    for number in HONEST:
        assert hostile.left(number) == 9, "it had 10, and a tenth is burnt"
    found = hostile.stage.events(EvidenceFound)
    assert [event.validator for event in found] == [hostile.address] * 3, "each node says it once"
    again = [double_prevote, double_precommit, forgotten_lock]
    hostile.grow()
    for one in again:
        one(hostile)
    for number in HONEST:
        hostile.vote(number, max(hostile.stage.heads()) + 1, 0, VoteStep.PREVOTE, A)
        hostile.vote(number, max(hostile.stage.heads()) + 1, 0, VoteStep.PREVOTE, C)
    before = max(hostile.stage.heads())
    hostile.stage.run(5_000)
    assert max(hostile.stage.heads()) == before, "nothing more to do about it"
    assert hostile.included() == [evidence]
    assert len(hostile.stage.events(EvidenceFound)) == 3


def test_a_quiet_chain_needs_no_transaction_to_punish() -> None:
    hostile = Hostile()
    double_prevote(hostile)
    hostile.await_verdict()
    stored = hostile.world.nodes[1].store.block(1)
    assert stored is not None and decode_block(stored.raw).transactions == ()


def test_evidence_that_nobody_else_got_is_told_again() -> None:
    """Node 0 hears of the offence while it hears nobody; later every forger may put it into a block."""
    hostile = Hostile()
    hostile.world.network.groups = (frozenset({0}), frozenset({1, 2}))
    double_prevote(hostile)
    hostile.stage.run(2_000)
    assert [len(hostile.stage.events(EvidenceFound, number)) for number in HONEST] == [1, 0, 0]
    hostile.world.network.groups = ()
    hostile.await_verdict()
    assert len(hostile.included()) == 1


def test_a_lossy_network_tells_all_of_it_in_the_end() -> None:
    hostile = Hostile(links=Links(delay_ms=(5, 60), loss=0.3))
    double_prevote(hostile)
    hostile.stage.run(3_000)
    hostile.world.network.heal()
    hostile.await_verdict()
    assert len(hostile.included()) == 1


def test_evidence_outlives_a_restart_of_the_only_node_that_has_it() -> None:
    hostile = Hostile()
    hostile.world.network.groups = (frozenset({0}), frozenset({1, 2}))
    double_prevote(hostile)
    hostile.stage.run(500)
    hostile.stage.crash(0)
    hostile.stage.run(1_000)
    hostile.world.network.groups = ()
    hostile.stage.start(0)
    hostile.await_verdict()
    assert len(hostile.included()) == 1


def test_a_block_with_evidence_outlives_a_restart_and_is_synced_by_who_was_away() -> None:
    """All lock on it, and hear no precommit of each other; node 2 restarts in between, and node 4 comes much later."""
    hostile = Hostile(followers=1)
    stage = hostile.stage
    double_prevote(hostile)
    assert stage.run(5_000, lambda: bool(stage.events(Locked)))
    hostile.world.network.groups = tuple(frozenset({number}) for number in HONEST)
    stage.run(1_500)
    stage.crash(2)
    stage.start(2)
    hostile.world.network.groups = ()
    hostile.await_verdict()
    assert len({event.block_id for event in stage.events(Proposed)}) == 1, "the block that they were locked on"
    assert len(hostile.included()) == 1
    for _ in range(3):
        hostile.grow()
    stage.start(4)
    assert stage.run(20_000, lambda: stage.heads()[4] == stage.heads()[0])
    assert hostile.is_out(4)


# ------------------------------------------------------------------------------------------------ a fork


class Forked(World):
    """A world in which agreement may break: two of four validators run twice, each copy with a record of its own."""

    def _check_agreement(self, node: Node, event: BlockFinalized) -> None:
        pass

    def _perform(self, node: Node, effect: Effect) -> None:
        if not isinstance(effect, Halt | Penalize):
            super()._perform(node, effect)


def test_a_fork_by_copies_of_half_of_the_validators_names_them_and_stops_the_others() -> None:
    stage = Stage()
    twice = [*stage.keys, stage.keys[2], stage.keys[3]]
    stage.world = world = Forked(stage.spec, list(twice), 1, LINKS)
    stage.start(*range(6))
    sides = (0, 2, 3), (1, 4, 5)
    world.network.groups = tuple(map(frozenset, sides))
    stage.pay(0)
    assert stage.replace_last(1) == "", "another transaction, so that it is another block"
    assert stage.run(20_000, lambda: min(stage.heads()) == 1)
    assert len(stage.decided(1)) == 2
    stage.pay(1)
    assert stage.run(20_000, lambda: stage.heads()[1] == 2), "one side is ahead: it shows what made its block 1 final"
    world.network.heal()
    assert stage.run(20_000, lambda: bool(world.nodes[0].store.halted() or world.nodes[1].store.halted()))
    stored = [world.nodes[side[0]].store for side in sides]
    first, second = (certificate_in(store) for store in stored)
    votes = [vote for node in world.nodes for vote in read_prevotes(node.store, 1)]
    validators = stored[0].validators(1)
    assert validators is not None and votes
    findings = find_guilty(first, second, votes, validators, stage.spec.hash)
    guilty = {one.validator.address for one in findings.guilty}
    assert guilty == {Address(held.public_key) for held in stage.keys[2:]}
    assert 3 * findings.guilty_stake > findings.total and not findings.unproven
    halted = next(store for store in stored if store.halted())
    own = certificate_in(halted)
    assert codec.encode(Fork(own, second if own == first else first)) in halted.evidence()


def certificate_in(store: MemoryStore) -> Certificate:
    block = store.block(1)
    assert block is not None
    return codec.decode(block.certificate, Certificate, bytes_max=10**6)
