"""What a validator key may sign: the signer's own rule, beside the engine's (docs/protocol.md §5.6).

The engine forgets nothing, but a key can be moved to a node that knows nothing of what it has signed. So the signer
keeps a record of its own, and this room decides with it: pure, no file, no key. Two things are never signed, whatever
the node asks for: two different messages for one (height, round, step), and a prevote that a `ForgottenLock` would
accuse (protocol §5.8 c). A node that asks for one falls silent for a height instead of breaking agreement.

Theory of operation. A message is signed only strictly above the last one. So there is at most one for a height, round
and step, and a precommit for v at r was signed before any prevote of a later round; those must show a polka of round
r or later. That holds for v itself too. A correct node loses nothing by it, since its lock on v at r is such a polka
(L36); and without it, after precommits for u at 1 and for v at 2, a prevote for v that shows none would be accused by
the one at 1, which the record no longer holds.
"""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.errors import SigningRefused
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.vote import Proposal, Step, Vote, VoteStep
from blockchain.seams import SigningRecord

Position = tuple[int, int, int]  # height, round, step


def check_request(record: SigningRecord, message: Vote | Proposal) -> Vote | Proposal | None:
    """Whether the key that this record belongs to may sign `message` now; the signature it carries is ignored.

    None: it may. A message: exactly this one was the last that was signed, and here it is with its signature, to be
    given again and not signed anew. Raises SigningRefused, with the reason.
    """
    last = record.message
    if last is not None and unsigned(message) == unsigned(last):
        return last
    _check_position(record, message)
    if isinstance(message, Vote) and message.step is VoteStep.PREVOTE:
        _check_lock(record, message)
    return None


def after_signing(record: SigningRecord, signed: Vote | Proposal) -> SigningRecord:
    """The record that holds `signed`, which `check_request` had allowed with `record`."""
    assert position_of(signed) > last_position(record), "signed below the record"
    precommit_round, precommit_value = record.precommit_round, record.precommit_value
    if signed.height > record.height:  # a lock binds within its height only
        precommit_round, precommit_value = -1, None
    if isinstance(signed, Vote) and signed.step is VoteStep.PRECOMMIT and signed.block_id is not None:
        precommit_round, precommit_value = signed.round, signed.block_id
    return SigningRecord(
        record.key,
        height=signed.height,
        round=signed.round,
        step=step_of(signed),
        message=signed,
        precommit_round=precommit_round,
        precommit_value=precommit_value,
    )


def check_record(record: SigningRecord) -> None:
    """Whether a key that keeps the rules above can have such a record. Raises SigningRefused."""
    lock = record.precommit_round, record.precommit_value
    if (lock[0] < 0) is not (lock[1] is None):
        raise SigningRefused("its last precommit lacks either the round or the value")
    last = record.message
    if isinstance(last, Vote) and last.step is VoteStep.PRECOMMIT and last.block_id is not None:
        if lock != (last.round, last.block_id):
            raise SigningRefused("its last precommit for a value is not the last message, which is one")
    elif lock[0] >= record.round and lock[0] >= 0:
        raise SigningRefused("its last precommit for a value is later than the last message, which is none")


def merge(one: SigningRecord, other: SigningRecord) -> SigningRecord:
    """The record of a key that has signed what both hold: never below either of them, and `one` where it is enough.

    Raises SigningRefused when the two contradict each other: then the key has signed twice already.
    """
    ours, theirs = last_position(one), last_position(other)
    if ours == theirs and _text(one) != _text(other):
        raise SigningRefused(f"two different messages are signed for {_name(ours)}")
    later, earlier = (one, other) if ours >= theirs else (other, one)
    if later.height > earlier.height or earlier.precommit_round < later.precommit_round:
        return later
    if earlier.precommit_round > later.precommit_round:
        return replace(later, precommit_round=earlier.precommit_round, precommit_value=earlier.precommit_value)
    if earlier.precommit_value != later.precommit_value:
        raise SigningRefused(
            f"two different values are precommitted in round {later.precommit_round} of height {later.height}"
        )
    return later


def step_of(message: Vote | Proposal) -> Step:
    """The step of a round in which this message is signed."""
    return Step(message.step) if isinstance(message, Vote) else Step.PROPOSE


def is_precommit(message: Vote | Proposal) -> bool:
    return isinstance(message, Vote) and message.step is VoteStep.PRECOMMIT


def position_of(message: Vote | Proposal) -> Position:
    """(height, round, step): a key signs at most one message at each, and only upwards."""
    return message.height, message.round, step_of(message)


def last_position(record: SigningRecord) -> Position:
    """Where the key has signed last; (0, 0, PROPOSE) when it never has."""
    return record.height, record.round, record.step


def _text(record: SigningRecord) -> Vote | Proposal | None:
    return None if record.message is None else unsigned(record.message)


def unsigned(message: Vote | Proposal) -> Vote | Proposal:
    """The message as it was before it was signed."""
    return replace(message, signature=NO_SIGNATURE)


def _check_position(record: SigningRecord, message: Vote | Proposal) -> None:
    if message.height == 0:
        raise SigningRefused("height 0 is genesis, which nobody votes on")
    asked, last = position_of(message), last_position(record)
    if asked < last:
        raise SigningRefused(f"{_name(asked)} is below {_name(last)}, the last that this key signed")
    if asked == last:
        raise SigningRefused(f"this key has signed another message for {_name(asked)}")


def _check_lock(record: SigningRecord, prevote: Vote) -> None:
    """A prevote that no earlier precommit of its height can accuse (protocol §5.8 c)."""
    if prevote.block_id is None or record.precommit_value is None or prevote.height > record.height:
        return
    if prevote.polka_round < record.precommit_round:
        raise SigningRefused(
            f"this key precommitted {record.precommit_value.hex()[:16]} in round {record.precommit_round} of height "
            f"{prevote.height}, and the prevote for {prevote.block_id.hex()[:16]} in round {prevote.round} shows no "
            f"polka of that round or a later one, but {prevote.polka_round}"
        )


def _name(position: Position) -> str:
    height, round_number, step = position
    return f"height {height}, round {round_number}, {Step(step).name.lower()}"
