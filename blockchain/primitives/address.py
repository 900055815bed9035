"""How an account's address is written for people: bech32m (BIP-350) of its 32-byte public key, as `pos1…`.

One prefix serves all chains: an account is a key, and a transaction is bound to its chain by what is signed.
The text is 62 characters, printed in lower case; read in lower or upper case, never mixed; 64 hex digits are
read too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from blockchain.errors import InvalidAddress
from blockchain.primitives.crypto import Address

PREFIX: Final = "pos"
ADDRESS_BYTES: Final = 32

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP-173
_VALUE_OF: Final = {character: value for value, character in enumerate(_ALPHABET)}
_CHECKSUM_VALUES: Final = 6
_TEXT_MAX: Final = 90  # BIP-173: what the checksum is good for
_BECH32M: Final = 0x2BC830A3  # BIP-350
_PAYLOAD_VALUES: Final = 52  # 256 bits in groups of five, and four bits of padding
_PADDING_BITS: Final = 4
_CACHE_MAX: Final = 16_384  # the addresses that a busy node's API meets again; a few MB when full
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def _reduction(high_bits: int) -> int:
    """What the five bits that leave the checksum's top put back into it (BIP-173's generator)."""
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    result = 0
    for position, generator in enumerate(generators):
        if high_bits >> position & 1:
            result ^= generator
    return result


_REDUCTIONS: Final = tuple(_reduction(high_bits) for high_bits in range(32))


@lru_cache(maxsize=_CACHE_MAX)
def format_address(address: bytes) -> str:
    """The text of a 32-byte address: 62 characters, lower case."""
    assert len(address) == ADDRESS_BYTES
    number = int.from_bytes(address, "big") << _PADDING_BITS
    values = [number >> 5 * place & 31 for place in reversed(range(_PAYLOAD_VALUES))]
    return encode_bech32m(PREFIX, values)


@lru_cache(maxsize=_CACHE_MAX)
def parse_address(text: str) -> Address:
    """The 32-byte address that a person wrote, as bech32m or as 64 hex digits.

    Raises InvalidAddress, which says why, for anything else. It does not say that the address has a usable
    key.
    """
    if _HEX.fullmatch(text):
        return Address(bytes.fromhex(text))
    prefix, values = decode_bech32m(text)
    if prefix != PREFIX:
        raise InvalidAddress(text, f"an address starts with {PREFIX}1")
    if len(values) != _PAYLOAD_VALUES:
        raise InvalidAddress(text, f"it does not hold {ADDRESS_BYTES} bytes")
    number = 0
    for value in values:
        number = number << 5 | value
    if number % (1 << _PADDING_BITS):
        raise InvalidAddress(text, "its padding is not zero")
    return Address((number >> _PADDING_BITS).to_bytes(ADDRESS_BYTES, "big"))


def encode_bech32m(prefix: str, values: list[int]) -> str:
    """Bech32m of five-bit values behind a lower-case prefix. BIP-350."""
    remainder = _checksum(prefix, [*values, *[0] * _CHECKSUM_VALUES]) ^ _BECH32M
    check = [remainder >> 5 * place & 31 for place in reversed(range(_CHECKSUM_VALUES))]
    return f"{prefix}1{''.join(_ALPHABET[value] for value in (*values, *check))}"


def decode_bech32m(text: str) -> tuple[str, list[int]]:
    """The prefix, in lower case, and the five-bit values of any bech32m text. BIP-350.

    Raises InvalidAddress when it is not bech32m.
    """
    if len(text) > _TEXT_MAX:
        raise InvalidAddress(text, f"longer than {_TEXT_MAX} characters")
    if any(not "!" <= character <= "~" for character in text):
        raise InvalidAddress(text, "a character that no address has")
    if text not in (text.lower(), text.upper()):
        raise InvalidAddress(text, "upper and lower case mixed")
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or not prefix:
        raise InvalidAddress(text, "no prefix")
    if len(data) < _CHECKSUM_VALUES:
        raise InvalidAddress(text, "too short")
    try:
        values = [_VALUE_OF[character] for character in data]
    except KeyError as error:
        raise InvalidAddress(text, f"a character that no address has: {error}") from None
    if _checksum(prefix, values) != _BECH32M:
        raise InvalidAddress(text, "the checksum does not match: mistyped?")
    return prefix, values[:-_CHECKSUM_VALUES]


def _checksum(prefix: str, values: list[int]) -> int:
    codes = prefix.encode("ascii")
    state = 1
    for value in (*(code >> 5 for code in codes), 0, *(code & 31 for code in codes), *values):
        state = (state & 0x1FFFFFF) << 5 ^ value ^ _REDUCTIONS[state >> 25]
    return state
