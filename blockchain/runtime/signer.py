"""The signer: the only place that holds the validator key, and its record of what the key has signed.

It takes structured values and decides by its record (`consensus.signing`), not by what the node believes. The record
is a file (`runtime.record_file`) that is written and forced to the disk *before* a signature is given: after a crash
in between the same message is given again, and no other one for its place. It is read again under its lock before each
signature, so two processes that were started with one key and one record by mistake cannot contradict each other, and
a validator that is moved away signs nothing more from that moment on.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, assert_never

from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_request
from blockchain.primitives import vrf
from blockchain.primitives.crypto import HASH_BYTES, Hash32, PublicKey, SigningKey
from blockchain.primitives.vote import Announcement, Proposal, Signable, Vote, sign_message, signed_bytes
from blockchain.runtime.record_file import Kept, RecordFile
from blockchain.seams import SigningRecord

_LOG: Final = logging.getLogger("blockchain.signer")


class Signer:
    """Signs for one validator key on one chain. Any thread may call it; one signature is made at a time."""

    def __init__(self, key: SigningKey, genesis_hash: Hash32, record_path: Path) -> None:
        self._key = key
        self._genesis_hash = genesis_hash
        self._file = RecordFile(record_path, key.public_key, genesis_hash)

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    @property
    def record(self) -> SigningRecord:
        """What the key had signed when the file was last read or written."""
        return self._file.kept.record

    def check(self) -> None:
        """Refuse a record that could not be used, and change nothing. Raises SigningRefused."""
        self._refresh()

    def load(self) -> SigningRecord:
        """Read the record, and write it anew, an empty one where there is none: what cannot be written shows here.

        `is_new` tells that nothing is on record, neither now nor before this start: either the key is new on this
        chain, or its record is lost. Raises SigningRefused when the file is damaged, of another chain or another key,
        cannot be used, or says that the validator was moved away.
        """
        with self._file.exclusive():
            kept = self._refresh()
            if self._file.has_damage:
                _say_damaged(self._file)
            self._file.write(kept)  # its message is sent again by whoever reads it here, and no store may know of it
        return replace(kept.record, is_new=kept.record.message is None)

    def sign(self, message: Signable) -> Signable:
        """The same message with the key's signature, which is on record before it is given.

        An announcement contradicts nothing and needs no record. Raises SigningRefused when the record forbids the
        message, or cannot be read or written, or says that the validator was moved away.
        """
        match message:
            case Announcement():
                self._refresh()
                return self._with_signature(message)
            case Vote() | Proposal():
                with self._file.exclusive():
                    return self._sign_on_record(message)
            case _:  # 32 bare bytes above all: one such signature beside a VRF proof gives the key away
                assert_never(message)

    def prove(self, seed: Hash32, height: int) -> bytes:
        """The VRF proof for a height and its seed, 80 bytes. There is one output a height, so it needs no record."""
        return vrf.prove(self._key.seed, vrf_alpha(self._genesis_hash, seed, height))

    def _sign_on_record(self, message: Vote | Proposal) -> Signable:
        kept = self._refresh()
        again = check_request(kept.record, message)
        if again is not None:
            self._file.settle()
            return again
        signed = self._with_signature(message)
        assert not isinstance(signed, Announcement)
        self._file.advance(replace(kept, record=after_signing(kept.record, signed)))
        return signed

    def _with_signature(self, message: Signable) -> Signable:
        if len(signed_bytes(message, self._genesis_hash)) == HASH_BYTES:  # holds under -O as well
            raise AssertionError("a signer never signs 32 bare bytes")
        return sign_message(message, self._key, self._genesis_hash)

    def _refresh(self) -> Kept:
        """The record as the file has it now. Raises SigningRefused, also when it says that nobody signs here."""
        kept = self._file.refresh()
        if kept.is_away:
            raise self._file.refused(
                f"says that this validator was moved away (move {kept.moves}): run it where that move was imported, "
                "or bring it back with `validator move import`"
            )
        return kept


def _say_damaged(file: RecordFile) -> None:
    facts = {"evt.name": "record_damaged", "record": str(file.path)}
    _LOG.warning(
        "one of the two slots of %s is damaged, as by a power cut; the other one counts", file.path, extra=facts
    )
