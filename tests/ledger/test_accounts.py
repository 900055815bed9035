"""The account ledger: each refusal by its code and without a trace; payments; stake from its height on."""

from __future__ import annotations

import pytest

from blockchain.errors import InvalidBlock, InvalidTransaction
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.records import TOTALS_KEY, changes_at, totals_of
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Seat, stakeholder_key
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Exchange, Stake, Transaction
from blockchain.primitives.validators import Validator
from tests.ledger.one_ledger import Chain, chain_of, staking, transaction, transfer
from tests.samples import BAD_KEYS, address, key, spec_of

# ------------------------------------------------------------------------------------------------ genesis


def test_genesis_hands_out_what_it_says() -> None:
    chain = chain_of()
    assert (chain.balance("a"), chain.balance("b"), chain.balance("v")) == (1_000, 1_000, 0)
    supply = totals_of(chain.state)
    assert (supply.minted, supply.burnt, supply.stakers, supply.candidates, supply.eligible) == (2_100, 0, 1, 1, 100)
    assert chain.set.validators == (Validator(address("v"), key("v").public_key, 100),)
    assert chain.ledger.validators(chain.state, 0, None) == chain.set


def test_genesis_may_give_a_validator_another_key() -> None:
    votes = key("votes").public_key
    chain = chain_of(validators=(GenesisValidator(address("v"), 100, votes),))
    assert chain.set.validators == (Validator(address("v"), votes, 100),)
    assert chain.refuses(transaction("a", 0, staking(5, "votes"))) == "validator_key_used"


def test_a_state_without_genesis_is_no_state() -> None:
    with pytest.raises(AssertionError):
        totals_of(Overlay(FinalState()))


# ------------------------------------------------------------------------------------------------ transactions


def test_a_transfer_moves_money_and_burns_the_fee() -> None:
    chain = chain_of()
    chain.block(transfer("a", 0, "new", 400, fee=7))
    assert (chain.balance("a"), chain.balance("new")) == (593, 400)
    assert totals_of(chain.state).burnt == 7
    assert chain.ledger.next_nonce(chain.state, address("a")) == 1
    assert chain.ledger.next_nonce(chain.state, address("new")) == 0


def test_a_block_applies_its_transactions_one_after_the_other() -> None:
    chain = chain_of()
    paid = transfer("a", 0, "new", 400, fee=7), transfer("new", 0, "b", 300), transaction("b", 0, staking(5), fee=2)
    alone, together = chain.state, chain.state
    for each in paid:
        chain.ledger.apply(alone, each, 1)
    chain.ledger.apply_all(together, iter(paid), 1)
    assert together.changes() == alone.changes() and totals_of(together).fees == 9
    with pytest.raises(InvalidBlock, match=r"number 1 does not apply: .*nonce") as caught:
        chain.ledger.apply_all(chain.state, (paid[0], paid[0]), 1)
    assert caught.value.field == "transactions"


def test_a_block_without_fees_does_not_touch_the_sums() -> None:
    chain = chain_of()
    state = chain.state
    chain.ledger.apply_all(state, (transfer("a", 0, "new", 400),), 1)
    assert not state.has_changed(TOTALS_KEY)


def test_everything_can_be_spent_to_the_last_unit() -> None:
    chain = chain_of()
    chain.block(transfer("a", 0, "b", 990, fee=10))
    assert chain.balance("a") == 0


def test_a_transfer_to_oneself_costs_the_fee_only() -> None:
    chain = chain_of()
    chain.block(transfer("a", 0, "a", 900, fee=3))
    assert chain.balance("a") == 997
    assert chain.refuses(transfer("a", 1, "a", 998)) == "insufficient_balance"


def test_the_issuer_mints_for_others_and_for_itself() -> None:
    chain = chain_of()
    chain.block(
        transaction("mint", 0, Exchange(address("new"), 50)), transaction("mint", 1, Exchange(address("mint"), 8))
    )
    chain.block(transaction("mint", 2, Exchange(address("mint"), 1), fee=5))
    assert (chain.balance("new"), chain.balance("mint")) == (50, 4)
    assert totals_of(chain.state).minted == 2_159


def test_what_is_minted_does_not_pay_the_fee_of_minting_it() -> None:
    assert chain_of().refuses(transaction("mint", 0, Exchange(address("mint"), 8), fee=5)) == "insufficient_balance"


def test_minting_ends_at_the_bound_and_what_is_burnt_makes_no_room() -> None:
    chain = chain_of(parameters={"supply_max": 2_110})
    chain.block(transfer("a", 0, "b", 1, fee=100), transaction("mint", 0, Exchange(address("a"), 10)))
    assert chain.refuses(transaction("mint", 1, Exchange(address("a"), 1))) == "supply_exceeded"


def test_money_received_can_be_spent_in_the_same_block() -> None:
    chain = chain_of()
    chain.block(transfer("a", 0, "new", 400), transfer("new", 0, "b", 400))
    assert (chain.balance("new"), chain.balance("b")) == (0, 1_400)


REFUSALS: dict[str, tuple[Transaction, str]] = {
    "a nonce used": (transfer("a", 0, "b", 1), "nonce_used"),
    "a nonce ahead": (transfer("a", 2, "b", 1), "nonce_gap"),
    "a nonce of somebody new": (transfer("new", 1, "b", 1), "nonce_gap"),
    "more than there is": (transfer("a", 1, "b", 1_000), "insufficient_balance"),
    "no money for the fee": (transfer("a", 1, "b", 999, fee=1), "insufficient_balance"),
    "no money at all": (transfer("new", 0, "b", 1), "insufficient_balance"),
    "no money for the stake": (transaction("a", 1, Stake(1_000)), "insufficient_balance"),
    "no money for the stake's fee": (transaction("a", 1, Stake(999), fee=1), "insufficient_balance"),
    "expired": (transfer("a", 1, "b", 1, expiry=1), "expired"),
    "expired at genesis": (transfer("a", 1, "b", 1, expiry=0), "expired"),
    "minting by somebody else": (transaction("a", 1, Exchange(address("a"), 1)), "not_issuer"),
    "minting too much": (transaction("mint", 0, Exchange(address("a"), 2**53 - 1)), "supply_exceeded"),
    "minting without money for the fee": (
        transaction("mint", 0, Exchange(address("a"), 1), fee=1),
        "insufficient_balance",
    ),
    "a key that validates": (transaction("a", 1, staking(1, "v")), "validator_key_used"),
    "another key than before": (transaction("staker", 1, staking(1, "x")), "validator_key_fixed"),
    **{
        f"a key {what}": (transaction("a", 1, Stake(1, bad, NO_SIGNATURE)), "validator_key_invalid")
        for what, bad in BAD_KEYS.items()
    },
}


def chain_with_history() -> Chain:
    """At height 1: "a" has used nonce 0 and holds 999, "staker" has staked with its own key."""
    extra = GenesisAccount(address("staker"), 100)
    chain = chain_of(accounts=(*spec_of().accounts, extra))
    chain.block(transfer("a", 0, "b", 1), transaction("staker", 0, Stake(10)))
    return chain


@pytest.mark.parametrize("bad, code", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_has_its_code_and_changes_nothing(bad: Transaction, code: str) -> None:
    assert chain_with_history().refuses(bad) == code


def test_the_neighbours_of_those_refusals_apply() -> None:
    chain = chain_with_history()
    chain.block(
        transfer("a", 1, "b", 1, expiry=2),
        transaction("a", 2, staking(1, "x")),
        transaction("staker", 1, staking(1, "staker")),
        transaction("mint", 0, Exchange(address("a"), 2**53 - 1 - 2_200)),
    )
    assert totals_of(chain.state).minted == 2**53 - 1


def test_an_account_whose_own_key_proves_nothing_cannot_stake_with_it() -> None:
    """A key of mixed order signs, in one try of eight; as a validator it could never forge."""
    mixed = Address(BAD_KEYS["of mixed order"])
    chain = chain_of(accounts=(GenesisAccount(mixed, 10),))
    assert chain.refuses(Transaction(1, mixed, 0, 0, None, Stake(5))) == "validator_key_invalid"
    chain.block(Transaction(1, mixed, 0, 0, None, staking(5, "votes")))


def test_expiry_is_the_last_height_at_which_it_stands() -> None:
    ledger = AccountLedger(spec_of())
    ledger.check(transfer("a", 0, "b", 1, expiry=5), 5)
    ledger.check(transfer("a", 0, "b", 1), 2**53 - 1)
    with pytest.raises(InvalidTransaction):
        ledger.check(transfer("a", 0, "b", 1, expiry=5), 6)


def test_without_an_issuer_nobody_mints() -> None:
    assert chain_of(issuer=None).refuses(transaction("mint", 0, Exchange(address("a"), 1))) == "not_issuer"


# ------------------------------------------------------------------------------------------------ stake


@pytest.mark.parametrize("delay", [0, 1, 8, 32])
@pytest.mark.parametrize("at", [1, 3])
def test_stake_counts_from_the_height_after_the_delay(delay: int, at: int) -> None:
    chain = chain_of(parameters={"stake_delay": delay}, demo=True)
    chain.blocks(at - 1)
    chain.block(transaction("a", 0, Stake(40)))
    first = at + 1 + delay
    assert [chain.stake("a", height) for height in (at, first - 1, first)] == [0, 0, 40]
    assert (chain.balance("a"), totals_of(chain.state).stakers) == (960, 2)
    seen = {}
    while chain.head < first + 2:
        seen[chain.head + 1] = chain.set.stake_of(address("a"))
        chain.block()
    assert seen == {height: 40 if height >= first else 0 for height in seen}
    assert first in seen


def test_stake_is_added_to_stake_and_each_part_counts_in_its_time() -> None:
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(10)), transaction("a", 1, Stake(5)))
    chain.block(transaction("a", 2, Stake(1)), transfer("b", 0, "v", 7))
    chain.block(transaction("v", 0, Stake(7)))
    assert [chain.stake("a", height) for height in (9, 10, 11, 12)] == [0, 15, 16, 16]
    assert [chain.stake("v", height) for height in (11, 12)] == [100, 107]
    assert chain.holder("a").bonded == 16 and chain.holder("a").seat_at(0) == 0


def test_two_stakes_of_one_block_are_one_change() -> None:
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(10)), transaction("b", 0, Stake(1)), transaction("a", 1, Stake(5)))
    changes = changes_at(chain.state, 10)
    assert changes is not None and changes.addresses == tuple(sorted((address("a"), address("b"))))
    assert changes.added == 16 == totals_of(chain.state).joining
    assert chain.holder("a").seats == (Seat(10, 15),)


def test_what_counts_no_more_is_forgotten() -> None:
    chain = chain_of()
    for nonce in range(20):
        chain.block(transaction("a", nonce, Stake(1)))
    assert len(chain.holder("a").seats) == 8 + 2
    chain.blocks(40)
    assert chain.holder("a").seats == (Seat(29, 20),)
    assert list(chain.state.items(b"q")) == list(chain.state.items(b"u")) == [] and totals_of(chain.state).joining == 0


def test_a_validator_key_is_used_once() -> None:
    chain = chain_of()
    votes = key("votes").public_key
    chain.block(transaction("a", 0, staking(1, "votes")))
    assert chain.refuses(transaction("b", 0, staking(1, "votes"))) == "validator_key_used"
    chain.block(transaction("a", 1, staking(1, "votes")), transaction("a", 2, Stake(1)))
    chain.blocks(20)
    assert chain.set.get(address("a")) == Validator(address("a"), votes, 3)


def test_an_own_key_that_another_validates_with_is_used() -> None:
    """It takes the key to prove it: whoever gave it away has given it away."""
    chain = chain_of()
    chain.block(transaction("a", 0, staking(1, "b")))
    assert chain.refuses(transaction("b", 0, Stake(5))) == "validator_key_used"
    assert chain.refuses(transaction("a", 1, staking(1, "a"))) == "validator_key_fixed"
    chain.block(transaction("b", 0, staking(5, "votes")))


def test_a_full_set_takes_nobody_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.ledger.stake.VALIDATORS_MAX", 2)
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(1)))
    assert chain.refuses(transaction("b", 0, Stake(1))) == "validators_full"
    chain.block(transaction("a", 1, Stake(1)))


def test_a_set_in_which_nothing_changes_is_the_same_object() -> None:
    chain = chain_of()
    before = chain.set
    chain.block(transfer("a", 0, "b", 1), transaction("a", 1, Stake(5)))
    assert chain.set is before
    chain.blocks(9)
    assert chain.set is not before and len(chain.set) == 2


def test_a_change_of_nobodys_stake_is_a_broken_store() -> None:
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(5)))
    overlay = chain.state
    overlay.set(stakeholder_key(address("a")), None)
    with pytest.raises(AssertionError):
        chain.ledger.validators(overlay, 10, chain.set)
    chain.blocks(9)
    overlay = chain.state
    overlay.set(stakeholder_key(address("a")), None)
    with pytest.raises(AssertionError):
        chain.finish(overlay)


def test_the_walk_of_sets_is_the_same_from_scratch_and_step_by_step() -> None:
    """From one state, `previous` given or not, for every height that it can tell."""
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(10)))
    chain.block(transaction("b", 0, staking(10, "votes")), transaction("a", 1, Stake(1)))
    walked = chain.set
    for height in range(chain.head + 2, chain.head + 2 + 8):
        walked = chain.ledger.validators(chain.state, height, walked)
        assert walked == chain.ledger.validators(chain.state, height, None)
    assert len(walked) == 3
