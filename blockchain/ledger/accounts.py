"""The account ledger: balances, nonces and stake (docs/protocol.md §3).

A transaction that does not apply is refused with a stable code and changes nothing: every check comes before the first
change. Here is what all kinds share, the kinds that pay, and the order of what ends a block; the rules of stake are in
the rooms beside this one, and the records in `ledger.records`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, assert_never

from msgspec.structs import replace

from blockchain.errors import InvalidBlock, InvalidTransaction
from blockchain.ledger import stake
from blockchain.ledger.absence import note_absent
from blockchain.ledger.closing import close_set
from blockchain.ledger.penalties import punish
from blockchain.ledger.records import (
    ACCOUNT_PREFIX,
    TOTALS_KEY,
    UNUSED,
    Totals,
    account_of,
    add_to_totals,
    collect_fee,
    put_account,
    put_owner,
    put_stakeholder,
    put_totals,
    stakeholder,
    totals_of,
)
from blockchain.ledger.releases import begin_set, release
from blockchain.ledger.rewards import reward
from blockchain.ledger.sets import set_after, set_at
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.records import Account, KeyFrom, Seat, Stakeholder, account_key
from blockchain.primitives.transaction import (
    PAYMENTS,
    Exchange,
    Pause,
    Resume,
    Rotate,
    Stake,
    Transaction,
    Transfer,
    Unstake,
)
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate
from blockchain.seams import Settlement, State

_OF_PAYMENTS: Final = (ACCOUNT_PREFIX, TOTALS_KEY)
_SPENDING: Final = (Transfer, Stake)  # whose amount leaves the balance


class Move(NamedTuple):
    """What comes to an account, or goes."""

    address: Address
    amount: int
    nonces: int


class AccountLedger:
    """The rules of value of the first ledger; implements `seams.Ledger`."""

    def __init__(self, spec: ChainSpec) -> None:
        self._spec = spec
        self._parameters = spec.parameters

    # ------------------------------------------------------------------------------------------------ blocks

    def genesis(self, state: State) -> None:
        balances = sum(account.balance for account in self._spec.accounts)
        stakes = sum(validator.stake for validator in self._spec.validators)
        put_totals(state, Totals(balances + stakes, eligible=stakes))
        for account in self._spec.accounts:
            put_account(state, Address(account.address), Account(account.balance))
        for validator in self._spec.validators:
            address = Address(validator.address)
            key = PublicKey(address) if validator.key is None else PublicKey(validator.key)
            holder = Stakeholder((KeyFrom(0, key),), (Seat(0, validator.stake),), validator.stake)
            put_stakeholder(state, address, None, holder)
            put_owner(state, key, address)

    def finish_block(
        self,
        state: State,
        header: Header,
        offenders: tuple[Address, ...],
        parent_certificate: Certificate,
        parent_validators: ValidatorSet,
        validators: ValidatorSet,
    ) -> Settlement:
        """The order is part of the rules (protocol §3.5)."""
        assert parent_certificate.height + 1 == header.height
        parameters = self._parameters
        penalties, evidence_reward = punish(state, parameters, header, offenders)
        begin_set(state, header)
        released = release(state, parameters, header)
        rewards = reward(state, parameters, header, parent_certificate, parent_validators)
        absent = note_absent(state, parameters, parent_certificate, parent_validators)
        closing = close_set(state, parameters, header.height, validators.total)
        penalties = (*penalties, *closing.penalties)
        lost = sum(penalty.amount for penalty in penalties) - evidence_reward
        if lost:
            add_to_totals(state, burnt=lost)
        return Settlement(
            forger=Address(header.forger),
            minted=rewards.minted,
            burnt=rewards.burnt + lost,
            forger_reward=rewards.forger,
            signer_rewards=rewards.signers,
            for_signers=rewards.for_signers,
            evidence_reward=evidence_reward,
            penalties=penalties,
            released=released,
            suspended=closing.suspended,
            absent=absent,
        )

    def forget_stakes(self, state: State, final: State) -> None:
        ahead = totals_of(state)
        left = replace(totals_of(final), minted=ahead.minted)
        if left != ahead:  # else it may be that of below, where what a block minted is counted
            put_totals(state, left)

    def repay(self, state: State, final: State, settlement: Settlement, unforeseen: Sequence[Transaction] = ()) -> bool:
        came = [move for transaction in unforeseen for move in _moves(transaction)]
        came += (Move(address, amount, 0) for address, amount in settlement.paid)
        minted = settlement.minted + sum(_minted(transaction) for transaction in unforeseen)
        for move in came:
            if state.has_changed(account_key(move.address)):  # any other is read from below, where it has been paid
                _move(state, move)
        if state.has_changed(TOTALS_KEY):
            put_totals(state, replace(totals_of(final), minted=totals_of(state).minted + minted))
        return totals_of(state).minted <= self._parameters.supply_max

    def validators(self, state: State, height: int, previous: ValidatorSet | None) -> ValidatorSet:
        return set_at(state, height) if previous is None else set_after(state, height, previous)

    def key_at(self, state: State, address: Address, height: int) -> PublicKey | None:
        holder = stakeholder(state, address)
        return None if holder is None else holder.key_at(height)

    def is_out(self, state: State, address: Address) -> bool:
        holder = stakeholder(state, address)
        return holder is not None and holder.is_out

    def has_stake(self, state: State, address: Address) -> bool:
        return stakeholder(state, address) is not None

    # ------------------------------------------------------------------------------------------------ transactions

    def check(self, transaction: Transaction, height: int) -> None:
        """What needs no state: expiry, and who may mint."""
        if transaction.expiry is not None and height > transaction.expiry:
            raise InvalidTransaction("expired", f"it expired at height {transaction.expiry}; this is {height}")
        if type(transaction.payload) is Exchange and transaction.sender != self._spec.issuer:
            raise InvalidTransaction("not_issuer", "only the issuer that genesis names may mint")

    def next_nonce(self, state: State, sender: Address) -> int:
        return account_of(state, sender).nonce

    def balance(self, state: State, address: Address) -> int:
        return account_of(state, address).balance

    def cost(self, transaction: Transaction) -> int:
        return _cost(transaction)

    def concerns_stake(self, key: bytes) -> bool:
        return key[:1] not in _OF_PAYMENTS

    def pay(self, state: State, transaction: Transaction) -> None:
        for move in _moves(transaction):
            _move(state, move)

    def take_back(self, state: State, transaction: Transaction) -> None:
        for address, amount, nonces in _moves(transaction):
            _move(state, Move(address, -amount, -nonces))
        if minted := _minted(transaction):
            add_to_totals(state, minted=-minted)

    def apply(self, state: State, transaction: Transaction, height: int) -> None:
        self.apply_but_fee(state, transaction, height)
        self.collect(state, transaction.fee)

    def apply_all(self, state: State, transactions: Iterable[Transaction], height: int) -> None:
        fees = 0  # of all together: nothing asks for them before the end of the block
        for position, transaction in enumerate(transactions):
            try:
                self.apply_but_fee(state, transaction, height)
            except InvalidTransaction as error:
                raise InvalidBlock("transactions", f"number {position} does not apply: {error}") from None
            fees += transaction.fee
        self.collect(state, fees)

    def collect(self, state: State, fees: int) -> None:
        if fees:
            collect_fee(state, fees)

    def apply_but_fee(self, state: State, transaction: Transaction, height: int) -> None:
        # Each transaction comes here once or more on every node, and nearly all are transfers: they call little.
        payload = transaction.payload
        if transaction.expiry is not None or not isinstance(payload, Transfer):
            self.check(transaction, height)
        key = ACCOUNT_PREFIX + transaction.sender
        sender = state.read(key, Account) or UNUSED
        nonce = transaction.nonce
        if nonce != sender.nonce:
            raise _wrong_nonce(sender, nonce)
        cost = transaction.fee + payload.amount if isinstance(payload, Transfer) else _cost(transaction)
        if cost > sender.balance:
            raise InvalidTransaction("insufficient_balance", f"it needs {cost}; the balance is {sender.balance}")
        if not isinstance(payload, Transfer):
            self._apply_other(state, transaction.sender, payload, height)
        state.write(key, Account(sender.balance - cost, nonce + 1))
        if isinstance(payload, PAYMENTS):
            key = ACCOUNT_PREFIX + payload.recipient
            recipient = state.read(key, Account) or UNUSED
            state.write(key, Account(recipient.balance + payload.amount, recipient.nonce))

    def _apply_other(
        self, state: State, sender: Address, payload: Exchange | Stake | Unstake | Rotate | Pause | Resume, height: int
    ) -> None:
        """What it does beside taking from its sender and giving to who is paid."""
        match payload:
            case Exchange():
                self._mint(state, payload.amount)
            case Stake():
                stake.stake(state, self._parameters, sender, payload, height)
            case Unstake():
                stake.unstake(state, self._parameters, sender, payload, height)
            case Rotate():
                stake.rotate(state, self._parameters, sender, payload, height)
            case Pause():
                stake.pause(state, self._parameters, sender, payload, height)
            case Resume():
                stake.resume(state, self._parameters, sender, height)
            case _:
                assert_never(payload)

    def _mint(self, state: State, amount: int) -> None:
        totals = totals_of(state)
        bound = self._parameters.supply_max
        if totals.minted + amount > bound:
            raise InvalidTransaction(
                "supply_exceeded", f"{totals.minted} of at most {bound} are minted; {amount} more is too much"
            )
        put_totals(state, replace(totals, minted=totals.minted + amount))


def _wrong_nonce(sender: Account, nonce: int) -> InvalidTransaction:
    if nonce < sender.nonce:
        return InvalidTransaction("nonce_used", f"nonce {nonce} is used; the next is {sender.nonce}")
    return InvalidTransaction("nonce_gap", f"nonce {nonce} leaves a gap; the next is {sender.nonce}")


def _moves(transaction: Transaction) -> tuple[Move, ...]:
    """What it does to accounts, as sums."""
    payload = transaction.payload
    taken = Move(Address(transaction.sender), -_cost(transaction), 1)
    return (taken, Move(Address(payload.recipient), payload.amount, 0)) if isinstance(payload, PAYMENTS) else (taken,)


def _move(state: State, move: Move) -> None:
    account = account_of(state, move.address)
    put_account(state, move.address, Account(account.balance + move.amount, account.nonce + move.nonces))


def _cost(transaction: Transaction) -> int:
    payload = transaction.payload
    return transaction.fee + (payload.amount if isinstance(payload, _SPENDING) else 0)


def _minted(transaction: Transaction) -> int:
    return transaction.payload.amount if type(transaction.payload) is Exchange else 0
