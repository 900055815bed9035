"""Evidence for every provable offence: what honest nodes held of hostile validators must have cost these their stake.

An offence is provable when one honest node got two messages that contradict each other while it kept both, in one life
of it (protocol §5.8 rule 1); what it drops to stay within its bounds, votes of rounds that are not reached, proves
nothing. This room notes what arrives, apart from the nodes' own books. From the input on that makes an offence
provable, and at each block that becomes final there, that node must have evidence against the offender waiting for a
block (`Docket.lacking`); at the end of a run the offender must have lost its stake (`unpunished`).

Neither is asked where such evidence is of no use by protocol §5.8, rules 4 and 5: against one who is out, as it has
lost all that an offence costs, for good, and nothing accuses it twice, whatever else it does; who has no stake left; or
when it is out of date. One piece is enough for all offences of one validator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
from blockchain.seams import Store
from blockchain.simulator.node import Node

Place = tuple[int, int, Address, int]  # node, life, validator, height
Offences = dict[Address, set[int]]  # by validator: at which heights


class Docket:
    """The validators of hostile nodes, and what honest nodes got that these have signed."""

    def __init__(self) -> None:
        self.suspects: frozenset[Address] = frozenset()
        self._got: dict[Place, dict[Vote | Proposal, None]] = {}
        self._caught: dict[tuple[int, int], Offences] = {}  # by node and life: what it can prove

    def suspect(self, addresses: Iterable[Address]) -> None:
        """From now on what these sign is noted."""
        self.suspects |= frozenset(addresses)

    def of_use(self, node: Node, given: Input) -> list[Vote | Proposal]:
        """What is signed by a suspect in an input of an honest node, and kept there as it stands before this input."""
        core = node.core
        if not node.is_honest or core is None or not isinstance(given, MessageReceived):
            return []
        if given.peer not in core.peers:
            return []
        signed = _signed_in(given.message)
        return [each for each in signed if author_of(each) in self.suspects and _is_kept(core, each)]

    def note(self, node: Node, kept: list[Vote | Proposal]) -> list[str]:
        """The node has taken this in, and lives; complaints where it can prove something by it and does not."""
        is_news = False
        for each in kept:
            author, height = author_of(each), each.height
            messages = self._got.setdefault((node.number, node.life, author, height), {})
            caught = self._caught.setdefault((node.number, node.life), {}).setdefault(author, set())
            if height not in caught and any(_offend(each, other) for other in messages):
                caught.add(height)
                is_news = True
            messages[each] = None
        return list(self.lacking(node)) if is_news else []

    def lacking(self, node: Node) -> Iterator[str]:
        """Against whom this node could prove something that is of use, and has no evidence waiting; in words."""
        caught, core = self._caught.get((node.number, node.life), {}), node.core
        if core is None or not any(caught.values()):
            return
        waiting = {accused(piece)[1] for piece in core.chain.evidence.pieces()}
        offences = {author: heights for author, heights in caught.items() if heights and author not in waiting}
        for complaint in unpunished(core.chain, node.store, offences):
            yield f"node {node.number} has no evidence waiting: {complaint}"

    def signed(self) -> Iterator[Vote | Proposal]:
        """All of it; what several nodes got, as often."""
        return (each for messages in self._got.values() for each in messages)

    def provable(self) -> Offences:
        """The validators that have been caught, and the heights of their offences."""
        found: Offences = {}
        for caught in self._caught.values():
            for author, heights in caught.items():
                if heights:
                    found.setdefault(author, set()).update(heights)
        return found


def accused_in(raw: bytes) -> Address | None:
    """The validator that a piece of evidence in a store accuses; None: it is the proof of a fork."""
    found = codec.decode(raw, Evidence | Fork, bytes_max=EVIDENCE_BYTES_MAX)  # type: ignore[arg-type]
    return None if isinstance(found, Fork) else accused(found)[1]


def unpunished(chain: Chain, store: Store, offences: Offences) -> Iterator[str]:
    """Whom the state at the head of this chain leaves its stake though an offence of it is in date, in words.

    `store` has the chain's final headers.
    """
    state, head = chain.state(), chain.head
    age: EvidenceAge | None = None
    for offender, heights in offences.items():
        if chain.ledger.is_out(state, offender) or not chain.ledger.has_stake(state, offender):
            continue
        age = age or EvidenceAge(chain.spec.parameters, store, head.height, head.time_ms)
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
