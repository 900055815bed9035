"""What a block pays: no unit lost or made, whatever the stakes; who leaves a signature out gains nothing by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.ledger.records import account_of
from blockchain.ledger.state import Overlay
from blockchain.ledger.supply import check_supply
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address
from blockchain.primitives.scalars import INTEGER_MAX, NO_SIGNATURE
from blockchain.primitives.validators import Validator
from blockchain.primitives.vote import Certificate, CommitSignature
from blockchain.seams import Settlement
from tests.ledger.stake_pair import ZERO, LedgerChain, header_of, transaction_of
from tests.samples import TIME_MS, address, deterministic, spec_of

PAYER = address("payer")
PRIMES = (2, 3, 7, 10_007, 104_729, 2_147_483_647, 999_999_999_989)
AWKWARD = (
    (1,),
    (1, 1, 1),
    (1, 1, 1, 1, 1, 1, 1),
    (2**52, 1, 1, 1, 1, 1, 1),  # one giant and dwarfs
    (2**50, 2**50 - 1, 2**50 + 1, 3),
    PRIMES,
    (1, 2, 4, 8, 16, 32, 64),
    (INTEGER_MAX // 7 - 1_000,) * 7,
)


class Payday:
    """A chain whose second block pays a fee and a minted reward to the signers of the first."""

    def __init__(self, stakes: Sequence[int], fee: int, reward: int, forger_bp: int) -> None:
        spec = spec_of(
            accounts=(GenesisAccount(PAYER, fee + 1),),
            validators=tuple(GenesisValidator(address(f"paid {n}"), stake) for n, stake in enumerate(stakes)),
            parameters={"reward_per_block": reward, "reward_forger_bp": forger_bp, "validators_max": 100},
        )
        self.chain = LedgerChain(spec)
        self.fee = fee
        self.chain.finish(header_of(1, TIME_MS + 1, address("paid 0")), (), ())
        self.before = self.balances(self.chain.overlay)

    @property
    def members(self) -> tuple[Validator, ...]:
        return self.chain.parents.validators

    def balances(self, state: Overlay) -> dict[bytes, int]:
        return {one.address: account_of(state, Address(one.address)).balance for one in self.members}

    def pay(self, forger: int, signers: Iterable[int]) -> tuple[Settlement, list[int]]:
        """What the block does, and what each member has more by it; members and signers by index."""
        chain, state = self.chain, Overlay(self.chain.final)
        transaction = transaction_of(PAYER, 0, self.fee, None, ("TRANSFER", PAYER, 1))
        chain.ledger.apply(state, transaction, 2)
        certificate = Certificate(1, 0, ZERO, tuple(CommitSignature(n, NO_SIGNATURE) for n in sorted(signers)))
        header = header_of(2, TIME_MS + 2, self.members[forger].address)
        done = chain.ledger.finish_block(state, header, (), certificate, chain.parents, chain.set)
        check_supply(state)
        after = self.balances(state)
        return done, [after[one.address] - self.before[one.address] for one in self.members]

    def check_exact(self, forger: int, signers: Collection[int], forger_bp: int) -> list[int]:
        """Every unit is accounted for, and nobody's part is off its fraction by a unit; returns what each has more."""
        done, gained = self.pay(forger, signers)
        reward = self.fee + done.minted
        assert sum(gained) + done.burnt == reward
        assert done.forger_reward + sum(part for _, part in done.signer_rewards) == sum(gained)
        stakes = [one.stake for one in self.members]
        of_forger = reward * forger_bp // 10_000
        for index, got in enumerate(gained):
            exact = Fraction((reward - of_forger) * stakes[index], sum(stakes)) if index in signers else Fraction(0)
            slack = 1
            if index == forger:
                exact += Fraction(of_forger * sum(stakes[n] for n in signers), sum(stakes))
                slack = 2  # two floors
            assert exact - slack < got <= exact
        return gained


def all_subsets(count: int) -> list[tuple[int, ...]]:
    return [subset for size in range(count + 1) for subset in combinations(range(count), size)]


def test_every_subset_of_awkward_stakes_is_paid_to_the_unit() -> None:
    for stakes in AWKWARD:
        payday = Payday(stakes, fee=997, reward=10, forger_bp=3_000)
        for subset in all_subsets(len(stakes))[:: 1 if len(stakes) < 7 else 3]:
            payday.check_exact(len(subset) % len(stakes), subset, 3_000)


def test_a_signature_left_out_enriches_nobody() -> None:
    """Of all pairs of a set of signers and the same less one: nobody has more by the second, the forger neither."""
    for stakes in ((1, 1, 1), (5, 3, 2, 7), (2**52, 1, 1, 1)):
        payday = Payday(stakes, fee=99, reward=1, forger_bp=3_333)
        for forger in range(len(stakes)):
            paid = {subset: payday.pay(forger, subset)[1] for subset in all_subsets(len(stakes))}
            for subset, gained in paid.items():
                for left_out in subset:
                    less = paid[tuple(n for n in subset if n != left_out)]
                    assert all(a <= b for a, b in zip(less, gained, strict=True))
                    assert less[left_out] <= gained[left_out]


stakes_of_any_size = st.lists(
    st.one_of(st.integers(1, 50), st.sampled_from(PRIMES), st.integers(1, 2**47)), min_size=1, max_size=12
)


@settings(deterministic, max_examples=25)
@given(
    stakes=stakes_of_any_size,
    fee=st.one_of(st.integers(0, 100), st.integers(0, 2**50)),
    reward=st.sampled_from((0, 1, 10**9 + 7)),
    forger_bp=st.integers(0, 10_000),
    data=st.data(),
)
def test_any_stakes_any_signers(stakes: list[int], fee: int, reward: int, forger_bp: int, data: st.DataObject) -> None:
    payday = Payday(stakes, fee, reward, forger_bp)
    everybody = range(len(stakes))
    forger = data.draw(st.sampled_from(everybody))
    signers = data.draw(st.sets(st.sampled_from(everybody)))
    gained = payday.check_exact(forger, signers, forger_bp)
    fewer = signers - data.draw(st.sets(st.sampled_from(everybody), min_size=1))
    less = payday.check_exact(forger, fewer, forger_bp)
    assert all(a <= b for a, b in zip(less, gained, strict=True)), "leaving signatures out paid somebody"
