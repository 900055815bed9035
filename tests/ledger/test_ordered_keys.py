"""Ordered keys against a sorted list."""

from __future__ import annotations

from bisect import bisect_left, insort
from random import Random

import pytest

from blockchain.ledger import ordered_keys
from blockchain.ledger.ordered_keys import OrderedKeys


@pytest.mark.parametrize("chunk", [1, 4, 512])
def test_it_is_as_a_sorted_list(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(ordered_keys, "CHUNK_KEYS", chunk)
    random = Random(chunk)
    model = sorted({random.randbytes(2) for _ in range(100)})
    keys = OrderedKeys(random.sample(model, len(model)))
    for step in range(1_500):
        key = random.randbytes(2)
        present = key in model
        if present and step % 3:
            model.remove(key)
            keys.remove(key)
        elif not present:
            insort(model, key)
            keys.add(key)
        place = random.choice([key, b"", b"\0", b"\xff\xff\xff", random.choice(model)])
        assert list(keys.since(place)) == model[bisect_left(model, place) :]
    copy = keys.copied()
    for key in model:
        keys.remove(key)
    assert list(keys.since(b"")) == [] and list(copy.since(b"")) == model
    keys.add(b"again")
    assert list(keys.since(b"")) == [b"again"]


def test_no_part_of_it_grows_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever chooses keys beside each other, rising or falling, makes no list long that has to be moved."""
    monkeypatch.setattr(ordered_keys, "CHUNK_KEYS", 4)
    keys = OrderedKeys()
    for number in range(300):
        keys.add(b"up" + number.to_bytes(2, "big"))
        keys.add(b"down" + (999 - number).to_bytes(2, "big"))
    assert max(map(len, keys._chunks)) < 8
    assert len(list(keys.since(b""))) == 600
