"""The chain: where agreement meets value. The head, the final state above it, and blocks on trial.

It answers what an engine may ask (`seams.Application`): the set, the seed, a block to propose, whether a block is
good; and turns a decided block into one atomic write. Checking uses neither clock nor pool (docs/protocol.md §4.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from blockchain.consensus.evidence import accused
from blockchain.consensus.pos import ProofOfStake
from blockchain.errors import ForkFound, InvalidBlock, InvalidCertificate
from blockchain.genesis import LEDGERS
from blockchain.ledger.smt_build import HERE, Builders
from blockchain.ledger.state import Overlay
from blockchain.node.checkpoint import Checkpoint
from blockchain.node.entry import refusal_event
from blockchain.node.evidence_age import EvidenceAge
from blockchain.node.evidence_pool import EvidencePool
from blockchain.node.evidence_rules import EvidenceRules
from blockchain.node.fullness import Fullness
from blockchain.node.kept_prevotes import KeptPrevotes
from blockchain.node.loading import Head, load
from blockchain.node.mempool import Mempool
from blockchain.node.state_slices import StateSlices
from blockchain.node.turns import Turns, turn_of
from blockchain.primitives import codec
from blockchain.primitives.block import (
    BODY_BYTES_MAX,
    Block,
    Header,
    VerifiedBlock,
    block_id,
    evidence_root,
    transaction_root,
)
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.smt_proof import StateProof
from blockchain.primitives.transaction import VerifiedTransaction, parties_of
from blockchain.primitives.validators import ValidatorSet, verify_certificate
from blockchain.primitives.vote import Certificate, Evidence, Fork, Vote, certificate_hash
from blockchain.seams import (
    Batch,
    BlockFinalized,
    Effect,
    Emit,
    FinalBlock,
    Ledger,
    Settlement,
    Stage,
    Store,
    Story,
    Write,
)

TRIALS_MAX: Final = 32  # blocks of one height kept with their outcome; a forgotten one is computed again
NEWLY_FINAL_BLOCKS: Final = 16  # whose ids are kept at hand: some seconds, by which peers' pools may be behind


class Trial(Struct, frozen=True):
    """What a good block leads to: the state after it, what its end paid, the next set and the next seed."""

    state: Overlay
    settlement: Settlement
    next_validators: ValidatorSet
    next_seed: Hash32


class Chain:
    """One chain on one store. Implements `seams.Application`."""

    def __init__(
        self,
        spec: ChainSpec,
        selection: ProofOfStake,
        store: Store,
        checkpoint: Checkpoint | None = None,
        builders: Builders = HERE,
    ) -> None:
        """Take up what the store holds; `builders` may build the state's tree elsewhere. Raises StoreError."""
        self.spec = spec
        self.checkpoint = checkpoint
        self.genesis_hash = spec.hash
        self.ledger: Ledger = LEDGERS[spec.ledger](spec)
        self.selection = selection
        self._parameters = spec.parameters
        self._fullness = Fullness(spec.parameters)
        self._store = store
        loaded = load(spec, self.ledger, selection, store, builders)
        self._genesis = loaded.genesis  # others may hold it, too: never changed
        self._final = loaded.final
        self._present = self.state()  # to read from; nothing is written to it
        self._slices = StateSlices(store.slice_end())
        self._trials: dict[Hash32, Trial] = {}
        self._newest = deque[tuple[Hash32, ...]]()  # of the newest final blocks, the ids
        self._newly_final: set[Hash32] = set()  # all of these
        self.head, self._validators, self._seed = loaded.head, loaded.validators, loaded.seed
        self.turns = Turns(store, self.head.height, self.head.validators, self._validators)
        self.pool = Mempool(self.ledger, self.state(), self.height)
        self._age = EvidenceAge(spec.parameters, store, self.head.height, self.head.time_ms)
        self._evidence_rules = EvidenceRules(self.ledger, self._age, self.genesis_hash)
        self.evidence = EvidencePool(self._evidence_rules, self.state(), self.height, self.head.time_ms)
        self._prevotes = KeptPrevotes(store, self._age)
        self.is_wait_over = False  # the oldest ready transaction has waited `block_max_wait`
        self.is_heartbeat_due = False
        # Who wants to see each final block, its certificate, its set and its parent's: one reader, where there is any.
        self.on_final: Callable[[VerifiedBlock, Certificate, ValidatorSet, ValidatorSet], None] | None = None

    def state(self) -> Overlay:
        """The final state, to read from or to try changes on."""
        return Overlay(self._final)

    def prove(self, keys: Sequence[bytes]) -> StateProof:
        """The proof of these records, or of their absence, under the state_root of the head's header."""
        return self._final.prove(keys)

    # ------------------------------------------------------------------------------------------------ Application

    @property
    def height(self) -> int:
        """The height in progress, which is the head's + 1."""
        return self.head.height + 1

    @property
    def seed(self) -> Hash32:
        return self._seed

    @property
    def validators(self) -> ValidatorSet:
        return self._validators

    @property
    def parent_validators(self) -> ValidatorSet:
        return self.head.validators

    @property
    def parent_certificate(self) -> Certificate:
        return self.head.certificate

    @property
    def parent_time_ms(self) -> int:
        return self.head.time_ms

    def is_block_due(self) -> bool:
        if self.checkpoint is not None and self.checkpoint.height == self.height:
            return False  # that block is there already, and a new one would be another (protocol §8.8)
        ready = self.pool.ready_count
        if ready >= self._parameters.block_threshold or len(self.evidence) > 0:
            return True
        return (self.is_wait_over and ready > 0) or self.is_heartbeat_due

    def build_block(self, round: int, vrf_proof: bytes, certificate: Certificate, now: int) -> VerifiedBlock:
        state, chosen = self._choose()
        forger = self.selection.forgers(self._seed, self.height, self._validators).forger(round)
        time_ms, evidence = self._fullness.choose(self.evidence, len(chosen), self.head.time_ms, now)
        header = Header(
            version=1,
            height=self.height,
            round=round,
            seed=self._seed,
            time_ms=time_ms,
            parent=self.head.id,
            forger=forger,
            vrf_proof=vrf_proof,
            transaction_root=transaction_root([transaction.id for transaction in chosen]),
            state_root=Hash32(bytes(32)),
            validators_hash=self._validators.hash(self.genesis_hash),
            next_validators_hash=Hash32(bytes(32)),
            evidence_root=evidence_root(evidence, self.genesis_hash),
            parent_certificate_hash=certificate_hash(certificate, self.genesis_hash),
            transaction_count=len(chosen),
            evidence_count=len(evidence),
        )
        # What all others refuse must not leave: alone, this node could even make it final.
        self._fullness.check(header, self.head.time_ms)
        return self._seal(header, tuple(chosen), evidence, certificate, state)

    def _choose(self) -> tuple[Overlay, list[VerifiedTransaction]]:
        """What a block takes, and the state after it: by fee, or in the order of arrival where that gives too few.

        The trigger counts in the order of arrival. By fee they may be fewer: of two accounts that stake with one key
        only the first can, and what the other sends next falls away with its stake.
        """
        most = self._parameters.block_max_transactions
        state = self.state()
        chosen = self.pool.select(state, most, BODY_BYTES_MAX)
        if len(chosen) < min(self.pool.ready_count, self._parameters.block_threshold):
            state = self.state()
            chosen = self.pool.select_ready(state, most, BODY_BYTES_MAX)
        return state, chosen

    def _seal(
        self,
        draft: Header,
        chosen: tuple[VerifiedTransaction, ...],
        evidence: tuple[Evidence, ...],
        certificate: Certificate,
        state: Overlay,
    ) -> VerifiedBlock:
        """Complete a draft with what only its outcome tells, and remember the outcome."""
        offenders = tuple(accused(each)[1] for each in evidence)
        settlement = self._finish(state, draft, offenders, certificate)
        following = self.ledger.validators(state, draft.height + 1, self._validators)
        header = replace(draft, state_root=state.root(), next_validators_hash=following.hash(self.genesis_hash))
        block = Block(header, tuple(transaction.raw for transaction in chosen), evidence, certificate)
        verified = VerifiedBlock(block_id(header, self.genesis_hash), codec.encode(block), block, chosen)
        next_seed = self.selection.seed_after_own(header)
        self._remember(verified.id, Trial(state, settlement, following, next_seed))
        return verified

    def _finish(
        self, state: Overlay, header: Header, offenders: tuple[Address, ...], certificate: Certificate
    ) -> Settlement:
        """Do what ends a block on the head, after its transactions."""
        sets = self.head.validators, self._validators
        return self.ledger.finish_block(state, header, offenders, certificate, *sets)

    def check_block(self, block: VerifiedBlock) -> None:
        if block.id not in self._trials:
            self._remember(block.id, self._try(block))

    def keep_prevotes(self, height: int, prevotes: tuple[Vote, ...]) -> list[Effect]:
        return self._prevotes.keep(height, prevotes)

    def kept_prevotes(self, height: int) -> tuple[Vote, ...]:
        return self._prevotes.of(height)

    def finalize(self, block: VerifiedBlock, certificate: Certificate, round: int, now: int) -> list[Effect]:
        return self._move_head(block, certificate, round, now, is_synced=False)

    # ------------------------------------------------------------------------------------------------ sync

    def import_block(self, block: VerifiedBlock, certificate: Certificate, now: int) -> list[Effect]:
        """Take over a block that others made final. The caller has verified the certificate. Raises InvalidBlock."""
        self.check_block(block)
        return self._move_head(block, certificate, certificate.round, now, is_synced=True)

    # ------------------------------------------------------------------------------------------------ trying

    def _remember(self, block_id: Hash32, trial: Trial) -> None:
        while len(self._trials) >= TRIALS_MAX:
            del self._trials[next(iter(self._trials))]
        self._trials[block_id] = trial

    def _try(self, block: VerifiedBlock) -> Trial:
        """All that a block must be (protocol §4.3). Raises InvalidBlock with the field that is wrong."""
        header = block.header
        self.check_fork(block.block.parent_certificate)
        self._check_place(header)
        if self.checkpoint is not None and self.checkpoint.is_missed(header.height, block.id):
            raise InvalidBlock("id", "not the checkpoint's")
        self._check_certificate(block.block.parent_certificate)
        self._fullness.check(header, self.head.time_ms)
        next_seed = self.selection.seed_after(header, self._validators)
        state = self.state()
        offenders = self._evidence_rules.offenders(block, state)
        self.ledger.apply_all(state, (one.transaction for one in block.transactions), header.height)
        settlement = self._finish(state, header, offenders, block.block.parent_certificate)
        following = self.ledger.validators(state, header.height + 1, self._validators)
        if header.next_validators_hash != following.hash(self.genesis_hash):
            raise InvalidBlock("next_validators_hash", "not the hash of the next set")
        if header.state_root != state.root():
            raise InvalidBlock("state_root", "not the root of the state after this block")
        return Trial(state, settlement, following, next_seed)

    def check_fork(self, certificate: Certificate) -> None:
        """Whether somebody proves that the head is not the only final block of its height (protocol §5.9).

        Raises ForkFound. A certificate that proves nothing, or is of another height, is no matter of this check.
        """
        held = self.head.certificate
        if held.height == 0 or certificate.height != held.height or certificate.block_id == held.block_id:
            return
        with suppress(InvalidCertificate):
            verify_certificate(certificate, self.head.validators, self.genesis_hash)
            raise ForkFound(held.height, codec.encode(Fork(held, certificate)))

    def _check_place(self, header: Header) -> None:
        if header.height != self.height:
            raise InvalidBlock("height", f"{header.height}, where {self.height} is due")
        if header.parent != self.head.id:
            raise InvalidBlock("parent", "not the head")
        if header.time_ms <= self.head.time_ms:
            raise InvalidBlock("time_ms", "not later than the parent's")
        if header.seed != self._seed:
            raise InvalidBlock("seed", "not the seed of this height")
        if header.validators_hash != self._validators.hash(self.genesis_hash):
            raise InvalidBlock("validators_hash", "not the hash of the set of this height")
        forgers = self.selection.forgers(self._seed, header.height, self._validators)
        if header.forger != forgers.forger(header.round):
            raise InvalidBlock("forger", f"not the one drawn for round {header.round}")

    def _check_certificate(self, certificate: Certificate) -> None:
        if self.head.height == 0:
            if certificate != self.head.certificate:
                raise InvalidBlock("parent_certificate", "block 1 carries the empty certificate")
            return
        if (certificate.height, certificate.block_id) != (self.head.height, self.head.id):
            raise InvalidBlock("parent_certificate", "not the parent's")
        if certificate == self.head.certificate:
            return  # verified when it moved the head: in a sync it is always this one
        try:
            verify_certificate(certificate, self.head.validators, self.genesis_hash)
        except InvalidCertificate as error:
            raise InvalidBlock("parent_certificate", str(error)) from None

    # ------------------------------------------------------------------------------------------------ moving

    def _move_head(
        self, block: VerifiedBlock, certificate: Certificate, round: int, now: int, *, is_synced: bool
    ) -> list[Effect]:
        self.check_block(block)
        trial = self._trials[block.id]
        header = block.header
        ids = tuple(transaction.id for transaction in block.transactions)
        seen = self._prevotes.accuse(block.block.parent_certificate, self.head.validators)
        forgers = self.selection.forgers(self._seed, header.height, self._validators)
        if self.on_final is not None:
            self.on_final(block, certificate, self._validators, self.head.validators)
        sides = self._validators, self.head.validators
        turn = turn_of(header, block.block.parent_certificate, forgers, *sides, trial.settlement)
        sets = self.turns.sets_after(header.height + 1, self._validators, trial.next_validators)
        self.turns.newest.append(turn)
        self._final.commit(trial.state)
        self._genesis = None
        self._note_final(ids)
        self.head = Head(header.height, block.id, header.time_ms, self._validators, certificate)
        self._validators = trial.next_validators
        self._seed = trial.next_seed
        self._age.on_final(header.height, header.time_ms)
        self.evidence.on_head(self.state(), self.height, header.time_ms)
        self._trials = {}
        self.is_wait_over = False
        self.is_heartbeat_due = False
        decided = Stage("final", now, header.height, certificate.round)
        told = list(map(self.pool.story, ids)) if len(self.pool) else []
        held = [transaction_id for transaction_id, story in zip(ids, told, strict=False) if story]
        ended = self.pool.on_block(self.state(), self.height, block.transactions, trial.settlement, now)
        final = FinalBlock(header.height, block.id, block.raw, codec.encode(certificate), ids)
        batch = Batch(
            block=final,
            parties=tuple(parties_of(transaction.transaction) for transaction in block.transactions),
            sets=sets,
            turn=turn,
            state=trial.state.changes(),
            slice=self._slices.next(self._final, trial.state.changes()),
            clear_round=True,
            block_stories=_ended_with(decided, told) if held else (),
            pending_removed=(*held, *(story.id for story in ended)),
            ended=tuple(ended),
        )
        event = _final_event(final, header, certificate.round, round, now, is_synced=is_synced)
        return [Write(batch), event, *(refusal_event(story) for story in ended), *seen]

    @property
    def newly_final(self) -> Set[Hash32]:
        """The transactions of the newest blocks, since this node runs; no look-up in the store."""
        return self._newly_final

    def _note_final(self, ids: tuple[Hash32, ...]) -> None:
        self._newest.append(ids)
        self._newly_final.update(ids)
        if len(self._newest) > NEWLY_FINAL_BLOCKS:
            self._newly_final.difference_update(self._newest.popleft())

    def next_nonce(self, address: Address) -> int:
        return self.ledger.next_nonce(self._present, address)


def _ended_with(stage: Stage, stories: Sequence[Story]) -> tuple[Story, ...]:
    """Each that says something with this stage at its end; those that are one and the same stay so."""
    longer = {id(story): (*story, stage) for story in {id(one): one for one in stories if one}.values()}
    return tuple([longer.get(id(story), ()) for story in stories])


def _final_event(
    final: FinalBlock, header: Header, decided_round: int, round: int, now: int, *, is_synced: bool
) -> Emit:
    event = BlockFinalized(
        height=final.height,
        round=round,
        decided_round=decided_round,
        block_id=final.id,
        forger=header.forger,
        transaction_ids=final.transaction_ids,
        block_time_ms=header.time_ms,
        final_ms=now,
        synced=is_synced,
    )
    return Emit(event)
