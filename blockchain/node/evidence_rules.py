"""What evidence in a block has to be: judged from the state before the block, and final headers (protocol §5.8)."""

from __future__ import annotations

from msgspec import Struct

from blockchain.consensus.evidence import accused, author_of, contradicts, messages_of
from blockchain.errors import InvalidBlock, InvalidEvidence
from blockchain.node.evidence_age import EvidenceAge
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.vote import Evidence, verify_message
from blockchain.seams import Ledger, State


class EvidenceRules(Struct, frozen=True):
    """The rules of one chain. `state` is always the one before the block."""

    ledger: Ledger
    age: EvidenceAge
    genesis_hash: Hash32

    def offenders(self, block: VerifiedBlock, state: State) -> tuple[Address, ...]:
        """Whom the evidence of a block accuses, in its order. Raises InvalidBlock for the first that may not stand."""
        header = block.header
        offenders: dict[Address, None] = {}
        for position, evidence in enumerate(block.block.evidence):
            try:
                offender = self.check(evidence, state, header.height, header.time_ms)
                if offender in offenders:
                    raise InvalidEvidence("another piece in this block accuses the same validator")
            except InvalidEvidence as error:
                raise InvalidBlock("evidence", f"number {position}: {error.why}") from None
            offenders[offender] = None
        return tuple(offenders)

    def check(self, evidence: Evidence, state: State, height: int, time_ms: int) -> Address:
        """Whom it accuses, if a block with this height and time may hold it. Raises InvalidEvidence."""
        first, second = messages_of(evidence)
        offence, offender = accused(evidence)
        if (second.height, author_of(second)) != (offence, offender):
            raise InvalidEvidence("its messages are of two heights or validators")
        if not contradicts(evidence):
            raise InvalidEvidence("its messages do not contradict each other")
        if not 1 <= offence <= height:
            raise InvalidEvidence(f"of height {offence}, which is not from 1 to {height}")
        key = self.key_of(offender, offence, state)
        if not self.age.is_in_date(offence, height, time_ms):
            raise InvalidEvidence(f"of height {offence}, which is too old at height {height}")
        for message in (first, second):
            if not verify_message(message, key, self.genesis_hash):
                raise InvalidEvidence("a signature is not the validator's")
        return offender

    def key_of(self, offender: Address, offence: int, state: State) -> PublicKey:
        """The key with which it signed then. Raises InvalidEvidence where it is nobody to lose anything by it."""
        if not self.ledger.has_stake(state, offender):
            raise InvalidEvidence("it accuses somebody who has no stake")
        if self.ledger.is_out(state, offender):
            raise InvalidEvidence("it accuses somebody who is out already")
        key = self.ledger.key_at(state, offender, offence)
        if key is None:
            raise InvalidEvidence(f"the accused had no validator key at height {offence}")
        return key
