"""Which offences this node holds proof of: one proof of each is kept and passed on (docs/protocol.md §5.8)."""

from __future__ import annotations

from blockchain.consensus.evidence import accused
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Evidence


class Offences:
    """A validator can sign any number of messages that prove the same; only the last two heights are verified, so
    that three kinds a validator and height are all there is."""

    def __init__(self) -> None:
        self._known: set[tuple[int, Address, type]] = set()

    def note(self, evidence: Evidence, height: int) -> bool:
        """False: it is known. `height` is the one in progress."""
        offence = (*accused(evidence), type(evidence))
        if offence in self._known:
            return False
        self._known = {known for known in self._known if known[0] >= height - 1}
        self._known.add(offence)
        return True
