"""Checks of single values that people and programs hand in: each refusal names the value and what is wrong with it.

Bytes from the wire are bounded by their types where they are decoded (scalars.py); this is for values that come as
Python or JSON, where a bool is an int, 1.0 is not an amount, and an error has to say which field it means.
"""

from __future__ import annotations

import re
from typing import Final

from blockchain.errors import InvalidAddress, InvalidTransaction
from blockchain.primitives.address import ADDRESS_BYTES, parse_address
from blockchain.primitives.crypto import Address
from blockchain.primitives.scalars import INTEGER_MAX

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")


def check_integer(name: str, value: object, *, minimum: int = 0) -> int:
    """`value`, when it is an integer of `minimum` (0 or 1) … 2^53 − 1.

    Raises InvalidTransaction with the code `<name>_not_integer`, `_negative`, `_zero` or `_too_large`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTransaction(f"{name}_not_integer", f"{name} is a {_kind(value)}, not an integer")
    if value < 0:
        raise InvalidTransaction(f"{name}_negative", f"{name} is negative")
    if value < minimum:
        raise InvalidTransaction(f"{name}_zero", f"{name} is zero, which has no meaning here")
    if value > INTEGER_MAX:
        raise InvalidTransaction(f"{name}_too_large", f"{name} is above 2^53 - 1 ({INTEGER_MAX})")
    return value


def check_address(name: str, value: object) -> Address:
    """An address given as 32 bytes, as bech32m or as hex. Raises InvalidTransaction with `<name>_invalid`."""
    if isinstance(value, str):
        try:
            return parse_address(value)
        except InvalidAddress as error:
            raise InvalidTransaction(f"{name}_invalid", f"{name} is no address: {error.why}") from None
    return Address(check_bytes(name, value, ADDRESS_BYTES))


def check_bytes(name: str, value: object, length: int) -> bytes:
    """Exactly `length` bytes, given as bytes or as hex. Raises InvalidTransaction with `<name>_invalid`."""
    if isinstance(value, str) and len(value) == 2 * length and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if isinstance(value, bytes) and len(value) == length:
        return value
    what = f"a {_kind(value)}" if not isinstance(value, str | bytes) else "something else"
    raise InvalidTransaction(f"{name}_invalid", f"{name} has to be {length} bytes, and is {what}")


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
