"""The height in progress: what the engine holds of it, how that is written down and taken up again (protocol §5.6)."""

from __future__ import annotations

from typing import Final

from blockchain.consensus.evidence import author_of
from blockchain.consensus.pos import Forgers
from blockchain.consensus.record import RoundRecord
from blockchain.consensus.signing import is_precommit, last_position, position_of, step_of, unsigned
from blockchain.consensus.tendermint import Tendermint
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Proposal, Step, Vote
from blockchain.seams import HeightBegun, SigningRecord

PROPOSED_ROUNDS_MAX: Final = 64  # of which bodies are kept, of up to 4 MiB each; a value worth more is locked on
RECORDED_ROUNDS_MAX: Final = 500  # of a height that is stalled; older votes were told to everybody long ago


class HeightInProgress:
    """Everything about one height that is forgotten when it is decided."""

    def __init__(self, height: int, validators: ValidatorSet, forgers: Forgers, keys: frozenset[PublicKey]) -> None:
        self.height = height
        self.validators = validators
        self.key = _key_of(validators, keys)  # the one of this node's that signs here; None: none of them is in the set
        self.validator = None if self.key is None else validators.by_key[self.key]
        self.forgers = forgers
        self.rules = Tendermint(validators)
        self.proposals: dict[int, Proposal] = {}
        self.blocks: dict[Hash32, VerifiedBlock] = {}
        self.asked: list[Proposal | Vote] = []  # unsigned, in the order in which signatures were asked for
        self.signed: list[Proposal | Vote] = []
        self.kept_back: list[Proposal | Vote] = []  # while the engine is mute: signed, asked for, or still to be
        self.awaited: Proposal | Vote | None = None  # the precommit that the signer was asked for and has not answered
        self.put_off: list[Proposal | Vote] = []  # asked for since; the signer hears of it after that answer
        self.recorded_blocks: set[Hash32] = set()
        self.vrf_proof: bytes | None = None
        self.is_vrf_asked = False
        self.refusals = 0  # of signatures, so far
        self.vrf_refused_round = -1  # the last round in which the signer did not prove
        self.forges_round = -1  # the round that this node must propose in, until it has
        self.unarmed_round = -1  # the round whose propose time-out does not run yet
        self.is_commit_wait_set = False
        self.is_commit_wait_over = False

    def begun(self) -> HeightBegun:
        return HeightBegun(self.height, len(self.validators), self.validators.total)

    def note_vrf_proof(self, height: int, proof: bytes) -> None:
        """The answer of a signer; one for a height that is over is dropped."""
        if height == self.height:
            self.vrf_proof = proof

    def is_too_old(self, round: int) -> bool:
        """Whether a proposal of this round matters no more: long past, behind no lock, and not about to be decided."""
        rules = self.rules
        if round >= rules.round - PROPOSED_ROUNDS_MAX or round in (rules.locked_round, rules.valid_round):
            return False
        precommits = rules.book.of(round).precommits.stakes.items()
        return not any(value is not None and self.validators.is_honest_minority(stake) for value, stake in precommits)

    def forget_old_proposals(self) -> None:
        """Let go of proposals that are too old, and of bodies that nothing refers to any more."""
        for round in [number for number in self.proposals if self.is_too_old(number)]:
            del self.proposals[round]
            del self.rules.proposals[round]
        needed: set[Hash32 | None] = {self.rules.locked_value, self.rules.valid_value}
        needed |= {proposal.block_id for proposal in self.proposals.values()}
        needed |= {message.block_id for message in self.asked if not self.is_too_old(message.round)}
        self.blocks = {block_id: block for block_id, block in self.blocks.items() if block_id in needed}

    def keep_back(self, vote: Vote) -> None:
        """A vote of the round in progress, to be asked for when the engine speaks again; earlier rounds are past."""
        known = {*self.asked, *self.signed}
        self.kept_back = [kept for kept in self.kept_back if kept.round == vote.round or kept in known]
        self.kept_back.append(vote)

    def is_beyond(self, record: SigningRecord) -> bool:
        """Whether it holds a signature that this node, as it stands, never asked for."""
        last = record.message
        if last is None or record.height < self.height:
            return False
        return record.height > self.height or record.key != self.key or unsigned(last) not in self.asked

    def recall(self, record: SigningRecord) -> bool:
        """Go on where the key signed last; False where the store was not told of something that binds (protocol §5.6).

        A proposal and a prevote are signed while they are written down: a crash may leave them to the signer alone.
        """
        last = record.message
        if last is None or not self.is_beyond(record):
            return True
        if record.height > self.height or record.key != self.key or not self._binds_to_nothing_new(record, last):
            return False
        self.rules.round, self.rules.step = last.round, step_of(last)
        self.asked.append(unsigned(last))
        return True

    def _binds_to_nothing_new(self, record: SigningRecord, last: Proposal | Vote) -> bool:
        highest = max((position_of(message) for message in self.asked), default=(0, 0, 0))
        locked = self.rules.locked_round, self.rules.locked_value
        is_lock_known = record.precommit_round < locked[0] or (record.precommit_round, record.precommit_value) == locked
        return is_lock_known and position_of(last) > highest and not is_precommit(last)

    def has_body_of(self, message: Proposal | Vote) -> bool:
        """Whether the block that it names is here, or on the disk: a record that was not written may have lost it."""
        block_id = message.block_id
        return block_id is None or block_id in self.blocks or block_id in self.recorded_blocks

    def unsigned_yet(self, records: list[SigningRecord]) -> list[Proposal | Vote]:
        """What was asked for and can be asked again: what lies below its last signature a key never gives."""
        highest = max((last_position(record) for record in records), default=(0, 0, 0))
        own = (message for message in self.asked if author_of(message) == self.validator)
        return [message for message in own if position_of(message) > highest]

    def refused_in(self, round: int) -> list[Proposal | Vote]:
        """What was asked for in this round, was not given, and could still be: a key signs upwards only."""
        highest = max((position_of(message) for message in self.signed), default=(0, 0, 0))
        return [message for message in self.asked if message.round == round and position_of(message) > highest]

    def record(self) -> RoundRecord:
        """The place, the lock and everything behind it, as it must be on disk before the next signature."""
        rules = self.rules
        kept_rounds = {rules.round, rules.locked_round, rules.valid_round}
        own = {message.round for message in self.signed if isinstance(message, Proposal)}
        return RoundRecord(
            height=self.height,
            round=rules.round,
            step=rules.step,
            locked_value=rules.locked_value,
            locked_round=rules.locked_round,
            valid_value=rules.valid_value,
            valid_round=rules.valid_round,
            asked=self._kept(self.asked),
            signed=self._kept(self.signed),
            proposals=tuple(p for r, p in sorted(self.proposals.items()) if r in kept_rounds - own),
            prevotes=tuple(rules.book.of(rules.valid_round).prevotes.votes.values()),
        )

    def _kept(self, messages: list[Proposal | Vote]) -> tuple[Proposal | Vote, ...]:
        """Those of the newest rounds, and of the rounds behind the lock: a stalled height goes on for long."""
        rules = self.rules
        first = rules.round - RECORDED_ROUNDS_MAX
        needed = {rules.locked_round, rules.valid_round}
        kept = (message for message in messages if message.round > first or message.round in needed)
        return tuple(message for message in kept if self.has_body_of(message))

    def unrecorded_bodies(self, record: RoundRecord) -> tuple[tuple[Hash32, bytes], ...]:
        """The blocks that the record refers to and that were not written yet; from now on they count as written."""
        new = sorted(record.block_ids() & self.blocks.keys() - self.recorded_blocks)
        self.recorded_blocks.update(new)
        return tuple((block_id, self.blocks[block_id].raw) for block_id in new)

    def take_up(self, record: RoundRecord, blocks: dict[Hash32, VerifiedBlock]) -> None:
        """Go back to a recorded place; proposals are the engine's to check again."""
        rules = self.rules
        rules.round, rules.step = record.round, _step_asked_for(record)
        rules.locked_value, rules.locked_round = record.locked_value, record.locked_round
        rules.valid_value, rules.valid_round = record.valid_value, record.valid_round
        self.blocks.update(blocks)
        self.recorded_blocks.update(blocks)
        self.asked.extend(record.asked)
        self.signed.extend(record.signed)
        for message in (*record.prevotes, *record.signed):
            if isinstance(message, Vote):
                rules.book.add(message, rules.round)


def _key_of(validators: ValidatorSet, keys: frozenset[PublicKey]) -> PublicKey | None:
    """One voter a node: of two validators whose keys it holds, the one with the smaller address (protocol §6.1)."""
    by_key = validators.by_key
    return min((key for key in keys if key in by_key), key=by_key.__getitem__, default=None)


def _step_asked_for(record: RoundRecord) -> Step:
    """How far the node had come in its round: a vote that was not asked for is still to be cast (protocol §5.6).

    The record's own step may be ahead: one input may call for the prevote and the precommit, and the record that is
    written for the first tells of the step of the second.
    """
    steps = [message.step for message in record.asked if isinstance(message, Vote) and message.round == record.round]
    return Step(max(steps)) if steps else Step.PROPOSE
