"""The BFT engine: Tendermint's rules joined with keys, blocks, time-outs and the trigger (docs/protocol.md §5).

Theory of operation. `Tendermint` (the algorithm) says what must be done; this engine does it by effects. A vote or
proposal is first written down (`Write`), then signed (`Sign`), and counts and leaves only when the signature comes
back. A round in which there is nothing to do waits: its forger proposes when the trigger comes to hold, and the
propose time-out runs only where there is a reason to expect a proposal. When a height is decided the chain makes its
block final, and the next height begins.

Who forges is a parameter (`pos.py`); what a block may hold is the chain's business, asked through `Application`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from blockchain.consensus.commit import Commit, certificate_of
from blockchain.consensus.evidence import author_of
from blockchain.consensus.fork import effects_of
from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.late import LateVotes, kept_prevotes
from blockchain.consensus.pos import Forgers
from blockchain.consensus.record import RoundRecord, encode_record
from blockchain.consensus.signing import last_position, position_of, step_of, unsigned
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
from blockchain.consensus.votes import Added
from blockchain.errors import ForkFound, InvalidBlock, InvalidCertificate
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import ValidatorSet, verify_certificate
from blockchain.primitives.vote import (
    Certificate,
    ConflictingProposals,
    Proposal,
    Step,
    Vote,
)
from blockchain.seams import (
    Application,
    Batch,
    BlockRejected,
    Broadcast,
    Effect,
    Emit,
    EngineInput,
    ForgerDrawn,
    HeadMoved,
    HeightBegun,
    Locked,
    OffenceSeen,
    Penalize,
    PoolChanged,
    ProposalReceived,
    ProposalUntimely,
    Proposed,
    ProveVrf,
    RoundTimedOut,
    SetTimer,
    Sign,
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
    Write,
)

ASKED_AGAIN_MAX: Final = 16  # messages, of a signer that is back: those of the newest rounds, which others wait for
PROPOSALS_AHEAD_MAX: Final = 2  # rounds ahead of one's own of which a proposal is kept; others come again
_STEP_TIMERS: Final = {
    Step.PROPOSE: TimerKind.PROPOSE,
    Step.PREVOTE: TimerKind.PREVOTE,
    Step.PRECOMMIT: TimerKind.PRECOMMIT,
}
_TIMER_STEPS: Final = {kind: step for step, kind in _STEP_TIMERS.items()}


class BftEngine:
    """Implements `seams.Engine`. `keys` are the validator keys that this node holds; without one it follows.

    The set of a height says which of them signs there: a validator's key may change from one height to the next.
    """

    def __init__(
        self,
        app: Application,
        forgers: Callable[[Hash32, int, ValidatorSet], Forgers],
        genesis_hash: Hash32,
        parameters: Parameters,
        keys: frozenset[PublicKey],
    ) -> None:
        self._app = app
        self._forgers = forgers
        self._genesis_hash = genesis_hash
        self._parameters = parameters
        self._keys = keys
        self._silent_until = 0  # no new signature up to this height: the store is older than the signer's record
        self._is_halted = False
        self._is_mute = False
        self._out: list[Effect] = []
        self.current = self._new_height()
        self._commit = Commit(app.parent_certificate, app.parent_validators)
        self._late = self._late_votes()

    @property
    def commit(self) -> Certificate:
        """The head's certificate with every precommit that has come since."""
        return self._commit.certificate

    @property
    def key(self) -> PublicKey | None:
        """The key that signs at the height in progress; None: none of this node's is in the set.

        One voter a node: of two validators whose keys it holds, the one with the smaller address (protocol §6.1).
        """
        by_key = self.current.validators.by_key
        return min((key for key in self._keys if key in by_key), key=by_key.__getitem__, default=None)

    @property
    def validator(self) -> Address | None:
        """The address that this node votes for at the height in progress; None: it is not in the set."""
        key = self.key
        return None if key is None else self.current.validators.by_key[key]

    @property
    def is_block_awaited(self) -> bool:
        """Whether there is a reason to expect a block of the height in progress (protocol §5.3)."""
        return self.current.rules.step is not Step.PROPOSE or self._expects_proposal()

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
            case Signed(message=message):
                self._on_signed(message, now) if isinstance(message, Proposal | Vote) else None
            case VrfProved():
                self._on_vrf_proved(given)
            case SignRefused(message=message, why=why):
                self._on_sign_refused(message, why) if isinstance(message, Proposal | Vote) else None
            case VrfRefused():
                self._on_vrf_refused(given)
            case SignerRegained(record=record):
                self._on_signer_regained(record, now)
            case PoolChanged():
                pass  # the trigger is looked at below
            case HeadMoved():
                self._begin_height(now)
            case _:
                assert_never(given)
        self._speak_up()
        self._propose_if_due(now)
        self._arm_propose_timeout()
        return self._out

    def halt(self) -> None:
        """Sign nothing any more: something that must never happen did."""
        self._is_halted = True

    @property
    def is_mute(self) -> bool:
        return self._is_mute

    def mute(self) -> None:
        """Sign nothing until `unmute`; a signature that comes back meanwhile is dropped (protocol §5.6)."""
        self._is_mute = True

    def unmute(self) -> None:
        """Sign again. What was kept back of the round in progress is asked for with the next input."""
        self._is_mute = False

    def silence(self, height: int) -> None:
        """Sign nothing new up to and including this height."""
        self._silent_until = max(self._silent_until, height)

    def on_fork(self, fork: ForkFound) -> list[Effect]:
        """Keep all that a fork at the head is judged by, say so, and sign nothing any more (protocol §5.9)."""
        self.halt()
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
        candidate = Candidate(proposal.block_id, proposal.valid_round, is_valid)
        self.current.rules.proposals[proposal.round] = candidate

    def _on_started(self, records: tuple[SigningRecord, ...], now: int) -> None:
        """Begin, or go on in the restored place with what the signers remember of it."""
        rules = self.current.rules
        for record in records:
            self._take_signing_record(record)
        self._emit_height()
        if rules.round < 0:
            self._perform(rules.start_round(0), now)
            return
        unsigned_yet = self._unsigned_yet([record for record in records if record.key == self.key])
        self.current.kept_back = [*self.current.signed, *unsigned_yet]
        self._speak_up()
        self._perform(rules.resume(), now)  # what it casts comes after: a key signs upwards only

    def _take_signing_record(self, record: SigningRecord) -> None:
        """The last signature may be known to the signer only. A store that is behind must not vote (protocol §5.6).

        Nor with another key than the one whose record shows it: they are one validator's. And a signature at this
        height by a key that is not its validator's here, counts for nobody: what signed it knew another set.
        """
        last = record.message
        if last is None or record.height < self.current.height:
            return
        if self._is_beyond(record):
            self._silent_until = max(self._silent_until, record.height)
        elif last not in self.current.signed:
            self.current.signed.append(last)
            if isinstance(last, Vote):
                self.current.rules.book.add(last, self.current.rules.round)
            else:
                self._restore_proposal(last)

    def _is_beyond(self, record: SigningRecord) -> bool:
        """Whether it holds a signature that this node, as it stands, never asked for."""
        last, current = record.message, self.current
        if last is None or record.height < current.height:
            return False
        return record.height > current.height or record.key != self.key or unsigned(last) not in current.asked

    def _unsigned_yet(self, records: list[SigningRecord]) -> list[Proposal | Vote]:
        """What was asked for and can be asked again: what lies below its last signature a key never gives."""
        highest = max((last_position(record) for record in records), default=(0, 0, 0))
        own = (message for message in self.current.asked if author_of(message) == self.validator)
        return [message for message in own if position_of(message) > highest]

    def _begin_height(self, now: int) -> None:
        self._commit = Commit(self._app.parent_certificate, self._app.parent_validators)
        rules = self.current.rules
        follows = self.current.height + 1 == self._app.height
        self._late = LateVotes(rules.book, rules.round) if follows else self._late_votes()
        self.current = self._new_height()
        self._emit_height()
        self._perform(self.current.rules.start_round(0), now)

    def _late_votes(self) -> LateVotes:
        app = self._app
        certificate = app.parent_certificate
        return LateVotes.of(certificate, app.kept_prevotes(certificate.height), app.parent_validators)

    def keep_prevotes(self) -> list[Effect]:
        """What the height in progress leaves behind; asked for before its block becomes final (protocol §5.8)."""
        rules = self.current.rules
        prevotes = kept_prevotes(rules.book, rules.round)
        return self._app.keep_prevotes(self.current.height, prevotes) if prevotes else []

    def _new_height(self) -> HeightInProgress:
        app = self._app
        return HeightInProgress(app.height, app.validators, self._forgers(app.seed, app.height, app.validators))

    def _emit_height(self) -> None:
        current = self.current
        self._emit(HeightBegun(current.height, len(current.validators), current.validators.total))

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
        is_timely = proposal.valid_round >= 0 or self._is_timely(proposal, block, now)
        self._accept_proposal(proposal, block, Candidate(block.id, proposal.valid_round, is_valid, is_timely), now)

    def _accept_proposal(self, proposal: Proposal, block: VerifiedBlock, candidate: Candidate, now: int) -> None:
        self.current.proposals[proposal.round] = proposal
        self.current.blocks[block.id] = block
        self._out.append(Broadcast(proposal, block))
        self._perform(self.current.rules.on_proposal(proposal.round, candidate), now)

    def _check(self, proposal: Proposal, block: VerifiedBlock) -> bool:
        """Whether the proposal fits its block and the block the chain. An invalid one is its forger's fault."""
        try:
            _check_fit(proposal, block)
            self._app.check_block(block)
        except InvalidBlock as error:
            self._emit(BlockRejected(proposal.height, proposal.round, proposal.block_id, str(error)))
            return False
        except ForkFound as fork:
            self._out.extend(self.on_fork(fork))
            return False
        return True

    def _is_timely(self, proposal: Proposal, block: VerifiedBlock, now: int) -> bool:
        """Whether the block's time is not too far ahead of this node's clock (protocol §4.5); said when it is.

        The earliest time that it can have never is: else clocks that were set back stop the chain until they catch up.
        """
        ahead, allowed = block.header.time_ms - now, self._parameters.clock_drift_ms
        is_timely = ahead <= allowed or block.header.time_ms == self._app.parent_time_ms + 1
        if not is_timely:
            self._emit(ProposalUntimely(proposal.height, proposal.round, proposal.forger, ahead, allowed))
        return is_timely

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
        step = _TIMER_STEPS.get(key.kind)
        if step is None:
            return
        actions = rules.on_timeout(step, key.round)
        if actions:
            self._emit(RoundTimedOut(key.height, key.round, step))
        self._perform(actions, now)

    def _on_vrf_proved(self, given: VrfProved) -> None:
        if given.height == self.current.height:
            self.current.vrf_proof = given.proof

    def _on_vrf_refused(self, given: VrfRefused) -> None:
        """It is asked for again in the next round that this node forges, or when the signer is there again."""
        current = self.current
        if given.height == current.height:
            current.is_vrf_asked, current.vrf_refused_round = False, current.rules.round
            self._emit(SignatureRefused(given.height, given.round, Step.PROPOSE, given.why))

    def _on_signer_regained(self, record: SigningRecord, now: int) -> None:
        """Ask again for what it has not signed; what it has, and this node does not know yet, counts now (§5.6)."""
        self.current.vrf_refused_round = -1
        if self._is_beyond(record):
            self._silent_until = max(self._silent_until, record.height)
            return
        if record.key == self.key and self._may_sign():
            again = self._unsigned_yet([record])[-ASKED_AGAIN_MAX:]
            self._out.extend(Sign(message, record.key) for message in again)
        if record.message is not None and record.key == self.key:
            self._on_signed(record.message, now)

    def _on_signed(self, message: Proposal | Vote, now: int) -> None:
        """The vote counts now. An answer for a height that is over is dropped."""
        current = self.current
        if self._is_mute or unsigned(message) not in current.asked or message in current.signed:
            return
        current.signed.append(message)
        if isinstance(message, Proposal):
            self._emit(Proposed(message.height, message.round, message.valid_round, message.block_id))
            block = current.blocks[message.block_id]
            self._accept_proposal(message, block, Candidate(block.id, message.valid_round, is_valid=True), now)
        else:
            self._on_vote(message, now)

    def _on_sign_refused(self, message: Proposal | Vote, why: str) -> None:
        self._emit(SignatureRefused(message.height, message.round, step_of(message), why))

    # ------------------------------------------------------------------------------------------------ actions

    def _perform(self, actions: list[Action], now: int) -> None:
        for action in actions:
            match action:
                case RoundStarted():
                    self._enter_round(action.round)
                case CastVote():
                    self._cast(action)
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
            self._set_timer(step, round)

    def _set_timer(self, step: Step, round: int) -> None:
        parameters = self._parameters
        base, delta = {
            Step.PROPOSE: (parameters.propose_timeout_ms, parameters.propose_delta_ms),
            Step.PREVOTE: (parameters.prevote_timeout_ms, parameters.prevote_delta_ms),
            Step.PRECOMMIT: (parameters.precommit_timeout_ms, parameters.precommit_delta_ms),
        }[step]
        delay = min(base + delta * round, parameters.timeout_max_ms)
        self._out.append(SetTimer(TimerKey(_STEP_TIMERS[step], self.current.height, round), delay))

    def _cast(self, action: CastVote) -> None:
        validator = self.validator
        if validator is None or not (self._is_mute or self._may_sign()):
            return
        height = self.current.height
        vote = Vote(height, action.round, action.step, action.value, action.polka_round, validator)
        if self._is_mute:
            self.current.keep_back(vote)
        else:
            self._ask(vote)

    def _finalize(self, decision: Decide, now: int) -> None:
        current = self.current
        precommits = current.rules.book.of(decision.round).precommits
        certificate = certificate_of(current.height, decision.round, decision.value, precommits, current.validators)
        block = current.blocks[decision.value]
        self._out.extend(self.keep_prevotes())
        self._out.extend(self._app.finalize(block, certificate, current.rules.round, now))
        self._begin_height(now)

    # ------------------------------------------------------------------------------------------------ proposing

    def _propose_if_due(self, now: int) -> None:
        """Propose when it is this node's turn: the valid value again, or a new block once the trigger holds."""
        current = self.current
        rules = current.rules
        if current.forges_round != rules.round or rules.step is not Step.PROPOSE or not self._may_sign():
            return
        if rules.valid_value is not None:  # L16
            self._propose(current.blocks[rules.valid_value], rules.valid_round)
        elif self._app.is_block_due() and self._has_waited_for_precommits() and self._has_vrf_proof():
            assert current.vrf_proof is not None
            block = self._app.build_block(rules.round, current.vrf_proof, self.commit, now)  # L18
            current.blocks[block.id] = block
            self._propose(block, -1)

    def _propose(self, block: VerifiedBlock, valid_round: int) -> None:
        current = self.current
        validator = self.validator
        assert validator is not None, "a node that is not in the set forges nothing"
        current.forges_round = -1
        self._ask(Proposal(current.height, current.rules.round, valid_round, block.id, validator))

    def _has_waited_for_precommits(self) -> bool:
        """Before it builds, a forger waits at most `commit_wait` for precommits still missing (protocol §4.4)."""
        current = self.current
        if self._commit.is_complete or current.is_commit_wait_over or self._parameters.commit_wait_ms == 0:
            return True
        if not current.is_commit_wait_set:
            current.is_commit_wait_set = True
            key = TimerKey(TimerKind.COMMIT_WAIT, current.height)
            self._out.append(SetTimer(key, self._parameters.commit_wait_ms))
        return False

    def _has_vrf_proof(self) -> bool:
        """The proof is over seed and height, without the round: one a height, asked for once."""
        current = self.current
        if current.vrf_proof is None and not current.is_vrf_asked and current.vrf_refused_round != current.rules.round:
            key = self.key
            assert key is not None, "a node that is not in the set forges nothing"
            current.is_vrf_asked = True
            self._out.append(ProveVrf(current.height, current.rules.round, self._app.seed, key))
        return current.vrf_proof is not None

    def _arm_propose_timeout(self) -> None:
        """A propose time-out runs only where there is a reason to expect a proposal (protocol §5.3)."""
        current = self.current
        rules = current.rules
        if current.unarmed_round != rules.round or rules.step is not Step.PROPOSE:
            return
        if self._expects_proposal():
            current.unarmed_round = -1
            self._set_timer(Step.PROPOSE, rules.round)

    def _expects_proposal(self) -> bool:
        rules = self.current.rules
        return (
            rules.valid_value is not None
            or any(candidate.is_valid for candidate in rules.proposals.values())
            or self.current.validators.is_honest_minority(rules.book.stake_from(rules.round))
            or self._app.is_block_due()
        )

    # ------------------------------------------------------------------------------------------------ signing

    def _may_sign(self) -> bool:
        is_silent = self._is_halted or self._is_mute or self.current.height <= self._silent_until
        return self.validator is not None and not is_silent

    def _ask(self, message: Proposal | Vote) -> None:
        """Write down everything that this message depends on, then ask for its signature (protocol §5.6)."""
        current, key = self.current, self.key
        assert key is not None, "a node that is not in the set signs nothing"
        current.asked.append(message)
        record = current.record()
        bodies = current.unrecorded_bodies(record)
        self._out.append(Write(Batch(round_record=encode_record(record), round_blocks=bodies)))
        self._out.append(Sign(message, key))

    def _speak_up(self) -> None:
        """Publish and ask for what was kept back while this engine was mute; a late signature is as any slow one."""
        current, key = self.current, self.key
        if self._is_mute:
            return
        kept, current.kept_back = current.kept_back, []
        for message in kept:
            if message in current.signed:
                self._publish(message)
            elif key is None or not self._may_sign():
                continue
            elif message in current.asked:
                self._out.append(Sign(message, key))
            else:
                self._ask(message)

    # ------------------------------------------------------------------------------------------------ words

    def _publish(self, message: Proposal | Vote) -> None:
        block = self.current.blocks[message.block_id] if isinstance(message, Proposal) else None
        self._out.append(Broadcast(message, block))

    def _emit(
        self,
        event: HeightBegun
        | ForgerDrawn
        | Proposed
        | RoundTimedOut
        | Locked
        | BlockRejected
        | ProposalUntimely
        | SignatureRefused,
    ) -> None:
        self._out.append(Emit(event))


def _check_fit(proposal: Proposal, block: VerifiedBlock) -> None:
    """A new proposal carries its own round's block; one proposed again a block of a round ≤ its valid round (§5.2)."""
    header = block.header
    if proposal.valid_round == -1:
        if (header.round, header.forger) != (proposal.round, proposal.forger):
            raise InvalidBlock("round", "a new proposal carries a block of another round or forger")
    elif not header.round <= proposal.valid_round < proposal.round:
        raise InvalidBlock("round", "proposed again from a round in which it cannot have been valid")
