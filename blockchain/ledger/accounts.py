"""The account ledger: balances, nonces and stake (docs/protocol.md §3).

A transaction that does not apply is refused with a stable code and changes nothing: every check comes before the first
change. Records, by the first byte of their key:

a + address  Account: balance and next nonce
v + address  Stakeholder: the stake of a validator and from which height on it counts
k + key      the address whose validator key this is
q + height   the addresses whose stake changes at that height (8 bytes, big-endian)
s            Supply: what was ever minted, what was burnt, and how many accounts ever staked

The first two are what a light client reads, and defined in `primitives.records`.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from blockchain.errors import InvalidTransaction
from blockchain.primitives import codec, vrf
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.records import (
    RECORD_BYTES_MAX,
    STAKEHOLDER_PREFIX,
    Account,
    StakeFrom,
    Stakeholder,
    account_key,
    stakeholder_key,
)
from blockchain.primitives.scalars import VALIDATORS_MAX, AddressField, Amount, Count
from blockchain.primitives.transaction import Exchange, Stake, Transaction, Transfer
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate, Evidence
from blockchain.seams import State

_SUPPLY_KEY: Final = b"s"


class Supply(Struct, frozen=True, array_like=True):
    """All only grow: what is burnt makes no room for minting."""

    minted: Amount
    burnt: Amount
    stakeholders: Count


class AccountLedger:
    """The rules of value of the first ledger; implements `seams.Ledger`."""

    def __init__(self, spec: ChainSpec) -> None:
        self._spec = spec
        self._parameters = spec.parameters

    # ------------------------------------------------------------------------------------------------ blocks

    def genesis(self, state: State) -> None:
        minted = 0
        for account in self._spec.accounts:
            minted += account.balance
            _put(state, account_key(account.address), Account(account.balance))
        for validator in self._spec.validators:
            minted += validator.stake
            key = PublicKey(validator.address) if validator.key is None else validator.key
            holder = Stakeholder(key, (StakeFrom(0, validator.stake),))
            _put(state, stakeholder_key(validator.address), holder)
            state.set(_owner_key(key), validator.address)
        _put(state, _SUPPLY_KEY, Supply(minted, 0, len(self._spec.validators)))

    def finish_block(
        self,
        state: State,
        header: Header,
        evidence: tuple[Evidence, ...],
        parent_certificate: Certificate,
    ) -> None:
        """Forget stakes that count no more. Rewards and penalties will come here (protocol §3.5)."""
        assert not evidence, "evidence is not part of a block yet"
        assert parent_certificate.height + 1 == header.height
        for address in changes_at(state, header.height):
            holder = stakeholder(state, address)
            assert holder is not None, "a change of a stake that nobody has"
            active = max(entry.height for entry in holder.stakes if entry.height <= header.height)
            kept = tuple(entry for entry in holder.stakes if entry.height >= active)
            _put(state, stakeholder_key(address), Stakeholder(holder.key, kept))
        if state.get(_changes_key(header.height)) is not None:
            state.set(_changes_key(header.height), None)

    def validators(self, state: State, height: int, previous: ValidatorSet | None) -> ValidatorSet:
        if previous is None:
            return ValidatorSet(self._active(state, height))
        changed = changes_at(state, height)
        if not changed:
            return previous
        members = {validator.address: validator for validator in previous.validators}
        for address in changed:
            holder = stakeholder(state, address)
            assert holder is not None, "a change of a stake that nobody has"
            members[address] = Validator(address, holder.key, holder.stake_at(height))
        return ValidatorSet(members.values())

    def _active(self, state: State, height: int) -> list[Validator]:
        active = []
        for key, raw in state.items(STAKEHOLDER_PREFIX):
            holder = codec.decode(raw, Stakeholder, bytes_max=RECORD_BYTES_MAX)
            stake = holder.stake_at(height)
            if stake > 0:
                active.append(Validator(Address(key[1:]), holder.key, stake))
        return active

    # ------------------------------------------------------------------------------------------------ transactions

    def check(self, transaction: Transaction, height: int) -> None:
        """What needs no state: expiry, and who may mint."""
        if transaction.expiry is not None and height > transaction.expiry:
            raise InvalidTransaction("expired", f"it expired at height {transaction.expiry}; this is {height}")
        if isinstance(transaction.payload, Exchange) and transaction.sender != self._spec.issuer:
            raise InvalidTransaction("not_issuer", "only the issuer that genesis names may mint")

    def next_nonce(self, state: State, sender: Address) -> int:
        return account_of(state, sender).nonce

    def apply(self, state: State, transaction: Transaction, height: int) -> None:
        self.check(transaction, height)
        sender = account_of(state, transaction.sender)
        _check_nonce(sender, transaction)
        match transaction.payload:
            case Transfer(recipient=recipient, amount=amount):
                paid = _pay(sender, amount + transaction.fee)
                _put(state, account_key(transaction.sender), paid)
                _credit(state, recipient, amount)
            case Exchange(recipient=recipient, amount=amount):
                paid = _pay(sender, transaction.fee)
                self._mint(state, amount)
                _put(state, account_key(transaction.sender), paid)
                _credit(state, recipient, amount)
            case Stake(amount=amount, validator_key=key):
                paid = _pay(sender, amount + transaction.fee)
                self._stake(state, transaction.sender, amount, key, height)
                _put(state, account_key(transaction.sender), paid)
            case _:
                assert_never(transaction.payload)
        if transaction.fee:
            supply = supply_of(state)
            _put(state, _SUPPLY_KEY, replace(supply, burnt=supply.burnt + transaction.fee))

    def _mint(self, state: State, amount: int) -> None:
        supply = supply_of(state)
        bound = self._parameters.supply_max
        if supply.minted + amount > bound:
            raise InvalidTransaction(
                "supply_exceeded", f"{supply.minted} of at most {bound} are minted; {amount} more is too much"
            )
        _put(state, _SUPPLY_KEY, replace(supply, minted=supply.minted + amount))

    def _stake(self, state: State, sender: Address, amount: int, key: PublicKey | None, height: int) -> None:
        holder = stakeholder(state, sender)
        if holder is None:
            holder = Stakeholder(PublicKey(sender) if key is None else key, ())
            supply = supply_of(state)
            _check_may_join(state, supply, holder.key, sender)
            _put(state, _SUPPLY_KEY, replace(supply, stakeholders=supply.stakeholders + 1))
            state.set(_owner_key(holder.key), sender)
        elif key is not None and key != holder.key:
            raise InvalidTransaction("validator_key_fixed", "this account validates with another key already")
        counts_from = height + 1 + self._parameters.stake_delay
        stake = (holder.stake_in_the_end if holder.stakes else 0) + amount
        earlier = tuple(entry for entry in holder.stakes if entry.height < counts_from)
        stakes = (*earlier, StakeFrom(counts_from, stake))
        _put(state, stakeholder_key(sender), Stakeholder(holder.key, stakes))
        changed = changes_at(state, counts_from)
        if sender not in changed:
            _put(state, _changes_key(counts_from), (*changed, sender))


def account_of(state: State, address: Address) -> Account:
    """An account's record; one that was never used has nothing."""
    raw = state.get(account_key(address))
    return Account() if raw is None else codec.decode(raw, Account, bytes_max=RECORD_BYTES_MAX)


def stakeholder(state: State, address: Address) -> Stakeholder | None:
    """An account's stake, if it ever staked."""
    raw = state.get(stakeholder_key(address))
    return None if raw is None else codec.decode(raw, Stakeholder, bytes_max=RECORD_BYTES_MAX)


def supply_of(state: State) -> Supply:
    raw = state.get(_SUPPLY_KEY)
    assert raw is not None, "a state without genesis"
    return codec.decode(raw, Supply, bytes_max=RECORD_BYTES_MAX)


def changes_at(state: State, height: int) -> tuple[Address, ...]:
    """The addresses whose stake changes at `height`, in the order in which they asked for it."""
    raw = state.get(_changes_key(height))
    return () if raw is None else codec.decode(raw, tuple[AddressField, ...], bytes_max=RECORD_BYTES_MAX)


def _check_nonce(sender: Account, transaction: Transaction) -> None:
    if transaction.nonce < sender.nonce:
        raise InvalidTransaction("nonce_used", f"nonce {transaction.nonce} is used; the next is {sender.nonce}")
    if transaction.nonce > sender.nonce:
        raise InvalidTransaction("nonce_gap", f"nonce {transaction.nonce} leaves a gap; the next is {sender.nonce}")


def _check_may_join(state: State, supply: Supply, key: PublicKey, sender: Address) -> None:
    if not vrf.is_key(key):
        raise InvalidTransaction("validator_key_invalid", "no validator can prove the lottery's output with this key")
    if key != PublicKey(sender) and state.get(_owner_key(key)) is not None:  # nobody takes an account's own key from it
        raise InvalidTransaction("validator_key_used", "another account validates with this key")
    if supply.stakeholders >= VALIDATORS_MAX:
        raise InvalidTransaction("validators_full", f"the set holds at most {VALIDATORS_MAX} validators")


def _pay(sender: Account, amount: int) -> Account:
    if amount > sender.balance:
        raise InvalidTransaction("insufficient_balance", f"it needs {amount}; the balance is {sender.balance}")
    return Account(sender.balance - amount, sender.nonce + 1)


def _credit(state: State, address: Address, amount: int) -> None:
    account = account_of(state, address)
    _put(state, account_key(address), replace(account, balance=account.balance + amount))


def _put(state: State, key: bytes, record: object) -> None:
    state.set(key, codec.encode(record))


def _owner_key(key: PublicKey) -> bytes:
    return b"k" + key


def _changes_key(height: int) -> bytes:
    return b"q" + height.to_bytes(8, "big")
