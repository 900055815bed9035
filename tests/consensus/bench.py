"""An engine on a bench: one of four equal validators, an application that does as told, and a scripted signer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.pos import Forgers
from blockchain.consensus.record import RoundRecord, decode_record
from blockchain.errors import ForkFound, InvalidBlock
from blockchain.primitives import codec
from blockchain.primitives.block import Block, Header, VerifiedBlock, block_id
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature, Proposal, Signable, Step, Vote, VoteStep
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    EngineInput,
    FinalBlock,
    ForgerDrawn,
    NodeEvent,
    PeerId,
    ProposalReceived,
    SetTimer,
    Sign,
    Signed,
    SigningRecord,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    VoteReceived,
    VrfProved,
    Write,
)
from tests.samples import BLOCK_A, GENESIS_HASH, PRECOMMIT, PREVOTE, TIME_MS, set_of

HEIGHT = 7
NOW = TIME_MS + 1_000
PEER = PeerId(b"\x50" * 32)
SIGNATURE = Signature(b"\x51" * 64)
PROOF = b"\x52" * 80
SEED = Hash32(b"\x53" * 32)
SET, KEYS = set_of([1, 1, 1, 1])
WHO = tuple(Address(key.public_key) for key in KEYS)
STEP_TIMERS = {Step.PROPOSE: TimerKind.PROPOSE, Step.PREVOTE: TimerKind.PREVOTE, Step.PRECOMMIT: TimerKind.PRECOMMIT}

E = TypeVar("E", bound=Effect)
N = TypeVar("N", bound=NodeEvent)


class Turns:
    """Forgers in turn: round r is validator r modulo n's."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators

    def forger(self, round: int) -> Address:
        return self._validators.validators[round % len(self._validators)].address


def turns(seed: Hash32, height: int, validators: ValidatorSet) -> Forgers:
    return Turns(validators)


def block_of(
    round: int = 0, forger: int = 0, *, height: int = HEIGHT, time_ms: int = NOW, salt: int = 0
) -> VerifiedBlock:
    """A block as the engine sees it; `salt` makes another one of the same round."""
    root = Hash32(bytes([salt]) * 32)
    header = Header(
        version=1,
        height=height,
        round=round,
        seed=SEED,
        time_ms=time_ms,
        parent=BLOCK_A,
        forger=WHO[forger],
        vrf_proof=PROOF,
        transaction_root=root,
        state_root=root,
        validators_hash=root,
        next_validators_hash=root,
        evidence_root=root,
        parent_certificate_hash=root,
        transaction_count=0,
        evidence_count=0,
    )
    block = Block(header, (), (), Certificate(height - 1, 0, BLOCK_A, ()))
    return VerifiedBlock(block_id(header, GENESIS_HASH), codec.encode(block), block, ())


class App:
    """Implements `seams.Application`: nothing is due and every block is good until a test says otherwise."""

    def __init__(self, height: int = HEIGHT, validators: ValidatorSet = SET) -> None:
        self.height = height
        self.seed = SEED
        self.validators = self.parent_validators = validators
        entries = tuple(CommitSignature(index, SIGNATURE) for index in range(len(validators)))
        self.parent_certificate = Certificate(height - 1, 0, BLOCK_A, entries)
        self.parent_time_ms = NOW - 1_000
        self.is_due = False
        self.kept: dict[int, tuple[Vote, ...]] = {}
        self.bad: set[Hash32] = set()
        self.fork: ForkFound | None = None
        self.checked: list[Hash32] = []
        self.built: list[tuple[int, bytes, Certificate, int]] = []
        self.final: list[tuple[VerifiedBlock, Certificate, int]] = []

    def keep_prevotes(self, height: int, prevotes: tuple[Vote, ...]) -> list[Effect]:
        self.kept[height] = prevotes
        return []

    def kept_prevotes(self, height: int) -> tuple[Vote, ...]:
        return self.kept.get(height, ())

    def is_block_due(self) -> bool:
        return self.is_due

    def build_block(self, round: int, vrf_proof: bytes, certificate: Certificate, now: int) -> VerifiedBlock:
        self.built.append((round, vrf_proof, certificate, now))
        return block_of(round, round % len(self.validators), height=self.height, time_ms=now)

    def check_block(self, block: VerifiedBlock) -> None:
        self.checked.append(block.id)
        if self.fork is not None:
            raise self.fork
        if block.id in self.bad:
            raise InvalidBlock("state_root", "the test says so")

    def finalize(self, block: VerifiedBlock, certificate: Certificate, round: int, now: int) -> list[Effect]:
        self.final.append((block, certificate, round))
        self.height += 1
        self.parent_certificate = certificate
        self.is_due = False
        return [Write(Batch(block=FinalBlock(certificate.height, block.id, block.raw, b"", ()), clear_round=True))]


class Bench:
    """The engine with a short way to hand it facts; each answers with the effects."""

    def __init__(self, me: int | None = 3, app: App | None = None, now: int = NOW, **parameters: Any) -> None:
        self.app = App() if app is None else app
        self.me = me
        self.now = now
        self.keys = frozenset() if me is None else frozenset({PublicKey(WHO[me])})
        self.away: set[Address] = set()  # of whom the node has had no word for long
        self.engine = BftEngine(
            self.app, turns, GENESIS_HASH, Parameters(**parameters), self.keys, self.away.__contains__
        )

    def give(self, given: EngineInput) -> list[Effect]:
        return self.engine.handle(given, self.now)

    def start(self, *records: SigningRecord) -> list[Effect]:
        """With these records, or with empty ones."""
        return self.give(Started(records or tuple(SigningRecord(key) for key in self.keys)))

    def propose(
        self, block: VerifiedBlock, round: int = 0, valid_round: int = -1, forger: int | None = None, **rest: Any
    ) -> list[Effect]:
        return self.give(
            ProposalReceived(proposal_of(block, round, valid_round, forger), block, rest.get("peer", PEER))
        )

    def prevotes(
        self, value: Hash32 | None, who: Iterable[int] = (0, 1, 2), round: int = 0, polka: int = -1
    ) -> list[Effect]:
        return [e for one in who for e in self.vote(vote_of(one, PREVOTE, value, round=round, polka=polka))]

    def precommits(self, value: Hash32 | None, who: Iterable[int] = (0, 1, 2), round: int = 0) -> list[Effect]:
        return [e for one in who for e in self.vote(vote_of(one, PRECOMMIT, value, round=round))]

    def vote(self, vote: Vote) -> list[Effect]:
        return self.give(VoteReceived(vote, PEER))

    def timeout(self, step: Step, round: int = 0) -> list[Effect]:
        return self.give(TimerFired(TimerKey(STEP_TIMERS[step], self.app.height, round)))

    def sign(self, effects: list[Effect]) -> list[Effect]:
        """The signer's answers to all that these effects ask for, and to what follows from them."""
        later = [e for asked in of(Sign, effects) for e in self.give(Signed(signed(asked.message)))]
        return [*later, *self.sign(later)] if of(Sign, later) else later

    def prove(self) -> list[Effect]:
        return self.give(VrfProved(self.app.height, 0, PROOF))

    def to_round(self, round: int) -> list[Effect]:
        """Move on by precommit time-outs."""
        rules = self.engine.current.rules
        return [e for number in range(rules.round, round) for e in self.timeout(Step.PRECOMMIT, number)]

    @property
    def place(self) -> tuple[int, int, Step]:
        rules = self.engine.current.rules
        return self.engine.current.height, rules.round, rules.step


def started(me: int | None = 3, **parameters: Any) -> Bench:
    bench = Bench(me, **parameters)
    bench.start()
    return bench


def due(me: int | None = 3, **parameters: Any) -> Bench:
    bench = started(me, **parameters)
    bench.app.is_due = True
    return bench


def locked() -> tuple[Bench, list[Any]]:
    """Locked on `block_of()` in round 0, the precommit asked for."""
    bench = started()
    bench.sign(bench.propose(block_of()))
    return bench, bench.prevotes(block_of().id, who=[0, 1])


def record_of(effects: list[Effect]) -> RoundRecord:
    """The record that the last write holds."""
    raws = [write.batch.round_record for write in of(Write, effects) if write.batch.round_record is not None]
    return decode_record(raws[-1])


def proposal_of(
    block: VerifiedBlock, round: int = 0, valid_round: int = -1, forger: int | None = None, height: int = HEIGHT
) -> Proposal:
    who = round % len(WHO) if forger is None else forger
    return Proposal(height, round, valid_round, block.id, WHO[who], SIGNATURE)


def vote_of(
    who: int, step: VoteStep, value: Hash32 | None, *, round: int = 0, polka: int = -1, height: int = HEIGHT
) -> Vote:
    return Vote(height, round, step, value, polka, WHO[who], SIGNATURE)


def signed(message: Signable) -> Any:
    return replace(message, signature=SIGNATURE)


def of(kind: type[E], effects: list[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def events(kind: type[N], effects: list[Effect]) -> list[N]:
    return [effect.event for effect in of(Emit, effects) if isinstance(effect.event, kind)]


def timers(effects: list[Effect]) -> list[tuple[TimerKind, int, int]]:
    """(kind, round, delay) of each timer that is set."""
    return [(effect.key.kind, effect.key.round, effect.delay_ms) for effect in of(SetTimer, effects)]


def asked(effects: list[Effect]) -> list[Signable]:
    return [effect.message for effect in of(Sign, effects)]


def rounds(effects: list[Effect]) -> list[int]:
    return [event.round for event in events(ForgerDrawn, effects)]
