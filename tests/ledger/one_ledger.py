"""One ledger and its state, growing block by block, for tests that stand in for every forger and voter of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.records import account_of, stakeholder, totals_of
from blockchain.ledger.state import FinalState, Overlay
from blockchain.ledger.supply import check_supply
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.records import Stakeholder
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Payload, Rotate, Stake, Transaction, Transfer
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature
from blockchain.seams import Settlement
from tests.samples import TIME_MS, address, key, spec_of

ZERO = Hash32(bytes(32))
BLOCK_MS = 1_000  # between two blocks


def header_at(height: int, forger: Address, time_ms: int) -> Header:
    """What the ledger reads of a header, and nothing else that means anything."""
    return Header(
        version=1,
        height=height,
        round=0,
        seed=ZERO,
        time_ms=time_ms,
        parent=ZERO,
        forger=forger,
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


def staking(amount: int, votes: object = None) -> Stake:
    """The ledger looks at no signature: verification has."""
    return Stake(amount) if votes is None else Stake(amount, key(votes).public_key, NO_SIGNATURE)


def rotating(votes: object) -> Rotate:
    return Rotate(key(votes).public_key, NO_SIGNATURE)


class Chain:
    """A state that grows block by block, as every node grows it; the books are checked after each."""

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec
        self.ledger = AccountLedger(spec)
        self.final = FinalState()
        overlay = Overlay(self.final)
        self.ledger.genesis(overlay)
        self.final.commit(overlay)
        self.head = 0
        self.time_ms = TIME_MS
        self.parents = self.ledger.validators(self.state, 0, None)
        self.set = self.ledger.validators(self.state, 1, self.parents)  # of the height in progress

    @property
    def state(self) -> Overlay:
        return Overlay(self.final)

    def block(
        self,
        *transactions: Transaction,
        offenders: Iterable[object] = (),
        absent: Iterable[object] = (),
        forger: object = "v",
        passed_ms: int = BLOCK_MS,
    ) -> Settlement:
        """Apply and finish a block; every transaction has to be good. `absent`: whose precommits it does not carry."""
        overlay, height = self.state, self.head + 1
        for each in transactions:
            self.ledger.apply(overlay, each, height)
        return self.finish(overlay, offenders=offenders, absent=absent, forger=forger, passed_ms=passed_ms)

    def finish(
        self,
        overlay: Overlay,
        *,
        offenders: Iterable[object] = (),
        absent: Iterable[object] = (),
        forger: object = "v",
        passed_ms: int = BLOCK_MS,
    ) -> Settlement:
        self.time_ms += passed_ms
        height = self.head + 1
        settlement = self.ledger.finish_block(
            overlay,
            header_at(height, address(forger), self.time_ms),
            tuple(address(name) for name in offenders),
            self.certificate({address(name) for name in absent}),
            self.parents,
            self.set,
        )
        following = self.ledger.validators(overlay, height + 1, self.set)
        self.final.commit(overlay)
        self.parents, self.set, self.head = self.set, following, height
        check_supply(self.state)
        assert list(self.state.items(b"c")) == []
        return settlement

    def certificate(self, absent: set[Address]) -> Certificate:
        """Of the head, by all but the absent."""
        members = [] if self.head == 0 else self.parents.validators
        signers = (at for at, member in enumerate(members) if member.address not in absent)
        return Certificate(self.head, 0, ZERO, tuple(CommitSignature(at, NO_SIGNATURE) for at in signers))

    def blocks(self, until: int) -> None:
        while self.head < until:
            self.block()

    def send(self, sender: object, payload: Payload, fee: int = 0) -> Transaction:
        """With the nonce that is next."""
        return transaction(sender, self.ledger.next_nonce(self.state, address(sender)), payload, fee)

    def refuses(self, bad: Transaction, *before: Transaction) -> str:
        """The code with which the next block refuses it, after others; asserts that nothing changed."""
        overlay = self.state
        for each in before:
            self.ledger.apply(overlay, each, self.head + 1)
        changes = dict(overlay.changes())
        with pytest.raises(InvalidTransaction) as caught:
            self.ledger.apply(overlay, bad, self.head + 1)
        assert overlay.changes() == changes
        assert caught.value.why and "\n" not in caught.value.why
        return caught.value.code

    def balance(self, name: object) -> int:
        return account_of(self.state, address(name)).balance

    def holder(self, name: object) -> Stakeholder:
        found = stakeholder(self.state, address(name))
        assert found is not None
        return found

    def stake(self, name: object, height: int) -> int:
        return self.ledger.validators(self.state, height, None).stake_of(address(name))

    def stakes(self) -> dict[str, int]:
        """The set of the height in progress, by the first letters of addresses."""
        return {member.address.hex()[:8]: member.stake for member in self.set.validators}

    @property
    def burnt(self) -> int:
        return totals_of(self.state).burnt

    @property
    def minted(self) -> int:
        return totals_of(self.state).minted

    def again(self) -> ValidatorSet:
        """The set of the height in progress as a node that starts finds it."""
        return self.ledger.validators(self.state, self.head + 1, None)


def chain_of(**changes: Any) -> Chain:
    return Chain(spec_of(**changes))
