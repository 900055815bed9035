"""Blocks as JSON are made once, only for the block that was read, and only so many are kept."""

from __future__ import annotations

import json

import msgspec
import pytest

from blockchain.api import rendered as rendered_module
from blockchain.api.rendered import RenderedBlocks
from blockchain.primitives import merkle
from blockchain.primitives.block import decode_block
from blockchain.primitives.jsonform import block_to_json
from blockchain.seams import FinalBlock
from tests.api.fake_node import FakeNode


def block_at(height: int) -> FinalBlock:
    found = FakeNode(heights=4).block(height)
    assert found is not None
    return found


def test_a_block_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = RenderedBlocks()
    first = kept.of(block_at(2))
    assert first.bytes_left > 0
    first.on_page()
    assert first.bytes_left == 0 < first.bytes_left_in_full, "there are the certificates yet"
    full = first.full()
    assert first.bytes_left == first.bytes_left_in_full == 0
    monkeypatch.setattr(rendered_module, "decode_block", None)
    monkeypatch.setattr(rendered_module, "transaction_to_json", None)
    again = kept.of(block_at(2))
    assert again is first and again.full() == full
    assert again.transaction(1) == again.on_page()["transactions"][1]  # type: ignore[index]


def test_what_proofs_have_in_common_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = RenderedBlocks()
    first = kept.of(block_at(2))
    assert first.bytes_left_to_prove > 0
    path, sealed = first.path(1), first.sealed_header()
    assert first.bytes_left_to_prove == 0
    assert path == RenderedBlocks().of(block_at(2)).path(1)
    for name in ("decode_block", "header_to_json", "certificate_to_json"):
        monkeypatch.setattr(rendered_module, name, None)
    monkeypatch.setattr(merkle, "levels", None)
    again = kept.of(block_at(2))
    assert again.path(1) == path and again.sealed_header() == sealed


def test_its_form_is_the_common_one() -> None:
    final = block_at(2)
    page = json.loads(msgspec.json.encode(RenderedBlocks().of(final).on_page()))
    assert page == block_to_json(final.id, decode_block(final.raw), final.transaction_ids)
    assert page["evidence"]


def test_another_block_under_the_same_id_is_not_answered_from_what_is_kept() -> None:
    kept = RenderedBlocks()
    first = kept.of(block_at(1))
    first.full()
    changed = msgspec.structs.replace(block_at(1), certificate=block_at(2).certificate)
    other = kept.of(changed)
    assert other is not first and other.full() != first.full()
    assert kept.bytes == len(changed.raw) + len(changed.certificate)


def test_the_one_that_nobody_asked_for_longest_is_forgotten() -> None:
    finals = [block_at(height) for height in (1, 2, 3)]
    sizes = [len(one.raw) + len(one.certificate) for one in finals]
    kept = RenderedBlocks(bytes_max=sum(sizes) - 1)
    first, second = kept.of(finals[0]), kept.of(finals[1])
    assert kept.of(finals[0]) is first
    kept.of(finals[2])
    assert kept.bytes <= kept.bytes_max
    assert kept.of(finals[0]) is first
    assert kept.of(finals[1]) is not second


def test_a_block_larger_than_all_that_may_be_kept_is_not() -> None:
    kept = RenderedBlocks(bytes_max=1)
    assert kept.of(block_at(1)).full()
    assert kept.bytes == 0
