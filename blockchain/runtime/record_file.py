"""The file that holds what a validator key has signed on one chain, and whether it may still sign here.

It lies beside the key or in the data folder and never inside the chain's store, so that it outlives a store that is
thrown away (protocol §5.6). The file is the truth, and memory a copy of it: who is about to sign reads it again under
its lock. A file that is damaged, of another chain or of another key, or older than what this process has seen, is
refused and never repaired.

Theory of operation. The file has two slots (`runtime.record_slots`), and a signature writes one of them where it lies:
one wait for the disk, and a power cut leaves the other. All else (a first record, a move, a history, a start) makes the
file anew, with the same record in both slots: nothing but a signature may be undone by the loss of one. After such a
loss the file is back by that signature. No other one takes its place, for it left no earlier than the round record that
asks for it was on the disk, or both slots held it (docs/decisions/0002).

Nothing that was read counts as durable. The process that wrote it may have been killed before it was forced to the
disk, or may have got an error there, and what a failed write left in the cache no second forcing brings to the disk:
`settle` writes it anew, before anything leaves that only the file forbids to contradict.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from blockchain.consensus.signing import check_record, last_position, step_of
from blockchain.errors import MalformedMessage, SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.scalars import HashField, PublicKeyField, RoundOrNone
from blockchain.primitives.vote import Proposal, Vote, verify_message
from blockchain.runtime.atomic_file import PRIVATE, make_folder, overwrite, read_file, replace_file
from blockchain.runtime.record_slots import (
    CHECKSUM_BYTES,
    FILE_BYTES,
    NUMBER_MAX,
    SLOT_BYTES,
    Newest,
    file_of,
    newest,
    slot_of,
)
from blockchain.seams import SigningRecord

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RECORD_BYTES_MAX: Final = 1_024  # the largest record takes about 350; a longer file is none of the old form
_OPEN_LOCK: Final = os.O_RDWR | os.O_CREAT
MOVES_MAX: Final = 2**32 - 1  # nobody moves a validator that often

Moves = Annotated[int, Meta(ge=0, le=MOVES_MAX)]


class RecordContent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a slot holds; before there were slots, the file. Height, round and step are those of the message."""

    version: Literal[1]
    genesis_hash: HashField
    public_key: PublicKeyField
    proposal: Proposal | None  # two fields, because the encoding has no tag that tells the two apart
    vote: Vote | None
    precommit_round: RoundOrNone
    precommit_value: HashField | None


class MovedRecordContent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The same of a validator that was moved at least once. A program that knows no moves refuses it, rightly."""

    version: Literal[2]
    genesis_hash: HashField
    public_key: PublicKeyField
    proposal: Proposal | None
    vote: Vote | None
    precommit_round: RoundOrNone
    precommit_value: HashField | None
    moves: Moves
    is_away: bool


_MOVED_BEGINS: Final = codec.encode((2, *(None,) * 8))[:2]  # an array of nine, and its version


class Kept(Struct, frozen=True):
    """What the file says. `moves`: how often the validator was moved; `is_away`: with the last one, from here."""

    record: SigningRecord
    moves: int = 0
    is_away: bool = False


class RecordFile:
    """The record of one key on one chain. Nothing is read or made before it is asked for."""

    def __init__(self, path: Path, key: PublicKey, genesis_hash: Hash32) -> None:
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self.key = key
        self.genesis_hash = genesis_hash
        self._kept = Kept(SigningRecord(self.key))
        self._raw: bytes | None = None  # the file that `_kept` was decoded from
        self._newest: Newest | None = None  # the slot of it that counts; None: no file, or one of the old form
        self._is_settled = True  # nothing was read that might not be on the disk

    @property
    def kept(self) -> Kept:
        """What the file held when it was last read or written; an empty record where there was none."""
        return self._kept

    @property
    def is_there(self) -> bool:
        """Whether there was a file when it was last read or written."""
        return self._raw is not None

    @property
    def has_damage(self) -> bool:
        """Whether one of its two slots was damaged when it was last read: nobody can tell whether the newest."""
        return self._newest is not None and self._newest.is_alone

    def refresh(self) -> Kept:
        """Read the file, which another process may have moved on; never an older one than is known.

        Raises SigningRefused when it is damaged, of another chain or key, went back, or cannot be read.
        """
        raw = self._read()
        if raw == self._raw:
            return self._kept
        found, kept = self._content_of(raw)
        if not _is_onward(self._kept, kept):
            raise self.refused("was removed, or replaced by an older one, while the node ran: stop, and restore it")
        self._kept, self._raw, self._newest, self._is_settled = kept, raw, found, False
        return kept

    def write(self, kept: Kept) -> None:
        """Make the file anew, under the lock: once this returns, it holds this twice, and no power cut takes it away.

        Raises SigningRefused.
        """
        number = 1 if self._newest is None else self._newest.number + 1
        payload = self._encode(kept)
        raw = file_of(payload, number)
        try:
            replace_file(self.path, raw)
        except OSError as error:  # the new one may be there all the same: the next `refresh` finds out
            raise self._unwritten(error) from None
        self._newest = Newest(0, number, payload, is_alone=False)
        self._kept, self._raw, self._is_settled = kept, raw, True

    def advance(self, kept: Kept) -> None:
        """Put one more signature on the disk, under the lock, where the older of the two is. Raises SigningRefused."""
        newest, raw = self._newest, self._raw
        if newest is None or raw is None or not self._is_settled:  # else a cut could take both: see above
            self.write(kept)
            return
        payload = self._encode(kept)
        slot = slot_of(payload, newest.number + 1)
        offset = newest.other_place * SLOT_BYTES
        try:
            overwrite(self.path, offset, slot)
        except OSError as error:
            raise self._unwritten(error) from None
        self._newest = Newest(newest.other_place, newest.number + 1, payload, is_alone=False)
        self._kept, self._raw = kept, raw[:offset] + slot + raw[offset + SLOT_BYTES :]

    def settle(self) -> None:
        """See to it that what was read is on the disk. Under the lock. Raises SigningRefused."""
        if not self._is_settled and self._raw is not None:
            self.write(self._kept)

    def refused(self, why: str) -> SigningRefused:
        return SigningRefused(f"the signing record {self.path} {why}")

    def _unwritten(self, error: OSError) -> SigningRefused:
        return self.refused(f"cannot be written: {error.strerror}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One at a time, over all threads and processes that use this record. Raises SigningRefused."""
        try:
            lock = self._open_lock()
        except OSError as error:
            raise self.refused(f"cannot be locked: {error.strerror}") from None
        try:
            self._wait_for(lock)
            yield
        finally:
            os.close(lock)  # which gives it up, as the end of the process does

    def _open_lock(self) -> int:
        try:
            return os.open(self._lock_path, _OPEN_LOCK, PRIVATE)
        except FileNotFoundError:  # the folder is still to be made
            make_folder(self.path.parent)
            return os.open(self._lock_path, _OPEN_LOCK, PRIVATE)

    def _wait_for(self, lock: int) -> None:
        try:
            if sys.platform == "win32":
                msvcrt.locking(lock, msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise self.refused(f"cannot be locked: {error.strerror}") from None

    def _read(self) -> bytes | None:
        try:
            return read_file(self.path, FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refused(f"cannot be read: {error.strerror}") from None

    # --------------------------------------------------------------------------------------------- encoding

    def _encode(self, kept: Kept) -> bytes:
        record = kept.record
        message = record.message
        fields = (
            self.genesis_hash,
            self.key,
            message if isinstance(message, Proposal) else None,
            message if isinstance(message, Vote) else None,
            record.precommit_round,
            record.precommit_value,
        )
        if kept.moves:
            return codec.encode(MovedRecordContent(2, *fields, kept.moves, kept.is_away))
        return codec.encode(RecordContent(1, *fields))

    def _content_of(self, raw: bytes | None) -> tuple[Newest | None, Kept]:
        if raw is None:
            return None, Kept(SigningRecord(self.key))
        if len(raw) != FILE_BYTES:
            return None, self._decode(self._payload_of_old(raw))
        found = newest(raw)
        if found is None:
            raise self._damaged("the checksums of both slots are wrong")
        if found.number > NUMBER_MAX:
            raise self._damaged("its number is higher than there can be")
        return found, self._decode(found.payload)

    def _payload_of_old(self, raw: bytes) -> bytes:
        """Before there were slots: one record and its checksum. It gets them when it is written next."""
        payload, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
        if len(raw) > RECORD_BYTES_MAX or sha256(payload).digest() != checksum:
            raise self._damaged("its checksum is wrong")
        return payload

    def _decode(self, payload: bytes) -> Kept:
        try:
            content = _decode_content(payload)
        except MalformedMessage as error:
            raise self._damaged(error.why) from None
        if content.genesis_hash != self.genesis_hash:
            raise self.refused(
                f"belongs to another chain (genesis {content.genesis_hash.hex()}): name another file for this one"
            )
        if content.public_key != self.key:
            raise self.refused(f"belongs to another key ({content.public_key.hex()}): name another file for this one")
        record = self._record_of(content)
        return Kept(record, content.moves, content.is_away) if isinstance(content, MovedRecordContent) else Kept(record)

    def _record_of(self, content: RecordContent | MovedRecordContent) -> SigningRecord:
        message = content.proposal or content.vote
        lock = content.precommit_round, content.precommit_value
        try:
            return checked_record(self.key, self.genesis_hash, message, *lock)
        except SigningRefused as error:
            raise self._damaged(error.why) from None

    def _damaged(self, why: str) -> SigningRefused:
        return self.refused(
            f"is damaged ({why}): restore it from a copy that is not older, or do not sign with this key"
        )


def checked_record(
    key: PublicKey,
    genesis_hash: Hash32,
    message: Proposal | Vote | None,
    precommit_round: int,
    precommit_value: Hash32 | None,
) -> SigningRecord:
    """The record of a key with this last message, which came from outside. Raises SigningRefused if none can be so."""
    if message is not None and not verify_message(message, key, genesis_hash):
        raise SigningRefused("its message does not bear the key's signature")
    record = SigningRecord(key, precommit_round=precommit_round, precommit_value=precommit_value)
    if message is not None:
        place = {"height": message.height, "round": message.round, "step": step_of(message)}
        record = replace(record, message=message, **place)
    check_record(record)
    return record


def _decode_content(payload: bytes) -> RecordContent | MovedRecordContent:
    bytes_max = RECORD_BYTES_MAX - CHECKSUM_BYTES
    if payload.startswith(_MOVED_BEGINS):
        return codec.decode(payload, MovedRecordContent, bytes_max=bytes_max)
    return codec.decode(payload, RecordContent, bytes_max=bytes_max)


def _is_onward(known: Kept, found: Kept) -> bool:
    """Whether what was found forgets nothing that was known."""
    before, after = known.record, found.record
    if found.moves < known.moves or (after.height == before.height and after.precommit_round < before.precommit_round):
        return False
    if last_position(after) == last_position(before):
        return after.message == before.message
    return last_position(after) > last_position(before)
