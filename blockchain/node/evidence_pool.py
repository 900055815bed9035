"""The evidence that waits for a block: the one owner of it in a node (docs/protocol.md §5.8).

One piece an offender: the first that is included puts it out for good. All that is here could stand in the next block
on the head: what no longer could goes when the head moves. What was found stays in the store; the room is filled from
there at the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from blockchain.consensus.evidence import accused
from blockchain.errors import InvalidEvidence, MalformedMessage
from blockchain.node.evidence_rules import EvidenceRules
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_EVIDENCE_MAX
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.vote import Evidence, Fork
from blockchain.seams import State

POOL_MAX: Final = 1_000  # offenders; a block takes sixteen, and what has no room now is told again by peers
OWN_MAX: Final = 1_000  # beyond these, of what this node found itself: nobody else may ever tell it of that
EVIDENCE_BYTES_MAX: Final = 4 * 1024 * 1024  # of a piece from one's own store; a fork has two certificates


class EvidencePool:
    """`state` is always that of the head; `height` the one in progress, `time_ms` the head's."""

    def __init__(self, rules: EvidenceRules, state: State, height: int, time_ms: int) -> None:
        self._rules = rules
        self._pieces: dict[Address, Evidence] = {}  # the oldest first
        self._state = state
        self._height = height
        self._time_ms = time_ms

    def __len__(self) -> int:
        return len(self._pieces)

    def pieces(self) -> tuple[Evidence, ...]:
        """All of it, the oldest first."""
        return tuple(self._pieces.values())

    def restore(self, kept: Iterable[bytes]) -> None:
        """Take up what the store holds. Proofs of forks are there too: they accuse nobody by themselves."""
        for raw in kept:
            try:
                found = codec.decode(raw, Evidence | Fork, bytes_max=EVIDENCE_BYTES_MAX)  # type: ignore[arg-type]
                if not isinstance(found, Fork) and self._key_of(*accused(found), POOL_MAX + OWN_MAX) is not None:
                    self._rules.check(found, self._state, self._height, self._time_ms + 1)
                    self._pieces[accused(found)[1]] = found
            except (MalformedMessage, InvalidEvidence):
                continue  # of an earlier form, or not in date any more: nothing in it is needed

    def key_of(self, offence: int, offender: Address) -> PublicKey | None:
        """The key that evidence against this validator has to be signed with; None: such evidence is of no use here.

        That is so for one who is accused already, is out, has no stake or had no key, and for a height that is too
        old or not reached yet. Cheap: what is of no use costs no signature check. It may be too old all the same.
        """
        return self._key_of(offence, offender, POOL_MAX)

    def _key_of(self, offence: int, offender: Address, most: int) -> PublicKey | None:
        if offender in self._pieces or len(self._pieces) >= most:
            return None
        if not self._rules.age.first <= offence <= self._height:
            return None
        try:
            return self._rules.key_of(offender, offence, self._state)
        except InvalidEvidence:
            return None

    def add(self, evidence: Evidence, *, is_own: bool = False) -> bool:
        """Take in evidence whose two messages are verified; False: it is of no use. `is_own`: found by this node.

        Accounts that stake the least may accuse themselves by the thousand, so that a larger one is not.
        """
        offence, offender = accused(evidence)
        if self._key_of(offence, offender, POOL_MAX + OWN_MAX if is_own else POOL_MAX) is None:
            return False
        if not self._rules.age.is_in_date(offence, self._height, self._time_ms + 1):
            return False
        self._pieces[offender] = evidence
        return True

    def on_head(self, state: State, height: int, time_ms: int) -> None:
        """The head has moved: let go of what could not stand in a block on it."""
        self._state, self._height, self._time_ms = state, height, time_ms
        kept, self._pieces = self._pieces, {}
        for evidence in kept.values():
            self.add(evidence, is_own=True)  # there was room for it

    def choose(self, time_ms: int) -> tuple[Evidence, ...]:
        """What a block with this time, on the head, takes of it."""
        age = self._rules.age
        good = (each for each in self._pieces.values() if age.is_in_date(accused(each)[0], self._height, time_ms))
        return tuple(islice(good, BLOCK_EVIDENCE_MAX))
