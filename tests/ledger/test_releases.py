"""Unbonding: it begins when stake has left its set, takes blocks and time, and ends in the order of leaving."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.ledger import releases
from blockchain.ledger.records import Leaver, leaver_at, leaving_queue, put_stakeholder
from blockchain.primitives.chain import GenesisValidator
from blockchain.primitives.records import Unbonding
from blockchain.primitives.transaction import Unstake
from tests.ledger.one_ledger import BLOCK_MS, Chain
from tests.samples import address, spec_of

DELAY, BLOCKS = 2, 5
LEAVES = 1 + 1 + DELAY


def chain_of(unbonding_ms: int) -> Chain:
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(name), 100) for name in ("v", "w", "x")),
            parameters={"stake_delay": DELAY, "unbonding_blocks": BLOCKS, "unbonding_ms": unbonding_ms},
            demo=True,
        )
    )


def first_release(chain: Chain, until: int = 60) -> int:
    while chain.head < until:
        if chain.block().released:
            return chain.head
    return 0


def test_time_begins_with_the_block_of_the_height_without_it() -> None:
    chain = chain_of(1)
    chain.block(chain.send("w", Unstake(100)))
    chain.blocks(LEAVES - 1)
    assert chain.holder("w").unbonding == (Unbonding(100, LEAVES),)
    chain.block()
    assert chain.holder("w").unbonding == (Unbonding(100, LEAVES, chain.time_ms),)
    assert leaver_at(chain.state, 0) == Leaver(LEAVES, address("w"))


@pytest.mark.parametrize(
    ("unbonding_ms", "height"),
    [
        (1, LEAVES + BLOCKS + 1),  # blocks are what it waits for
        (BLOCK_MS * (BLOCKS + 1) - 1, LEAVES + BLOCKS + 1),
        (BLOCK_MS * (BLOCKS + 1), LEAVES + BLOCKS + 2),  # time has to be more
        (BLOCK_MS * 20, LEAVES + 21),
    ],
)
def test_it_comes_back_with_the_first_block_after_both(unbonding_ms: int, height: int) -> None:
    chain = chain_of(unbonding_ms)
    chain.block(chain.send("w", Unstake(100)))
    assert first_release(chain) == height
    assert chain.balance("w") == 100 and not chain.ledger.has_stake(chain.state, address("w"))
    queue = leaving_queue(chain.state)
    assert queue.first == queue.next == 1 and len(list(chain.state.items(b"u"))) == 1


def test_what_left_first_comes_first_and_the_rest_waits() -> None:
    chain = chain_of(1)
    chain.block(chain.send("w", Unstake(40)))
    chain.block(chain.send("x", Unstake(100)), chain.send("w", Unstake(60)))
    chain.blocks(LEAVES + BLOCKS)
    assert chain.block().released == ((address("w"), 40),)
    assert chain.block().released == tuple(sorted([(address("w"), 60), (address("x"), 100)]))
    assert chain.block().released == ()


def test_a_block_pays_out_a_bounded_number_and_the_next_one_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "RELEASES_MAX", 2)
    chain = chain_of(1)
    chain.block(*(chain.send(name, Unstake(40)) for name in "vwx"))
    first_release(chain)
    assert [chain.balance(name) for name in sorted("vwx", key=address)] == [40, 40, 0]
    assert chain.block().released == ((max(map(address, "vwx")), 40),)


def test_what_is_released_can_be_spent_in_the_next_block() -> None:
    chain = chain_of(1)
    chain.block(chain.send("w", Unstake(100)))
    height = first_release(chain)
    assert chain.head == height and chain.balance("w") == 100


def test_a_queue_with_what_has_not_left_is_a_broken_store() -> None:
    chain = chain_of(1)
    chain.block(chain.send("w", Unstake(40)))
    chain.blocks(LEAVES + BLOCKS)
    overlay, holder = chain.state, chain.holder("w")
    put_stakeholder(overlay, address("w"), holder, replace(holder, unbonding=(Unbonding(40, LEAVES),)))
    with pytest.raises(AssertionError):
        chain.finish(overlay)
