"""Signed transfers between the accounts of a benchmark's genesis, made beforehand: ids and canonical bytes.

Each sender hands in at one node and one connection only, so that its nonces arrive in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from benchmarks.nodes import ACCOUNTS, account_key
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.wallet import Wallet

_STRIDE = 7_919  # a prime: recipients go through all accounts in another order than senders


class Batch(Struct, frozen=True):
    """Transactions that are handed in together."""

    ids: tuple[bytes, ...]
    raws: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """As `POST /transaction/create/` takes them: an array of bin."""
        return codec.encode(self.raws)

    def only(self, places: Sequence[int]) -> Batch:
        return Batch(tuple(self.ids[place] for place in places), tuple(self.raws[place] for place in places))


def senders_of(stream: int, streams: int, accounts: int = ACCOUNTS) -> range:
    """The accounts that send in one of so many streams."""
    return range(stream, accounts, streams)


def transfers(genesis_hash: bytes, senders: Sequence[int], accounts: int = ACCOUNTS) -> Iterator[VerifiedTransaction]:
    """Without end: each sender in turn, from nonce 0 up, to accounts all over the state."""
    wallets = [Wallet(account_key(one), genesis_hash) for one in senders]
    recipients = [Address(account_key(one * _STRIDE % accounts).public_key) for one in range(accounts)]
    number = senders[0]
    nonce = 0
    while True:
        for wallet in wallets:
            number += 1
            yield wallet.transfer(recipients[number % accounts], 1, nonce)
        nonce += 1


def batches(made: Iterator[VerifiedTransaction], size: int, count: int) -> list[Batch]:
    """So many batches of so many."""
    return [_batch([next(made) for _ in range(size)]) for _ in range(count)]


def _batch(made: Sequence[VerifiedTransaction]) -> Batch:
    return Batch(tuple(bytes(one.id) for one in made), tuple(one.raw for one in made))


def sample(genesis_hash: Hash32, count: int) -> list[bytes]:
    """Transfers of that chain that nobody hands in: what the limit is measured with."""
    made = transfers(genesis_hash, range(min(count, ACCOUNTS)))
    return [next(made).raw for _ in range(count)]
