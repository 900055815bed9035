"""What stands in a path or a query: whole numbers in plain digits, and no parameter that a path does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, get_type_hints

from fastapi import Path, Request, params
from pydantic import BeforeValidator, Field

from blockchain.api import examples
from blockchain.errors import Refusal
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import INTEGER_MAX

_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_ID: Final = re.compile(r"[0-9a-fA-F]{64}")


def _check_digits(value: object) -> object:
    """The framework would also take `1_0`, `+1`, ` 1` and `1.0` for integers."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("a whole number is wanted, in at most 16 digits")
    return value


# In every integer of a path or a query, after its bounds: then the document has them.
Digits: Final = BeforeValidator(_check_digits)
HeightPath = Annotated[int, Field(ge=1, le=INTEGER_MAX), Digits, Path(examples=[3])]
RoundPath = Annotated[int, Field(ge=0, le=2**31 - 1), Digits, Path(examples=[0])]
AddressPath = Annotated[str, Path(examples=[examples.ADDRESS_A])]
TransactionIdPath = Annotated[
    str, Path(examples=[examples.TRANSACTION_ID], json_schema_extra={"pattern": f"^{_ID.pattern}$"})
]
BlockPath = Annotated[
    str,
    Path(
        description="a height or an id",
        examples=["3", examples.BLOCK_ID],
        json_schema_extra={"pattern": f"^({_DIGITS.pattern}|{_ID.pattern})$"},
    ),
]


def read_transaction_id(text: str) -> Hash32:
    """The id that a path names. Raises Refusal (422, `invalid_transaction_id`)."""
    if not _ID.fullmatch(text):
        raise Refusal(422, "invalid_transaction_id", "a transaction's id has 64 hex digits")
    return Hash32(bytes.fromhex(text))


def read_block_reference(text: str) -> int | Hash32:
    """The height or the id that a path names. Raises Refusal (422, `invalid_block_reference`)."""
    if _DIGITS.fullmatch(text):
        return int(text)
    if _ID.fullmatch(text):
        return Hash32(bytes.fromhex(text))
    raise Refusal(422, "invalid_block_reference", "a block is named by its height or its 64 hex digits")


def query_names(endpoint: Callable[..., Any]) -> frozenset[str]:
    """The query parameters of an endpoint and of what it depends on."""
    names: set[str] = set()
    for name, hint in get_type_hints(endpoint, include_extras=True).items():
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, params.Query):
                names.add(meta.alias or name)
            elif isinstance(meta, params.Depends) and meta.dependency is not None:
                names |= query_names(meta.dependency)
    return frozenset(names)


class KnownParameters:
    """A dependency that refuses every other query parameter, so that a misspelt one is not silently left out."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    async def __call__(self, request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        for name in given:
            if name not in self._names:
                known = ", ".join(sorted(self._names)) or "none"
                detail = f"{name[:80]!r} is no query parameter of this path; there are: {known}"
                raise Refusal(422, "unknown_parameter", detail)
        if len(given) != len(set(given)):
            raise Refusal(422, "invalid_parameter", "a query parameter stands twice")
