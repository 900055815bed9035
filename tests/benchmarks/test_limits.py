"""That the limits do the work that they time: a limit that does nothing would make every node look slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.actors import account_key, spec_of
from benchmarks.limits import (
    Signed,
    durable_write_seconds,
    prove_seconds,
    signatures_seconds,
    signed_of,
    verify_proof_seconds,
)
from blockchain.primitives.crypto import Address
from blockchain.wallet import Wallet

SPEC = spec_of(2)


def some_signed() -> list[Signed]:
    wallet = Wallet(account_key(0), SPEC.hash)
    to = Address(account_key(1).public_key)
    return signed_of([wallet.transfer(to, 1, nonce).raw for nonce in range(5)], SPEC.hash)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_signature_is_verified(threads: int) -> None:
    signed = some_signed()
    assert signatures_seconds(signed, threads) > 0
    for position in range(len(signed)):
        bad = Signed(signed[position].message + b"!", signed[position].key)
        with pytest.raises(AssertionError, match="does not verify"):
            signatures_seconds([*signed[:position], bad, *signed[position + 1 :]], threads)


def test_proofs_are_made_and_verified() -> None:
    assert prove_seconds(2) > 0
    assert verify_proof_seconds(2) > 0


def test_a_durable_write_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    assert durable_write_seconds(folder, 1_000, 2) > 0
    assert list(folder.iterdir()) == []
