"""Key files: Ed25519 seeds in PKCS#8 PEM, plain or encrypted, with the public key in clear behind them.

The encrypted form is PBKDF2-SHA512 and AES-256-CBC, the one that OpenSSL and `cryptography` open too
(docs/protocol.md §1.6). A file holds a private block and then a public one; `openssl pkey -in FILE` takes it as it
is. The public block tells whose file it is without a password, and shows after decryption that nothing was swapped.

Every fault is a KeyFileError of one line: which file, what is wrong with it, what to do. No message holds key bytes.
Nothing here decides which key a chain may use: the callers ask `check_mode` and `check_secret`.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from binascii import a2b_base64
from contextlib import suppress
from pathlib import Path
from typing import Final

from Crypto import IncorrectPassphraseError, KdfLimitError
from Crypto.IO import PEM, PKCS8  # nosec B413
from Crypto.Util.asn1 import DerObjectId, DerOctetString, DerSequence  # nosec B413
from msgspec import Struct
from nacl.bindings import crypto_core_ed25519_is_valid_point

from blockchain.errors import InvalidKey, KeyFileError
from blockchain.primitives.crypto import SEED_BYTES, PublicKey, SigningKey
from blockchain.runtime.atomic_file import OTHERS, create_file, make_folder, remove_leftovers, replace_file

# The security lint takes `Crypto` for PyCrypto, which is abandoned (B413); it is pycryptodome, which is not.

# The keys of `keys/`: genesis, staker, exchange. Anybody can sign with them; keys/README.md says how they are made.
DEMO_KEYS: Final = (
    PublicKey(bytes.fromhex("f4a9be7d3ec6bf9ac42a29cdcfff0aae02c7e3fe406bdc5cdd61e411eaf1a9cd")),
    PublicKey(bytes.fromhex("e2af8880d5c4b605ce0c2f91b75020ee7ff5c55f3f64e38f8afbd3e2caa622cd")),
    PublicKey(bytes.fromhex("25c8ca47ba74acae9823ffc69d71c17befff8a66ed80ab6b33885d9723ea2cc8")),
)

NODE_KEY_FILE: Final = "node_key.pem"
KDF_ROUNDS: Final = 210_000  # PBKDF2-SHA512; given explicitly, whatever the library's default is
KDF_ROUNDS_MAX: Final = 10_000_000  # seconds; a file that asks for more would keep the node busy for minutes
KEY_FILE_BYTES_MAX: Final = 16_384  # fits an RSA key of 8,192 bits, which is then refused by its name

_KDF_SALT_BYTES: Final = 16  # NIST SP 800-132 §5.1: at least 128 bits
_ED25519_OID: Final = "1.3.101.112"  # RFC 8410 §3
_ED25519_PUBLIC_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 §4; the 32 bytes of the key follow
_PRIVATE: Final = "PRIVATE KEY"
_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"
_PUBLIC: Final = "PUBLIC KEY"
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_KIND_BY_OID: Final = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.10045.2.1": "EC",
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.110": "X25519",
    "1.3.101.113": "Ed448",
}
_MAKE_ONE: Final = "make one with `blockchain keys generate`"
_RESTORE: Final = "restore it from a copy"
# What the library raises on damaged DER; TypeError and IndexError escape from it on some (a fuzz of it showed both).
_DAMAGED: Final = (ValueError, TypeError, IndexError)


class _Block(Struct, frozen=True):
    """One PEM block: its marker and the text between its lines."""

    marker: str
    text: str


def read_key_file(path: Path | str, password: bytes | None = None) -> SigningKey:
    """The key of a file; `password` is not used when the file is not encrypted.

    Raises KeyFileError when the file is missing, unreadable, no PEM, of another kind of key, encrypted without a
    password or with another one, or when the public key recorded in it is not the private key's.
    """
    path = Path(path)
    return _key_in(path, _read_blocks(path), password)


def _key_in(path: Path, blocks: list[_Block], password: bytes | None) -> SigningKey:
    private = _private_block(path, blocks)
    unwrapped = _unwrap(path, private, password)
    key = _signing_key(path, unwrapped)
    for recorded in (_recorded_key(path, blocks), unwrapped.public_key):
        if recorded is not None and recorded != key.public_key:
            raise KeyFileError(
                str(path),
                f"the private key in it is not that of the public key recorded beside it: {_RESTORE}",
            )
    return key


def is_encrypted(path: Path) -> bool:
    """Whether the key in a file is, so that it takes a password. Raises KeyFileError."""
    return any(block.marker == _ENCRYPTED for block in _read_blocks(path))


def public_key_of(path: Path) -> PublicKey:
    """The public key of a file, without a password; a file that holds nothing but a public key will do.

    Of an encrypted file it is the recorded one, which only `read_key_file` can compare. Raises KeyFileError.
    """
    blocks = _read_blocks(path)
    if any(block.marker == _PRIVATE for block in blocks):
        return read_key_file(path, None).public_key
    recorded = _recorded_key(path, blocks)
    if recorded is None:
        _private_block(path, blocks)  # says so if it is of another kind
        raise KeyFileError(
            str(path),
            "it is encrypted and no public key is recorded in it: append what `openssl pkey -pubout` gives for it",
        )
    return recorded


def write_key_file(path: Path, key: SigningKey, password: bytes | None) -> None:
    """Write a key to a file that does not exist yet, mode 0600; encrypted if there is a password.

    Raises KeyFileError when something has that name, the password is empty, or the folder cannot be written.
    """
    if password == b"":
        raise _empty_password(path)
    try:
        create_file(path, _key_file_text(key, password).encode("ascii"))
    except FileExistsError:
        raise KeyFileError(str(path), "it exists, and keys are never overwritten: choose another name") from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be written: {error.strerror}") from None


def place_key_file(path: Path, text: bytes) -> None:
    """Write a key file that came from elsewhere, as it is, mode 0600, where nothing is yet. Raises KeyFileError."""
    try:
        make_folder(path.parent)
        create_file(path, text)
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be written: {error.strerror}") from None


def change_password(path: Path, old: bytes | None, new: bytes | None) -> PublicKey:
    """Encrypt the key in a file with another password (None: not at all), and tell whose it is.

    The new file takes the place of the old one in one step, and only when it was seen to open: at every moment one of
    the two is there. Raises KeyFileError; then the old one is.
    """
    key = read_key_file(path, old)
    check_mode(path, public_ok=False)
    check_owner(path)
    if new == b"":
        raise _empty_password(path)
    text = _key_file_text(key, new)
    assert _key_in(path, _blocks(text), new) == key, "a key file that does not open again"
    try:
        replace_file(path.resolve(), text.encode("ascii"))  # what a link leads to, and not the link
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be replaced: {error.strerror}") from None
    return key.public_key


def generate_key() -> SigningKey:
    """A new key from the system's randomness."""
    return SigningKey(secrets.token_bytes(SEED_BYTES))


def node_key(folder: Path) -> SigningKey:
    """The key that names this node to its peers, from `node_key.pem` in its data folder; made when there is none."""
    path = folder / NODE_KEY_FILE
    remove_leftovers(folder)  # of a first start too that was killed: a second key
    if not path.exists():
        try:
            make_folder(folder)
            with suppress(FileExistsError):  # another process was first: its key is the one
                create_file(path, _key_file_text(generate_key(), None).encode("ascii"))
        except OSError as error:
            raise KeyFileError(str(path), f"cannot be written: {error.strerror}") from None
    check_mode(path, public_ok=False)
    return read_key_file(path, None)


def check_mode(path: Path, public_ok: bool) -> None:
    """Refuse a key file that others than its owner may touch; where the system has modes (not on Windows).

    With `public_ok` (the chain is a demo) a file of one of DEMO_KEYS passes: a checkout gives it 0644, and there is
    nothing in it to keep. Raises KeyFileError.
    """
    if os.name == "nt":
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read: {error.strerror}") from None
    if not mode & OTHERS or (public_ok and public_key_of(path) in DEMO_KEYS):
        return
    raise KeyFileError(str(path), f"others may read or change it (mode {mode:04o}): run `chmod 600` on it")


def check_folder(folder: Path) -> None:
    """Refuse a folder where everybody may put another file in the place of a key or of a signing record.

    Raises KeyFileError; not on Windows, and not for a folder that is not there.
    """
    if os.name == "nt":
        return
    with suppress(OSError):  # what cannot be looked at cannot be used either, which is said elsewhere
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise KeyFileError(
                str(folder),
                f"everybody may change what is in this folder (mode {stat.S_IMODE(mode):04o}): run `chmod 700` on it",
            )


def check_owner(path: Path) -> None:
    """Refuse to write over a file of another user: what root writes in its place, the node could not read.

    Raises KeyFileError; not where files have no owners by number (on Windows).
    """
    if sys.platform == "win32":
        return
    try:
        owner = path.stat().st_uid
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read: {error.strerror}") from None
    if owner != os.geteuid():
        raise KeyFileError(str(path), f"it belongs to another user (uid {owner}): do this as that user")


def check_private(path: Path) -> None:
    """Refuse a file that holds no private key, encrypted or not. Raises KeyFileError."""
    _private_block(path, _read_blocks(path))


def check_secret(path: Path, key: PublicKey) -> None:
    """Refuse a key that everybody has. For every chain whose genesis does not say `demo`. Raises KeyFileError."""
    if key in DEMO_KEYS:
        raise KeyFileError(str(path), f"it is public knowledge, good for a demo chain and for no other: {_MAKE_ONE}")


def read_public_key_pem(text: str) -> PublicKey:
    """The Ed25519 public key that a person pasted as PEM. Raises InvalidKey, with one line that says why not."""
    blocks = _blocks(text)
    if any(_PRIVATE in block.marker for block in blocks):
        raise InvalidKey("this is a private key, keep it to yourself; the public one is wanted")
    public = [block for block in blocks if block.marker == _PUBLIC]
    if len(public) != 1:
        raise InvalidKey(f"PEM of one PUBLIC KEY is wanted, and this has {len(public)}")
    return _public_key(public[0])


# ------------------------------------------------------------------------------------------------- reading


def _read_blocks(path: Path) -> list[_Block]:
    if path.is_dir():  # said first, because Windows calls it a lack of permission
        raise KeyFileError(str(path), "it is a folder: name the file in it")
    try:
        with path.open("rb") as file:
            raw = file.read(KEY_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read: {error.strerror}") from None
    if len(raw) > KEY_FILE_BYTES_MAX:
        raise KeyFileError(str(path), f"larger than {KEY_FILE_BYTES_MAX} bytes, so no key file: {_MAKE_ONE}")
    blocks = _blocks(raw.decode("latin-1"))
    if not blocks:
        raise KeyFileError(str(path), f"no PEM key in it: name a key file, or {_MAKE_ONE}")
    return blocks


def _empty_password(path: Path) -> KeyFileError:
    return KeyFileError(str(path), "an empty password protects nothing: give one, or none at all")


def _missing(path: Path) -> KeyFileError:
    return KeyFileError(str(path), f"there is no such file: check the name, or {_MAKE_ONE}")


def _blocks(text: str) -> list[_Block]:
    return [_Block(match[1], match[2]) for match in _BLOCK.finditer(text)]


def _decoded(block: _Block) -> bytes:
    """The DER in a block. Raises ValueError."""
    return a2b_base64("".join(block.text.split()).encode("latin-1"), strict_mode=True)


def _private_block(path: Path, blocks: list[_Block]) -> _Block:
    private = [block for block in blocks if block.marker.endswith(_PRIVATE)]
    if not private:
        raise KeyFileError(str(path), "no private key in it: name the file of the private key")
    if len(private) > 1:
        raise KeyFileError(str(path), f"{len(private)} private keys in it: keep each in a file of its own")
    if private[0].marker not in (_PRIVATE, _ENCRYPTED):
        raise _other_kind(path, private[0].marker.removesuffix(_PRIVATE).strip())
    return private[0]


def _other_kind(path: Path, kind: str) -> KeyFileError:
    return KeyFileError(str(path), f"a key of another kind ({kind}), where Ed25519 is used: {_MAKE_ONE}")


def _unwrap(path: Path, block: _Block, password: bytes | None) -> PKCS8.UnwrappedKey:
    if block.marker == _ENCRYPTED and password is None:
        raise KeyFileError(str(path), "it is encrypted: give its password")
    try:
        return PKCS8.unwrap(_decoded(block), password, KDF_ROUNDS_MAX)
    except IncorrectPassphraseError:
        raise KeyFileError(str(path), "the password is wrong, or the file is damaged: try again") from None
    except KdfLimitError:
        raise KeyFileError(
            str(path), f"its encryption asks for too much work (rounds above {KDF_ROUNDS_MAX}): make it again"
        ) from None
    except _DAMAGED:
        raise KeyFileError(str(path), f"the private key in it is damaged: {_RESTORE}") from None


def _signing_key(path: Path, unwrapped: PKCS8.UnwrappedKey) -> SigningKey:
    if unwrapped.oid != _ED25519_OID:
        raise _other_kind(path, _KIND_BY_OID.get(unwrapped.oid, unwrapped.oid))
    try:
        return SigningKey(DerOctetString().decode(unwrapped.private_key, strict=True).payload)
    except (*_DAMAGED, InvalidKey):
        raise KeyFileError(str(path), f"the private key in it is damaged: {_RESTORE}") from None


def _recorded_key(path: Path, blocks: list[_Block]) -> PublicKey | None:
    public = [block for block in blocks if block.marker == _PUBLIC]
    if len(public) > 1:
        raise KeyFileError(str(path), f"{len(public)} public keys in it: keep the one that belongs to it")
    try:
        return _public_key(public[0]) if public else None
    except InvalidKey as error:
        raise KeyFileError(str(path), f"its public key: {error.what}: {_RESTORE}") from None


def _public_key(block: _Block) -> PublicKey:
    """The key in a SubjectPublicKeyInfo, RFC 8410 §4. Raises InvalidKey."""
    try:
        encoded = _decoded(block)
    except ValueError:
        raise InvalidKey("the PEM text is damaged") from None
    key = encoded.removeprefix(_ED25519_PUBLIC_PREFIX)
    if len(encoded) != len(_ED25519_PUBLIC_PREFIX) + 32 or len(key) != 32:
        raise InvalidKey(f"a public key of another kind ({_kind_of(encoded)}), where Ed25519 is used")
    if not crypto_core_ed25519_is_valid_point(key):
        raise InvalidKey("32 bytes that are no Ed25519 public key")
    return PublicKey(key)


def _kind_of(public_info: bytes) -> str:
    try:
        algorithm = DerSequence().decode(DerSequence().decode(public_info)[0])
        oid = DerObjectId().decode(algorithm[0]).value
    except _DAMAGED:
        return "unknown"
    return _KIND_BY_OID.get(oid, oid)


# ------------------------------------------------------------------------------------------------- writing


def _key_file_text(key: SigningKey, password: bytes | None) -> str:
    """The private block and the public one; RFC 8410 §7: the seed is an OCTET STRING in an OCTET STRING."""
    seed = DerOctetString(key.seed).encode()
    if password is None:
        private = PEM.encode(PKCS8.wrap(seed, _ED25519_OID, key_params=None), _PRIVATE)
    else:
        wrapped = PKCS8.wrap(
            seed,
            _ED25519_OID,
            password,
            "PBKDF2WithHMAC-SHA512AndAES256-CBC",
            {"iteration_count": KDF_ROUNDS, "salt_size": _KDF_SALT_BYTES},
            key_params=None,
        )
        private = PEM.encode(wrapped, _ENCRYPTED)
    return f"{private}\n{PEM.encode(_ED25519_PUBLIC_PREFIX + key.public_key, _PUBLIC)}\n"
