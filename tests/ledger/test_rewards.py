"""Rewards: who earns what of a block, to the unit; what nobody earns is burnt; leaving signatures out pays nobody."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.ledger.records import TOTALS_KEY, account_of, totals_of
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.records import account_key
from blockchain.primitives.transaction import Exchange, Stake, Unstake
from tests.ledger.one_ledger import Chain, transaction, transfer
from tests.samples import address, deterministic, spec_of

AWKWARD = {"v": 333, "w": 200, "x": 7, "y": 1}  # 541


def chain_of(stakes: dict[str, int] = AWKWARD, **parameters: object) -> Chain:
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(name), stake) for name, stake in stakes.items()),
            accounts=(GenesisAccount(address("a"), 10_000),),
            parameters={"stake_delay": 0, "absence_window": None, **parameters},
            demo=True,
        )
    )


def balances(chain: Chain, names: object = "vwxy") -> list[int]:
    return [chain.balance(name) for name in names]  # type: ignore[attr-defined]


def test_a_block_pays_its_forger_and_the_signers_of_its_parent() -> None:
    """The worked example of the protocol: 101 to share, a third and a bit of the set, and what is left over."""
    chain = chain_of(reward_per_block=100)
    chain.block()
    before = totals_of(chain.state)
    settlement = chain.block(transfer("a", 0, "a", 1, fee=1), absent=["w"], forger="x")
    # f = 30; the forger gets floor(30 × 341 / 541) = 18; 71 for the signers: floor(71 × 333 / 541) = 43, 0 and 0
    assert settlement.forger_reward == 18
    assert settlement.signer_rewards == ((address("v"), 43),)
    assert (settlement.minted, settlement.burnt) == (100, 101 - 18 - 43)
    assert balances(chain) == [43, 0, 18, 0]
    after = totals_of(chain.state)
    assert (after.minted - before.minted, after.burnt - before.burnt, after.fees) == (100, 40, 0)


def test_in_block_one_nobody_has_signed_and_all_is_burnt() -> None:
    chain = chain_of(reward_per_block=100)
    settlement = chain.block(transfer("a", 0, "a", 1, fee=9))
    assert (settlement.minted, settlement.burnt, settlement.paid) == (100, 109, ((address("v"), 0),))
    assert balances(chain) == [0, 0, 0, 0]


def test_without_fees_and_rewards_nothing_moves() -> None:
    chain = chain_of()
    chain.blocks(2)
    before = dict(chain.state.items(b"s"))
    assert chain.block().paid == ((address("v"), 0),)
    assert dict(chain.state.items(b"s")) == before and balances(chain) == [0, 0, 0, 0]


def test_minting_ends_at_the_bound_and_what_is_burnt_makes_no_room() -> None:
    chain = chain_of(reward_per_block=60, supply_max=10_541 + 100)
    assert [chain.block().minted for _ in range(4)] == [60, 40, 0, 0]
    assert chain.minted == 10_641 and chain.burnt > 0


@pytest.mark.parametrize(("share", "forger", "signers"), [(0, 0, 54), (10_000, 54, 0)])
def test_the_split_may_be_all_or_nothing(share: int, forger: int, signers: int) -> None:
    chain = chain_of({"v": 27, "w": 27}, reward_per_block=54, reward_forger_bp=share)
    chain.block()
    settlement = chain.block()
    assert settlement.forger_reward == forger
    assert sum(amount for _, amount in settlement.signer_rewards) == signers


def test_who_has_left_the_set_is_still_paid() -> None:
    chain = chain_of({"v": 50, "w": 50}, reward_per_block=100)
    chain.block(chain.send("w", Unstake(50)))
    assert chain.set.get(address("w")) is None
    chain.block()
    assert chain.balance("w") == 35
    chain.block()
    assert chain.balance("w") == 35


def test_what_an_end_paid_is_added_to_a_state_that_has_no_end_yet() -> None:
    """As the pool keeps one: accounts that it has not touched are read from below, where they have been paid."""
    chain = chain_of({"v": 50, "w": 50}, reward_per_block=100, supply_max=10_100 + 250)
    chain.block()
    ahead = chain.state
    chain.ledger.apply(ahead, transfer("a", 0, "w", 5, fee=7), chain.head + 1)
    settlement = chain.block()
    assert chain.ledger.repay(ahead, chain.state, settlement)
    assert account_of(ahead, address("w")).balance == 5 + chain.balance("w")
    assert account_of(ahead, address("v")).balance == chain.balance("v")
    assert totals_of(ahead).fees == 0 and totals_of(ahead).minted == chain.minted
    exchange = transaction("mint", 0, Exchange(address("a"), 30))
    chain.ledger.apply(ahead, exchange, chain.head + 1)
    assert not chain.ledger.repay(ahead, chain.state, chain.block())


def test_what_was_minted_is_read_from_below_where_nothing_ahead_changed_the_sums() -> None:
    chain = chain_of({"v": 50, "w": 50}, reward_per_block=100, supply_max=10_100 + 150)
    ahead = chain.state
    chain.ledger.apply(ahead, transfer("a", 0, "w", 5), 1)
    assert chain.ledger.repay(ahead, chain.state, chain.block())
    assert totals_of(ahead) == totals_of(chain.state)


def test_what_a_block_did_unforeseen_is_added_to_accounts_that_are_ahead() -> None:
    chain = chain_of({"v": 50, "w": 50})
    ahead = chain.state
    for each in (transfer("a", 0, "b", 5, fee=1), transfer("b", 0, "c", 3)):
        chain.ledger.apply(ahead, each, 1)
    unforeseen = (
        transfer("a", 0, "c", 7),
        transaction("mint", 0, Exchange(address("b"), 30)),
        chain.send("v", Unstake(1)),
    )
    chain.ledger.take_back(ahead, transfer("a", 0, "b", 5, fee=1))
    settlement = chain.block(*unforeseen)
    assert chain.ledger.repay(ahead, chain.state, settlement, unforeseen)
    alone = chain.state
    chain.ledger.apply(alone, transfer("b", 0, "c", 3), 2)
    for name in ("a", "b", "c", "mint", "v"):
        assert account_of(ahead, address(name)) == account_of(alone, address(name))
    assert totals_of(ahead) == totals_of(chain.state)


def test_payments_are_done_and_taken_back_in_any_order() -> None:
    chain = chain_of({"v": 50})
    ledger, state = chain.ledger, chain.state
    first, second = transfer("a", 0, "b", 5, fee=2), transfer("b", 0, "a", 3)
    mint = transaction("mint", 0, Exchange(address("a"), 30))
    before = {name: account_of(state, address(name)) for name in ("a", "b", "mint")}
    assert [ledger.cost(each) for each in (first, second, mint, chain.send("a", Stake(9), fee=1))] == [7, 3, 0, 10]
    for each in (first, second, mint):
        ledger.apply(state, each, 1)
    assert ledger.balance(state, address("a")) == before["a"].balance - 7 + 3 + 30
    ledger.take_back(state, first)
    ledger.pay(state, transfer("a", 0, "b", 6))
    for each in (mint, transfer("a", 0, "b", 6), second):
        ledger.take_back(state, each)
    assert {name: account_of(state, address(name)) for name in before} == before
    assert totals_of(state).minted == chain.minted
    ledger.forget_stakes(state, chain.state)
    assert totals_of(state) == totals_of(chain.state)
    untouched = chain.state
    ledger.forget_stakes(untouched, chain.state)
    assert not untouched.has_changed(TOTALS_KEY), "what a block mints is read from below there"
    assert [ledger.concerns_stake(key) for key in (b"s", account_key(address("a")), b"v", b"q")] == [
        False,
        False,
        True,
        True,
    ]


@settings(deterministic, max_examples=60)
@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.data(),
    st.integers(0, 10**6),
    st.integers(0, 10_000),
)
def test_the_parts_are_those_of_the_text_and_no_unit_is_made_or_lost(
    stakes: list[int], data: st.DataObject, whole: int, share: int
) -> None:
    named = {str(number): stake for number, stake in enumerate(stakes)}
    chain = chain_of(named, reward_per_block=whole, reward_forger_bp=share)
    absent = data.draw(st.sets(st.sampled_from(sorted(named))))
    forger = data.draw(st.sampled_from(sorted(named)))
    chain.block(forger=forger)
    settlement = chain.block(absent=absent, forger=forger)
    total, signed = sum(stakes), sum(stake for name, stake in named.items() if name not in absent)
    part = whole * share // 10_000
    assert settlement.forger_reward == int(Fraction(part * signed, total))
    assert dict(settlement.signer_rewards) == {
        address(name): amount
        for name, stake in named.items()
        if name not in absent and (amount := int(Fraction((whole - part) * stake, total)))
    }
    assert sum(amount for _, amount in settlement.paid) + settlement.burnt == whole == settlement.minted


@settings(deterministic, max_examples=60)
@given(st.lists(st.integers(1, 10**4), min_size=2, max_size=8), st.integers(0, 10**6), st.integers(0, 10_000))
def test_leaving_a_signature_out_makes_nobody_richer(stakes: list[int], whole: int, share: int) -> None:
    named = {str(number): stake for number, stake in enumerate(stakes)}
    full, cut = (chain_of(named, reward_per_block=whole, reward_forger_bp=share) for _ in range(2))
    for chain, absent in ((full, []), (cut, ["1"])):
        chain.block(forger="0")
        chain.block(absent=absent, forger="0")
    assert all(cut.balance(name) <= full.balance(name) for name in named)
