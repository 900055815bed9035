"""State overlays: what they show, what they leave alone, and roots that depend on the records alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.ledger.smt import SparseMerkleTree
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives import codec
from blockchain.primitives.records import Account, Seat, tree_key
from blockchain.primitives.smt_proof import verify_proof
from tests.samples import deterministic

RECORDS = {b"a1": b"one", b"a2": b"two", b"b1": b"three"}

keys = st.sampled_from([bytes([group, number]) for group in b"ab" for number in range(8)])
changes = st.dictionaries(keys, st.none() | st.binary(min_size=1, max_size=4), max_size=10)
records = st.dictionaries(keys, st.binary(min_size=1, max_size=4), max_size=10)


def state_of(content: dict[bytes, bytes]) -> FinalState:
    return FinalState(content.items())


def after(content: dict[bytes, bytes], *steps: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged: dict[bytes, bytes | None] = dict(content)
    for step in steps:
        merged |= step
    return {key: value for key, value in merged.items() if value is not None}


def put(overlay: Overlay, step: dict[bytes, bytes | None]) -> Overlay:
    for key, value in step.items():
        overlay.set(key, value)
    return overlay


def content_of(state: FinalState | Overlay) -> dict[bytes, bytes]:
    return {key: value for group in (b"a", b"b") for key, value in state.items(group)}


def test_an_overlay_shows_its_changes_and_leaves_the_base_alone() -> None:
    base = state_of(RECORDS)
    root = base.tree.root
    overlay = put(Overlay(base), {b"a1": b"new", b"a2": None, b"b2": b"four"})
    assert [overlay.get(key) for key in (b"a1", b"a2", b"b1", b"b2", b"b3")] == [b"new", None, b"three", b"four", None]
    assert overlay.root() != root
    assert content_of(base) == RECORDS and base.tree.root == root


def test_items_of_one_group_come_in_key_order_without_the_deleted() -> None:
    overlay = put(Overlay(state_of(RECORDS)), {b"a3": b"x", b"a0": b"y", b"a1": None, b"a2": None})
    overlay.set(b"a2", b"back")
    assert list(overlay.items(b"a")) == [(b"a0", b"y"), (b"a2", b"back"), (b"a3", b"x")]
    assert list(overlay.items(b"b")) == [(b"b1", b"three")]
    assert list(overlay.items(b"c")) == []


def test_a_group_is_one_byte_and_a_key_is_not_empty() -> None:
    overlay = Overlay(FinalState())
    with pytest.raises(AssertionError):
        overlay.items(b"a1")
    with pytest.raises(AssertionError):
        overlay.set(b"", b"x")


def test_competing_overlays_do_not_see_each_other() -> None:
    base = state_of(RECORDS)
    one, other = put(Overlay(base), {b"a1": b"one's"}), put(Overlay(base), {b"a1": b"other's"})
    assert one.root() != other.root()
    base.commit(one)
    assert base.get(b"a1") == b"one's"
    with pytest.raises(AssertionError):
        base.commit(other)  # its base is gone


def test_a_child_is_tried_and_dropped() -> None:
    parent = put(Overlay(state_of(RECORDS)), {b"a1": b"parent's"})
    root = parent.root()
    dropped = put(parent.child(), {b"a1": None, b"a9": b"x"})
    assert dropped.get(b"b1") == b"three" and dropped.get(b"a1") is None
    assert parent.root() == root and parent.get(b"a1") == b"parent's"
    assert parent.changes() == {b"a1": b"parent's"}


def test_a_root_is_computed_again_after_a_change() -> None:
    overlay = Overlay(FinalState())
    empty = overlay.root()
    overlay.set(b"a1", b"x")
    changed = overlay.root()
    overlay.set(b"a1", None)
    assert changed != empty and overlay.root() == empty


def test_a_childs_root_follows_its_parent() -> None:
    parent = Overlay(FinalState())
    child = put(parent.child(), {b"a1": b"x"})
    before = child.root()
    parent.set(b"a2", b"y")
    assert child.root() != before
    assert child.root() == state_of({b"a1": b"x", b"a2": b"y"}).tree.root


@deterministic
@given(records, changes, changes)
def test_roots_and_contents_are_those_of_a_rebuilt_state(
    content: dict[bytes, bytes], first: dict[bytes, bytes | None], second: dict[bytes, bytes | None]
) -> None:
    base = state_of(content)
    parent = put(Overlay(base), first)
    child = put(parent.child(), second)
    expected = after(content, first, second)
    assert content_of(child) == expected
    assert child.root() == state_of(expected).tree.root
    put(parent, second)
    assert parent.root() == state_of(expected).tree.root
    base.commit(parent)
    assert content_of(base) == expected
    assert base.tree.root == Overlay(base).root() == state_of(expected).tree.root


@deterministic
@given(records, st.lists(changes, max_size=6))
def test_commits_one_after_the_other_are_one_rebuild(
    content: dict[bytes, bytes], steps: list[dict[bytes, bytes | None]]
) -> None:
    base = state_of(content)
    for step in steps:
        base.commit(put(Overlay(base), step))
    assert content_of(base) == after(content, *steps)
    assert base.tree.root == state_of(after(content, *steps)).tree.root


@deterministic
@given(records)
def test_the_tree_is_over_hashed_keys_in_any_order(content: dict[bytes, bytes]) -> None:
    rows = [(tree_key(key), value) for key, value in content.items()]
    assert FinalState(reversed(content.items())).tree.root == SparseMerkleTree(rows).root


# ---------------------------------------------------------------------------------------------------- proofs


def test_a_record_that_is_written_as_a_value_is_one_for_all() -> None:
    overlay = Overlay(FinalState())
    overlay.set(b"a2", codec.encode(Account(2)))
    overlay.write(b"a1", Account(1, 7))
    overlay.write(b"a2", Account(3))
    child = overlay.child()
    for state in (overlay, child):
        assert [state.read(key, Account) for key in (b"a1", b"a2", b"a3")] == [Account(1, 7), Account(3), None]
    assert (child.get(b"a1"), child.get(b"a3")) == (codec.encode(Account(1, 7)), None)
    assert overlay.changes() == {b"a1": codec.encode(Account(1, 7)), b"a2": codec.encode(Account(3))}
    assert overlay.read(b"a1", Account) == Account(1, 7)  # out of bytes again
    overlay.set(b"a1", None)
    assert child.read(b"a1", Account) is None
    overlay.write(b"a1", Account())
    with pytest.raises(AssertionError):
        overlay.read(b"a1", Seat)


def test_what_is_dropped_shows_what_is_below() -> None:
    base = state_of(RECORDS)
    overlay = put(Overlay(base), {b"a1": b"new", b"a2": None})
    root = Overlay(base).root()
    overlay.write(b"b1", Account(1))
    assert [overlay.has_changed(key) for key in (b"a1", b"a2", b"b1", b"b2")] == [True, True, True, False]
    assert not overlay.child().has_changed(b"a1")
    for key in (b"a1", b"a2", b"b1", b"b2"):
        overlay.drop(key)
    assert content_of(overlay) == RECORDS and overlay.root() == root and overlay.changes() == {}


def test_a_child_may_be_merged_into_its_parent() -> None:
    parent = put(Overlay(state_of(RECORDS)), {b"a1": b"parent's"})
    child = put(parent.child(), {b"a1": b"child's", b"a2": None})
    child.write(b"b1", Account(1))
    assert child.merge() == {b"a1", b"a2", b"b1"}
    assert parent.changes() == {b"a1": b"child's", b"a2": None, b"b1": codec.encode(Account(1))}
    with pytest.raises(AssertionError):
        parent.merge()


def proven(state: FinalState, *asked: bytes) -> tuple[bytes | None, ...]:
    return verify_proof([tree_key(key) for key in asked], state.prove(asked), state.tree.root)


def test_records_and_their_absence_are_proven_by_their_own_keys() -> None:
    assert proven(state_of(RECORDS), b"a1", b"b2", b"b1") == (b"one", None, b"three")
    assert proven(FinalState(), b"a1") == (None,)


@given(records, changes, changes, st.lists(keys, min_size=1, max_size=4))
@deterministic
def test_proofs_follow_what_is_committed(
    content: dict[bytes, bytes], one: dict[bytes, bytes | None], two: dict[bytes, bytes | None], asked: list[bytes]
) -> None:
    base = state_of(content)
    base.commit(put(Overlay(base), one))  # before anybody asked for a proof
    expected = after(content, one)
    assert proven(base, *asked) == tuple(expected.get(key) for key in asked)
    base.commit(put(Overlay(base), two))
    expected = after(expected, two)
    assert proven(base, *asked) == tuple(expected.get(key) for key in asked)


@given(records, changes, changes)
@deterministic
def test_a_copy_and_what_it_was_made_of_change_apart(
    content: dict[bytes, bytes], first: dict[bytes, bytes | None], second: dict[bytes, bytes | None]
) -> None:
    many = {**content, **{b"b" + number.to_bytes(4, "big"): b"x" for number in range(64)}}
    original = state_of(many)
    original.commit(put(Overlay(original), {b"aa": b"before"}))
    copied = original.shared()
    copied.commit(put(Overlay(copied), {**first, b"aa": None}))
    original.commit(put(Overlay(original), second))
    for state, step in ((copied, {**first, b"aa": None}), (original, {b"aa": b"before", **second})):
        expected = after(many, step)
        assert content_of(state) == expected and len(state) == len(expected)
        assert state.tree.root == state_of(expected).tree.root
