"""The forger's turn: when a node proposes, what it waits for first, and when others expect it to (protocol §5.3).

A round in which there is nothing to do waits. Its forger has its VRF proof made meanwhile, and proposes the valid value
again, or a new block once the trigger holds; before it builds one, it waits a moment for precommits still missing, of
those who are there to give theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from blockchain.consensus.commit import Commit
from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.voice import Voice
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Proposal, Step
from blockchain.seams import Application, Effect, ProveVrf, SetTimer, TimerKey, TimerKind


class Forging:
    """Asks the chain for blocks and the voice for signatures; what is known of the height lies in the height.

    `is_away`: whether this node has had no word of a validator for so long that nothing is to be expected of it.
    """

    def __init__(self, app: Application, voice: Voice, commit_wait_ms: int, is_away: Callable[[Address], bool]) -> None:
        self._app = app
        self._voice = voice
        self._commit_wait_ms = commit_wait_ms
        self._is_away = is_away

    def propose_if_due(self, current: HeightInProgress, commit: Commit, now: int) -> list[Effect]:
        """Propose when it is this node's turn: the valid value again, or a new block once the trigger holds."""
        rules = current.rules
        if current.forges_round != rules.round or rules.step is not Step.PROPOSE or not self._voice.may_sign(current):
            return []
        if rules.valid_value is not None:  # L16
            return self._propose(current, current.blocks[rules.valid_value], rules.valid_round)
        asked = self._ask_for_vrf_proof(current) if current.vrf_proof is None else []
        if not self._app.is_block_due():
            return asked
        if self._may_grow(current, commit):
            return [*asked, *self._wait_for_precommits(current)]
        if current.vrf_proof is None:
            return asked
        block = self._app.build_block(rules.round, current.vrf_proof, commit.certificate, now)  # L18
        current.blocks[block.id] = block
        return self._propose(current, block, -1)

    def expects_proposal(self, current: HeightInProgress) -> bool:
        """Whether there is a reason to expect one in this round; without one, no propose time-out runs."""
        rules = current.rules
        return (
            rules.valid_value is not None
            or any(candidate.is_valid for candidate in rules.proposals.values())
            or current.validators.is_honest_minority(rules.book.stake_from(rules.round))
            or self._app.is_block_due()
        )

    def _propose(self, current: HeightInProgress, block: VerifiedBlock, valid_round: int) -> list[Effect]:
        assert current.validator is not None, "a node that is not in the set forges nothing"
        current.forges_round = -1
        proposal = Proposal(current.height, current.rules.round, valid_round, block.id, current.validator)
        return self._voice.ask(current, proposal)

    def _may_grow(self, current: HeightInProgress, commit: Commit) -> bool:
        """Whether a precommit is missing of somebody who is not away, and there is time left to wait for it (§4.4)."""
        is_waiting = self._commit_wait_ms > 0 and not current.is_commit_wait_over
        return is_waiting and not all(map(self._is_away, commit.missing))

    def _wait_for_precommits(self, current: HeightInProgress) -> list[Effect]:
        """Before it builds, a forger waits at most `commit_wait` for precommits still missing (protocol §4.4)."""
        if current.is_commit_wait_set:
            return []
        current.is_commit_wait_set = True
        return [SetTimer(TimerKey(TimerKind.COMMIT_WAIT, current.height), self._commit_wait_ms)]

    def _ask_for_vrf_proof(self, current: HeightInProgress) -> list[Effect]:
        """The proof is over seed and height, without the round: one a height, asked for once, before it is needed."""
        if current.is_vrf_asked or current.vrf_refused_round == current.rules.round:
            return []
        assert current.key is not None, "a node that is not in the set forges nothing"
        current.is_vrf_asked = True
        return [ProveVrf(current.height, current.rules.round, self._app.seed, current.key)]
