"""Evidence for every provable offence: what honest nodes held of hostile validators must have cost these their stake.

An offence is provable when one honest node got two messages that contradict each other while it kept both, in one life
of it (protocol §5.8 rule 1); what it drops to stay within its bounds, votes of rounds that are not reached, proves
nothing. This room notes what arrives, apart from the nodes' own books, and calls what it finds to account at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from blockchain.consensus.accountability import contradiction
from blockchain.consensus.evidence import accused, author_of, contradicts, messages_of
from blockchain.node.chain import Chain
from blockchain.node.core import Core
from blockchain.node.evidence_age import EvidenceAge
from blockchain.node.evidence_pool import EVIDENCE_BYTES_MAX
from blockchain.node.inputs import Input, MessageReceived
from blockchain.node.messages import Verified, VerifiedEvidence, VerifiedProposal, VerifiedVotes
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import ConflictingProposals, Evidence, Fork, Proposal, Vote
from blockchain.simulator.node import Node

Place = tuple[int, int, Address, int]  # node, life, validator, height


class Docket:
    """The validators of hostile nodes, and what honest nodes got that these have signed."""

    def __init__(self) -> None:
        self.suspects: frozenset[Address] = frozenset()
        self._got: dict[Place, dict[Vote | Proposal, None]] = {}

    def suspect(self, addresses: Iterable[Address]) -> None:
        """From now on what these sign is noted."""
        self.suspects |= frozenset(addresses)

    def of_use(self, node: Node, given: Input) -> list[Vote | Proposal]:
        """What is signed by a suspect in an input of an honest node, and kept there as it stands before this input."""
        core = node.core
        if not node.is_honest or core is None or not isinstance(given, MessageReceived):
            return []
        if given.peer not in core.gossip.peers:
            return []
        signed = _signed_in(given.message)
        return [each for each in signed if author_of(each) in self.suspects and _is_kept(core, each)]

    def note(self, node: Node, kept: list[Vote | Proposal]) -> None:
        """The node has taken this in, and lives."""
        for each in kept:
            self._got.setdefault((node.number, node.life, author_of(each), each.height), {})[each] = None

    def signed(self) -> Iterator[Vote | Proposal]:
        """All of it; what several nodes got, as often."""
        return (each for messages in self._got.values() for each in messages)

    def provable(self) -> dict[Address, set[int]]:
        """The validators that have been caught, and the heights of their offences."""
        found: dict[Address, set[int]] = {}
        for (_, _, author, height), messages in self._got.items():
            if height not in found.get(author, ()) and any(_offend(*pair) for pair in combinations(messages, 2)):
                found.setdefault(author, set()).add(height)
        return found


def accused_in(raw: bytes) -> Address | None:
    """The validator that a piece of evidence in a store accuses; None: it is the proof of a fork."""
    found = codec.decode(raw, Evidence | Fork, bytes_max=EVIDENCE_BYTES_MAX)  # type: ignore[arg-type]
    return None if isinstance(found, Fork) else accused(found)[1]


def unpunished(chain: Chain, age: EvidenceAge, offences: dict[Address, set[int]]) -> Iterator[str]:
    """Whom the state at the head of this chain leaves its stake though an offence of it is in date, in words."""
    state, head = chain.state(), chain.head
    for offender, heights in offences.items():
        if chain.ledger.is_out(state, offender) or not chain.ledger.has_stake(state, offender):
            continue
        in_date = [height for height in sorted(heights) if age.is_in_date(height, head.height + 1, head.time_ms + 1)]
        if in_date:
            yield f"validator {offender.hex()[:8]} offended at heights {in_date} and has lost nothing"


def _signed_in(message: Verified) -> tuple[Vote | Proposal, ...]:
    match message:
        case VerifiedVotes(votes=votes, held=held):
            return (*votes, *held)
        case VerifiedProposal(proposal=proposal):
            return (proposal,)
        case VerifiedEvidence(evidence=evidence):
            return messages_of(evidence)
        case _:
            return ()


def _is_kept(core: Core, message: Vote | Proposal) -> bool:
    """Of the height in progress what is of no later round; of the one before what is of no later round than decided."""
    if message.height == core.chain.height:
        return message.round <= core.engine.current.rules.round
    if message.height == core.chain.head.height:
        return isinstance(message, Vote) and message.round <= core.chain.head.certificate.round
    return False


def _offend(one: Vote | Proposal, other: Vote | Proposal) -> bool:
    if isinstance(one, Vote) and isinstance(other, Vote):
        return contradiction(one, other) is not None
    if isinstance(one, Proposal) and isinstance(other, Proposal):
        return contradicts(ConflictingProposals(one, other))
    return False
