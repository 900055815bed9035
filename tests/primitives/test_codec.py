"""The canonical encoding: one value, one encoding; anything else is one clean error."""

from __future__ import annotations

import struct
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.scalars import INTEGER_MAX, Amount
from tests.samples import deterministic

LIMIT = 10_000


class Pair(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    number: Amount
    data: bytes


class Noted(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    note: str
    rest: object = None


class Cat(Struct, frozen=True, array_like=True, tag="cat", forbid_unknown_fields=True):
    age: int


class Dog(Struct, frozen=True, array_like=True, tag="dog", forbid_unknown_fields=True):
    age: int


class Animals(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    animals: Annotated[tuple[Cat | Dog, ...], Meta(max_length=3)]


PAIR = Pair(5, b"ab")
RAW = b"\x92\x05\xc4\x02ab"


def test_the_bytes_are_message_pack() -> None:
    assert codec.encode(PAIR) == RAW
    assert codec.decode(RAW, Pair, bytes_max=LIMIT) == PAIR


@deterministic
@given(st.integers(0, INTEGER_MAX), st.binary(max_size=300))
def test_every_value_comes_back(number: int, data: bytes) -> None:
    pair = Pair(number, data)
    assert codec.decode(codec.encode(pair), Pair, bytes_max=LIMIT) == pair


@deterministic
@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_with_that_encoding_or_one_error(raw: bytes) -> None:
    for kind in (Pair, Noted, Animals):
        try:
            value = codec.decode(raw, kind, bytes_max=LIMIT)
        except MalformedMessage:
            continue
        assert codec.encode(value) == raw


NOT_CANONICAL = {
    "the number in two bytes": b"\x92\xcc\x05\xc4\x02ab",
    "the number in three bytes": b"\x92\xcd\x00\x05\xc4\x02ab",
    "the number in nine bytes": b"\x92\xcf" + bytes(7) + b"\x05\xc4\x02ab",
    "the number as a signed one": b"\x92\xd0\x05\xc4\x02ab",
    "the length of the bytes in two bytes": b"\x92\x05\xc5\x00\x02ab",
    "the bytes as a text": b"\x92\x05\xa2ab",
    "the array's length in two bytes": b"\xdc\x00\x02\x05\xc4\x02ab",
    "the array's length in four bytes": b"\xdd\x00\x00\x00\x02\x05\xc4\x02ab",
    "an element more": b"\x93\x05\xc4\x02ab\xc0",
    "an element less": b"\x91\x05",
    "a trailing byte": RAW + b"\x00",
    "a second value": RAW + RAW,
    "nothing": b"",
    "a map": b"\x82\xa6number\x05\xa4data\xc4\x02ab",
    "a float": b"\x92\xcb" + struct.pack(">d", 5.0) + b"\xc4\x02ab",
    "a short float": b"\x92\xca" + struct.pack(">f", 5.0) + b"\xc4\x02ab",
    "true": b"\x92\xc3\xc4\x02ab",
    "nil": b"\x92\xc0\xc4\x02ab",
    "a text that is a number": b"\x92\xa15\xc4\x02ab",
    "minus one": b"\x92\xff\xc4\x02ab",
    "2^53": b"\x92\xcf" + (2**53).to_bytes(8, "big") + b"\xc4\x02ab",
    "2^64 - 1": b"\x92\xcf" + b"\xff" * 8 + b"\xc4\x02ab",
    "-2^63": b"\x92\xd3\x80" + bytes(7) + b"\xc4\x02ab",
    "a byte that means nothing": b"\xc1",
    "an extension": b"\x92\x05\xd4\x01\x00",
    "a time stamp": b"\x92\xd6\xff" + bytes(4) + b"\xc4\x02ab",
    "an array that says it is large": b"\xdd\xff\xff\xff\xff\x05",
    "bytes that say they are long": b"\x92\x05\xc6\xff\xff\xff\xffab",
}


@pytest.mark.parametrize("raw", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_what_is_not_canonical_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        codec.decode(raw, Pair, bytes_max=LIMIT)
    assert caught.value.code == "malformed"


def test_every_shorter_piece_is_refused() -> None:
    for end in range(len(RAW)):
        with pytest.raises(MalformedMessage):
            codec.decode(RAW[:end], Pair, bytes_max=LIMIT)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_bad_utf_8_is_the_same_error(text: bytes) -> None:
    raw = b"\x92" + bytes([0xA0 | len(text)]) + text + b"\xc0"
    with pytest.raises(MalformedMessage):
        codec.decode(raw, Noted, bytes_max=LIMIT)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xc0", b"\x81\x01"])
def test_deep_nesting_is_the_same_error(opening: bytes) -> None:
    depth = 4_000
    with pytest.raises(MalformedMessage):
        codec.decode(b"\x92\xa0" + opening * depth + b"\xc0", Noted, bytes_max=LIMIT)


def test_deep_nesting_in_an_unknown_element_is_the_same_error() -> None:
    with pytest.raises(MalformedMessage):
        codec.decode(b"\x93\x05\xc4\x00" + b"\x91" * 9_000 + b"\xc0", Pair, bytes_max=LIMIT)


def test_a_map_that_says_a_key_twice_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        codec.decode(b"\x92\xa0\x82\x01\x02\x01\x03", Noted, bytes_max=LIMIT)


@pytest.mark.parametrize(
    "tag", [b"\xa3cow", b"\xa3Cat", b"\xa0", b"\xc4\x03cat", b"\x00", b"\xc0", b"\xa3\xff\xff\xff"]
)
def test_an_unknown_kind_is_refused(tag: bytes) -> None:
    assert codec.decode(b"\x91\x91\x92\xa3cat\x01", Animals, bytes_max=LIMIT).animals == (Cat(1),)
    with pytest.raises(MalformedMessage):
        codec.decode(b"\x91\x91\x92" + tag + b"\x01", Animals, bytes_max=LIMIT)


def test_a_list_is_bounded() -> None:
    raw = codec.encode(Animals((Cat(1), Dog(2), Cat(3))))
    assert len(codec.decode(raw, Animals, bytes_max=LIMIT).animals) == 3
    with pytest.raises(MalformedMessage):
        codec.decode(codec.encode(Animals((Cat(1),) * 4)), Animals, bytes_max=LIMIT)


def test_the_size_is_capped_before_anything_is_decoded() -> None:
    assert codec.decode(RAW, Pair, bytes_max=len(RAW)) == PAIR
    with pytest.raises(MalformedMessage, match=f"{len(RAW)} bytes, more than the {len(RAW) - 1} allowed"):
        codec.decode(RAW, Pair, bytes_max=len(RAW) - 1)


def test_the_error_names_what_it_should_have_been() -> None:
    with pytest.raises(MalformedMessage, match="Pair"):
        codec.decode(b"\xc0", Pair, bytes_max=LIMIT)
    with pytest.raises(MalformedMessage, match="canonical encoding of a Pair"):
        codec.decode(NOT_CANONICAL["the number in two bytes"], Pair, bytes_max=LIMIT)


def test_plain_values_have_an_encoding_too() -> None:
    assert msgspec.msgpack.decode(codec.encode((b"seed", 3))) == [b"seed", 3]
    assert codec.decode(codec.encode((1, 2)), tuple[int, ...], bytes_max=LIMIT) == (1, 2)


def test_the_error_is_short_whatever_the_bytes_say() -> None:
    """A tag that nobody knows is part of the decoder's words, and they go into a log; as long as a frame, once."""
    with pytest.raises(MalformedMessage) as caught:
        codec.decode(codec.encode(((("x" * 4_000, 1),),)), Animals, bytes_max=LIMIT)
    assert len(caught.value.why) < 250 and caught.value.why.endswith("x…")


def test_what_was_let_through_is_decoded_again_one_by_one_or_all_together() -> None:
    values = [Pair(number, b"data %d" % number) for number in range(3)]
    raws = [codec.encode(value) for value in values]
    assert codec.decode_all_again(raws, Pair) == [codec.decode_again(raw, Pair) for raw in raws] == values
    assert codec.decode_all_again(iter(()), Noted) == []
    assert codec.encode_all(values) == raws


def test_prepared_types_are_not_looked_at_when_they_are_first_decoded() -> None:
    """Two threads that do so together crash: msgspec gives the second what the first has half written."""
    looked = []

    def kind() -> type[int]:
        looked.append("at its fields")
        return int

    globals()["_kind_of_lazy"] = kind
    lazy = msgspec.defstruct("Lazy", [("number", "_kind_of_lazy()")], module=__name__, array_like=True)
    codec.prepare()
    assert looked == ["at its fields"]
    assert codec.decode(codec.encode(lazy(1)), lazy, bytes_max=LIMIT) == lazy(1)
    codec.prepare()
    assert looked == ["at its fields"]
