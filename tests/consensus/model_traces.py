"""The traces of Malachite's Quint model of Tendermint, read into typed values.

A trace is ITF JSON: a list of states of the whole model. Which step led from one state to the next is told by a history
variable, which keeps its value while the model only moves messages about; this module finds the steps. It knows the
model's words and nothing of ours: `model_adapter` translates.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from tests.vectors import load_vectors, vector_folder

FOLDER = "tendermint-model"
TRACE_COUNT = 34
_SUFFIX = ".itf.json.gz"


class ModelVote(Struct, frozen=True, rename="camel"):
    vote_type: str  # "Prevote" or "Precommit"
    src_address: str
    height: int
    round: int
    value_id: str | None


class ModelProposal(Struct, frozen=True, rename="camel"):
    src_address: str
    height: int
    round: int
    proposal: str
    valid_round: int


class ModelState(Struct, frozen=True, rename="camel"):
    """The paper's variables of one validator."""

    height: int
    round: int
    step: str
    locked_value: str | None
    locked_round: int
    valid_value: str | None
    valid_round: int


class ModelBook(Struct, frozen=True, rename="camel"):
    evidence: list[list[ModelVote]]


class ModelDriver(Struct, frozen=True, rename="camel"):
    cs: ModelState
    bk: ModelBook
    valset: list[tuple[str, int]]
    pending_inputs: list[object]
    pending_step_change: str
    started: bool


class ModelNode(Struct, frozen=True, rename="camel"):
    """A validator: its driver, and the messages that wait before it."""

    es: ModelDriver
    incoming_votes: list[ModelVote]
    incoming_proposals: list[ModelProposal]
    incoming_certificates: list[list[ModelVote]]
    get_value_requests: list[tuple[int, int]]

    @property
    def is_drained(self) -> bool:
        """Whether the model has applied all its rules to what it was given; it applies one a step."""
        if self.es.cs.step == "CommitStep":
            return True
        waits_for_value = (self.es.cs.height, self.es.cs.round) in self.get_value_requests
        is_in_round = self.es.cs.step != "NoStep"
        return (
            is_in_round
            and self.es.pending_step_change == "NoStep"
            and not self.es.pending_inputs
            and not waits_for_value
        )


class Term(Struct, frozen=True):
    """A value of one of the model's sum types: `VoteDInput(vote)`. The value is () where the case has none."""

    tag: str
    value: Any


class DriverStep(Struct, frozen=True):
    """One call of a validator's driver."""

    at: int  # the number of the state that it led to
    validator: str
    input: Term
    output: Term
    before: ModelNode
    after: ModelNode


class ConsensusStep(Struct, frozen=True):
    """One call of the bare state machine, without a driver."""

    at: int
    input: Term
    output: Term
    after: ModelState


class CountedVote(Struct, frozen=True):
    """One vote given to the model's vote keeper, and what the keeper holds and says then."""

    at: int
    vote: ModelVote
    current_round: int
    emitted: Term
    stakes: list[tuple[str, int]]
    rounds: list[tuple[int, ModelTally]]
    evidence: list[list[ModelVote]]


class ModelCount(Struct, frozen=True, rename="camel"):
    values_weights: list[tuple[str | None, int]]
    votes_addresses: list[str]


class ModelTally(Struct, frozen=True, rename="camel"):
    prevotes: ModelCount
    precommits: ModelCount
    votes_addresses_weights: list[tuple[str, int]]


def trace_names(prefix: str = "") -> list[str]:
    """The traces whose names begin with `prefix`; skips where the folder is absent."""
    names = (path.name.removesuffix(_SUFFIX) for path in (vector_folder() / FOLDER).glob(f"{prefix}*{_SUFFIX}"))
    return sorted(names)


@cache  # of typed steps, some ten megabytes for all traces: the planted bugs run them again and again
def driver_steps(name: str) -> tuple[DriverStep, ...]:
    """The calls of the drivers, in order. A repeated one that changed nothing is left out."""
    states = _load_states(name)
    steps: list[DriverStep] = []
    for history in [key for key in states[-1] if key.endswith("_hist")]:
        seen = [(at, state) for at, state in enumerate(states) if history in state]
        for (_, before), (at, after) in pairwise(seen):
            steps.extend(_driver_step(at, before, after, history))
    return tuple(steps)


def _driver_step(at: int, before: dict[str, Any], after: dict[str, Any], history: str) -> Iterator[DriverStep]:
    """The call that led from one state to the next, if one did. Decodes no more than it needs: states are large."""
    validator, given, output = _history(decode(after[history]))
    if validator == "INIT":
        return
    is_same_call = before[history] == after[history]
    system = history.removesuffix("_hist") + "system"
    old, new = (dict(state[system]["#map"])[validator] for state in (before, after))
    if is_same_call and old["es"] == new["es"]:
        return
    if is_same_call and not new["es"]["started"]:
        return  # the environment put the node on its next height
    nodes = (msgspec.convert(decode(node), ModelNode) for node in (old, new))
    yield DriverStep(at, validator, term(given), term(output), *nodes)


def consensus_steps(name: str) -> Iterator[ConsensusStep]:
    """The calls of the state machine; the model stands still after each, to look at the result."""
    before = None
    for at, state in enumerate(decode(_load_states(name))):
        if at > 0 and state != before:
            after = msgspec.convert(state["state"], ModelState)
            yield ConsensusStep(at, term(state["input"]), term(state["output"]), after)
        before = state


def counted_votes(name: str) -> Iterator[CountedVote]:
    """The votes given to the vote keeper; the model stands still after each, to look at the result."""
    before = None
    for at, state in enumerate(decode(_load_states(name))):
        given = term(state["weightedVote"])
        if given.tag == "WV" and state != before:
            vote, _, current_round = given.value
            book = state["bookkeeper"]
            yield CountedVote(
                at,
                msgspec.convert(vote, ModelVote),
                current_round,
                term(state["lastEmitted"]),
                book["validatorSet"],
                msgspec.convert(book["rounds"], list[tuple[int, ModelTally]]),
                msgspec.convert(book["evidence"], list[list[ModelVote]]),
            )
        before = state


def _load_states(name: str) -> list[dict[str, Any]]:
    states = load_vectors(f"{FOLDER}/{name}{_SUFFIX}")["states"]
    assert isinstance(states, list)
    return states


def term(decoded: Any) -> Term:
    return Term(*decoded) if isinstance(decoded, tuple) else Term(decoded, ())


def _history(value: Any) -> tuple[str, Any, Any]:
    if isinstance(value, dict):
        return value["validator"], value["input"], value["output"]
    validator, given, output = value
    return validator, given, output


def decode(value: Any) -> Any:
    """ITF to Python: sets are lists, maps lists of pairs, `Val(x)` x, `Nil` None, other terms (tag, value) or tag."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"#bigint": digits}:
            return int(digits)
        case {"#tup": items}:
            return tuple(decode(item) for item in items)
        case {"#set": items} | {"#map": items}:
            return [decode(item) for item in items] if "#set" in value else [tuple(map(decode, item)) for item in items]
        case {"tag": "Nil"}:
            return None
        case {"tag": "Val", "value": inner}:
            return decode(inner)
        case {"tag": tag, "value": inner}:
            decoded = decode(inner)
            return tag if decoded == () else (tag, decoded)
    return {key: decode(each) for key, each in value.items() if key != "#meta"}
