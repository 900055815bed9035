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
import signal
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
from blockchain.runtime import atomic_file, record_file
from blockchain.runtime.intake import nothing
from blockchain.runtime.service import NodeService
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, PeerConnected, PeerId, PeerMet, TimerFired, TimerKey, TimerKind
from blockchain.wallet import Wallet
from tests.samples import TIME_MS, key

POINTS: Final = (
    "round not written",
    "round written",
    "signing record not renamed",
    "signing record renamed",
    "signing record written",
    "signature given",
    "message sent",
    "block not written",
    "block written",
)
ACTIONS: Final = 60  # of one life: some blocks
PASSAGES_MAX: Final = 8  # at the latest of these it dies
BLOCK_PASSAGES_MAX: Final = 2  # few blocks come about in a life
LIVES_MAX: Final = 50  # for one kill: a life may end before it comes to its point
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


class Point:
    """Kills this process when it has been passed often enough; then nothing more of it runs."""

    def __init__(self, name: str, passages: int) -> None:
        self._name = name
        self._left = passages

    def pass_by(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


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

    def __init__(self, folder: Path, said: Said, point: Point) -> None:
        self._said = said
        self._point = point
        self._sent = Said(folder / "sent")
        self._before = set(read_said(folder / "sent"))

    def send(self, peer: bytes, frame: bytes) -> None:
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
            self._said.note(one)
            if one not in self._before:
                self._sent.note(one)
                self._point.pass_by("message sent")

    def dial(self, address: str) -> None:
        raise AssertionError("a node without seeds that nobody told an address dials")


def plant(point: Point, said: Said) -> None:
    """Put the points where they are named after, and note what the signer gives."""
    write, sign = SqliteStore.write, Signer.sign
    rename, replace_file = os.replace, atomic_file.replace_file
    sync_folder = atomic_file.sync_folder

    def written(store: SqliteStore, batch: Batch) -> None:
        names = [name for name, has in (("round", batch.round_record), ("block", batch.block)) if has is not None]
        for name in names:
            point.pass_by(f"{name} not written")
        write(store, batch)
        for name in names:
            point.pass_by(f"{name} written")

    def renamed(source: Any, target: Any) -> None:
        point.pass_by("signing record not renamed")
        rename(source, target)

    def synced(folder: Path) -> None:
        point.pass_by("signing record renamed")
        sync_folder(folder)

    def replaced(path: Path, content: bytes) -> None:
        replace_file(path, content)
        point.pass_by("signing record written")

    def signed(signer: Signer, message: Signable) -> Signable:
        given = sign(signer, message)
        if isinstance(given, Proposal | Vote):
            said.note(given)
            point.pass_by("signature given")
        return given

    places: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (SqliteStore, "write", written),
        (Signer, "sign", signed),
        (record_file, "replace_file", replaced),
        (atomic_file, "sync_folder", synced),
        (os, "replace", renamed),
    )
    for owner, name, planted in places:
        setattr(owner, name, planted)


class Life:
    """From a start to the kill, or to the end of the actions."""

    def __init__(self, folder: Path, chance: Random, point: Point, actions: int = ACTIONS) -> None:
        self._chance = chance
        self._actions = actions
        said = Said(folder / "said")
        spec = chain()
        self._store = SqliteStore.open(folder / "data", spec.hash)
        signer = Signer(VICTIM, spec.hash, folder / "signing_record")
        plant(point, said)
        make_wire: Callable[[Any], Any] = lambda _: Wire(folder, said, point)  # noqa: E731
        self._node = NodeService(spec, self._store, (signer,), make_wire, PeerId(b"n" * 32))
        self._core = self._node._core
        self._spec = spec
        self._puppets = Said(folder / "puppets")
        self._told = {(position_of(one), author_of(one)): one for one in read_said(folder / "puppets")}

    async def run(self) -> None:
        await self._node.start()
        await self._give(PeerConnected(PEER))
        for _ in range(self._actions):
            await self._be_where_it_is()
            await self._have_something_to_do()
            await self._chance.choice(self._choices())()
        await self._node.stop()

    async def _give(self, given: Input) -> None:
        """Hand the node an input, and wait until it has done all that follows."""
        await self._node._deliver(given, nothing)
        await self._rest()

    async def _rest(self) -> None:
        handled = asyncio.get_running_loop().create_future()
        await self._node._deliver(PeerMet(PEER, "127.0.0.1:1"), lambda: handled.set_result(None))
        await handled

    async def _be_where_it_is(self) -> None:
        """A peer of another height would be sent nothing."""
        height = self._core.chain.height
        if self._core.gossip.peers[PEER].height != height:
            await self._give(MessageReceived(PEER, Status(height, 0, Step.PROPOSE, ())))

    async def _have_something_to_do(self) -> None:
        if not len(self._core.chain.pool):
            nonce = self._core.chain.next_nonce(Address(MONEY.public_key))
            wallet = Wallet(MONEY, self._spec.hash)
            await self._node.submit([wallet.transfer(wallet.address, 1, nonce).raw])

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
        self._node._due.append(TimerFired(TimerKey(timer, self._core.chain.height, max(rules.round, 0))))
        await self._rest()


def live(folder: Path, chance: Random, point: str) -> bool:
    """One life, in a process of its own. Whether it was killed at its point; any other end is a failure."""
    latest = BLOCK_PASSAGES_MAX if point.startswith("block") else PASSAGES_MAX
    seed, passages = chance.getrandbits(32), chance.randint(1, latest)
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(Life(folder, Random(seed), Point(point, passages)).run())
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        sys.exit(f"a life failed, seed {seed}, passages {passages}")
    return False


def main() -> None:
    folder, point, kills, chance = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Random(int(sys.argv[4]))
    assert point in POINTS, point
    lives = 0
    for _ in range(kills):
        tries = 1
        while not live(folder, chance, point):
            tries += 1
            assert tries <= LIVES_MAX, f"no life comes to the point {point!r}"
        lives += tries
    print(lives)


if __name__ == "__main__":
    main()
