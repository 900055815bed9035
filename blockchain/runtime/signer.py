"""The signer: the only place that holds the validator key, and its record of what the key has signed.

It takes structured values and decides by its record (`consensus.signing`), not by what the node believes. The record
is a file of its own, beside the key or in the data folder and never inside the chain's store, so that it outlives a
store that is thrown away. It is written and forced to the disk *before* a signature is given: after a crash in between
the same message is given again, and no other one for its place.

The file is the truth, and memory a copy of it: it is read again under a lock before each signature, so two processes
that were started with one key and one record by mistake cannot contradict each other. A file that is damaged, of
another chain or of another key, or older than what this process has seen, is refused and never repaired.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, assert_never

from msgspec import Struct

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_request, last_position, step_of
from blockchain.errors import MalformedMessage, SigningRefused
from blockchain.primitives import codec, vrf
from blockchain.primitives.crypto import HASH_BYTES, Hash32, PublicKey, SigningKey
from blockchain.primitives.scalars import HashField, PublicKeyField, RoundOrNone
from blockchain.primitives.vote import (
    Announcement,
    Proposal,
    Signable,
    Vote,
    sign_message,
    signed_bytes,
    verify_message,
)
from blockchain.runtime.atomic_file import remove_leftovers, replace_file
from blockchain.seams import SigningRecord

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RECORD_BYTES_MAX: Final = 1_024  # the largest record takes about 350
_CHECKSUM_BYTES: Final = 32


class RecordFile(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The content of the file, before its checksum. Height, round and step are those of the message."""

    version: Literal[1]
    genesis_hash: HashField
    public_key: PublicKeyField
    proposal: Proposal | None  # two fields, because the encoding has no tag that tells the two apart
    vote: Vote | None
    precommit_round: RoundOrNone
    precommit_value: HashField | None


class Signer:
    """Signs for one validator key on one chain. Any thread may call it; one signature is made at a time."""

    def __init__(self, key: SigningKey, genesis_hash: Hash32, record_path: Path) -> None:
        self._key = key
        self._genesis_hash = genesis_hash
        self._path = record_path
        self._record = SigningRecord(key.public_key)
        self._raw: bytes | None = None  # the file that `_record` was decoded from

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    @property
    def record(self) -> SigningRecord:
        """What the key had signed when the file was last read or written."""
        return self._record

    def check(self) -> None:
        """Refuse a record that could not be used, and change nothing. Raises SigningRefused."""
        self._refresh()

    def load(self) -> SigningRecord:
        """Read the record, and make an empty one where there is none: what cannot be written shows at the start.

        Raises SigningRefused when the file is damaged, of another chain or another key, or cannot be used.
        """
        with self._exclusive():
            self._refresh()
            if self._raw is None:
                self._write(self._record)
            remove_leftovers(self._path)  # under the lock nobody is in the middle of writing it
        return self._record

    def sign(self, message: Signable) -> Signable:
        """The same message with the key's signature, which is on record before it is given.

        An announcement contradicts nothing and needs no record. Raises SigningRefused when the record forbids the
        message, or cannot be read or written.
        """
        match message:
            case Announcement():
                return self._with_signature(message)
            case Vote() | Proposal():
                with self._exclusive():
                    return self._sign_on_record(message)
            case _:  # 32 bare bytes above all: one such signature beside a VRF proof gives the key away
                assert_never(message)

    def prove(self, seed: Hash32, height: int) -> bytes:
        """The VRF proof for a height and its seed, 80 bytes. There is one output a height, so it needs no record."""
        return vrf.prove(self._key.seed, vrf_alpha(self._genesis_hash, seed, height))

    def _sign_on_record(self, message: Vote | Proposal) -> Signable:
        self._refresh()
        again = check_request(self._record, message)
        if again is not None:
            return again
        signed = self._with_signature(message)
        assert not isinstance(signed, Announcement)
        self._write(after_signing(self._record, signed))
        return signed

    def _with_signature(self, message: Signable) -> Signable:
        if len(signed_bytes(message, self._genesis_hash)) == HASH_BYTES:  # holds under -O as well
            raise AssertionError("a signer never signs 32 bare bytes")
        return sign_message(message, self._key, self._genesis_hash)

    def _refresh(self) -> None:
        """Take the file's record, which another process may have moved on; never an older one than is known."""
        raw = self._read()
        if raw == self._raw:
            return
        record = SigningRecord(self._key.public_key) if raw is None else self._decode(raw)
        if last_position(record) < last_position(self._record):
            raise self._refused("was removed, or replaced by an older one, while the node ran: stop, and restore it")
        self._record, self._raw = record, raw

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(RECORD_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from None

    def _write(self, record: SigningRecord) -> None:
        raw = self._encode(record)
        try:
            replace_file(self._path, raw)
        except OSError as error:
            raise self._refused(f"cannot be written: {error.strerror}") from None
        self._record, self._raw = record, raw

    def _encode(self, record: SigningRecord) -> bytes:
        message = record.message
        payload = codec.encode(
            RecordFile(
                version=1,
                genesis_hash=self._genesis_hash,
                public_key=self._key.public_key,
                proposal=message if isinstance(message, Proposal) else None,
                vote=message if isinstance(message, Vote) else None,
                precommit_round=record.precommit_round,
                precommit_value=record.precommit_value,
            )
        )
        return payload + sha256(payload).digest()

    def _decode(self, raw: bytes) -> SigningRecord:
        payload, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
        if sha256(payload).digest() != checksum:
            raise self._damaged("its checksum is wrong")
        try:
            content = codec.decode(payload, RecordFile, bytes_max=RECORD_BYTES_MAX - _CHECKSUM_BYTES)
        except MalformedMessage as error:
            raise self._damaged(error.why) from None
        if content.genesis_hash != self._genesis_hash:
            raise self._refused(
                f"belongs to another chain (genesis {content.genesis_hash.hex()}): name another file for this one"
            )
        if content.public_key != self._key.public_key:
            raise self._refused(f"belongs to another key ({content.public_key.hex()}): name another file for this one")
        return self._record_of(content)

    def _record_of(self, content: RecordFile) -> SigningRecord:
        message = content.proposal or content.vote
        if message is None:
            return SigningRecord(self._key.public_key)
        if not verify_message(message, self._key.public_key, self._genesis_hash):
            raise self._damaged("its message does not bear the key's signature")
        return SigningRecord(
            self._key.public_key,
            height=message.height,
            round=message.round,
            step=step_of(message),
            message=message,
            precommit_round=content.precommit_round,
            precommit_value=content.precommit_value,
        )

    def _damaged(self, why: str) -> SigningRefused:
        return self._refused(
            f"is damaged ({why}): restore it from a copy that is not older, or do not sign with this key"
        )

    def _refused(self, why: str) -> SigningRefused:
        return SigningRefused(f"the signing record {self._path} {why}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One signer at a time, over all threads and processes that use this record."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._refused(f"cannot be locked: {error.strerror}") from None
        try:
            self._wait_for(lock)
            yield
        finally:
            os.close(lock)  # which gives it up, as the end of the process does

    def _wait_for(self, lock: int) -> None:
        try:
            if sys.platform == "win32":
                msvcrt.locking(lock, msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise self._refused(f"cannot be locked: {error.strerror}") from None
