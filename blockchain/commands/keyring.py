"""Keys and addresses as people name them on the command line: files, bech32m, hex, PEM."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from blockchain.errors import InvalidAddress, InvalidKey, KeyFileError
from blockchain.primitives.address import parse_address
from blockchain.primitives.crypto import Address, PublicKey, SigningKey
from blockchain.runtime.keystore import check_mode, public_key_of, read_key_file

PASSWORD_BYTES_MAX: Final = 1_024  # a line that a person could have typed
PROJECT: Final = Path(__file__).resolve().parents[2]  # the checkout; the folder of packages when installed with pip


def keys_folder() -> Path:
    """The public demo keys: `keys/` of the checkout, or their copy in the installed package."""
    checkout = PROJECT / "keys"
    return checkout if checkout.is_dir() else PROJECT / "blockchain" / "keys"


def read_password(path: Path | None) -> bytes | None:
    """The first line of a password file, None when there is no file. Raises KeyFileError."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            line = file.readline(PASSWORD_BYTES_MAX + 2).rstrip(b"\r\n")
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read as a password file: {error.strerror}: check the name") from None
    if not line or len(line) > PASSWORD_BYTES_MAX:
        raise KeyFileError(str(path), f"its first line has to be a password, of at most {PASSWORD_BYTES_MAX} bytes")
    return line


def read_key(path: Path, password_file: Path | None) -> SigningKey:
    """The key of a file that only its owner can read, or of a public demo key. Raises KeyFileError."""
    check_mode(path, public_ok=True)
    return read_key_file(path, read_password(password_file))


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
