"""Addresses: the cases of BIP-350, and what people type."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidAddress
from blockchain.primitives.address import decode_bech32m, encode_bech32m, format_address, parse_address
from blockchain.primitives.crypto import SigningKey

KEY = SigningKey(bytes(range(32))).public_key
TEXT = format_address(KEY)

deterministic = settings(derandomize=True, deadline=None, max_examples=80)

VALID_OF_BIP_350 = [
    "A1LQFN3A",
    "a1lqfn3a",
    "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
    "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
    "?1v759aa",
]

INVALID_OF_BIP_350 = [
    ("\x201xj0phk", "HRP character out of range"),
    ("\x7f1g6xzxy", "HRP character out of range"),
    ("\x801vctc34", "HRP character out of range"),
    (
        "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
        "overall max length exceeded",
    ),
    ("qyrz8wqd2c9m", "no separator character"),
    ("1qyrz8wqd2c9m", "empty HRP"),
    ("y1b0jsk6g", "invalid data character"),
    ("lt1igcx5c0", "invalid data character"),
    ("in1muywd", "too short checksum"),
    ("mm1crxm3i", "invalid character in checksum"),
    ("au1s5cgom", "invalid character in checksum"),
    ("M1VUXWEZ", "checksum calculated with uppercase form of HRP"),
    ("16plkw9", "empty HRP"),
    ("1p2gdwpf", "empty HRP"),
]

# Of its witness programs, the one of 32 bytes under version 1, and what is wrong with others like it.
PROGRAM = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
PROGRAM_BYTES = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
INVALID_PROGRAMS = [
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "bech32 instead of bech32m"),
    ("tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "bech32 instead of bech32m"),
    ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "bech32 instead of bech32m"),
    ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "invalid character in checksum"),
    ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixed case"),
]


@pytest.mark.parametrize("text", VALID_OF_BIP_350)
def test_valid_strings_of_bip_350(text: str) -> None:
    prefix, values = decode_bech32m(text)
    assert encode_bech32m(prefix, values) == text.lower()


@pytest.mark.parametrize("text, reason", [*INVALID_OF_BIP_350, *INVALID_PROGRAMS])
def test_invalid_strings_of_bip_350(text: str, reason: str) -> None:
    with pytest.raises(InvalidAddress):
        decode_bech32m(text)
    with pytest.raises(InvalidAddress):
        parse_address(text)


def test_the_bytes_are_grouped_as_bip_350_groups_them() -> None:
    prefix, values = decode_bech32m(PROGRAM)
    assert (prefix, values[0]) == ("bc", 1)
    assert parse_address(encode_bech32m("pos", values[1:])).hex() == PROGRAM_BYTES


def test_an_address_is_62_characters_in_lower_case() -> None:
    assert len(TEXT) == 62
    assert TEXT.startswith("pos1")
    assert TEXT.islower()


@given(st.binary(min_size=32, max_size=32))
@deterministic
def test_an_address_is_read_as_it_is_written(address: bytes) -> None:
    text = format_address(address)
    assert parse_address(text) == parse_address(text.upper()) == address
    assert parse_address(address.hex()) == parse_address(address.hex().upper()) == address


@given(st.binary(min_size=32, max_size=32))
@deterministic
def test_an_address_is_written_by_tables_as_bip_350_writes_it(address: bytes) -> None:
    number = int.from_bytes(address) << 4
    values = [number >> 5 * place & 31 for place in reversed(range(52))]
    assert format_address(address) == encode_bech32m("pos", values)


@given(st.integers(0, 61), st.sampled_from(string.printable))
@deterministic
def test_a_mistyped_character_is_noticed(place: int, character: str) -> None:
    changed = TEXT[:place] + character + TEXT[place + 1 :]
    if changed != TEXT:
        with pytest.raises(InvalidAddress):
            parse_address(changed)


@given(st.text("pos1POS1qzbi \n\x00\x7f\xe9\u212a\U0001f600", max_size=100))
@deterministic
def test_any_text_is_no_address_and_no_other_error(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_address(text)


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no prefix"),
        ("hello", "no prefix"),
        ("1" + TEXT[4:], "no prefix"),
        ("pos1qqq", "too short"),
        (TEXT.replace("p", "P", 1), "mixed"),
        ("pos1" + "b" * 58, "character"),
        (TEXT[:-1], "checksum"),
        (TEXT[:-1] + ("q" if TEXT[-1] != "q" else "p"), "checksum"),
        (" " + TEXT, "character"),
        (TEXT + "\n", "character"),
        (TEXT[:4] + "\u212a" + TEXT[5:], "character"),  # the Kelvin sign, whose lower case is k
        ("x" * 91, "longer"),
        (encode_bech32m("abc", [0] * 52), "starts with pos1"),
        (encode_bech32m("pos", [0] * 51), "32 bytes"),
        (encode_bech32m("pos", [0] * 53), "32 bytes"),
        (encode_bech32m("pos", [0] * 51 + [1]), "padding"),
        (encode_bech32m("pos", [0] * 51 + [8]), "padding"),
        (KEY.hex()[:-1], "no prefix|short|checksum|character"),
        (KEY.hex()[:-1] + "\n", "character"),
        (KEY.hex()[:-2] + "  ", "character"),
    ],
)
def test_the_reason_is_given(text: str, why: str) -> None:
    with pytest.raises(InvalidAddress, match=why) as caught:
        parse_address(text)
    assert caught.value.text == text


def test_an_address_has_32_bytes() -> None:
    with pytest.raises(AssertionError):
        format_address(KEY[1:])


def test_answers_are_kept_but_not_without_bound() -> None:
    for function in (format_address, parse_address):
        assert function.cache_info().maxsize == 16_384
