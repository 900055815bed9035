"""What has to hold when the power is back, by what the program knew and said before it went."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final

import apsw
from msgspec.structs import replace

from blockchain.consensus.signing import last_position, position_of
from blockchain.errors import BlockchainError, SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime.record_slots import FILE_BYTES, SLOT_BYTES, newest
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_audit import Auditor
from blockchain.runtime.sqlite_backup import _check_copy
from blockchain.runtime.sqlite_look import snapshot
from tests.node.one_chain import spec_with
from tests.powercuts.disk import Mark
from tests.powercuts.plays import BACKUP, History, dump, remember
from tests.processes.contradictions import check_said
from tests.processes.killed_validator import VICTIM, Life, Line, chain, read_said

ROTS: Final = 0.3  # of the cuts: that the newest slot of the signing record is lost as well, and the store is not
TEMPTED: Final = 3  # of the newest messages, each of which the signer is asked to contradict
LIFE_ACTIONS: Final = 15
_OTHER: Final = Hash32(b"\x66" * 32)


class Lost(AssertionError):
    """What a power cut must not do was done."""


@dataclass
class Known:
    """What was known and said at a moment of a history."""

    first: bytes = b""  # what the store holds when it has been opened
    holds: bytes | None = None
    coming: bytes | None = None  # what it will hold when the write in progress is done
    said: dict[str, list[bytes]] = field(default_factory=dict)
    backups: set[bytes] = field(default_factory=set)  # what the copy may be; b"" for none

    @property
    def allowed(self) -> set[bytes]:
        return {self.first if self.holds is None else self.holds} | ({self.coming} if self.coming else set())


def moments(history: History) -> Iterator[Known]:
    """What was known before each operation, and at the end; one object, which changes."""
    marks = [(at, done) for at, done in enumerate(history.operations) if isinstance(done, Mark)]
    held = [(at, mark.value) for at, mark in marks if mark.what == "holds"]
    known = Known(first=held[0][1], said={name: list(raws) for name, raws in history.before.items()}, backups={b""})
    for at, done in enumerate(history.operations):
        yield known
        match done:
            case Mark(what="writing"):
                known.coming = next(value for place, value in held if place > at)
            case Mark(what="holds", value=value):
                known.holds, known.coming = value, None
            case Mark(what="backup begun"):
                assert known.holds is not None
                known.backups.add(known.holds)
            case Mark(what="backup made"):
                assert known.holds is not None
                known.backups = {known.holds}
            case Mark(what=what, value=value) if what in known.said:
                known.said[what].append(value)
            case _:
                pass
    yield known


class Judge:
    """Looks at one folder after another. What depends on rows and record alone is looked at once for each of them."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._seen: set[bytes] = set()
        self.lives = 0
        self.audits = 0
        self.rots = 0

    def check(self, folder: Path, known: Known, chance: Random) -> None:
        """Raises Lost."""
        try:
            found = self._check_store(folder, known)
            if self._history.play == "backup":
                self._check_backup(folder, known)
            if self._history.play in ("life", "again"):
                self._check_signer(folder, known, found, chance)
        except (BlockchainError, apsw.Error) as error:
            raise Lost(f"{type(error).__name__}: {error}") from error

    def _check_store(self, folder: Path, known: Known) -> bytes:
        store = SqliteStore.open(folder / "data", self._history.genesis_hash)
        try:
            found = dump(store.path)
            if found not in known.allowed:
                raise Lost(f"the store holds something else than what was acknowledged, at height {store.head()}")
        finally:
            store.close()
        with closing(apsw.Connection(str(store.path), vfs="unix")) as connection:
            answer = connection.pragma("integrity_check", 1)
            if answer != "ok":
                raise Lost(f"pages: {answer}")
        if found not in self._seen and self._spec is not None:
            self._seen.add(found)
            self.audits += 1
            with snapshot(folder / "data", self._history.genesis_hash) as shot:
                Auditor(shot, self._spec, lambda _done, _all: None).run()
        return found

    @property
    def _spec(self) -> ChainSpec | None:
        """None: the blocks are made up."""
        return {"life": chain(), "again": chain(), "upgrade": spec_with()}.get(self._history.play)

    def _check_backup(self, folder: Path, known: Known) -> None:
        copy = folder / BACKUP
        if copy.exists():
            _check_copy(copy, self._history.genesis_hash)
        found = dump(copy) if copy.exists() else b""
        if found not in known.backups:
            raise Lost("the backup is not the one that was made" if found else "the backup is gone")

    # ------------------------------------------------------------------------------------------------- signing

    def _check_signer(self, folder: Path, known: Known, found: bytes, chance: Random) -> None:
        """The record forbids to contradict what left the signer; and the validator lives on, and does not.

        Where the record falls back by one, the store keeps it from contradicting what left the node.
        """
        record = folder / "signing_record"
        if chance.random() < ROTS and _lose_newest_slot(record):
            self.rots += 1
            said = {**known.said, "said": known.said["sent"]}
        else:
            said = known.said
            self._tempt(folder, [codec.decode(raw, Line, bytes_max=len(raw)).message for raw in said["said"]])
        state = sha256(found + (record.read_bytes() if record.exists() else b"")).digest()
        if state in self._seen:
            return
        self._seen.add(state)
        self.lives += 1
        remember(folder, said)
        _live_on(folder, chance.getrandbits(32))
        try:
            check_said(read_said(folder / "said"))
        except AssertionError as error:
            raise Lost(f"after the cut: {error}") from None

    def _tempt(self, folder: Path, given: list[Proposal | Vote]) -> None:
        signer = Signer(VICTIM, self._history.genesis_hash, folder / "signing_record")
        record = signer.load()
        if given and last_position(record) < max(position_of(one) for one in given):
            raise Lost("the signing record is older than what was signed")
        for message in given[-TEMPTED:]:
            with suppress(SigningRefused):
                signer.sign(replace(message, block_id=_OTHER))
                raise Lost("the signer contradicts what it gave before the cut")


def _lose_newest_slot(record: Path) -> bool:
    """As a disk does that forgets what it held; not where the cut has left but one slot."""
    raw = record.read_bytes() if record.exists() else b""
    found = newest(raw) if len(raw) == FILE_BYTES else None
    if found is None or found.is_alone:
        return False
    slots = [raw[:SLOT_BYTES], raw[SLOT_BYTES:]]
    slots[found.place] = bytes(SLOT_BYTES)
    record.write_bytes(b"".join(slots))
    return True


def _live_on(folder: Path, seed: int) -> None:
    """Another life of the validator, in a process of its own. Raises Lost when it does not start, or fails."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            logging.disable(logging.CRITICAL)
            asyncio.run(Life(folder, Random(seed), actions=LIFE_ACTIONS).run())
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise Lost("the validator does not live on")
