"""How an account's address is written for people: bech32m (BIP-350) of its 32-byte public key, as `pos1…`.

One prefix serves all chains: an account is a key, and a transaction is bound to its chain by what is signed.
The text is 62 characters, printed in lower case; read in lower or upper case, never mixed; 64 hex digits are
read too.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
from operator import getitem, xor
from typing import Final

from blockchain.errors import InvalidAddress
from blockchain.primitives.crypto import Address

PREFIX: Final = "pos"
ADDRESS_BYTES: Final = 32

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP-173
_NO_VALUE: Final = 0xFF
_VALUES: Final = bytes(
    _ALPHABET.find(chr(code)) & _NO_VALUE for code in range(256)
)  # by character, for bytes.translate
_LETTERS: Final = _ALPHABET.encode("ascii").ljust(256)  # by value
_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv".ljust(256)  # of base 32, by value: what int() reads
_DIGITS_OF_LETTERS: Final = bytes(_DIGITS[value] if value < 32 else ord("!") for value in _VALUES)  # by character
_CHECKSUM_VALUES: Final = 6
_TEXT_MAX: Final = 90  # BIP-173: what the checksum is good for
_BECH32M: Final = 0x2BC830A3  # BIP-350
_PAYLOAD_VALUES: Final = 52  # 256 bits in groups of five, and four bits of padding
_PADDING_BITS: Final = 4
_BEGIN: Final = f"{PREFIX}1"
_TEXT_CHARACTERS: Final = len(_BEGIN) + _PAYLOAD_VALUES + _CHECKSUM_VALUES
_PLACES: Final = range(10 * (_PAYLOAD_VALUES // 2 - 1), -1, -10)  # of ten bits each, the highest first
_CACHE_MAX: Final = 16_384  # the addresses that a busy node's API meets again; a few MB when full
_PREFIXES_MAX: Final = 16  # this project knows one; a mistyped address may have another
_PRINTABLE: Final = re.compile(r"[!-~]*")  # BIP-173: the characters that a text may have at all
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


def _step(state: int, value: int) -> int:
    return (state & 0x1FFFFFF) << 5 ^ value ^ _REDUCTIONS[state >> 25]


@lru_cache(maxsize=_CACHE_MAX)
def format_address(address: bytes) -> str:
    """The text of a 32-byte address: 62 characters, lower case. What `encode_bech32m` makes of it, by tables."""
    assert len(address) == ADDRESS_BYTES
    payload = int.from_bytes(address, "big") << _PADDING_BITS
    letters = "".join([_PAIRS[payload >> place & 1023] for place in _PLACES])
    return f"{_BEGIN}{letters}{_check_of(address)}"


@lru_cache(maxsize=_CACHE_MAX)
def parse_address(text: str) -> Address:
    """The 32-byte address that a person wrote, as bech32m or as 64 hex digits.

    Raises InvalidAddress, which says why, for anything else. It does not say that the address has a usable
    key.
    """
    if (address := _read_as_written(text)) is not None:
        return address
    if _HEX.fullmatch(text):
        return Address(bytes.fromhex(text))
    prefix, values = decode_bech32m(text)
    if prefix != PREFIX:
        raise InvalidAddress(text, f"an address starts with {PREFIX}1")
    if len(values) != _PAYLOAD_VALUES:
        raise InvalidAddress(text, f"it does not hold {ADDRESS_BYTES} bytes")
    number = int(bytes(values).translate(_DIGITS), 32)
    if number % (1 << _PADDING_BITS):
        raise InvalidAddress(text, "its padding is not zero")
    return Address((number >> _PADDING_BITS).to_bytes(ADDRESS_BYTES, "big"))


def _read_as_written(text: str) -> Address | None:
    """The address that `format_address` writes like this; None for any other text, which may be an address too."""
    if len(text) != _TEXT_CHARACTERS or not text.startswith(_BEGIN):
        return None
    digits = text[len(_BEGIN) : -_CHECKSUM_VALUES].encode("ascii", "replace").translate(_DIGITS_OF_LETTERS)
    try:
        payload = int(digits, 32)
    except ValueError:
        return None
    address = Address((payload >> _PADDING_BITS).to_bytes(ADDRESS_BYTES, "big"))
    is_whole = not payload & 15 and text[-_CHECKSUM_VALUES:] == _check_of(address)
    return address if is_whole else None


def _check_of(address: bytes) -> str:
    """The last six letters."""
    bits = reduce(xor, map(getitem, _CHECKS, address), _CHECK_OF_ZEROS)
    return f"{_PAIRS[bits >> 20]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"


def encode_bech32m(prefix: str, values: list[int]) -> str:
    """Bech32m of five-bit values behind a lower-case prefix. BIP-350."""
    remainder = _checksum(prefix, [*values, *[0] * _CHECKSUM_VALUES]) ^ _BECH32M
    check = [remainder >> 5 * place & 31 for place in reversed(range(_CHECKSUM_VALUES))]
    return f"{prefix}1{bytes((*values, *check)).translate(_LETTERS).decode('ascii')}"


def decode_bech32m(text: str) -> tuple[str, list[int]]:
    """The prefix, in lower case, and the five-bit values of any bech32m text. BIP-350.

    Raises InvalidAddress when it is not bech32m.
    """
    if len(text) > _TEXT_MAX:
        raise InvalidAddress(text, f"longer than {_TEXT_MAX} characters")
    if not _PRINTABLE.fullmatch(text):
        raise InvalidAddress(text, "a character that no address has")
    if text not in (text.lower(), text.upper()):
        raise InvalidAddress(text, "upper and lower case mixed")
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or not prefix:
        raise InvalidAddress(text, "no prefix")
    if len(data) < _CHECKSUM_VALUES:
        raise InvalidAddress(text, "too short")
    values = [*data.encode("ascii").translate(_VALUES)]
    if _NO_VALUE in values:
        raise InvalidAddress(text, f"a character that no address has: {data[values.index(_NO_VALUE)]!r}")
    if _checksum(prefix, values) != _BECH32M:
        raise InvalidAddress(text, "the checksum does not match: mistyped?")
    return prefix, values[:-_CHECKSUM_VALUES]


def _checksum(prefix: str, values: list[int]) -> int:
    state = _after_prefix(prefix)
    for value in values:
        state = _step(state, value)
    return state


@lru_cache(maxsize=_PREFIXES_MAX)
def _after_prefix(prefix: str) -> int:
    codes = prefix.encode("ascii")
    state = 1
    for value in (*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)):
        state = _step(state, value)
    return state


def _changes() -> list[int]:
    """What each bit of an address, the lowest first, changes of the checksum, which is linear in them (BIP-173)."""
    states = [_after_zeros(1 << bit, _CHECKSUM_VALUES) for bit in range(5)]
    changes = []
    for _ in range(_PAYLOAD_VALUES):
        changes += states
        states = [_step(state, 0) for state in states]
    return changes[_PADDING_BITS:]


def _after_zeros(state: int, count: int) -> int:
    for _ in range(count):
        state = _step(state, 0)
    return state


def _combined(changes: list[int]) -> tuple[int, ...]:
    """By the value of eight bits, what those that are set change together."""
    combined = [0]
    for change in changes:
        combined += [other ^ change for other in combined]
    return tuple(combined)


_CHECK_OF_ZEROS: Final = _checksum(PREFIX, [0] * (_PAYLOAD_VALUES + _CHECKSUM_VALUES)) ^ _BECH32M
_CHANGES: Final = _changes()
_CHECKS: Final = tuple(_combined(_CHANGES[8 * place :][:8]) for place in reversed(range(ADDRESS_BYTES)))
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)  # ten bits as text
