"""A node in memory, as far as `NodeReader` goes: a small real chain, and knobs for what tests need.

Every method insists on the thread that made the fake: the API may take views on the loop only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from blockchain.consensus.pos import ProofOfStake
from blockchain.errors import InvalidSignature, MalformedMessage
from blockchain.ledger.state import FinalState
from blockchain.node.record import Missed, RecordFacts
from blockchain.node.seen import WhyFacts
from blockchain.node.timeline import HeightSeen
from blockchain.node.views import (
    AccountChange,
    AccountProofView,
    AccountView,
    BanView,
    ConsensusView,
    DialView,
    DryRunView,
    Holdings,
    LotteryReceipt,
    NetworkView,
    OutcomeView,
    PeerView,
    PoolView,
    StatusView,
    SyncView,
    TransactionView,
    UnbondingView,
)
from blockchain.primitives import codec
from blockchain.primitives.block import Block, Header, block_id, decode_block, evidence_root, transaction_root
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature, SigningKey
from blockchain.primitives.records import Account, Pause, account_key, stakeholder_key
from blockchain.primitives.transaction import (
    Transaction,
    VerifiedTransaction,
    decode_transaction,
    parties_of,
    transaction_id,
    verify_transaction,
)
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import (
    Certificate,
    CommitSignature,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Step,
    Vote,
    VoteStep,
    empty_certificate,
)
from blockchain.seams import FinalBlock, Loss, PeerId, Stage, SubmissionResult, Turn
from blockchain.wallet import Wallet

ALICE_KEY = SigningKey(b"\x01" * 32)
BOB_KEY = SigningKey(b"\x02" * 32)
SPEC = ChainSpec(
    chain_id="test",
    time_ms=1_000,
    parameters=Parameters(block_threshold=2, block_max_wait_ms=None),
    issuer=Address(BOB_KEY.public_key),
    accounts=(GenesisAccount(Address(ALICE_KEY.public_key), 1_000),),
    validators=(GenesisValidator(Address(ALICE_KEY.public_key), 100),),
)
GENESIS_HASH = SPEC.hash
ALICE = Wallet(ALICE_KEY, GENESIS_HASH)
BOB = Wallet(BOB_KEY, GENESIS_HASH)
SIGNATURE = Signature(b"\x5a" * 64)
HASH = Hash32(b"\xc1" * 32)

_VOTE = Vote(2, 1, VoteStep.PREVOTE, HASH, -1, ALICE.address, SIGNATURE)
_NIL = Vote(2, 0, VoteStep.PRECOMMIT, None, -1, ALICE.address, SIGNATURE)
_PROPOSAL = Proposal(2, 0, -1, HASH, ALICE.address, SIGNATURE)
EVIDENCE: tuple[Evidence, ...] = (
    ConflictingVotes(_VOTE, _VOTE),
    ConflictingProposals(_PROPOSAL, _PROPOSAL),
    ForgottenLock(_NIL, _VOTE),
)


class FakeNode:
    """`heights` final blocks of two transactions each; the second holds one of each kind of evidence."""

    def __init__(self, heights: int = 3, transactions_per_block: int = 2) -> None:
        self._thread = threading.get_ident()
        self._blocks: dict[int, FinalBlock] = {}
        self._heights: dict[bytes, int] = {}
        self._transactions: dict[bytes, TransactionView] = {}
        self._later: list[VerifiedTransaction] = []
        self.waited: list[tuple[tuple[Hash32, ...], float]] = []  # what was waited for, and for how many seconds
        self.is_slow = False  # whoever waits, waits until it leaves
        self.begins_to_wait, self.stops_waiting = asyncio.Event(), asyncio.Event()
        self.members = ValidatorSet([Validator(ALICE.address, ALICE_KEY.public_key, 1)])
        self.pool: list[VerifiedTransaction] = []
        self.refuse: dict[bytes, tuple[str, str]] = {}
        self.submitted: list[list[bytes]] = []
        self.is_halted = ""
        self.untrusted = ""
        self.silent = ""
        self.validator: Address | None = ALICE.address
        self.keys: tuple[PublicKey, ...] = (ALICE_KEY.public_key,)
        self.is_syncing = False
        self.stalled_ms = 0
        self.network = NetworkView(12, 3, "yes", "2 of 2 peers that tried reached this node")
        self.breaks_with: Exception | None = None
        self.asked = 0
        self._nonce = 0
        for height in range(1, heights + 1):
            self._add_block(height, [self._next_transaction() for _ in range(transactions_per_block)])

    # ---------------------------------------------------------------------------------------- knobs

    def make_pending(self) -> VerifiedTransaction:
        made = self._next_transaction()
        self.pool.append(made)
        self._transactions[made.id] = TransactionView(
            made.id, "pending", made.raw, stages=(Stage("received", 4_000, why="from a peer"),)
        )
        return made

    def make_refused(self) -> VerifiedTransaction:
        made = self._next_transaction()
        stages = (
            Stage("received", 4_000, why="from a client"),
            Stage("evicted", 5_000, code="evicted", why="the pool was full"),
        )
        self._transactions[made.id] = TransactionView(made.id, "evicted", None, stages=stages)
        return made

    def final_id(self) -> Hash32:
        """Of a transaction of the first block."""
        return self._blocks[1].transaction_ids[0]

    def add_block(self, fees: Sequence[int] = (0, 0)) -> None:
        """One more final block, of a transaction for each fee."""
        self._add_block(max(self._blocks, default=0) + 1, [self._next_transaction(fee) for fee in fees])

    def forget(self, height: int) -> None:
        del self._blocks[height]

    def finalize(self, made: VerifiedTransaction) -> None:
        self._transactions[made.id] = TransactionView(made.id, "final", made.raw, 1, 0, (Stage("final", 6_000, 1, 0),))

    def finalize_while_waiting(self, made: VerifiedTransaction) -> None:
        """It becomes final as soon as somebody waits."""
        self._later.append(made)

    # ----------------------------------------------------------------------------------- NodeReader

    @property
    def spec(self) -> ChainSpec:
        return SPEC

    @property
    def genesis_hash(self) -> Hash32:
        return GENESIS_HASH

    @property
    def node_id(self) -> PeerId:
        return PeerId(b"\x0d" * 32)

    def status(self) -> StatusView:
        self._enter()
        height = max(self._blocks, default=0)
        return StatusView(
            height=height,
            head=self._blocks[height].id if height else GENESIS_HASH,
            head_time_ms=2_000,
            best_peer_height=height + 5 * self.is_syncing,
            is_syncing=self.is_syncing,
            is_halted=self.is_halted,
            validator=self.validator,
            is_active=self.validator is not None,
            keys=self.keys,
            peers=1,
            pool=PoolView(len(self.pool), len(self.pool), sum(len(one.raw) for one in self.pool), 2),
            consensus=self._consensus(height + 1),
            stalled_ms=self.stalled_ms,
            sync=self._sync(height),
            untrusted=self.untrusted,
            silent=self.silent,
            network=self.network,
        )

    def _sync(self, height: int) -> SyncView:
        if not self.is_syncing:
            return SyncView(height, None, None, 0, "")
        return SyncView(height + 5, 12.5, 0.4, 1, "")

    def peers(self) -> list[PeerView]:
        self._enter()
        return [
            PeerView(
                PeerId(b"\x0e" * 32), "localhost:8011", False, 3, 0, "127.0.0.1", "blockchain/1.0", 5, 12, 3, "reached"
            )
        ]

    def bans(self) -> list[BanView]:
        return [
            BanView(PeerId(b"\x0f" * 32), "", "bad_signature", "why", 431, 1),
            BanView(None, "203.0.113.7", "bad_signature", "why", 31, 1),
        ]

    def dials(self) -> list[DialView]:
        self._enter()
        return [DialView("localhost:8012", 4, "connection refused", False, 9_000, 13_000)]

    def pending(self) -> list[VerifiedTransaction]:
        self._enter()
        return list(self.pool)

    def account(self, address: Address) -> AccountView:
        self._enter()
        if address != ALICE.address:
            return AccountView(address, 0, 0, 0)
        return AccountView(
            address,
            994,
            self._nonce,
            self._nonce,
            stake=1,
            staked=1,
            waiting=2,
            unbonding=(UnbondingView(4, 9, 100_010, None), UnbondingView(5, 3, 100_004, 1_769_040_000_001)),
            validator_key=ALICE_KEY.public_key,
            validator_key_from=7,
            suspension=0,
            pause=Pause(2, 4),
        )

    def validators(self, height: int | None = None) -> ValidatorSet:
        self._enter()
        if height is not None and height > max(self._blocks, default=0) + 1:
            raise LookupError(height)
        return self.members

    def records(self) -> RecordFacts:
        """Alice was drawn each time, and let her turn pass at height 2; the certificate of block 1 lacks her."""
        self._enter()
        turns = tuple(
            Turn(
                height,
                int(height == 2),
                ALICE.address,
                1,
                (ALICE.address,) * (1 + (height == 2)),
                absent,
                (),
                parents_stake=int(height > 1),
                earned=2,
                for_signers=3 * (height > 1),
                lost=(Loss(ALICE.address, 4),) if height == 2 else (),
            )
            for height in sorted(self._blocks)
            for absent in [(ALICE.address,) if height == 2 else ()]
        )
        return RecordFacts(turns, self.members, frozenset({ALICE.address}))

    def missed(self, address: Address) -> dict[int, Missed]:
        self._enter()
        return {1: Missed(1, "late", 12)}

    def transaction(self, transaction_id: Hash32) -> TransactionView | None:
        self._enter()
        return self._transactions.get(transaction_id)

    def history(self, address: Address, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        self._enter()
        places = [
            (height, position)
            for height, final in self._blocks.items()
            for position, raw in enumerate(decode_block(final.raw).transactions)
            if address in parties_of(decode_transaction(raw)) and (before is None or (height, position) < before)
        ]
        return sorted(places, reverse=True)[:count]

    def outcome(self, transaction_id: Hash32) -> OutcomeView:
        view = self.transaction(transaction_id)
        if view is None:
            return OutcomeView(transaction_id, "unknown")
        return OutcomeView(view.id, view.state, view.height, view.position)

    def dry_run(self, transaction: Transaction, transaction_id: Hash32) -> DryRunView:
        self._enter()
        if transaction_id in self.refuse:
            return DryRunView("refused", 4, *self.refuse[transaction_id])
        change = AccountChange(transaction.sender, Holdings(994, 6, 1), Holdings(993, 7, 1))
        return DryRunView("applies", 4, changes=(change,))

    async def wait_ended(self, transaction_ids: Sequence[Hash32], seconds: float) -> None:
        self._enter()
        self.waited.append((tuple(transaction_ids), seconds))
        for made in self._later:
            self.finalize(made)
        if self.is_slow:
            self.begins_to_wait.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stops_waiting.set()

    def account_proof(self, address: Address) -> AccountProofView | None:
        self._enter()
        final = self._blocks.get(max(self._blocks, default=0))
        if final is None:
            return None
        state = FinalState([(account_key(ALICE.address), codec.encode(Account(994, self._nonce)))])
        return AccountProofView(address, state.prove([account_key(address), stakeholder_key(address)]), final)

    def one_moment(self) -> AbstractContextManager[None]:
        return nullcontext()

    def block(self, height: int) -> FinalBlock | None:
        self._enter()
        return self._blocks.get(height)

    def height_of(self, block_id: Hash32) -> int | None:
        self._enter()
        return self._heights.get(block_id)

    def lottery(self, height: int, round: int) -> LotteryReceipt | None:
        self._enter()
        if height not in self._blocks:
            return None
        return LotteryReceipt(
            genesis_hash=GENESIS_HASH,
            height=height,
            round=round,
            seed=HASH,
            reference=HASH,
            point=0,
            total_stake=1,
            left_out=(BOB.address,) * round,
            forger=ALICE.address,
            interval=(0, 1),
            validators=ValidatorSet([Validator(ALICE.address, ALICE_KEY.public_key, 1)]),
            vrf_proof=None if round else b"\xb2" * 80,
            header=decode_block(self._blocks[height].raw).header,
            parent_header=decode_block(self._blocks[height - 1].raw).header if height > 1 else None,
            certificate=empty_certificate(GENESIS_HASH),
        )

    def why(self, height: int) -> WhyFacts | None:
        self._enter()
        stored = self._blocks.get(height)
        if stored is None and height != max(self._blocks, default=0) + 1:
            return None
        return WhyFacts(
            height, self._seen(height), stored, self.members, ProofOfStake(GENESIS_HASH).forgers, "the pool"
        )

    def _seen(self, height: int) -> HeightSeen | None:
        """Nothing of the first; of the others one vote, and a time-out."""
        if height == 1:
            return None
        seen = HeightSeen(height, self.members, 5_000, is_whole=True)
        found = seen.round(0)
        assert found is not None
        found.forger, found.began, found.due, found.proposed, found.timed_out = (
            ALICE.address,
            0,
            9,
            12,
            {Step.PROPOSE: 9},
        )
        found.prevotes.note(0, 9, None, 1)
        seen.final, seen.decided_round = (40, 0) if height in self._blocks else (None, None)
        seen.refusals.append((0, Step.PREVOTE, "the record forbids it"))
        return seen

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        self._enter()
        self.submitted.append(raws)
        return [self._submit(raw) for raw in raws]

    # -------------------------------------------------------------------------------------- inside

    def _enter(self) -> None:
        assert threading.get_ident() == self._thread, "a view was taken on another thread"
        self.asked += 1
        if self.breaks_with is not None:
            raise self.breaks_with

    def _submit(self, raw: bytes) -> SubmissionResult:
        identifier = transaction_id(GENESIS_HASH, raw)
        try:
            made = verify_transaction(raw, GENESIS_HASH)
        except (MalformedMessage, InvalidSignature) as error:
            return SubmissionResult(identifier, error.code, str(error))
        if identifier in self.refuse:
            return SubmissionResult(identifier, *self.refuse[identifier])
        if identifier not in self._transactions:
            self.pool.append(made)
            self._transactions[identifier] = TransactionView(identifier, "pending", raw)
        return SubmissionResult(identifier)

    def _next_transaction(self, fee: int = 0) -> VerifiedTransaction:
        self._nonce += 1
        return ALICE.transfer(BOB.address, 1, self._nonce - 1, fee)

    def _consensus(self, height: int) -> ConsensusView:
        return ConsensusView(
            height=height,
            round=0,
            step=Step.PROPOSE,
            forger=ALICE.address,
            has_proposal=False,
            locked_round=-1,
            locked_block=None,
            valid_round=0,
            valid_block=HASH,
            total_stake=1,
            prevote_stake=0,
            precommit_stake=0,
            missing_prevotes=(ALICE.address,),
            missing_precommits=(ALICE.address,),
            offline=(ALICE.address,),
            waiting_for="pool holds 1 of 2",
        )

    def _add_block(self, height: int, made: Sequence[VerifiedTransaction]) -> None:
        evidence = EVIDENCE if height == 2 else ()
        header = _header(height, made, evidence)
        identifier = block_id(header, GENESIS_HASH)
        block = Block(header, tuple(one.raw for one in made), evidence, empty_certificate(GENESIS_HASH))
        own = Certificate(height, 0, identifier, (CommitSignature(0, SIGNATURE),))
        ids = tuple(one.id for one in made)
        self._blocks[height] = FinalBlock(height, identifier, codec.encode(block), codec.encode(own), ids)
        self._heights[identifier] = height
        for position, one in enumerate(made):
            self._transactions[one.id] = TransactionView(one.id, "final", one.raw, height, position)


class BusyNode(FakeNode):
    """Answers nobody who hands in transactions until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.waiting = 0

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        self.waiting += 1
        await self.goes_on.wait()
        return await super().submit(raws)


def _header(height: int, made: Sequence[VerifiedTransaction], evidence: tuple[Evidence, ...]) -> Header:
    return Header(
        version=1,
        height=height,
        round=0,
        seed=HASH,
        time_ms=1_000 + height,
        parent=HASH,
        forger=ALICE.address,
        vrf_proof=b"\xb2" * 80,
        transaction_root=transaction_root([one.id for one in made]),
        state_root=HASH,
        validators_hash=HASH,
        next_validators_hash=HASH,
        evidence_root=evidence_root(evidence, GENESIS_HASH),
        parent_certificate_hash=HASH,
        transaction_count=len(made),
        evidence_count=len(evidence),
    )


def with_other_signature(made: VerifiedTransaction) -> bytes:
    """The same transaction with a signature that does not verify."""
    return codec.encode(msgspec.structs.replace(made.transaction, signature=SIGNATURE))
