"""One process of a Twins scenario: a production engine, a chain of one height, a disk, and a signer of its own.

Each twin has its own signing record: two machines that do not know of each other is what a stolen key comes to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.pos import Forgers
from blockchain.consensus.record import RoundRecord, decode_record
from blockchain.consensus.signing import after_signing, check_request
from blockchain.consensus.tendermint import Tendermint
from blockchain.errors import SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.block import Block, Header, VerifiedBlock, block_id
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey, SigningKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate, Evidence, Proposal, Vote, sign_message
from blockchain.seams import (
    Broadcast,
    Effect,
    Emit,
    EngineInput,
    Halt,
    HeadMoved,
    Locked,
    OffenceSeen,
    Penalize,
    ProposalReceived,
    Proposed,
    ProveVrf,
    SetTimer,
    Sign,
    Signed,
    SigningRecord,
    SignRefused,
    Started,
    TimerKey,
    VoteReceived,
    VrfProved,
    Write,
)

GENESIS_HASH: Final = Hash32(sha256(b"twins").digest())
KEYS: Final = tuple(
    sorted((SigningKey(sha256(b"twins %d" % n).digest()) for n in range(4)), key=lambda key: key.public_key)
)
PARAMETERS: Final = Parameters(commit_wait_ms=0)  # the first height has no precommits to wait for
NOW: Final = 1_800_000_000_000  # every clock shows this: time is not what Twins are about
SIGNATURES_MAX: Final = 100_000  # remembered: scenarios differ in who hears what, and hardly in what is signed
_NONE: Final = Hash32(bytes(32))
_PROOF: Final = bytes(80)  # no chain checks it here

Message = Proposal | Vote


@dataclass(frozen=True)
class Making:
    """What a process is made of: the production parts, unless a test plants a bug in one of them."""

    validators: Callable[[list[Validator]], ValidatorSet] = ValidatorSet
    rules: Callable[[ValidatorSet], Tendermint] = Tendermint
    check: Callable[[SigningRecord, Message], Message | None] = check_request
    recalled: Callable[[RoundRecord], RoundRecord] = lambda record: record  # what is read back after a kill


class OneHeight:
    """Implements `seams.Application`: a chain whose first block is due, every block is good, and no more come."""

    def __init__(self, process: int, validators: ValidatorSet) -> None:
        self.height = 1
        self.seed = _NONE
        self.validators = self.parent_validators = validators
        self.parent_certificate = Certificate(0, 0, _NONE, ())
        self.parent_time_ms = NOW - 1_000
        self.final: tuple[VerifiedBlock, Certificate] | None = None
        self.final_round = -1  # the round that this process was in
        self.blocks: dict[Hash32, VerifiedBlock] = {}  # all that it ever had, so that a body on disk is an id
        self._kept: tuple[Vote, ...] = ()
        self._process = process

    def is_block_due(self) -> bool:
        return self.final is None

    def build_block(self, round: int, vrf_proof: bytes, certificate: Certificate, now: int) -> VerifiedBlock:
        block = _block(self._process, round)
        self.blocks[block.id] = block
        return block

    def check_block(self, block: VerifiedBlock) -> None:
        pass

    def keep_prevotes(self, height: int, prevotes: tuple[Vote, ...]) -> list[Effect]:
        self._kept = prevotes
        return []

    def kept_prevotes(self, height: int) -> tuple[Vote, ...]:
        return self._kept

    def finalize(self, block: VerifiedBlock, certificate: Certificate, round: int, now: int) -> list[Effect]:
        self.final, self.final_round = (block, certificate), round
        self.height += 1
        self.parent_certificate = certificate
        return []


class Process:
    """`said` is what it passes on: its own messages and those of others that its engine took, in that order."""

    def __init__(
        self, number: int, key: SigningKey, validators: ValidatorSet, forgers: Forgers, making: Making
    ) -> None:
        self.number = number
        self.said: dict[Message, VerifiedBlock | None] = {}
        self.given: list[Message] = []  # by others, whatever became of it
        self.evidence: list[Evidence] = []
        self.refusals: list[str] = []  # of its signer
        self.faults: list[str] = []  # what must not happen
        self.timers: dict[TimerKey, int] = {}  # delays that the play has not taken up yet
        self.locks = 0
        self.proposed_again = 0
        self.app = OneHeight(number, validators)
        self._key = key
        self._forgers = forgers
        self._making = making
        self._record = SigningRecord(PublicKey(key.public_key))
        self._stored: RoundRecord | None = None
        self._bodies: dict[Hash32, VerifiedBlock] = {}
        self.engine = self._engine()

    @property
    def round(self) -> int:
        return self.engine.current.rules.round

    def start(self) -> list[Broadcast]:
        """Start, or start again after a kill: what it passes on then."""
        self.said, self.given, self.timers = {}, [], {}
        self.engine = self._engine()
        if self._stored is not None and self.app.final is None:
            bodies = {block_id: self._bodies[block_id] for block_id in self._stored.block_ids()}
            self.engine.restore(self._making.recalled(self._stored), bodies)
        return self.handle(Started((self._record,)))

    def take(self, message: Message, block: VerifiedBlock | None) -> list[Broadcast]:
        """A message from another process."""
        if isinstance(message, Vote):
            return self.handle(VoteReceived(message, None))
        assert block is not None, "a proposal comes with its block"
        self.app.blocks[block.id] = block
        return self.handle(ProposalReceived(message, block, None))

    def sync(self, block: VerifiedBlock, certificate: Certificate) -> list[Broadcast]:
        """Take over a final block from another process, as `node/sync.py` does. Raises InvalidCertificate."""
        self.engine.verify_seal(block, certificate, self.app.validators)
        self.engine.keep_prevotes()
        self.app.finalize(block, certificate, self.round, NOW)
        return self.handle(HeadMoved())

    def handle(self, given: EngineInput) -> list[Broadcast]:
        """One input to the engine, and the answers of its signer: what it passes on."""
        inputs = deque([given])
        told: list[Broadcast] = []
        while inputs:
            for effect in self.engine.handle(inputs.popleft(), NOW):
                match effect:
                    case Broadcast(message=message, block=block):
                        self.said[message] = block
                        told.append(effect)
                    case Sign(message=Proposal() | Vote() as message):
                        inputs.append(self._sign(message))
                    case ProveVrf():
                        inputs.append(VrfProved(effect.height, effect.round, _PROOF))
                    case _:
                        self._note(effect)
        return told

    def _engine(self) -> BftEngine:
        engine = BftEngine(
            self.app,
            lambda *_: self._forgers,
            GENESIS_HASH,
            PARAMETERS,
            frozenset({PublicKey(self._key.public_key)}),
        )
        engine.current.rules = self._making.rules(self.app.validators)
        return engine

    def _note(self, effect: Effect) -> None:
        match effect:
            case Write(batch=batch) if batch.round_record is not None:
                self._stored = decode_record(batch.round_record)
                self._bodies.update((block_id, self.app.blocks[block_id]) for block_id, _ in batch.round_blocks)
            case SetTimer(key=key, delay_ms=delay):
                self.timers[key] = delay
            case OffenceSeen(evidence=evidence):
                self.evidence.append(evidence)
            case Emit(event=Locked()):
                self.locks += 1
            case Emit(event=Proposed(valid_round=valid_round)):
                self.proposed_again += valid_round >= 0
            case Penalize(why=why) | Halt(why=why):
                self.faults.append(why)
            case _:
                pass

    def _sign(self, message: Message) -> Signed | SignRefused:
        try:
            known = self._making.check(self._record, message)
        except SigningRefused as error:
            self.refusals.append(error.why)
            return SignRefused(message, error.why)
        if known is None:
            known = _signed(message, self._key)
            self._record = after_signing(self._record, known)
        return Signed(known)


@lru_cache(maxsize=SIGNATURES_MAX)
def _signed(message: Message, key: SigningKey) -> Message:
    signed = sign_message(message, key, GENESIS_HASH)
    assert isinstance(signed, Proposal | Vote)
    return signed


@lru_cache(maxsize=10_000)
def _block(process: int, round: int) -> VerifiedBlock:
    """The block that a process builds in a round: each builds another, the twins too."""
    root = Hash32(bytes([process]) * 32)
    header = Header(
        version=1,
        height=1,
        round=round,
        seed=_NONE,
        time_ms=NOW,
        parent=_NONE,
        forger=Address(KEYS[max(process - 1, 0)].public_key),
        vrf_proof=_PROOF,
        transaction_root=root,
        state_root=root,
        validators_hash=root,
        next_validators_hash=root,
        evidence_root=root,
        parent_certificate_hash=root,
        transaction_count=0,
        evidence_count=0,
    )
    block = Block(header, (), (), Certificate(0, 0, _NONE, ()))
    return VerifiedBlock(block_id(header, GENESIS_HASH), codec.encode(block), block, ())
