"""The production algorithm behind the words of Malachite's model: translates, and decides nothing.

What a step of the model was given is given to `Tendermint` (or to `VoteBook`); what came out, and the variables, are
put into the model's words, so that `model_check` can compare them. There is no rule, no quorum and no proposer function
here. Four differences are of form and are translated:

- The model applies one rule a step and remembers what is left (`pendingStepChange`, `pendingInputs`); ours applies all
  at once. So variables are compared when the model has nothing left, and what was sent is compared as a list, in
  order, that may wait until then.
- The model puts votes that came before a height's start into the tally and starts in the round that they lead to, or
  decides at once without entering a round (its round stays -1). Ours starts round 0 and its rules do the rest.
- Who proposes is the lottery's matter. Where the model proposes, the proposal is made from ours' `RoundStarted`.
- The model's votes have no polka round. Those of the validators under test carry what ours cast; those of the faulty
  carry -1. So evidence of a forgotten lock can be asserted never to hit a correct validator.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import convert

from blockchain.consensus.tendermint import (
    Action,
    Candidate,
    CastVote,
    Decide,
    RoundStarted,
    ScheduleTimeout,
    Tendermint,
)
from blockchain.consensus.votes import VoteBook
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import ConflictingVotes, ForgottenLock, Step, Vote, VoteStep
from tests.consensus.model_traces import DriverStep, ModelNode, ModelProposal, ModelState, ModelVote, Term, term

Event = tuple[str | int | None, ...]  # ("prevote", round, value), ("proposal", round, value, valid round), …
EngineOf = Callable[[ValidatorSet], Tendermint]
BookOf = Callable[[ValidatorSet], VoteBook]
PolkaRounds = dict[tuple[str, int, int, str | None], int]

INVALID = "invalid"  # the model's isValid(v) is v != "invalid"
_STEPS = {Step.PROPOSE: "ProposeStep", Step.PREVOTE: "PrevoteStep", Step.PRECOMMIT: "PrecommitStep"}
_TIMEOUTS = {"ProposeTimeout": Step.PROPOSE, "PrevoteTimeout": Step.PREVOTE, "PrecommitTimeout": Step.PRECOMMIT}
_VOTES = {"Prevote": VoteStep.PREVOTE, "Precommit": VoteStep.PRECOMMIT}


class AdaptedValidator:
    """One validator of a trace: ours, in the model's words."""

    def __init__(self, name: str, engine_of: EngineOf, polka_rounds: PolkaRounds) -> None:
        self.name = name
        self.sent: list[Event] = []
        self.decisions: dict[int, str] = {}  # by height
        self.equivocations: set[frozenset[ModelVote]] = set()
        self.forgotten_locks: list[ForgottenLock] = []
        self.height = -1
        self._engine_of = engine_of
        self._polka_rounds = polka_rounds
        self._engine: Tendermint
        self._started: RoundStarted
        self._asked: set[tuple[Step, int]] = set()

    def take(self, step: DriverStep) -> None:
        """Give ours what the model's driver was given."""
        if not step.before.es.started:
            self._start_height(step.before)
            return
        given = step.input.value
        match step.input.tag:
            case "ProposalDInput":
                self._on_proposal(_proposal(given))
            case "VoteDInput":
                self._on_vote(_vote(given))
            case "CertificateDInput":
                for vote in given:
                    self._on_vote(_vote(vote))
            case "TimeoutDInput":
                self._on_timeout(_TIMEOUTS[term(given).tag], step.before.es.cs.round)
            case "ProposeValueDInput":
                self._propose(given)
            case other:
                assert other in ("StepChangeDInput", "PendingDInput", "NoDInput"), other
        if step.output.tag == "ProposalOutput" and step.input.tag != "ProposeValueDInput":
            self._propose(None)

    def state(self) -> ModelState:
        """The variables, in the model's words."""
        ours = self._engine
        return ModelState(
            self.height,
            ours.round,
            _STEPS[ours.step] if ours.decision is None else "CommitStep",
            text(ours.locked_value),
            ours.locked_round,
            text(ours.valid_value),
            ours.valid_round,
        )

    def begin_height(self, height: int, stakes: dict[str, int]) -> None:
        self.height = height
        self.equivocations = set()
        self._engine = self._engine_of(validator_set(stakes))
        self._asked = set()

    def _start_height(self, before: ModelNode) -> None:
        self.begin_height(before.es.cs.height, dict(before.es.valset))
        self._collect(self._engine.start_round(0))
        for vote in [*before.incoming_votes, *(vote for votes in before.incoming_certificates for vote in votes)]:
            if vote.height == self.height:
                self._on_vote(vote)

    def _on_proposal(self, proposal: ModelProposal) -> None:
        candidate = Candidate(hash_of(proposal.proposal), proposal.valid_round, proposal.proposal != INVALID)
        self._collect(self._engine.on_proposal(proposal.round, candidate))

    def _on_vote(self, vote: ModelVote) -> None:
        ours = production_vote(
            vote, self._polka_rounds.get((vote.src_address, vote.height, vote.round, vote.value_id), -1)
        )
        _, evidence, actions = self._engine.on_vote(ours)
        for proof in evidence:
            if isinstance(proof, ConflictingVotes):
                self.equivocations.add(frozenset((model_vote(proof.first), model_vote(proof.second))))
            elif isinstance(proof, ForgottenLock):
                self.forgotten_locks.append(proof)
        self._collect(actions)

    def _on_timeout(self, step: Step, round: int) -> None:
        actions = self._engine.on_timeout(step, round)
        assert not actions or (step, round) in self._asked, f"{self.name} acted on a time-out it had not asked for"
        self._collect(actions)

    def _propose(self, new: str | None) -> None:
        started = self._started
        value = new if started.value is None else text(started.value)
        self.sent.append(("proposal", started.round, value, started.valid_round))

    def _collect(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case RoundStarted():
                    self._started = action
                case CastVote(round, step, value, polka_round):
                    if step is VoteStep.PREVOTE:
                        self._polka_rounds[(self.name, self.height, round, text(value))] = polka_round
                    self.sent.append((step.name.lower(), round, text(value)))
                case ScheduleTimeout(step, round):
                    self._asked.add((step, round))
                case Decide(round, value):
                    self.decisions[self.height] = str(text(value))
                    self.sent.append(("decision", round, text(value)))


class AdaptedStateMachine(AdaptedValidator):
    """v1 of four equal validators, given what the model's bare state machine was given: not messages, but that a rule's
    condition holds. So the three others say together what makes it hold.
    """

    def __init__(self, engine_of: EngineOf, height: int) -> None:
        super().__init__("v1", engine_of, {})
        self.begin_height(height, {"v1": 1, "v2": 1, "v3": 1, "v4": 1})

    def take_input(self, given: Term) -> None:
        match given.tag, given.value:
            case (("NewRoundCInput" | "NewRoundProposerCInput"), round):
                if round != self._engine.round:  # else the second half of a skip, which ours has done at once
                    self._collect(self._engine.start_round(round))
            case "ProposeValueCInput", value:
                self._propose(value)
            case "ProposalCInput", (round, value):
                self._on_proposal(ModelProposal("v2", self.height, round, value, -1))
            case "ProposalInvalidCInput", _:
                self._on_proposal(ModelProposal("v2", self.height, self._engine.round, INVALID, -1))
            case "ProposalAndPolkaAndValidCInput", value:
                self._others_vote("Prevote", self._engine.round, [value, value, value])
            case "PolkaAnyCInput", _:
                self._others_vote("Prevote", self._engine.round, [None, "one", "other"])
            case "PolkaNilCInput", _:
                self._others_vote("Prevote", self._engine.round, [None, None, None])
            case "PrecommitAnyCInput", _:
                self._others_vote("Precommit", self._engine.round, [None, "one", "other"])
            case "ProposalAndCommitAndValidCInput", (round, value):
                self._others_vote("Precommit", round, [value, value, value])
            case (("TimeoutProposeCInput" | "TimeoutPrevoteCInput" | "TimeoutPrecommitCInput"), (_, round)):
                step = _TIMEOUTS[given.tag.removesuffix("CInput").removeprefix("Timeout") + "Timeout"]
                self._on_timeout(step, round)
            case other:
                raise AssertionError(other)

    def _others_vote(self, vote_type: str, round: int, values: list[str | None]) -> None:
        for name, value in zip(("v2", "v3", "v4"), values, strict=True):
            self._on_vote(ModelVote(vote_type, name, self.height, round, value))


class AdaptedBook:
    """Our vote book, which is asked, in the model's words: the model's says after each vote what has come to hold."""

    def __init__(self, stakes: list[tuple[str, int]], book_of: BookOf) -> None:
        self._book = book_of(validator_set(dict(stakes)))
        self._said: list[Term] = []
        self.evidence: set[frozenset[ModelVote]] = set()

    def count(self, vote: ModelVote, current_round: int) -> Term:
        """What came to hold with this vote; the model says one thing, the most that can be said."""
        _, evidence = self._book.add(production_vote(vote), current_round)
        for proof in evidence:
            assert isinstance(proof, ConflictingVotes)
            self.evidence.add(frozenset((model_vote(proof.first), model_vote(proof.second))))
        holds = self._holds(vote.round, current_round)
        new = [word for word in holds if word not in self._said]
        self._said += new
        return new[0] if new else Term("NoVKOutput", ())

    def tally(self, round: int) -> tuple[dict[str | None, int], dict[str | None, int], int]:
        """The stake behind each value in both steps, and the stake of all who voted in the round."""
        votes = self._book.of(round)
        prevotes, precommits = (
            {text(value): stake for value, stake in step.stakes.items()} for step in (votes.prevotes, votes.precommits)
        )
        return prevotes, precommits, self._book.stake_in_round(round)

    def _holds(self, round: int, current_round: int) -> list[Term]:
        book, validators = self._book, self._book.validators
        votes = book.of(round)
        asked = [
            ("SkipVKOutput", round > current_round and validators.is_honest_minority(votes.stake), round),
            ("PolkaValueVKOutput", book.polka(round) is not None, (round, text(book.polka(round)))),
            ("PolkaNilVKOutput", book.is_polka(round, None), round),
            ("PolkaAnyVKOutput", validators.is_quorum(votes.prevotes.stake), round),
            ("PrecommitValueVKOutput", book.decided(round) is not None, (round, text(book.decided(round)))),
            ("PrecommitAnyVKOutput", validators.is_quorum(votes.precommits.stake), round),
        ]
        return [Term(tag, value) for tag, is_so, value in asked if is_so]


def sent_by_model(output: Term) -> list[Event]:
    """What leaves the model's validator in one step, in the same words."""
    match output.tag:
        case "VoteOutput":
            vote = _vote(output.value)
            return [(vote.vote_type.lower(), vote.round, vote.value_id)]
        case "ProposalOutput":
            proposal = _proposal(output.value)
            return [("proposal", proposal.round, proposal.proposal, proposal.valid_round)]
        case "DecidedOutput":
            round, value = output.value
            return [("decision", round, value)]
    return []


def validator_set(stakes: dict[str, int]) -> ValidatorSet:
    return ValidatorSet(
        Validator(address_of(name), PublicKey(address_of(name)), stake) for name, stake in stakes.items()
    )


def production_vote(vote: ModelVote, polka_round: int = -1) -> Vote:
    value = None if vote.value_id is None else hash_of(vote.value_id)
    return Vote(vote.height, vote.round, _VOTES[vote.vote_type], value, polka_round, address_of(vote.src_address))


def model_vote(vote: Vote) -> ModelVote:
    name = str(text(Hash32(vote.validator)))
    return ModelVote(vote.step.name.capitalize(), name, vote.height, vote.round, text(vote.block_id))


def address_of(name: str) -> Address:
    return Address(name.encode().ljust(32, b"\0"))


def hash_of(value: str) -> Hash32:
    return Hash32(value.encode().ljust(32, b"\0"))


def text(value: Hash32 | None) -> str | None:
    return None if value is None else value.rstrip(b"\0").decode()


def _vote(given: object) -> ModelVote:
    return convert(given, ModelVote)


def _proposal(given: object) -> ModelProposal:
    return convert(given, ModelProposal)
