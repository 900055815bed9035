"""What this node says as a validator: whether it may sign now, and how a signature is asked for (protocol §5.6).

What a precommit binds to, and all behind it, is on the disk before its signature is asked for. A proposal and a prevote
bind to nothing new: they are signed while their record is written, and leave when both are done. But not after a
precommit at the height: the signer keeps its last message alone, and would write over a precommit that no record holds
yet. Others may need that one to end its round. For the same reason nothing more is asked of the signer until it has
answered a precommit, and what it gave is in the record. A mute node keeps back what it would say of the round in
progress; one that speaks again asks for that, and publishes what was signed before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.record import encode_record
from blockchain.consensus.signing import is_precommit, unsigned
from blockchain.consensus.tendermint import CastVote
from blockchain.primitives.vote import Proposal, Vote
from blockchain.seams import Batch, Broadcast, Effect, SetTimer, Sign, SigningRecord, TimerKey, TimerKind, Write

ASKED_AGAIN_MAX: Final = 16  # messages, of a signer that is back: those of the newest rounds, which others wait for
SIGN_AGAIN_MS: Final = 1_000  # after a refusal; then twice as long each time
_DOUBLINGS_MAX: Final = 6  # about a minute


class Voice:
    """Halted, mute, or silent up to a height: three reasons to sign nothing, which come and go by themselves."""

    def __init__(self) -> None:
        self.silent_until = 0  # no new signature up to this height: the store is older than the signer's record
        self.is_mute = False
        self._is_halted = False

    def halt(self) -> None:
        """Sign nothing any more: something that must never happen did."""
        self._is_halted = True

    def mute(self) -> None:
        """Sign nothing until `unmute`; a signature that comes back meanwhile is dropped (protocol §5.6)."""
        self.is_mute = True

    def unmute(self) -> None:
        """Sign again. What was kept back of the round in progress is asked for with the next input."""
        self.is_mute = False

    def silence(self, height: int) -> None:
        """Sign nothing new up to and including this height."""
        self.silent_until = max(self.silent_until, height)

    def may_sign(self, current: HeightInProgress) -> bool:
        is_silent = self._is_halted or self.is_mute or current.height <= self.silent_until
        return current.validator is not None and not is_silent

    def cast(self, current: HeightInProgress, action: CastVote) -> list[Effect]:
        """Have a vote signed, or keep it back while mute."""
        if current.validator is None or not (self.is_mute or self.may_sign(current)):
            return []
        vote = Vote(current.height, action.round, action.step, action.value, action.polka_round, current.validator)
        if not self.is_mute:
            return self.ask(current, vote)
        current.keep_back(vote)
        return []

    def ask(self, current: HeightInProgress, message: Proposal | Vote) -> list[Effect]:
        """Write down all that this message depends on, and ask for its signature; from a precommit on, only then."""
        assert current.key is not None, "a node that is not in the set signs nothing"
        current.asked.append(message)
        written, signs = self._write_down(current), self._ask_signer(current, [message])
        return [written, *signs] if any(map(is_precommit, current.asked)) else [*signs, written]

    def _write_down(self, current: HeightInProgress) -> Write:
        record = current.record()
        bodies = current.unrecorded_bodies(record)
        return Write(Batch(round_record=encode_record(record), round_blocks=bodies))

    def _ask_signer(self, current: HeightInProgress, messages: Iterable[Proposal | Vote]) -> list[Effect]:
        """For signatures of these, in their order; what comes after a precommit waits for the answer to that."""
        assert current.key is not None, "a node that is not in the set signs nothing"
        signs: list[Effect] = []
        for message in messages:
            if current.awaited is None and not current.put_off:
                signs.append(Sign(message, current.key))
                current.awaited = message if is_precommit(message) else None
            else:
                self._put_off(current, message)
        return signs

    def _put_off(self, current: HeightInProgress, *messages: Proposal | Vote) -> None:
        """Ask for these when the signer has answered a precommit, and the record holds what it gave."""
        current.put_off.extend(message for message in messages if message not in current.put_off)

    def on_answered(self, current: HeightInProgress, message: Proposal | Vote) -> None:
        """The signer has signed or refused it."""
        if current.awaited == unsigned(message):
            current.awaited = None

    def _go_on(self, current: HeightInProgress) -> list[Effect]:
        """Ask for what was put off."""
        if current.awaited is not None or not current.put_off:
            return []
        put_off, current.put_off = current.put_off, []
        return [self._write_down(current), *self._ask_signer(current, put_off)] if self.may_sign(current) else []

    def on_refused(self, current: HeightInProgress, message: Proposal | Vote) -> list[Effect]:
        """Ask once more in a while: a disk that is full, or a lock that another holds, are reasons that pass."""
        if message.height != current.height:
            return []
        delay = SIGN_AGAIN_MS << min(current.refusals, _DOUBLINGS_MAX)
        current.refusals += 1
        return [SetTimer(TimerKey(TimerKind.SIGN_AGAIN, current.height, current.rules.round), delay)]

    def ask_for_refused(self, current: HeightInProgress, round: int) -> None:
        """What the signer refused in the round in progress; others wait for no vote of a round that is past."""
        if current.key is not None and round == current.rules.round and self.may_sign(current):
            self._put_off(current, *current.refused_in(round))

    def ask_again(self, current: HeightInProgress, record: SigningRecord) -> None:
        """What the signer that is back, with this record, was asked for and has not signed."""
        if record.key == current.key and self.may_sign(current):
            current.awaited = None  # what it was asked for before it was lost it does not answer
            current.put_off = current.unsigned_yet([record])[-ASKED_AGAIN_MAX:]

    def speak_up(self, current: HeightInProgress) -> list[Effect]:
        """Publish and ask for what was kept back while mute, and put off; a late signature is as any slow one."""
        if self.is_mute:
            return []
        kept, current.kept_back = current.kept_back, []
        said: list[Effect] = []
        for message in kept:
            if message in current.signed:
                block = current.blocks[message.block_id] if isinstance(message, Proposal) else None
                said.append(Broadcast(message, block))
            elif current.key is None or not self.may_sign(current):
                continue
            elif message in current.asked:
                self._put_off(current, message)
            else:
                said.extend(self.ask(current, message))
        return [*said, *self._go_on(current)]
