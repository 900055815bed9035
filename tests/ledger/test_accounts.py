"""The account ledger: each refusal by its code and without a trace; stake from its height on; sums that hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.ledger.accounts import AccountLedger, account_of, changes_at, stakeholder, supply_of
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives import codec
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.records import Account, Stakeholder, stakeholder_key
from blockchain.primitives.transaction import Exchange, Payload, Stake, Transaction, Transfer
from blockchain.primitives.validators import Validator
from blockchain.primitives.vote import Certificate, ConflictingVotes
from tests.samples import BAD_KEYS, BLOCK_A, BLOCK_B, PREVOTE, TIME_MS, address, deterministic, key, spec_of, vote

ZERO = Hash32(bytes(32))


def header_at(height: int) -> Header:
    """Only its height matters to the ledger."""
    return Header(
        version=1,
        height=height,
        round=0,
        seed=ZERO,
        time_ms=TIME_MS,
        parent=ZERO,
        forger=address("v"),
        vrf_proof=bytes(80),
        transaction_root=ZERO,
        state_root=ZERO,
        validators_hash=ZERO,
        next_validators_hash=ZERO,
        evidence_root=ZERO,
        parent_certificate_hash=ZERO,
        transaction_count=0,
        evidence_count=0,
    )


def transaction(sender: object, nonce: int, payload: Payload, fee: int = 0, expiry: int | None = None) -> Transaction:
    return Transaction(1, address(sender), nonce, fee, expiry, payload)


def transfer(sender: object, nonce: int, recipient: object, amount: int, **rest: Any) -> Transaction:
    return transaction(sender, nonce, Transfer(address(recipient), amount), **rest)


class Chain:
    """A state that grows block by block, as every node grows it."""

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec
        self.ledger = AccountLedger(spec)
        self.final = FinalState()
        overlay = Overlay(self.final)
        self.ledger.genesis(overlay)
        self.final.commit(overlay)
        self.head = 0
        genesis_set = self.ledger.validators(self.state, 0, None)
        self.set = self.ledger.validators(self.state, 1, genesis_set)  # of the height in progress

    @property
    def state(self) -> Overlay:
        return Overlay(self.final)

    def block(self, *transactions: Transaction) -> None:
        """Apply and finish a block; every transaction has to be good."""
        overlay, height = self.state, self.head + 1
        for each in transactions:
            self.ledger.apply(overlay, each, height)
        self.ledger.finish_block(overlay, header_at(height), (), Certificate(self.head, 0, ZERO, ()))
        self.set = self.ledger.validators(overlay, height + 1, self.set)
        self.final.commit(overlay)
        self.head = height

    def blocks(self, until: int) -> None:
        while self.head < until:
            self.block()

    def refuses(self, bad: Transaction) -> str:
        """The code with which the next block refuses it; asserts that nothing changed."""
        overlay = self.state
        with pytest.raises(InvalidTransaction) as caught:
            self.ledger.apply(overlay, bad, self.head + 1)
        assert overlay.changes() == {}
        assert caught.value.why and "\n" not in caught.value.why
        return caught.value.code

    def balance(self, name: object) -> int:
        return account_of(self.state, address(name)).balance

    def stake(self, name: object, height: int) -> int:
        return self.ledger.validators(self.state, height, None).stake_of(address(name))


def chain_of(**changes: Any) -> Chain:
    return Chain(spec_of(**changes))


# ------------------------------------------------------------------------------------------------ genesis


def test_genesis_hands_out_what_it_says() -> None:
    chain = chain_of()
    assert (chain.balance("a"), chain.balance("b"), chain.balance("v")) == (1_000, 1_000, 0)
    supply = supply_of(chain.state)
    assert (supply.minted, supply.burnt, supply.stakeholders) == (2_100, 0, 1)
    assert chain.set.validators == (Validator(address("v"), key("v").public_key, 100),)
    assert chain.ledger.validators(chain.state, 0, None) == chain.set


def test_genesis_may_give_a_validator_another_key() -> None:
    votes = key("votes").public_key
    chain = chain_of(validators=(GenesisValidator(address("v"), 100, votes),))
    assert chain.set.validators == (Validator(address("v"), votes, 100),)
    assert chain.refuses(transaction("a", 0, Stake(5, votes))) == "validator_key_used"


def test_a_state_without_genesis_is_no_state() -> None:
    with pytest.raises(AssertionError):
        supply_of(Overlay(FinalState()))


# ------------------------------------------------------------------------------------------------ transactions


def test_a_transfer_moves_money_and_burns_the_fee() -> None:
    chain = chain_of()
    chain.block(transfer("a", 0, "new", 400, fee=7))
    assert (chain.balance("a"), chain.balance("new")) == (593, 400)
    assert supply_of(chain.state).burnt == 7
    assert chain.ledger.next_nonce(chain.state, address("a")) == 1
    assert chain.ledger.next_nonce(chain.state, address("new")) == 0


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
    assert supply_of(chain.state).minted == 2_159


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
    "a key that validates": (transaction("a", 1, Stake(1, key("v").public_key)), "validator_key_used"),
    "another key than before": (transaction("staker", 1, Stake(1, key("x").public_key)), "validator_key_fixed"),
    **{
        f"a key {what}": (transaction("a", 1, Stake(1, bad)), "validator_key_invalid") for what, bad in BAD_KEYS.items()
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
        transaction("a", 2, Stake(1, key("x").public_key)),
        transaction("staker", 1, Stake(1, key("staker").public_key)),
        transaction("mint", 0, Exchange(address("a"), 2**53 - 1 - 2_200)),
    )
    assert supply_of(chain.state).minted == 2**53 - 1


def test_an_account_whose_own_key_proves_nothing_cannot_stake_with_it() -> None:
    """A key of mixed order signs, in one try of eight; as a validator it could never forge."""
    mixed = Address(BAD_KEYS["of mixed order"])
    chain = chain_of(accounts=(GenesisAccount(mixed, 10),))
    assert chain.refuses(Transaction(1, mixed, 0, 0, None, Stake(5))) == "validator_key_invalid"
    chain.block(Transaction(1, mixed, 0, 0, None, Stake(5, key("votes").public_key)))


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
    assert (chain.balance("a"), supply_of(chain.state).stakeholders) == (960, 2)
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
    holder = stakeholder(chain.state, address("a"))
    assert holder is not None and holder.stake_in_the_end == 16 and holder.stake_at(0) == 0


def test_two_stakes_of_one_block_are_one_change() -> None:
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(10)), transaction("b", 0, Stake(1)), transaction("a", 1, Stake(5)))
    assert changes_at(chain.state, 10) == (address("a"), address("b"))
    holder = stakeholder(chain.state, address("a"))
    assert holder is not None and len(holder.stakes) == 1


def test_what_counts_no_more_is_forgotten() -> None:
    chain = chain_of()
    for nonce in range(20):
        chain.block(transaction("a", nonce, Stake(1)))
    holder = stakeholder(chain.state, address("a"))
    assert holder is not None and len(holder.stakes) == 8 + 2
    chain.blocks(40)
    holder = stakeholder(chain.state, address("a"))
    assert holder is not None and len(holder.stakes) == 1 and holder.stake_in_the_end == 20
    assert list(chain.state.items(b"q")) == []


def test_a_validator_key_is_used_once() -> None:
    chain = chain_of()
    votes = key("votes").public_key
    chain.block(transaction("a", 0, Stake(1, votes)))
    assert chain.refuses(transaction("b", 0, Stake(1, votes))) == "validator_key_used"
    chain.block(transaction("a", 1, Stake(1, votes)), transaction("a", 2, Stake(1)))
    chain.blocks(20)
    assert chain.set.get(address("a")) == Validator(address("a"), votes, 3)


def test_nobody_can_take_an_accounts_own_key_from_it() -> None:
    """Else one unit of stake that names a newcomer's key would keep the newcomer out for ever."""
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(1, key("b").public_key)))
    chain.block(transaction("b", 0, Stake(5)))
    assert chain.refuses(transaction("a", 1, Stake(1, key("a").public_key))) == "validator_key_fixed"
    chain.blocks(20)
    assert chain.set.get(address("b")) == Validator(address("b"), key("b").public_key, 5)


def test_a_full_set_takes_nobody_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.ledger.accounts.VALIDATORS_MAX", 2)
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


def test_evidence_has_no_place_in_a_block_yet() -> None:
    chain = chain_of()
    evidence = ConflictingVotes(vote(key("v"), 1, PREVOTE, BLOCK_A), vote(key("v"), 1, PREVOTE, BLOCK_B))
    with pytest.raises(AssertionError):
        chain.ledger.finish_block(chain.state, header_at(1), (evidence,), Certificate(0, 0, ZERO, ()))
    with pytest.raises(AssertionError):
        chain.ledger.finish_block(chain.state, header_at(1), (), Certificate(1, 0, ZERO, ()))


def test_a_change_of_nobodys_stake_is_a_broken_store() -> None:
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(5)))
    overlay = chain.state
    overlay.set(stakeholder_key(address("a")), None)
    with pytest.raises(AssertionError):
        chain.ledger.finish_block(overlay, header_at(10), (), Certificate(9, 0, ZERO, ()))
    with pytest.raises(AssertionError):
        chain.ledger.validators(overlay, 10, chain.set)


# ------------------------------------------------------------------------------------------------ properties

NAMES = ("a", "b", "c", "mint", "v")
AMOUNTS = st.sampled_from([1, 2, 30, 400, 999, 1_000, 5_000, 2**53 - 1])
KEYS = st.sampled_from([None, *(key(name).public_key for name in (*NAMES, "votes", "w"))])
PAYLOADS = st.one_of(
    st.builds(Transfer, st.sampled_from([address(name) for name in (*NAMES, "d")]), AMOUNTS),
    st.builds(Exchange, st.sampled_from([address(name) for name in NAMES]), AMOUNTS),
    st.builds(Stake, AMOUNTS, KEYS),
)


# Sender, distance from its next nonce, fee, expiry, payload.
TRIES = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from([0] * 8 + [1, -1]),
    st.sampled_from([0, 0, 1, 30, 2_000]),
    st.sampled_from([None] * 4 + [1, 5]),
    PAYLOADS,
)
BLOCKS = st.lists(st.lists(TRIES, max_size=5), min_size=1, max_size=25)


def assert_nothing_comes_from_nothing(chain: Chain) -> None:
    balances = [codec.decode(raw, Account, bytes_max=100).balance for _, raw in chain.state.items(b"a")]
    holders = [codec.decode(raw, Stakeholder, bytes_max=10_000) for _, raw in chain.state.items(b"v")]
    supply = supply_of(chain.state)
    assert all(balance >= 0 for balance in balances)
    assert sum(balances) + sum(holder.stake_in_the_end for holder in holders) + supply.burnt == supply.minted
    assert supply.minted <= chain.spec.parameters.supply_max
    assert supply.stakeholders == len(holders)


@settings(deterministic, max_examples=150)
@given(BLOCKS, st.sampled_from([0, 1, 8, 9]), st.sampled_from([2_100, 5_000, 2**53 - 1]))
def test_random_blocks_keep_the_books(blocks: list[list[Any]], delay: int, supply_max: int) -> None:
    spec = spec_of(parameters={"stake_delay": delay, "supply_max": supply_max}, demo=True)
    one, other = Chain(spec), Chain(spec)
    expected: dict[int, dict[Address, int]] = {}  # what the sets must be, by height, from what was staked
    stakes: dict[Address, int] = {address("v"): 100}
    for tries in blocks:
        good = apply_each(one, tries)
        for each in good:
            if isinstance(each.payload, Stake):
                stakes[each.sender] = stakes.get(each.sender, 0) + each.payload.amount
        one.block(*good)
        other.block(*good)
        expected[one.head + 1 + delay] = dict(stakes)
        assert_nothing_comes_from_nothing(one)
        assert one.final.tree.root == other.final.tree.root
        fresh = rebuilt(one)
        assert fresh.tree.root == one.final.tree.root
        for height in range(one.head, one.head + 2 + delay):
            check_sets(one, fresh, height, expected)
        assert one.set == one.ledger.validators(Overlay(fresh), one.head + 1, None)


def apply_each(chain: Chain, tries: list[Any]) -> list[Transaction]:
    """Those of the tries that apply, one after the other; each refused one must leave no trace."""
    overlay = chain.state
    good = []
    for sender, distance, fee, expiry, payload in tries:
        nonce = max(0, chain.ledger.next_nonce(overlay, address(sender)) + distance)
        each = transaction(sender, nonce, payload, fee=fee, expiry=expiry)
        before = dict(overlay.changes())
        try:
            chain.ledger.apply(overlay, each, chain.head + 1)
        except InvalidTransaction:
            assert overlay.changes() == before
        else:
            good.append(each)
    return good


def rebuilt(chain: Chain) -> FinalState:
    """What a node that starts again makes of the stored records."""
    return FinalState(row for group in (b"a", b"v", b"k", b"q", b"s") for row in chain.state.items(group))


def check_sets(chain: Chain, fresh: FinalState, height: int, expected: dict[int, dict[Address, int]]) -> None:
    from_scratch = chain.ledger.validators(Overlay(fresh), height, None)
    known = [at for at in expected if at <= height]
    if known:
        stakes = {member.address: member.stake for member in from_scratch.validators}
        assert stakes == expected[max(known)], f"at height {height}, head {chain.head}"


def test_the_walk_of_sets_is_the_same_from_scratch_and_step_by_step() -> None:
    """From one state, `previous` given or not, for every height that it can tell."""
    chain = chain_of()
    chain.block(transaction("a", 0, Stake(10)))
    chain.block(transaction("b", 0, Stake(10, PublicKey(key("votes").public_key))), transaction("a", 1, Stake(1)))
    walked = chain.set
    for height in range(chain.head + 2, chain.head + 2 + 8):
        walked = chain.ledger.validators(chain.state, height, walked)
        assert walked == chain.ledger.validators(chain.state, height, None)
    assert len(walked) == 3
