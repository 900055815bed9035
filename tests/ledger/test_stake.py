"""STAKE, UNSTAKE, ROTATE, PAUSE and RESUME: each refusal by its code and without a trace, and what each begins."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.ledger import stake as rules
from blockchain.ledger.records import put_stakeholder, totals_of
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.records import KeyFrom, Pause, Seat, Stakeholder, Unbonding, Waiting
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Pause as Pausing
from blockchain.primitives.transaction import Payload, Resume, Rotate, Stake, Transaction, Unstake
from tests.ledger.one_ledger import Chain, rotating, staking
from tests.samples import BAD_KEYS, address, key, spec_of

DELAY = 2
FIRST = 1 + 1 + DELAY  # the set that block 1 closes


def chain_of(**parameters: object) -> Chain:
    """Validators "v" with 1,000, "w" with 900, "s" with 60, small enough to be away; "a", "b", "s" have money."""
    stakes = {"v": 1_000, "w": 900, "s": 60}
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(name), stake) for name, stake in stakes.items()),
            accounts=tuple(GenesisAccount(address(n), b) for n, b in (("a", 1_000), ("b", 1_000), ("s", 500))),
            parameters={
                "stake_delay": DELAY,
                "stake_min": 10,
                "pause_blocks_max": 20,
                "pause_interval": 40,
                **parameters,
            },
            demo=True,
        )
    )


def change(chain: Chain, name: str, **fields: object) -> None:
    """Put an account where it would take many blocks to come."""
    overlay = chain.state
    holder = chain.holder(name)
    put_stakeholder(overlay, address(name), holder, replace(holder, **fields))
    chain.final.commit(overlay)


def refused(chain: Chain, sender: str, payload: Payload, *before: Transaction) -> str:
    return chain.refuses(chain.send(sender, payload), *before)


# ---------------------------------------------------------------------------------------------------- STAKE


def test_stake_waits_until_the_end_of_its_block_and_counts_after_the_delay() -> None:
    chain = chain_of()
    overlay = chain.state
    chain.ledger.apply(overlay, chain.send("a", staking(40, "votes")), 1)
    chain.final.commit(overlay)
    assert chain.holder("a") == Stakeholder((KeyFrom(FIRST, key("votes").public_key),), waiting=(Waiting(0, 40),))
    chain.finish(chain.state)
    assert (chain.holder("a").bonded, chain.holder("a").waiting, chain.balance("a")) == (40, (), 960)
    assert [chain.stake("a", height) for height in (FIRST - 1, FIRST)] == [0, 40]


def test_a_stake_has_a_least_size_and_more_of_it_has_none() -> None:
    chain = chain_of()
    assert refused(chain, "a", Stake(9)) == "stake_below_min"
    chain.block(chain.send("a", Stake(10)))
    chain.block(chain.send("a", Stake(1)))


def test_sixteen_stakes_of_an_account_may_wait() -> None:
    chain = chain_of()
    overlay = chain.state
    for nonce in range(16):
        chain.ledger.apply(overlay, replace(chain.send("a", Stake(10)), nonce=nonce), 1)
    chain.final.commit(overlay)
    assert refused(chain, "a", Stake(10)) == "waiting_full"
    chain.finish(chain.state)
    chain.block(chain.send("a", Stake(10)))


def test_who_only_unbonds_is_no_staker_and_needs_room_among_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of()
    chain.block(chain.send("s", Unstake(60)))
    assert totals_of(chain.state).stakers == 2
    monkeypatch.setattr(rules, "VALIDATORS_MAX", 2)
    assert refused(chain, "s", Stake(10)) == "validators_full"
    chain.block(chain.send("v", Unstake(1)))
    monkeypatch.setattr(rules, "VALIDATORS_MAX", 3)
    chain.block(chain.send("s", Stake(10)))
    assert totals_of(chain.state).stakers == 3


def test_who_comes_back_keeps_its_key() -> None:
    chain = chain_of()
    chain.block(chain.send("s", Unstake(60)))
    assert refused(chain, "s", staking(10, "other")) == "validator_key_fixed"
    chain.block(chain.send("s", Stake(10)), replace(chain.send("s", staking(10, "s")), nonce=2))
    assert chain.holder("s").bonded == 20


def test_a_key_is_its_accounts_for_ever() -> None:
    """Released and gone, an account finds its key again, and nobody else does."""
    chain = chain_of(unbonding_blocks=1, unbonding_ms=1)
    chain.block(chain.send("s", Unstake(60)))
    chain.blocks(FIRST + 2)
    assert not chain.ledger.has_stake(chain.state, address("s")) and chain.balance("s") == 560
    assert refused(chain, "a", staking(10, "s")) == "validator_key_used"
    chain.block(chain.send("s", staking(10, "s")))
    assert chain.holder("s").keys == (KeyFrom(chain.head + 1 + DELAY, key("s").public_key),)


# ---------------------------------------------------------------------------------------------------- UNSTAKE


def test_unstaking_takes_what_waits_first_the_newest_first_and_then_what_is_bonded() -> None:
    chain = chain_of(stake_step_max_bp=1)  # 1 of 1,960
    chain.block(chain.send("s", Stake(20)), replace(chain.send("s", Stake(30)), nonce=1))
    assert (chain.holder("s").bonded, chain.holder("s").waiting) == (61, (Waiting(0, 19), Waiting(1, 30)))
    chain.block(chain.send("s", Unstake(35)))
    assert (chain.holder("s").bonded, chain.holder("s").waiting) == (61, (Waiting(0, 14),))
    chain.block(chain.send("s", Unstake(14)))
    assert (chain.holder("s").bonded, chain.holder("s").waiting) == (61, ())
    chain.block(chain.send("s", Unstake(50)))
    assert chain.holder("s").bonded == 11
    assert [entry.amount for entry in chain.holder("s").unbonding] == [35, 14, 50]


def test_what_leaves_in_one_block_is_one_entry() -> None:
    chain = chain_of()
    chain.block(chain.send("w", Unstake(100)), replace(chain.send("w", Unstake(50)), nonce=1))
    assert chain.holder("w").unbonding == (Unbonding(150, FIRST),)
    assert [chain.stake("w", height) for height in (FIRST - 1, FIRST)] == [900, 750]


def test_unstaking_is_refused() -> None:
    chain = chain_of()
    assert refused(chain, "a", Unstake(1)) == "not_validator"
    assert refused(chain, "s", Unstake(61)) == "stake_insufficient"
    assert refused(chain, "s", Unstake(51)) == "stake_below_min"
    chain.block(chain.send("s", Unstake(50)))
    assert refused(chain, "s", Unstake(1)) == "stake_below_min"
    chain.block(chain.send("s", Unstake(10)))
    assert refused(chain, "s", Unstake(1)) == "stake_insufficient"


def test_the_last_candidate_stays() -> None:
    chain = chain_of()
    leaving = [chain.send(name, Unstake(amount)) for name, amount in (("v", 1_000), ("s", 60))]
    assert refused(chain, "w", Unstake(900), *leaving) == "last_validator"
    chain.block(*leaving, chain.send("w", Unstake(890)))
    assert refused(chain, "w", Unstake(10)) == "last_validator"
    chain.block(chain.send("a", Stake(10)))
    chain.block(chain.send("w", Unstake(10)))


def test_what_only_waits_may_leave_the_last_candidate() -> None:
    chain = chain_of(stake_step_max_bp=1)
    chain.block(chain.send("v", Unstake(1_000)), chain.send("w", Unstake(900)))
    chain.block(chain.send("s", Stake(40)))
    waiting = chain.holder("s").waiting_amount
    assert waiting > 0 and refused(chain, "s", Unstake(chain.holder("s").staked)) == "last_validator"
    chain.block(chain.send("s", Unstake(waiting)))


def test_sixteen_amounts_may_unbond() -> None:
    chain = chain_of()
    for _ in range(16):
        chain.block(chain.send("w", Unstake(1)))
    assert refused(chain, "w", Unstake(1)) == "unbonding_full"


def test_more_may_leave_with_the_newest_of_sixteen() -> None:
    chain = chain_of()
    for _ in range(15):
        chain.block(chain.send("w", Unstake(1)))
    chain.block(chain.send("w", Unstake(1)), replace(chain.send("w", Unstake(1)), nonce=16))
    assert chain.holder("w").unbonding[-1].amount == 2


# ---------------------------------------------------------------------------------------------------- ROTATE


def test_a_rotation_counts_after_the_delay_and_both_keys_are_the_validators() -> None:
    chain = chain_of()
    chain.block(chain.send("w", rotating("new")))
    chain.blocks(FIRST + 1)
    before, after = key("w").public_key, key("new").public_key
    keys = [chain.ledger.key_at(chain.state, address("w"), height) for height in (0, FIRST - 1, FIRST, FIRST + 9)]
    assert keys == [before, before, after, after]
    member = chain.set.get(address("w"))
    assert member is not None and member.key == after
    assert chain.holder("w").seats == (Seat(0, 900),)
    assert chain.ledger.key_at(chain.state, address("a"), 1) is None


def test_the_set_has_the_new_key_from_its_height_on() -> None:
    chain = chain_of()
    chain.block(chain.send("w", rotating("new")))
    seen = {}
    while chain.head < FIRST:
        member = chain.set.get(address("w"))
        assert member is not None
        seen[chain.head + 1] = member.key == key("new").public_key
        chain.block()
    assert seen == {height: height >= FIRST for height in seen} and seen[FIRST]


def test_a_rotation_of_who_has_no_seat_changes_no_set() -> None:
    chain = chain_of(stake_step_max_bp=1, validators_max=3)
    chain.block(chain.send("a", Stake(10)))
    chain.blocks(FIRST)
    before = chain.set
    chain.block(chain.send("a", rotating("new")))
    chain.blocks(chain.head + DELAY + 1)
    assert chain.set == before


def test_rotating_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of()
    assert refused(chain, "a", rotating("new")) == "not_validator"
    for bad in BAD_KEYS.values():
        assert refused(chain, "w", Rotate(bad, NO_SIGNATURE)) == "validator_key_invalid"
    for used in ("w", "v"):
        assert refused(chain, "w", rotating(used)) == "validator_key_used"
    chain.block(chain.send("w", rotating("new")))
    assert refused(chain, "w", rotating("newer")) == "rotation_pending"
    assert refused(chain, "v", rotating("new")) == "validator_key_used"
    chain.blocks(FIRST - 1)
    monkeypatch.setattr(rules, "KEYS_MAX", 2)
    assert refused(chain, "w", rotating("newer")) == "rotations_full"
    assert refused(chain, "v", rotating("w")) == "validator_key_used"
    chain.block(chain.send("s", Unstake(60)))
    assert refused(chain, "s", rotating("newer")) == "not_validator"


# ---------------------------------------------------------------------------------------------------- PAUSE, RESUME


def test_a_pause_begins_after_the_delay_and_ends_by_itself() -> None:
    chain = chain_of()
    chain.block(chain.send("s", Pausing(3)))
    assert chain.holder("s").pause == Pause(FIRST, FIRST + 3)
    seen = {}
    while chain.head < FIRST + 5:
        seen[chain.head + 1] = chain.set.stake_of(address("s"))
        chain.block()
    assert seen == {height: 0 if FIRST <= height < FIRST + 3 else 60 for height in seen}
    assert totals_of(chain.state).inactive == 0 and list(chain.state.items(b"d")) == []
    assert chain.holder("s").staked == 60


def test_resume_ends_a_pause_early_and_the_interval_stays() -> None:
    chain = chain_of()
    chain.block(chain.send("s", Pausing(20)))
    chain.blocks(FIRST)
    assert chain.set.stake_of(address("s")) == 0
    chain.block(chain.send("s", Resume()))
    back = chain.head + 1 + DELAY
    assert chain.holder("s").pause == Pause(FIRST, back)
    assert [chain.stake("s", height) for height in (back - 1, back)] == [0, 60]
    assert refused(chain, "s", Resume()) == "not_suspended"
    assert refused(chain, "s", Pausing(1)) == "pause_too_soon"
    chain.blocks(FIRST + 40 - DELAY - 2)
    chain.block(chain.send("s", Pausing(1)))


def test_a_pause_that_has_not_begun_can_be_called_off() -> None:
    chain = chain_of()
    chain.block(chain.send("s", Pausing(20)), replace(chain.send("s", Resume()), nonce=1))
    chain.blocks(FIRST + 1)
    assert chain.set.stake_of(address("s")) == 60


def test_pausing_is_refused() -> None:
    chain = chain_of()
    assert refused(chain, "a", Pausing(1)) == "not_validator"
    assert refused(chain, "s", Pausing(21)) == "pause_too_long"
    assert refused(chain, "w", Pausing(1)) == "pause_too_large"
    change(chain, "s", suspension=0)
    assert refused(chain, "s", Pausing(1)) == "suspended"
    change(chain, "s", suspension=7)
    assert refused(chain, "s", Pausing(1)) == "suspended"
    chain.block(chain.send("s", Resume()))
    chain.block(chain.send("s", Unstake(60)))
    assert refused(chain, "s", Pausing(1)) == "not_validator"


def test_pauses_of_one_block_share_the_budget() -> None:
    """A tenth of 1,990 is 199; a third of that, 66, is what one may take."""
    small = tuple(GenesisValidator(address(name), 60) for name in ("s", "t", "u", "x"))
    chain = Chain(
        spec_of(
            validators=(GenesisValidator(address("v"), 1_750), *small),
            parameters={"stake_delay": DELAY, "pause_blocks_max": 5},
            demo=True,
        )
    )
    first, second, third, fourth = (chain.send(name, Pausing(5)) for name in ("s", "t", "u", "x"))
    assert chain.refuses(fourth, first, second, third) == "pause_too_large"
    chain.block(first, second, third)
    assert totals_of(chain.state).inactive == 180
    assert chain.refuses(chain.send("x", Pausing(5))) == "pause_too_large"


def test_resuming_is_refused() -> None:
    chain = chain_of()
    assert refused(chain, "a", Resume()) == "not_suspended"
    assert refused(chain, "s", Resume()) == "not_suspended"


def test_who_is_out_can_do_nothing_any_more() -> None:
    chain = chain_of()
    chain.block(offenders=["s"])
    assert chain.ledger.is_out(chain.state, address("s")) and not chain.ledger.is_out(chain.state, address("a"))
    assert not chain.ledger.is_out(chain.state, address("w"))
    codes = {
        refused(chain, "s", payload): payload
        for payload in (Stake(10), Unstake(1), rotating("new"), Pausing(1), Resume())
    }
    assert set(codes) == {"validator_out", "not_validator", "not_suspended"}


def test_the_own_key_is_as_good_as_a_named_one() -> None:
    chain = chain_of()
    chain.block(chain.send("a", Stake(10, PublicKey(address("a")), NO_SIGNATURE)))
    assert chain.holder("a").newest_key == key("a").public_key
