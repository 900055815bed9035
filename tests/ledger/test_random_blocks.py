"""Whatever transactions, evidence and absences come: the books balance, the set is never empty, and all nodes agree."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import RECORD_PREFIXES, totals_of
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.transaction import Exchange, Pause, Payload, Resume, Transaction, Transfer, Unstake
from tests.ledger.one_ledger import Chain, rotating, staking, transaction
from tests.samples import address, deterministic, spec_of

NAMES = ("a", "b", "c", "d", "v", "w", "mint")
AMOUNTS = st.sampled_from([1, 2, 3, 7, 30, 60, 100, 400, 999])
SOMEBODY = st.sampled_from(NAMES)
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    st.builds(lambda name, amount: Transfer(address(name), amount), SOMEBODY, AMOUNTS),
    st.builds(lambda name, amount: Exchange(address(name), amount), SOMEBODY, AMOUNTS),
    st.builds(staking, AMOUNTS, st.sampled_from([None, None, None, "votes", "w"])),
    st.builds(staking, AMOUNTS),
    st.builds(Unstake, AMOUNTS),
    st.builds(Unstake, AMOUNTS),
    st.builds(rotating, st.sampled_from(["r1", "r2", "v"])),
    st.builds(Pause, st.sampled_from([1, 2, 5])),
    st.just(Resume()),
)
# Sender, distance from its next nonce, fee, expiry, payload.
TRIES = st.tuples(
    SOMEBODY,
    st.sampled_from([0] * 9 + [1]),
    st.sampled_from([0, 0, 1, 30]),
    st.sampled_from([None] * 4 + [5]),
    PAYLOADS,
)
BLOCKS = st.tuples(
    st.lists(TRIES, max_size=5),
    st.sets(SOMEBODY, max_size=3),
    st.sets(SOMEBODY, max_size=2),
    SOMEBODY,
    st.integers(1, 9),
)
PARAMETERS = st.fixed_dictionaries(
    {
        "stake_delay": st.sampled_from([0, 1, 3]),
        "stake_min": st.sampled_from([1, 3]),
        "stake_step_max_bp": st.sampled_from([None, 1_000, 3_000]),
        "validators_max": st.sampled_from([2, 3, 100]),
        "reward_per_block": st.sampled_from([0, 13]),
        "slash_bp": st.sampled_from([1, 1_000, 10_000]),
        "absence_window": st.sampled_from([None, 10]),
        "absence_slash_bp": st.sampled_from([0, 100]),
        "active_share_min_bp": st.sampled_from([6_667, 9_000]),
        "pause_blocks_max": st.just(4),
        "pause_interval": st.just(8),
        "unbonding_blocks": st.sampled_from([1, 3]),
        "unbonding_ms": st.sampled_from([1, 5_000]),
        "supply_max": st.sampled_from([5_000, 2**53 - 1]),
    }
)


def random_chain(parameters: dict[str, Any]) -> Chain:
    """Two large validators, and small ones that may be away."""
    validators = tuple(GenesisValidator(address(name), stake) for name, stake in (("v", 300), ("w", 280)))
    small = tuple(GenesisValidator(address(name), 10) for name in ("c", "d"))
    accounts = tuple(GenesisAccount(address(name), 1_000) for name in ("a", "b", "c", "v"))
    members = validators + (small if parameters["validators_max"] > 3 else ())
    return Chain(spec_of(validators=members, accounts=accounts, parameters=parameters, demo=True))


@settings(deterministic, max_examples=40)
@given(st.lists(BLOCKS, min_size=1, max_size=25), PARAMETERS)
def test_random_blocks_keep_the_books(blocks: list[Any], parameters: dict[str, Any]) -> None:
    one, other = random_chain(parameters), random_chain(parameters)
    for tries, absent, accused, forger, seconds in blocks:
        good = apply_each(one, tries)
        offenders = tuple(name for name in sorted(accused) if may_be_accused(one, name))
        before = totals_of(one.state)
        settlement, again = (
            chain.block(*good, offenders=offenders, absent=absent, forger=forger, passed_ms=seconds * 1_000)
            for chain in (one, other)
        )
        assert settlement == again
        after = totals_of(one.state)
        minted = sum(each.payload.amount for each in good if isinstance(each.payload, Exchange))
        assert after.minted - before.minted == settlement.minted + minted
        assert after.burnt - before.burnt == settlement.burnt >= 0
        assert after.minted <= one.spec.parameters.supply_max
        assert one.final.tree.root == other.final.tree.root
        assert rebuilt(one).tree.root == one.final.tree.root
        check_sets(one)


def may_be_accused(chain: Chain, name: str) -> bool:
    """As in the state before the block."""
    key = chain.ledger.key_at(chain.state, address(name), chain.head + 1)
    return key is not None and not chain.ledger.is_out(chain.state, address(name))


def apply_each(chain: Chain, tries: list[Any]) -> list[Transaction]:
    """Those of the tries that apply, one after the other; each refused one must leave no trace."""
    overlay = chain.state
    good = []
    for sender, distance, fee, expiry, payload in tries:
        nonce = chain.ledger.next_nonce(overlay, address(sender)) + distance
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
    return FinalState(row for group in RECORD_PREFIXES for row in chain.state.items(group))


def check_sets(chain: Chain) -> None:
    """Every set that is closed is the same from scratch and step by step, and has somebody in it."""
    state = Overlay(rebuilt(chain))
    walked = chain.ledger.validators(state, chain.head, None)
    assert walked == chain.parents and len(walked) > 0
    for height in range(chain.head + 1, chain.head + 2 + chain.spec.parameters.stake_delay):
        walked = chain.ledger.validators(state, height, walked)
        assert walked == chain.ledger.validators(state, height, None)
        assert len(walked) > 0 and walked.total > 0
    totals = totals_of(chain.state)
    assert totals.inactive <= totals.eligible // 3 and totals.joining >= 0
