"""The ledger and its model side by side: each block goes through both, and every byte of every record is compared.

A second ledger takes the same blocks, from the applied transactions alone, and is rebuilt from its records whenever
it is asked to: the bytes of every record and the root have to be the first one's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from string import ascii_lowercase
from typing import Any

import msgspec

from blockchain.errors import InvalidTransaction
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.state import FinalState, Overlay
from blockchain.ledger.supply import check_supply
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Transaction
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature
from blockchain.seams import Settlement
from tests.ledger.model import WHOLE, Model, Outcome, Seats
from tests.ledger.model_records import records_of_model

ZERO = Hash32(bytes(32))
PREFIXES = [bytes([letter]) for letter in ascii_lowercase.encode()]  # protocol §3.1; the root covers any other


def transaction_of(sender: bytes, nonce: int, fee: int, expiry: int | None, payload: Sequence[Any]) -> Transaction:
    """From the array of the protocol §2; nobody looks at signatures here."""
    array = [1, sender, nonce, fee, expiry, list(payload), NO_SIGNATURE]
    return msgspec.convert(array, Transaction, builtin_types=(bytes,))


def header_of(height: int, time_ms: int, forger: bytes) -> Header:
    """What the ledger reads of a header: height, time and forger."""
    return Header(
        version=1,
        height=height,
        round=0,
        seed=ZERO,
        time_ms=time_ms,
        parent=ZERO,
        forger=Address(forger),
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


def set_of_seats(seats: Seats) -> ValidatorSet:
    return ValidatorSet(Validator(Address(owner), PublicKey(key), stake) for owner, (key, stake) in seats.items())


def records_of(final: FinalState) -> dict[bytes, bytes]:
    return {key: value for prefix in PREFIXES for key, value in final.items(prefix)}


class LedgerChain:
    """The production ledger on a state that grows block by block."""

    def __init__(self, spec: ChainSpec) -> None:
        self.ledger = AccountLedger(spec)
        self.final = FinalState()
        self.overlay = Overlay(self.final)
        self.ledger.genesis(self.overlay)
        self.final.commit(self.overlay)
        self.overlay = Overlay(self.final)
        self.parents = self.ledger.validators(self.overlay, 0, None)
        self.set = self.ledger.validators(self.overlay, 1, self.parents)

    def reload(self) -> None:
        """What a new start does: the records from the store, the sets from the records."""
        self.final = FinalState(sorted(records_of(self.final).items()))
        self.overlay = Overlay(self.final)

    def apply(self, transaction: Transaction, height: int) -> str | None:
        """The code of the refusal, which leaves no trace; None: applied."""
        before = dict(self.overlay.changes())
        try:
            self.ledger.apply(self.overlay, transaction, height)
        except InvalidTransaction as error:
            refusal = error
        else:
            return None
        assert dict(self.overlay.changes()) == before, f"{refusal.code} left a trace"
        assert refusal.why and "\n" not in refusal.why
        return refusal.code

    def finish(self, header: Header, offenders: Collection[bytes], signers: Collection[bytes]) -> Settlement:
        indexes = sorted(self.parents.index[Address(signer)] for signer in signers)
        precommits = tuple(CommitSignature(index, NO_SIGNATURE) for index in indexes)
        certificate = Certificate(header.height - 1, 0, ZERO, precommits)
        accused = tuple(Address(offender) for offender in offenders)
        done = self.ledger.finish_block(self.overlay, header, accused, certificate, self.parents, self.set)
        following = self.ledger.validators(self.overlay, header.height + 1, self.set)
        self.final.commit(self.overlay)
        self.overlay = Overlay(self.final)
        self.parents, self.set = self.set, following
        return done


class Pair:
    """One chain in the ledger, in a second ledger, and in the model."""

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec
        self.delay = spec.parameters.stake_delay
        self.height = 1  # in progress
        self.time_ms = spec.time_ms
        self.model = Model(spec)
        self.chain, self.twin = LedgerChain(spec), LedgerChain(spec)
        self.applied: list[Transaction] = []
        self.seen: Counter[str] = Counter()  # what happened, for the summary
        self.compare()

    def apply(self, sender: bytes, nonce: int, fee: int, expiry: int | None, payload: Sequence[Any]) -> str | None:
        transaction = transaction_of(sender, nonce, fee, expiry, payload)
        expected = self.model.apply(self.height, sender, nonce, fee, expiry, list(payload))
        code = self.chain.apply(transaction, self.height)
        assert code == expected, f"block {self.height}, {payload[0]}: {code}, and by the model {expected}"
        if code is None:
            self.applied.append(transaction)
        self.seen[code or str(payload[0])] += 1
        return code

    def finish(self, time_ms: int, forger: bytes, offenders: Sequence[bytes], signers: Sequence[bytes]) -> None:
        header = header_of(self.height, time_ms, forger)
        done = self.chain.finish(header, offenders, signers)
        outcome = self.model.finish(self.height, time_ms, forger, offenders, signers)
        for transaction in self.applied:
            assert self.twin.apply(transaction, self.height) is None
        assert self.twin.finish(header, offenders, signers) == done
        self._compare_settlement(done, outcome)
        self.height, self.time_ms, self.applied = self.height + 1, time_ms, []
        self.compare()
        check_invariants(self.model, self.height - 1)
        self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        """What was met in this block."""
        model = self.model
        facts = {
            "blocks": 1,
            "penalties": len(outcome.penalties),
            "released": len(outcome.released),
            "suspensions": len(outcome.suspended),
            "absent": len(outcome.absent),
            "queue": bool(model.waiting),
            "away": bool(model.away),
            "left out": model.left_out,
            "pressed in": len(model.sets) - 1 in model.pressed,
            "no candidates": not model.candidates(),
            "sets changed": model.sets[-1] != model.sets[-2],
        }
        self.seen.update({name: count for name, count in facts.items() if count})

    def _compare_settlement(self, done: Settlement, outcome: Outcome) -> None:
        assert (done.minted, done.burnt) == (outcome.minted, outcome.burnt)
        assert (done.forger_reward, done.evidence_reward) == (outcome.forger_reward, outcome.evidence_reward)
        assert dict(done.signer_rewards) == {owner: part for owner, part in outcome.signer_rewards.items() if part}
        penalties = [(each.address, each.amount, each.is_evidence) for each in done.penalties]
        assert sorted(penalties) == sorted(outcome.penalties)
        assert sorted(done.released) == sorted(outcome.released)
        assert sorted(done.suspended) == sorted(outcome.suspended)
        assert sorted(done.absent) == sorted(outcome.absent)

    def compare(self) -> None:
        """Records, sets, supply and what the ledger answers, after the newest block."""
        chain, model = self.chain, self.model
        records = records_of(chain.final)
        assert records == records_of(self.twin.final), "two ledgers differ after the same blocks"
        expected = records_of_model(model, self.height - 1)
        differing = sorted(key for key in records.keys() | expected if records.get(key) != expected.get(key))
        told = [(key, records.get(key), expected.get(key)) for key in differing[:3]]
        assert not told, f"records after block {self.height - 1}: {told}"
        assert chain.overlay.root() == self.twin.overlay.root()
        check_supply(chain.overlay)
        self._compare_answers()
        self._compare_sets()

    def _compare_answers(self) -> None:
        ledger, state = self.chain.ledger, self.chain.overlay
        for owner, one in self.model.stakers.items():
            for height in (self.height - 1, self.height, self.height + self.delay):
                owned = [key for begins, key in one.keys if begins <= height]
                assert ledger.key_at(state, Address(owner), height) == (owned[-1] if owned else None)
            assert ledger.is_out(state, Address(owner)) == one.is_out and ledger.has_stake(state, Address(owner))
        gone = Address(bytes(32))
        assert not ledger.has_stake(state, gone) and not ledger.is_out(state, gone)
        assert ledger.key_at(state, gone, self.height) is None

    def _compare_sets(self) -> None:
        """Of all heights that are closed, walked from block to block and made from the records."""
        ledger, walked = self.chain.ledger, self.chain.set
        for height in range(self.height, self.height + self.delay + 1):
            if height > self.height:
                walked = ledger.validators(self.chain.overlay, height, walked)
            expected = set_of_seats(self.model.sets[height])
            assert walked == expected, f"set of {height} after block {self.height - 1}"
            assert ledger.validators(self.chain.overlay, height, None) == expected, f"set of {height} from records"


def check_invariants(model: Model, height: int) -> None:
    """What has to hold whatever the rules are, after block `height`; asked of the model, which the ledger equals."""
    assert model.minted - model.burnt == model.held() and model.fees == 0, "a unit was lost or made"
    assert 0 <= model.burnt <= model.minted <= model.rules.supply_max
    assert all(balance >= 0 for balance in model.balance.values())
    assert all(entry.amount > 0 for entry in model.waiting)
    for one in model.stakers.values():
        assert one.bonded >= 0 and all(entry.amount > 0 for entry in one.unbonding)
    closed, before = model.sets[-1], model.sets[-2]
    assert closed, "a height without validators"
    candidates = model.candidates()
    if not candidates:
        assert {owner: stake for owner, (_, stake) in closed.items()} == {
            owner: stake for owner, (_, stake) in before.items()
        }
        return
    for owner, (_, stake) in closed.items():
        assert not model.stakers[owner].is_out and stake == model.stakers[owner].bonded
    assert len(closed) <= model.rules.validators_max
    assert sum(stake for _, stake in closed.values()) * WHOLE >= model.eligible * model.rules.active_share_min_bp
    _check_step(model, height)


def _check_step(model: Model, height: int) -> None:
    """What begins to count within `stake_delay` + 1 heights is within the step of a set that counted meanwhile."""
    step, delay = model.rules.stake_step_max_bp, model.rules.stake_delay
    closes = height + 1 + delay
    window = range(height + 1, closes + 1)
    if step is None or model.pressed & set(window):
        return
    joining = sum(model.added.get(h, 0) for h in window)
    totals = [sum(stake for _, stake in seats.values()) for seats in model.sets[max(1, height - delay) : height + 1]]
    assert joining <= -(-max(totals) * step // WHOLE)
    before = model.sets[-2]
    grown = {owner: stake - before.get(owner, ("", 0))[1] for owner, (_, stake) in model.sets[-1].items()}
    new = sum(more for owner, more in grown.items() if more > 0 and owner not in model.away_before)
    assert new <= model.added[closes], "stake counts that was not let in"
