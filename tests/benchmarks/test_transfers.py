"""Signed transfers of the benchmarks: each sender in one stream only, nonces in order, every signature good."""

from __future__ import annotations

from itertools import islice

from benchmarks.transfers import batches, senders_of, transfers
from blockchain.primitives import codec
from blockchain.primitives.transaction import verify_transaction

GENESIS_HASH = bytes(range(32))


def test_streams_share_no_sender_and_leave_none_out() -> None:
    streams = [senders_of(stream, 3, 10) for stream in range(3)]
    assert sorted(one for stream in streams for one in stream) == list(range(10))


def test_each_sender_in_turn_from_nonce_0_up() -> None:
    made = list(islice(transfers(GENESIS_HASH, [4, 7], accounts=20), 4))
    assert [one.transaction.nonce for one in made] == [0, 0, 1, 1]
    assert made[0].transaction.sender == made[2].transaction.sender != made[1].transaction.sender
    assert all(verify_transaction(one.raw, GENESIS_HASH) == one for one in made)


def test_a_batch_is_an_array_of_bin_and_can_be_cut() -> None:
    one, two = batches(transfers(GENESIS_HASH, [0, 1, 2], accounts=20), size=3, count=2)
    assert codec.decode(one.body, tuple[bytes, ...], bytes_max=10_000) == one.raws
    cut = two.only([0, 2])
    assert cut.ids == (two.ids[0], two.ids[2]) and cut.raws == (two.raws[0], two.raws[2])
