"""The BFT engine: Tendermint's rules joined with keys, blocks, time-outs and the trigger (docs/protocol.md §5).

Theory of operation. `Tendermint` (the algorithm) says what must be done; this engine does it by effects. A vote or
proposal is written down (`Write`) and signed (`Sign`), a precommit in that order, and counts and leaves when both are
done. A round in which there is nothing to do waits: its forger proposes when the trigger comes to hold, and the
propose time-out runs only where there is a reason to expect a proposal. When a height is decided the chain makes its
block final, and the next height begins.

Who forges is a parameter (`pos.py`); what a block may hold is the chain's business, asked through `Application`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from blockchain.consensus.commit import Commit, certificate_of
from blockchain.consensus.forging import Forging
from blockchain.consensus.fork import effects_of
from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.late import LateVotes, kept_prevotes
from blockchain.consensus.pos import Forgers
from blockchain.consensus.proposals import check_fit, untimely
from blockchain.consensus.record import RoundRecord
from blockchain.consensus.signing import step_of, unsigned
from blockchain.consensus.tendermint import (
    Action,
    Candidate,
    CastVote,
    Decide,
    LockedOn,
    RoundStarted,
    ScheduleTimeout,
    ValidNow,
)
from blockchain.consensus.timeouts import STEP_OF, timeout
from blockchain.consensus.voice import Voice
from blockchain.consensus.votes import Added
from blockchain.errors import ForkFound, InvalidBlock, InvalidCertificate
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import ValidatorSet, verify_certificate
from blockchain.primitives.vote import Certificate, ConflictingProposals, Proposal, Step, Vote
from blockchain.seams import (
    Application,
    BlockRejected,
    Broadcast,
    Effect,
    Emit,
    EngineInput,
    ForgerDrawn,
    HeadMoved,
    Locked,
    NodeEvent,
    OffenceSeen,
    Penalize,
    PoolChanged,
    ProposalReceived,
    Proposed,
    RoundTimedOut,
    SignatureRefused,
    Signed,
    SignerRegained,
    SigningRecord,
    SignRefused,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    VoteReceived,
    VrfProved,
    VrfRefused,
)

PROPOSALS_AHEAD_MAX: Final = 2  # rounds ahead of one's own of which a proposal is kept; others come again


class BftEngine:
    """Implements `seams.Engine`. `keys` are the validator keys that this node holds; without one it follows.

    The set of a height says which of them signs there: a validator's key may change from one height to the next.
    `is_away`: of whom no precommit is waited for (protocol §4.4); nobody, where it is not given.
    """

    def __init__(
        self,
        app: Application,
        forgers: Callable[[Hash32, int, ValidatorSet], Forgers],
        genesis_hash: Hash32,
        parameters: Parameters,
        keys: frozenset[PublicKey],
        is_away: Callable[[Address], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._forgers = forgers
        self._genesis_hash = genesis_hash
        self._parameters = parameters
        self._keys = keys
        self.voice = Voice()
        self._forging = Forging(app, self.voice, parameters.commit_wait_ms, is_away)
        self._out: list[Effect] = []
        self.current = self._new_height()
        self._commit = Commit(app.parent_certificate, app.parent_validators)
        self._late = LateVotes.of_head(self._app)

    @property
    def commit(self) -> Certificate:
        """The head's certificate with every precommit that has come since."""
        return self._commit.certificate

    @property
    def key(self) -> PublicKey | None:
        """The key that signs at the height in progress; None: none of this node's is in the set."""
        return self.current.key

    @property
    def validator(self) -> Address | None:
        """The address that this node votes for at the height in progress; None: it is not in the set."""
        return self.current.validator

    @property
    def is_block_awaited(self) -> bool:
        """Whether there is a reason to expect a block of the height in progress (protocol §5.3)."""
        return self.current.rules.step is not Step.PROPOSE or self._forging.expects_proposal(self.current)

    def holds(self, vote: Vote) -> bool:
        """Whether the very vote was counted, at the height in progress or the one before; again it changes nothing."""
        if vote.height == self.current.height - 1:
            return self._late.holds(vote)
        return vote.height == self.current.height and self.current.rules.book.holds(vote)

    def handle(self, given: EngineInput, now: int) -> list[Effect]:
        """React to one input. `now`: wall time in ms, for block times alone."""
        self._out = []
        match given:
            case Started(records=records):
                self._on_started(records, now)
            case ProposalReceived():
                self._on_proposal(given, now)
            case VoteReceived(vote=vote):
                self._on_vote(vote, now)
            case TimerFired(key=key):
                self._on_timer(key, now)
            case Signed(message=Proposal() | Vote() as message):
                self._on_signed(message, now)
            case VrfProved(height=height, proof=proof):
                self.current.note_vrf_proof(height, proof)
            case SignRefused(message=Proposal() | Vote() as message, why=why):
                self._emit(SignatureRefused(message.height, message.round, step_of(message), why))
                self.voice.on_answered(self.current, message)
                self._out.extend(self.voice.on_refused(self.current, message))
            case VrfRefused():
                self._on_vrf_refused(given)
            case SignerRegained(record=record):
                self._on_signer_regained(record, now)
            case Signed() | SignRefused() | PoolChanged():
                pass  # an announcement is the core's, and the trigger is looked at below
            case HeadMoved():
                self._begin_height(now)
            case _:
                assert_never(given)
        self._out.extend(self.voice.speak_up(self.current))
        self._out.extend(self._forging.propose_if_due(self.current, self._commit, now))
        self._arm_propose_timeout()
        return self._out

    def on_fork(self, fork: ForkFound) -> list[Effect]:
        """Keep all that a fork at the head is judged by, say so, and sign nothing any more (protocol §5.9)."""
        self.voice.halt()
        prevotes = self._late.prevotes()
        kept = self._app.keep_prevotes(fork.height, prevotes) if prevotes else []
        return [*kept, *effects_of(fork)]

    def verify_seal(self, block: VerifiedBlock, certificate: Certificate, validators: ValidatorSet) -> None:
        if certificate.height != block.header.height or certificate.block_id != block.id:
            raise InvalidCertificate(f"it is for another block than {block.id.hex()[:8]}")
        verify_certificate(certificate, validators, self._genesis_hash)

    # ------------------------------------------------------------------------------------------------ beginning

    def restore(self, record: RoundRecord, blocks: dict[Hash32, VerifiedBlock]) -> None:
        """Take up the recorded place of the height in progress; called before `Started` (protocol §5.6)."""
        assert record.height == self.current.height, "a round record of another height"
        self.current.take_up(record, blocks)
        own = [message for message in record.signed if isinstance(message, Proposal)]
        for proposal in (*record.proposals, *own):
            self._restore_proposal(proposal)

    def _restore_proposal(self, proposal: Proposal) -> None:
        block = self.current.blocks[proposal.block_id]
        is_valid = self._check(proposal, block)
        self.current.proposals[proposal.round] = proposal
        self.current.rules.proposals[proposal.round] = Candidate(proposal.block_id, proposal.valid_round, is_valid)

    def _on_started(self, records: tuple[SigningRecord, ...], now: int) -> None:
        """Begin, or go on in the restored place with what the signers remember of it."""
        rules = self.current.rules
        for record in records:
            self._take_signing_record(record)
        self._emit(self.current.begun())
        if rules.round < 0:
            self._perform(rules.start_round(0), now)
            return
        unsigned_yet = self.current.unsigned_yet([record for record in records if record.key == self.key])
        self.current.kept_back = [*self.current.signed, *unsigned_yet]
        self._out.extend(self.voice.speak_up(self.current))
        self._perform(rules.resume(), now)  # what it casts comes after: a key signs upwards only

    def _take_signing_record(self, record: SigningRecord) -> None:
        """The last signature may be known to the signer only. A store without what binds must not vote (protocol §5.6).

        Nor with another key than the one whose record shows it: they are one validator's. And a signature at this
        height by a key that is not its validator's here, counts for nobody: what signed it knew another set.
        """
        last = record.message
        if last is None or record.height < self.current.height:
            return
        if not self.current.recall(record):
            self.voice.silence(record.height)
        elif last not in self.current.signed and (isinstance(last, Vote) or self.current.has_body_of(last)):
            self.current.signed.append(last)
            if isinstance(last, Vote):
                self.current.rules.book.add(last, self.current.rules.round)
            else:
                self._restore_proposal(last)

    def _begin_height(self, now: int) -> None:
        self._commit = Commit(self._app.parent_certificate, self._app.parent_validators)
        rules = self.current.rules
        if self.current.height + 1 == self._app.height:
            self._commit.add_known(rules.book)
            self._late = LateVotes(rules.book, rules.round, self.current.asked)
        else:
            self._late = LateVotes.of_head(self._app)
        self.current = self._new_height()
        self._emit(self.current.begun())
        self._perform(self.current.rules.start_round(0), now)

    def keep_prevotes(self) -> list[Effect]:
        """What the height in progress leaves behind; asked for before its block becomes final (protocol §5.8)."""
        rules = self.current.rules
        prevotes = kept_prevotes(rules.book, rules.round)
        return self._app.keep_prevotes(self.current.height, prevotes) if prevotes else []

    def _new_height(self) -> HeightInProgress:
        app = self._app
        forgers = self._forgers(app.seed, app.height, app.validators)
        return HeightInProgress(app.height, app.validators, forgers, self._keys)

    # ------------------------------------------------------------------------------------------------ facts

    def _on_proposal(self, given: ProposalReceived, now: int) -> None:
        proposal, block = given.proposal, given.block
        current = self.current
        is_ahead = proposal.round > current.rules.round + PROPOSALS_AHEAD_MAX
        if proposal.height != current.height or is_ahead or current.is_too_old(proposal.round):
            return
        if proposal.forger != current.forgers.forger(proposal.round):
            if given.peer is not None:
                self._out.append(Penalize(given.peer, "wrong_forger", "a proposal of somebody who was not drawn"))
            return
        known = current.proposals.get(proposal.round)
        if known is not None:
            if known != proposal and unsigned(known) != unsigned(proposal):
                self._out.append(OffenceSeen(ConflictingProposals(known, proposal)))
            return
        is_valid = self._check(proposal, block)
        ahead = untimely(
            proposal, block, parent_time_ms=self._app.parent_time_ms, drift_ms=self._parameters.clock_drift_ms, now=now
        )
        if ahead is not None:
            self._emit(ahead)
        self._accept_proposal(proposal, block, Candidate(block.id, proposal.valid_round, is_valid, ahead is None), now)

    def _accept_proposal(self, proposal: Proposal, block: VerifiedBlock, candidate: Candidate, now: int) -> None:
        self.current.proposals[proposal.round] = proposal
        self.current.blocks[block.id] = block
        self._out.append(Broadcast(proposal, block))
        self._perform(self.current.rules.on_proposal(proposal.round, candidate), now)

    def _check(self, proposal: Proposal, block: VerifiedBlock) -> bool:
        """Whether the proposal fits its block and the block the chain. An invalid one is its forger's fault."""
        try:
            check_fit(proposal, block)
            self._app.check_block(block)
        except InvalidBlock as error:
            self._emit(BlockRejected(proposal.height, proposal.round, proposal.block_id, str(error)))
            return False
        except ForkFound as fork:
            self._out.extend(self.on_fork(fork))
            return False
        return True

    def _on_vote(self, vote: Vote, now: int) -> None:
        if vote.height == self.current.height - 1:
            if self._commit.add(vote):
                self._out.append(Broadcast(vote))
            self._out.extend(map(OffenceSeen, self._late.add(vote)))
        if vote.height != self.current.height:
            return
        added, evidence, actions = self.current.rules.on_vote(vote)
        self._out.extend(map(OffenceSeen, evidence))
        if added is Added.COUNTED:
            self._out.append(Broadcast(vote))
        self._perform(actions, now)

    def _on_timer(self, key: TimerKey, now: int) -> None:
        rules = self.current.rules
        if key.height != self.current.height:
            return
        if key.kind is TimerKind.COMMIT_WAIT:
            self.current.is_commit_wait_over = True
        elif key.kind is TimerKind.SIGN_AGAIN:
            self.voice.ask_for_refused(self.current, key.round)
        step = STEP_OF.get(key.kind)
        if step is None:
            return
        actions = rules.on_timeout(step, key.round)
        if actions:
            self._emit(RoundTimedOut(key.height, key.round, step))
        self._perform(actions, now)

    def _on_vrf_refused(self, given: VrfRefused) -> None:
        """It is asked for again in the next round that this node forges, or when the signer is there again."""
        current = self.current
        if given.height == current.height:
            current.is_vrf_asked, current.vrf_refused_round = False, current.rules.round
            self._emit(SignatureRefused(given.height, given.round, Step.PROPOSE, given.why))

    def _on_signer_regained(self, record: SigningRecord, now: int) -> None:
        """Ask again for what it has not signed; what it has, and this node does not know yet, counts now (§5.6)."""
        self.current.vrf_refused_round = -1
        if self.current.is_beyond(record):
            self.voice.silence(record.height)
            return
        self.voice.ask_again(self.current, record)
        if record.message is not None and record.key == self.key:
            self._on_signed(record.message, now)

    def _on_signed(self, message: Proposal | Vote, now: int) -> None:
        """The vote counts now; others may have decided without it meanwhile. Any other late answer is dropped."""
        current = self.current
        self.voice.on_answered(current, message)
        if isinstance(message, Vote) and self._late.was_asked_for(message) and not self.voice.is_mute:
            self._on_vote(message, now)
        if self.voice.is_mute or unsigned(message) not in current.asked or message in current.signed:
            return
        current.signed.append(message)
        if isinstance(message, Proposal):
            self._emit(Proposed(message.height, message.round, message.valid_round, message.block_id))
            block = current.blocks[message.block_id]
            self._accept_proposal(message, block, Candidate(block.id, message.valid_round, is_valid=True), now)
        else:
            self._on_vote(message, now)

    # ------------------------------------------------------------------------------------------------ actions

    def _perform(self, actions: list[Action], now: int) -> None:
        for action in actions:
            match action:
                case RoundStarted():
                    self._enter_round(action.round)
                case CastVote():
                    self._out.extend(self.voice.cast(self.current, action))
                case ScheduleTimeout(step=step, round=round):
                    self._schedule(step, round)
                case LockedOn(round=round, value=value):
                    self._emit(Locked(self.current.height, round, value))
                case ValidNow():
                    pass  # the rules remember it; nothing leaves
                case Decide():
                    self._finalize(action, now)
                case _:
                    assert_never(action)

    def _enter_round(self, round: int) -> None:
        current = self.current
        current.forget_old_proposals()
        forger = current.forgers.forger(round)
        self._emit(ForgerDrawn(current.height, round, forger))
        asked = any(isinstance(message, Proposal) and message.round == round for message in current.asked)
        if forger == self.validator and not asked:
            current.forges_round = round

    def _schedule(self, step: Step, round: int) -> None:
        if step is Step.PROPOSE:
            self.current.unarmed_round = round  # runs when there is a reason (protocol §5.3)
        else:
            self._out.append(timeout(self._parameters, self.current.height, round, step))

    def _arm_propose_timeout(self) -> None:
        """A propose time-out runs only where there is a reason to expect a proposal (protocol §5.3)."""
        current = self.current
        rules = current.rules
        if current.unarmed_round != rules.round or rules.step is not Step.PROPOSE:
            return
        if self._forging.expects_proposal(current):
            current.unarmed_round = -1
            self._out.append(timeout(self._parameters, current.height, rules.round, Step.PROPOSE))

    def _finalize(self, decision: Decide, now: int) -> None:
        current = self.current
        precommits = current.rules.book.of(decision.round).precommits
        certificate = certificate_of(current.height, decision.round, decision.value, precommits, current.validators)
        block = current.blocks[decision.value]
        self._out.extend(self.keep_prevotes())
        self._out.extend(map(OffenceSeen, self._late.contradicted_by(block.block.parent_certificate)))
        self._out.extend(self._app.finalize(block, certificate, current.rules.round, now))
        self._begin_height(now)

    def _emit(self, event: NodeEvent) -> None:
        self._out.append(Emit(event))
