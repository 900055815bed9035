"""Signed payments in JSON as `transaction_to_json` writes them, a whole body of them read in one go.

Nearly all that clients hand in is that: every field there, nothing escaped, every value right. It is read by type, at a
tenth of the cost of looking at field after field. Whatever differs in the least is left to `jsonform`, which reads all
there is to read and names what is wrong: nothing is refused here.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from blockchain.errors import InvalidAddress
from blockchain.primitives import codec
from blockchain.primitives.address import parse_address
from blockchain.primitives.crypto import SIGNATURE_BYTES, Signature
from blockchain.primitives.scalars import Amount, Height, Nonce, PositiveAmount
from blockchain.primitives.transaction import Exchange, Transaction, Transfer

_QUOTES: Final = 28  # of one: ten names and four texts
_KINDS: Final[dict[str, type[Exchange | Transfer]]] = {"EXCHANGE": Exchange, "TRANSFER": Transfer}


class _Payment(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    recipient: str
    amount: PositiveAmount


class _Signed(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    version: Literal[1]
    kind: Literal["EXCHANGE", "TRANSFER"]
    sender: str
    nonce: Nonce
    fee: Amount
    expiry: Height | None
    payload: _Payment
    signature: Annotated[str, Meta(min_length=2 * SIGNATURE_BYTES, max_length=2 * SIGNATURE_BYTES)]


_DECODER: Final = msgspec.json.Decoder(list[_Signed])


def payments_from_json(raw: bytes) -> list[bytes] | None:
    """The canonical bytes of each, for a list of plain payments; None for anything else, right or wrong.

    The decoder takes the last of two members with one name. With no escapes, and all names there, a second one shows
    in the number of quotation marks.
    """
    if not raw.isascii() or b"\\" in raw:
        return None
    try:
        read = _DECODER.decode(raw)
        if raw.count(b'"') != _QUOTES * len(read):
            return None
        return [codec.encode(_transaction_of(one)) for one in read]
    except (msgspec.MsgspecError, InvalidAddress, ValueError):
        return None


def _transaction_of(read: _Signed) -> Transaction:
    """Raises InvalidAddress and ValueError."""
    signature = bytes.fromhex(read.signature)
    if len(signature) != SIGNATURE_BYTES:  # blanks between digits
        raise ValueError("no signature")
    payload = _KINDS[read.kind](parse_address(read.payload.recipient), read.payload.amount)
    sender = parse_address(read.sender)
    return Transaction(1, sender, read.nonce, read.fee, read.expiry, payload, Signature(signature))
