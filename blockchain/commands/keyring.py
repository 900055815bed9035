"""Keys and addresses as people name them on the command line: files, bech32m, hex, PEM."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from blockchain.errors import InvalidAddress, InvalidKey
from blockchain.primitives.address import parse_address
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.runtime.keystore import public_key_of

PROJECT: Final = Path(__file__).resolve().parents[2]  # the checkout; the folder of packages when installed with pip


def keys_folder() -> Path:
    """The public demo keys: `keys/` of the checkout, or their copy in the installed package."""
    checkout = PROJECT / "keys"
    return checkout if checkout.is_dir() else PROJECT / "blockchain" / "keys"


def read_address(text: str) -> Address:
    """An address as bech32m or hex, or the file of its key, private or public. Raises InvalidAddress."""
    try:
        return parse_address(text)
    except InvalidAddress as error:
        if not Path(text).is_file():
            raise InvalidAddress(text, f"{error.why}; and there is no key file of this name") from None
    return Address(public_key_of(Path(text)))


def read_public_key(text: str) -> PublicKey:
    """A validator's public key: as hex, as the address of an account with that key, or as its file."""
    try:
        return PublicKey(read_address(text))
    except InvalidAddress as error:
        raise InvalidKey(f"{text[:80]!r}: {error.why}") from None
