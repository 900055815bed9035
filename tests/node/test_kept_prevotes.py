"""The prevotes that a node keeps: in memory before they are on the disk, used by the next block, let go of in time."""

from __future__ import annotations

import pytest

from blockchain.errors import StoreError
from blockchain.node import evidence_age
from blockchain.primitives.vote import ForgottenLock, Vote
from blockchain.seams import Batch, HeightVotes, OffenceSeen
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import BLOCK_A, PRECOMMIT, PREVOTE, vote

HASH = spec_with().hash


def prevotes(height: int, round: int = 1) -> tuple[Vote, ...]:
    return tuple(vote(held, height, PREVOTE, BLOCK_A, round=round, genesis_hash=HASH) for held in KEYS[:1])


def test_a_certificate_in_the_next_block_shows_a_lock_that_was_forgotten() -> None:
    """The node saw the prevote, and the precommit of round 0 only in the body of the child."""
    node = Node(spec_with())
    block = node.grow(node.pay("a", 0))
    kept = prevotes(1)
    effects = node.chain.keep_prevotes(1, kept)
    assert node.store.prevotes(1) is None and node.chain.kept_prevotes(1) == kept, "before it is written"
    node.add(node.pay("a", 1))
    child = node.build()
    [seen] = [each for each in node.chain.finalize(child, node.certificate(child), 0, NOW) if _is_seen(each)]
    lock = vote(KEYS[0], 1, PRECOMMIT, block.id, genesis_hash=HASH)
    assert seen == OffenceSeen(ForgottenLock(lock, kept[0]))
    node.perform(effects)
    again = Node(node.spec, store=node.store)
    assert again.chain.kept_prevotes(1) == kept and again.chain.kept_prevotes(2) == ()


def _is_seen(effect: object) -> bool:
    return isinstance(effect, OffenceSeen)


def test_what_can_accuse_nobody_any_more_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_age, "LOOK_AFTER", 1)
    node = Node(spec_with(unbonding_blocks=2, unbonding_ms=1))
    for height in range(1, 6):
        node.perform(node.chain.keep_prevotes(height, prevotes(height)))
        node.add(node.pay("a", height - 1))
        node.finalize(node.build(now=NOW + 10 * height))
    assert [height for height in range(1, 7) if node.store.prevotes(height)] == [3, 4, 5]


def test_damaged_prevotes_are_said() -> None:
    node = Node(spec_with())
    node.store.write(Batch(prevotes=HeightVotes(1, b"no votes")))
    with pytest.raises(StoreError, match="prevotes of height 1"):
        node.chain.kept_prevotes(1)
