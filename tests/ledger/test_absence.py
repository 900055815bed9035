"""Absence: what is a miss and what is not, the window that slides, and the suspension that follows."""

from __future__ import annotations

import pytest

from blockchain.ledger.absence import is_over_limit, missed_ever
from blockchain.ledger.records import Misses, due_suspensions, misses_of, totals_of
from blockchain.ledger.state import Overlay
from blockchain.primitives.chain import GenesisValidator
from blockchain.primitives.records import Pause as PauseOfHolder
from blockchain.primitives.transaction import Pause, Resume, Unstake
from blockchain.seams import Penalty
from tests.ledger.one_ledger import Chain
from tests.samples import address, spec_of

WINDOW = 10
DELAY = 2


def chain_of(stake: int = 30, **parameters: object) -> Chain:
    """ "s" has a thirtieth and less of the stake, so that it may be away."""
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(n), s) for n, s in (("v", 600), ("w", 400), ("s", stake))),
            parameters={"stake_delay": DELAY, "absence_window": WINDOW, **parameters},
            demo=True,
        )
    )


def misses(chain: Chain, name: str) -> Misses | None:
    return misses_of(chain.state, address(name))


def miss(chain: Chain, *names: str, times: int = 1) -> None:
    for _ in range(times):
        chain.block(absent=names)


def test_misses_are_bits_of_the_window() -> None:
    chain = chain_of()
    chain.blocks(1)
    assert misses(chain, "s") is None
    miss(chain, "s")
    assert misses(chain, "s") == Misses(1, b"\x01")
    miss(chain)
    miss(chain, "s")
    assert misses(chain, "s") == Misses(3, b"\x05")
    chain.blocks(chain.head + 8)
    miss(chain, "s")
    assert misses(chain, "s") == Misses(12, b"\x02\x01")  # 12 and 3; 1 has left the window
    chain.blocks(chain.head + 20)
    miss(chain, "s")
    assert misses(chain, "s") == Misses(33, b"\x01")


def test_block_one_has_nothing_to_miss() -> None:
    chain = chain_of()
    assert chain.block(absent=["s"]).absent == () and misses(chain, "s") is None


def test_a_chain_may_count_nothing() -> None:
    chain = chain_of(absence_window=None)
    chain.blocks(1)
    miss(chain, "s", times=20)
    assert misses(chain, "s") is None and chain.set.stake_of(address("s")) == 30
    assert not is_over_limit(Misses(20, b"\xff\xff"), chain.spec.parameters, 20) and missed_ever(None) == 0


def test_more_than_the_share_suspends_after_the_delay() -> None:
    chain = chain_of()
    chain.blocks(1)
    miss(chain, "s", times=5)
    assert chain.holder("s").suspension is None
    settlement = chain.block(absent=["s"])
    assert settlement.absent == (address("s"),) == settlement.suspended
    begins = chain.head + 1 + DELAY
    assert chain.holder("s").suspension == begins and chain.holder("s").is_away
    assert [chain.stake("s", height) for height in (begins - 1, begins)] == [30, 0]
    assert totals_of(chain.state).inactive == 30 and settlement.penalties == ()
    before = misses(chain, "s")
    miss(chain, "s", times=DELAY)  # still in the set, and suspended
    assert misses(chain, "s") == before


def test_who_is_due_is_written_down_once_however_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each of ten thousand took two minutes a block."""
    small = [f"s{n}" for n in range(30)]
    members = (("v", 600), ("w", 400), *((name, 1) for name in small))
    chain = Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(name), stake) for name, stake in members),
            parameters={"stake_delay": DELAY, "absence_window": WINDOW},
            demo=True,
        )
    )
    chain.blocks(1)
    miss(chain, *small, times=5)
    written = []
    write = Overlay.set

    def noted(state: Overlay, key: bytes, value: bytes | None) -> None:
        written.append(key)
        write(state, key, value)

    monkeypatch.setattr(Overlay, "set", noted)
    assert len(chain.block(absent=small).suspended) == 30
    assert written.count(b"i") == 2  # they become due, and it begins


@pytest.mark.parametrize(("stake", "lost"), [(99, 0), (100, 1)])
def test_absence_may_cost_a_small_share_rounded_down(stake: int, lost: int) -> None:
    """What it weighed before is what the budget is judged by."""
    chain = chain_of(stake=stake, absence_slash_bp=100, active_share_min_bp=6_667)
    chain.blocks(1)
    miss(chain, "s", times=5)
    settlement = chain.block(absent=["s"])
    assert settlement.penalties == ((Penalty(address("s"), lost, is_evidence=False),) if lost else ())
    assert (settlement.burnt, chain.holder("s").bonded) == (lost, stake - lost)
    assert (totals_of(chain.state).eligible, totals_of(chain.state).inactive) == (1_000 + stake, stake)


def test_resume_brings_it_back_after_the_delay_with_a_clean_record() -> None:
    chain = chain_of()
    chain.blocks(1)
    miss(chain, "s", times=6)
    chain.blocks(chain.head + 5)
    assert chain.set.stake_of(address("s")) == 0
    chain.block(chain.send("s", Resume()))
    back = chain.head + 1 + DELAY
    assert (chain.holder("s").suspension, chain.holder("s").is_away, misses(chain, "s")) == (None, False, None)
    assert [chain.stake("s", height) for height in (back - 1, back)] == [0, 30]
    chain.blocks(back)
    miss(chain, "s", times=5)
    assert chain.holder("s").suspension is None


def test_a_pause_is_no_absence() -> None:
    chain = chain_of(pause_blocks_max=8)
    chain.block(chain.send("s", Pause(8)))
    chain.blocks(2 + DELAY)
    for _ in range(8):
        assert chain.block(absent=["s"]).absent == ()


def test_who_keeps_its_seat_in_its_pause_misses_nothing() -> None:
    """In the block of its PAUSE so much stake leaves that there is no room for it to be away: it is still excused."""
    chain = chain_of(stake=100, pause_blocks_max=8, active_share_min_bp=7_000)
    chain.block(chain.send("s", Pause(8)), chain.send("v", Unstake(500)))
    chain.blocks(2 + DELAY)
    assert chain.holder("s").pause == PauseOfHolder(4, 12) and chain.stake("s", chain.head) == 100
    assert chain.block(absent=["s"]).absent == ()


def test_who_missed_before_its_pause_is_suspended_only_after_it() -> None:
    """Its misses are of the heights between PAUSE and its beginning; it is away once, and pays for nothing twice."""
    chain = chain_of(stake_delay=7, pause_blocks_max=3, stake=100, active_share_min_bp=6_667, absence_slash_bp=100)
    chain.blocks(1)
    chain.block(chain.send("s", Pause(3)), absent=["s"])  # from 10 to 13, which block 5 closes
    miss(chain, "s", times=2)
    assert chain.holder("s").suspension is None
    chain.block(absent=["s"])
    miss(chain, "s", times=2)
    assert chain.head == 7 and chain.holder("s").suspension == 15 and chain.holder("s").bonded == 99
    assert [chain.stake("s", height) for height in (9, 10, 12, 13, 14, 15)] == [100, 0, 0, 100, 100, 0]


def test_a_due_suspension_waits_for_the_end_of_a_pause() -> None:
    chain = chain_of(stake_delay=7, pause_blocks_max=8)
    chain.blocks(1)
    chain.block(chain.send("s", Pause(8)), absent=["s"])  # from 10 to 18, which block 10 closes
    miss(chain, "s", times=5)
    assert chain.head == 7 and chain.holder("s").suspension == 0 and chain.holder("s").is_away
    chain.blocks(9)
    assert chain.holder("s").suspension == 0
    chain.blocks(10)
    assert chain.holder("s").suspension == 18 and chain.stake("s", 18) == 0


def test_a_large_validator_stays_due_until_its_misses_are_old() -> None:
    """Its stake is more than may be away: it keeps its seat, and is suspended never, or when there is room."""
    chain = chain_of()
    chain.blocks(1)
    miss(chain, "w", times=6)
    assert chain.holder("w").suspension == 0 and due_suspensions(chain.state) == (address("w"),)
    assert chain.set.stake_of(address("w")) == 400
    miss(chain, "w", times=4)
    assert missed_ever(misses(chain, "w")) == 10
    chain.blocks(chain.head + 4)
    assert chain.holder("w").suspension == 0
    chain.blocks(chain.head + 1)
    assert chain.holder("w").suspension is None and due_suspensions(chain.state) == ()


def test_a_due_one_may_resume_too() -> None:
    chain = chain_of()
    chain.blocks(1)
    miss(chain, "w", times=6)
    chain.block(chain.send("w", Resume()))
    assert chain.holder("w").suspension is None and misses(chain, "w") is None


def test_who_resumes_in_the_block_that_pays_the_last_of_it_out_is_gone() -> None:
    chain = chain_of(unbonding_blocks=1, unbonding_ms=1)
    chain.blocks(1)
    miss(chain, "s", times=5)
    chain.block(chain.send("s", Unstake(30)), absent=["s"])
    chain.blocks(chain.head + DELAY + 2)
    settlement = chain.block(chain.send("s", Resume()))
    assert settlement.released == ((address("s"), 30),)
    assert not chain.ledger.has_stake(chain.state, address("s"))


def test_who_has_taken_its_stake_back_is_due_and_nothing_follows() -> None:
    chain = chain_of(unbonding_blocks=1, unbonding_ms=1)
    chain.blocks(1)
    miss(chain, "s", times=5)
    chain.block(chain.send("s", Unstake(30)), absent=["s"])
    assert chain.holder("s").suspension == 0
    chain.blocks(chain.head + 8)
    assert due_suspensions(chain.state) == () and not chain.ledger.has_stake(chain.state, address("s"))
    assert misses(chain, "s") is None


@pytest.mark.parametrize(("last", "is_over"), [(20, True), (24, True), (25, False), (40, False)])
def test_the_window_slides_over_what_is_on_record(last: int, is_over: bool) -> None:
    """Six misses in a row; with the sixth height after the newest the oldest has left a window of ten."""
    parameters = chain_of().spec.parameters
    assert is_over_limit(Misses(20, bytes([0b11_1111])), parameters, last) is is_over
    assert not is_over_limit(None, parameters, last)
