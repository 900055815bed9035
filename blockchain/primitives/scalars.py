"""The bounded numbers and fixed-length byte strings that messages are made of (docs/protocol.md §1).

Every integer of the protocol fits 0 … 2^53 − 1, so that it is an exact number in JSON, in SQL and in a browser.
The bounds hold wherever bytes are decoded; code that builds values keeps them itself.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature

INTEGER_MAX: Final = 2**53 - 1
VALIDATORS_MAX: Final = 10_000  # the largest set the costs are designed for; bounds certificates and vote books

Amount = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
PositiveAmount = Annotated[int, Meta(ge=1, le=INTEGER_MAX)]
Nonce = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Height = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Round = Annotated[int, Meta(ge=0, le=2**31 - 1)]
RoundOrNone = Annotated[int, Meta(ge=-1, le=2**31 - 1)]  # −1 is the paper's "none"
TimeMs = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]

HashField = Annotated[Hash32, Meta(min_length=32, max_length=32)]
AddressField = Annotated[Address, Meta(min_length=32, max_length=32)]
PublicKeyField = Annotated[PublicKey, Meta(min_length=32, max_length=32)]
SignatureField = Annotated[Signature, Meta(min_length=64, max_length=64)]

NO_SIGNATURE: Final = Signature(bytes(64))  # stands in a message that is still to be signed
SIGNATURE_TAIL_BYTES: Final = 66  # the encoded signature: two bytes of MessagePack header and 64 of signature
