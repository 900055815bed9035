"""Evidence: what the offender loses, entry by entry; who gets it; and that it never validates again."""

from __future__ import annotations

import pytest

from blockchain.ledger.records import misses_of
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.records import Unbonding
from blockchain.primitives.transaction import Stake, Unstake
from blockchain.seams import Penalty
from tests.ledger.one_ledger import Chain, rotating
from tests.samples import address, spec_of


def chain_of(**parameters: object) -> Chain:
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(n), s) for n, s in (("v", 1_000), ("w", 909), ("x", 500))),
            accounts=(GenesisAccount(address("w"), 1_000),),
            parameters={"stake_delay": 1, "unbonding_blocks": 4, "unbonding_ms": 1, **parameters},
            demo=True,
        )
    )


def test_each_amount_loses_its_part_and_the_rest_unbonds() -> None:
    """The worked example of the protocol."""
    chain = chain_of(stake_step_max_bp=1)  # one unit at a time
    chain.block(chain.send("w", Unstake(9)))  # leaves at 3: bonded 900
    chain.block(chain.send("w", Stake(56)))  # one of it bonded, 55 wait
    chain.blocks(3)
    before = chain.holder("w")
    assert (before.bonded, before.waiting_amount, before.unbonding_amount) == (901, 55, 9)
    settlement = chain.block(offenders=["w"])
    # 901 − 90 = 811; 55 − 5 = 50; 9 − 0 = 9
    after = chain.holder("w")
    assert (after.bonded, after.waiting, after.keys, after.is_out) == (0, (), before.keys, True)
    assert after.unbonding == (*before.unbonding, Unbonding(861, 6))
    assert settlement.penalties == (Penalty(address("w"), 95, is_evidence=True),)
    assert (settlement.evidence_reward, settlement.burnt) == (4, 91)
    assert chain.balance("v") == 4


def test_the_offender_is_out_of_the_set_after_the_delay_and_paid_the_rest_after_unbonding() -> None:
    chain = chain_of()
    chain.block(offenders=["w"])
    assert [chain.stake("w", height) for height in (2, 3)] == [909, 0]
    released = {}
    while chain.head < 10:
        settlement = chain.block()
        released[chain.head] = settlement.released
    assert released[8] == ((address("w"), 819),)  # 909 − 90; left at 3, four blocks, and the first after them
    assert [height for height, paid in released.items() if paid] == [8]
    assert chain.balance("w") == 1_819 and chain.ledger.is_out(chain.state, address("w"))
    assert chain.refuses(chain.send("w", Stake(500))) == "validator_out"
    assert chain.ledger.has_stake(chain.state, address("w"))


def test_a_forger_gets_nothing_for_itself_and_its_part_for_others() -> None:
    alone, both = chain_of(), chain_of()
    assert alone.block(offenders=["v"], forger="v").evidence_reward == 0
    settlement = both.block(offenders=["w", "v"], forger="v")
    assert settlement.evidence_reward == 90 * 500 // 10_000 == both.balance("v")
    assert settlement.burnt == 100 + 90 - 4


def test_what_left_in_the_same_block_is_taken_from_too_and_is_one_entry() -> None:
    chain = chain_of()
    settlement = chain.block(chain.send("w", Unstake(105)), offenders=["w"])
    assert settlement.penalties[0].amount == 80 + 10
    assert chain.holder("w").unbonding == (Unbonding(909 - 90, 3),)


def test_what_left_before_the_offence_was_shown_is_taken_from_too() -> None:
    """Else whoever means to sign against itself takes its stake back first."""
    chain = chain_of()
    chain.block(chain.send("w", Unstake(105)))
    settlement = chain.block(offenders=["w"])
    assert settlement.penalties[0].amount == 80 + 10
    assert chain.holder("w").unbonding == (Unbonding(105 - 10, 3), Unbonding(804 - 80, 4))


def test_a_penalty_of_all_leaves_nothing_to_unbond() -> None:
    chain = chain_of(slash_bp=10_000)
    chain.block(chain.send("w", Unstake(9)))
    chain.blocks(3)
    assert chain.block(offenders=["w"]).burnt == 909 - 45
    assert chain.holder("w").unbonding == () and chain.holder("w").is_out
    chain.blocks(12)
    assert chain.balance("w") == 1_000 and list(chain.state.items(b"u")) != []


def test_evidence_ends_suspension_pause_and_misses() -> None:
    chain = chain_of(absence_window=10, absence_share_bp=9_000)
    chain.blocks(1)
    chain.block(absent=["w"])
    assert misses_of(chain.state, address("w")) is not None
    chain.block(offenders=["w"], absent=["w"])
    assert misses_of(chain.state, address("w")) is None
    assert chain.block(absent=["w"]).absent == ()


def test_all_keys_of_the_offender_stay_its_own() -> None:
    chain = chain_of()
    chain.block(chain.send("w", rotating("new")))
    chain.block(offenders=["w"])
    for name in ("w", "new"):
        assert chain.refuses(chain.send("x", rotating(name))) == "validator_key_used"


def test_an_offender_without_a_seat_unbonds_too() -> None:
    """Stake that only waits, of an account that proved a key: it begins to unbond like any other."""
    chain = chain_of(stake_step_max_bp=1, validators_max=3)
    chain.block(chain.send("w", Unstake(909)))
    chain.blocks(8)
    assert chain.balance("w") == 1_909
    chain.block(chain.send("w", Stake(300)))
    settlement = chain.block(offenders=["w"])
    assert [penalty.amount for penalty in settlement.penalties] == [29]  # of 1 and of 299
    chain.blocks(chain.head + 7)
    assert chain.holder("w").unbonding == () and chain.balance("w") == 1_909 - 29


@pytest.mark.parametrize("offenders", [["w", "w"], ["nobody"]])
def test_the_chain_has_checked_who_is_accused(offenders: list[str]) -> None:
    with pytest.raises(AssertionError):
        chain_of().block(offenders=offenders)
