"""A validator that kills itself at a named point, again and again: run as a program by `test_kill_points.py`.

    python -m tests.processes.killed_validator FOLDER POINT KILLS SEED

One process forks a life at a time, so that a start costs milliseconds. A life is the real `NodeService` on the real
store and signing record of FOLDER, with puppets for the three other validators: they propose, vote for it, for nil or
for something else, and let time pass, as chance has it, so that locks, new rounds and blocks come about. They never
contradict themselves, over all lives. At the nth passage of POINT the process gets SIGKILL. What the signer gave and
what was sent is appended to FOLDER/said.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec import Struct

from blockchain.consensus.evidence import author_of
from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import position_of
from blockchain.errors import MalformedMessage
from blockchain.node.inputs import Input, MessageReceived
from blockchain.node.messages import ProposedBlock, Status, VerifiedProposal, VerifiedVotes, Votes, decode_frame
from blockchain.primitives import codec, vrf
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.vote import Proposal, Signable, Step, Vote, VoteStep, sign_message
from blockchain.runtime.intake import nothing
from blockchain.runtime.peer_events import PeerUp
from blockchain.runtime.service import NodeService
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, PeerConnected, PeerId, PeerMet, TimerFired, TimerKey, TimerKind
from blockchain.wallet import Wallet
from tests.processes.kill_points import VALIDATOR_POINTS, Point, plant_in_validator
from tests.processes.killing import killed, lives_until_killed
from tests.samples import TIME_MS, key

ACTIONS: Final = 60  # of one life: some blocks
PEER: Final = PeerId(b"p" * 32)
VICTIM: Final = key("victim")
ME: Final = Address(VICTIM.public_key)
PUPPETS: Final = {Address(one.public_key): one for one in (key(f"puppet {n}") for n in range(3))}
MONEY: Final = key("money")
HOUR_MS: Final = 3_600_000  # no time-out fires by itself: the puppets say when time has passed
_TIMERS: Final = {
    Step.PROPOSE: TimerKind.PROPOSE,
    Step.PREVOTE: TimerKind.PREVOTE,
    Step.PRECOMMIT: TimerKind.PRECOMMIT,
}


def chain() -> ChainSpec:
    return ChainSpec(
        chain_id="killed",
        time_ms=TIME_MS,
        parameters=Parameters(
            propose_timeout_ms=HOUR_MS,
            prevote_timeout_ms=HOUR_MS,
            precommit_timeout_ms=HOUR_MS,
            timeout_max_ms=2 * HOUR_MS,
            commit_wait_ms=0,
            unbonding_ms=10**12,
        ),
        accounts=(GenesisAccount(Address(MONEY.public_key), 10**9),),
        validators=tuple(GenesisValidator(address, 100) for address in (ME, *PUPPETS)),
    )


class Line(Struct, frozen=True):
    """What a file of what was said holds, behind its length."""

    message: Proposal | Vote


class Said:
    """What the signer gave, and what was sent: appended at once. A killed process loses nothing that it has written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, message: Proposal | Vote) -> None:
        raw = codec.encode(Line(message))
        os.write(self._file, len(raw).to_bytes(4, "big") + raw)


def read_said(path: Path) -> Iterator[Proposal | Vote]:
    """All lines of such a file, in the order in which they were written."""
    raw = path.read_bytes()
    while raw:
        size = int.from_bytes(raw[:4], "big")
        yield codec.decode(raw[4 : 4 + size], Line, bytes_max=size).message
        raw = raw[4 + size :]


class Wire:
    """In the place of the P2P shell: nobody is reached, and what would be sent is noted.

    What an earlier life had sent is sent again at each start; a node that died of that would never get any further.
    """

    def __init__(self, folder: Path, said: Said, point: Point | None) -> None:
        self._said = said
        self._point = point or Point("none", 0)
        self._sent = Said(folder / "sent")
        self._before = set(read_said(folder / "sent"))

    def send_over(self, up: PeerUp, frame: bytes) -> None:
        try:
            message = decode_frame(frame).message
        except MalformedMessage:
            raise AssertionError("a node sends what it could not read itself") from None
        own: list[Proposal | Vote] = []
        if isinstance(message, Votes):
            own = [vote for vote in message.votes if vote.validator == ME]
        elif isinstance(message, ProposedBlock) and message.proposal.forger == ME:
            own = [message.proposal]
        for one in own:
            if one not in self._before:
                self._point.pass_by("message not sent")
            self._said.note(one)
            if one not in self._before:
                self._sent.note(one)
                self._point.pass_by("message sent")

    def dial(self, address: str) -> None:
        raise AssertionError("a node without seeds that nobody told an address dials")


class Kept:
    """What was acknowledged or made final in any life: each later one has to find it. A line of hex each."""

    def __init__(self, folder: Path) -> None:
        self._paths = {name: folder / name for name in ("acknowledged", "final")}

    def note(self, name: str, identifier: bytes) -> None:
        with self._paths[name].open("a") as file:
            file.write(f"{identifier.hex()}\n")

    def check(self, store: SqliteStore) -> None:
        """Raises AssertionError for what is gone."""
        pending = {one.id for one in store.pending()}
        for transaction_id in self._read("acknowledged"):
            assert store.locate(transaction_id) or transaction_id in pending, "an acknowledged transaction is gone"
        blocks = self._read("final")
        for block_id in blocks:
            assert store.height_of(block_id) is not None, "a final block is gone, or another one"
        assert store.head() in (len(blocks), len(blocks) + 1), "blocks that nobody made final"
        if store.head() > len(blocks):  # it died before it could say so
            newest = store.block(store.head())
            assert newest is not None
            self.note("final", newest.id)

    def _read(self, name: str) -> list[bytes]:
        path = self._paths[name]
        return [bytes.fromhex(line) for line in path.read_text().split()] if path.exists() else []


def note_all(said: Said, kept: Kept) -> None:
    """Note what the signer gives, before anybody else has it, and what becomes final."""
    sign, write = Signer.sign, SqliteStore.write

    def signed(signer: Signer, message: Signable) -> Signable:
        given = sign(signer, message)
        if isinstance(given, Proposal | Vote):
            said.note(given)
        return given

    def written(store: SqliteStore, batch: Batch) -> None:
        write(store, batch)
        if batch.block is not None:
            kept.note("final", batch.block.id)

    Signer.sign = signed  # type: ignore[method-assign, assignment]
    SqliteStore.write = written  # type: ignore[method-assign, assignment]


class Life:
    """From a start to the kill at a point, or to the end of the actions."""

    def __init__(self, folder: Path, chance: Random, point: Point | None = None, actions: int = ACTIONS) -> None:
        self._chance = chance
        self._actions = actions
        said, self._kept = Said(folder / "said"), Kept(folder)
        spec = chain()
        note_all(said, self._kept)
        if point is not None:
            plant_in_validator(point)
        self._store = SqliteStore.open(folder / "data", spec.hash)
        self._kept.check(self._store)
        signer = Signer(VICTIM, spec.hash, folder / "signing_record")
        make_wire: Callable[[Any], Any] = lambda _: Wire(folder, said, point)  # noqa: E731
        self._node = NodeService(spec, self._store, (signer,), make_wire, PeerId(b"n" * 32))
        self._core = self._node._core
        self._spec = spec
        self._puppets = Said(folder / "puppets")
        self._told = {(position_of(one), author_of(one)): one for one in read_said(folder / "puppets")}

    async def run(self, *, is_closed: bool = True) -> None:
        """`is_closed`: the store is closed at the end, as by a node that is told to end."""
        await self._node.start()
        up = PeerUp(PEER, "", True, "", "")
        await self._node._deliver(
            PeerConnected(PEER), lambda: self._node._intake.connected.__setitem__(PEER, up), nothing
        )
        await self._rest()
        for _ in range(self._actions):
            await self._be_where_it_is()
            await self._have_something_to_do()
            await self._chance.choice(self._choices())()
        await self._node.stop()
        if is_closed:
            self._store.close()

    async def _give(self, given: Input) -> None:
        """Hand the node an input, and wait until it has done all that follows."""
        await self._node._deliver(given, nothing, nothing)
        await self._rest()

    async def _rest(self) -> None:
        handled = asyncio.get_running_loop().create_future()
        await self._node._deliver(PeerMet(PEER, "127.0.0.1:1"), nothing, lambda: handled.set_result(None))
        await handled

    async def _be_where_it_is(self) -> None:
        """A peer of another height would be sent nothing."""
        height = self._core.chain.height
        if self._core.peers[PEER].height != height:
            await self._give(MessageReceived(PEER, Status(height, 0, Step.PROPOSE, ())))

    async def _have_something_to_do(self) -> None:
        if not len(self._core.chain.pool):
            nonce = self._core.chain.next_nonce(Address(MONEY.public_key))
            wallet = Wallet(MONEY, self._spec.hash)
            (result,) = await self._node.submit([wallet.transfer(wallet.address, 1, nonce).raw])
            if not result.code:
                self._kept.note("acknowledged", result.id)

    def _choices(self) -> list[Callable[[], Any]]:
        """Each as likely as it stands here: votes for a block most, so that locks and blocks come about."""
        return [
            *[self._propose] * 3,
            *[lambda: self._vote(VoteStep.PREVOTE, self._block())] * 4,
            *[lambda: self._vote(VoteStep.PRECOMMIT, self._block())] * 2,
            lambda: self._vote(VoteStep.PREVOTE, None),
            lambda: self._vote(VoteStep.PRECOMMIT, None),
            self._let_time_pass,
            self._skip,
        ]

    def _block(self) -> Hash32 | None:
        """The block proposed in this round, if there is one."""
        current = self._core.engine.current
        proposal = current.proposals.get(current.rules.round)
        return None if proposal is None else proposal.block_id

    async def _propose(self) -> None:
        """A new block, whatever the victim is locked on; or the victim's valid value again."""
        current = self._core.engine.current
        rules, chain = current.rules, self._core.chain
        puppet = PUPPETS.get(current.forgers.forger(rules.round))
        if puppet is None or rules.round in current.proposals or self._has_proposed(puppet):
            return
        if rules.valid_value is not None and self._chance.random() < 0.5:
            block, valid_round = current.blocks[rules.valid_value], rules.valid_round
        else:
            proof = vrf.prove(puppet.seed, vrf_alpha(self._spec.hash, chain.seed, chain.height))
            later = TIME_MS + self._chance.randrange(1_000)
            block, valid_round = chain.build_block(rules.round, proof, self._core.engine.commit, later), -1
        unsigned = Proposal(chain.height, rules.round, valid_round, block.id, Address(puppet.public_key))
        proposal = sign_message(unsigned, puppet, self._spec.hash)
        assert isinstance(proposal, Proposal)
        self._tell(proposal)
        await self._give(MessageReceived(PEER, VerifiedProposal(proposal, block)))

    async def _vote(self, step: VoteStep, block_id: Hash32 | None, later: int = 0) -> None:
        """Some of the puppets; who has voted there before says the same again. Each shows a polka for its block."""
        current = self._core.engine.current
        round = current.rules.round + later
        polka_round = round - 1 if step is VoteStep.PREVOTE and block_id is not None else -1
        votes = []
        for address in self._chance.sample(sorted(PUPPETS), self._chance.choice((1, 2, 3, 3))):
            unsigned = Vote(current.height, round, step, block_id, polka_round, address)
            before = self._told.get((position_of(unsigned), address))
            vote = sign_message(unsigned, PUPPETS[address], self._spec.hash) if before is None else before
            assert isinstance(vote, Vote)
            if before is None:
                self._tell(vote)
            votes.append(vote)
        await self._give(MessageReceived(PEER, VerifiedVotes(tuple(votes), ())))

    def _tell(self, message: Proposal | Vote) -> None:
        """Keep what a puppet says: its later lives are held to it."""
        self._told[position_of(message), author_of(message)] = message
        self._puppets.note(message)

    def _has_proposed(self, puppet: SigningKey) -> bool:
        current = self._core.engine.current
        return ((current.height, current.rules.round, Step.PROPOSE), Address(puppet.public_key)) in self._told

    async def _skip(self) -> None:
        await self._vote(VoteStep.PREVOTE, None, later=1)

    async def _let_time_pass(self) -> None:
        rules = self._core.engine.current.rules
        timer = _TIMERS[rules.step]
        self._node._steps.give(TimerFired(TimerKey(timer, self._core.chain.height, max(rules.round, 0))))
        await self._rest()


def live(folder: Path, chance: Random, point: str) -> bool:
    """One life, in a process of its own. Whether it was killed at its point; any other end is a failure."""
    seed, passages = chance.getrandbits(32), chance.randint(1, VALIDATOR_POINTS[point])
    return killed(
        lambda: asyncio.run(Life(folder, Random(seed), Point(point, passages)).run()),
        f"{point}: a life failed, seed {seed}, passages {passages}",
    )


def kill_often(folder: Path, point: str, kills: int, seed: int) -> int:
    """Live until it was killed so often at this point; how many lives that took."""
    folder.mkdir(exist_ok=True)
    chance = Random(seed)
    return sum(lives_until_killed(lambda: live(folder, chance, point), point) for _ in range(kills))


def main() -> None:
    print(kill_often(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))


if __name__ == "__main__":
    main()
