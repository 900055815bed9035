"""A key file, with a password: refused with one line, or a key that writes itself down and reads the same again.

The rounds that a file may ask for are bounded lower here: with the bound of the node one input may take seconds, which
its operator asked for.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from random import Random
from unittest import mock

from blockchain.errors import InvalidKey, KeyFileError
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime import keystore
from blockchain.runtime.keystore import is_encrypted, public_key_of, read_key_file, read_public_key_pem, write_key_file
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.files import a_folder
from tests.fuzz.target import Target
from tests.samples import key

_FOLDER = a_folder()
_FILE = _FOLDER / "key.pem"
_PASSWORD = b"open sesame"
_few_rounds = mock.patch.multiple(keystore, KDF_ROUNDS=20, KDF_ROUNDS_MAX=20)  # while one of these functions runs


@_few_rounds
def samples() -> list[bytes]:
    return [_written(key("a"), password) for password in (None, _PASSWORD)]


def _written(made: SigningKey, password: bytes | None) -> bytes:
    path = _FOLDER / "written.pem"
    path.unlink(missing_ok=True)
    write_key_file(path, made, password)
    return path.read_bytes()


def mutate(raw: bytes, rng: Random) -> bytes:
    """Mostly of the DER within a block."""
    lines = raw.split(b"-----")
    if len(lines) < 5 or rng.random() < 0.2:
        return mutate_bytes(raw, rng)
    at = rng.choice(range(2, len(lines), 4))
    try:
        der = b64decode(lines[at])
    except ValueError:
        return mutate_bytes(raw, rng)
    lines[at] = b"\n" + b64encode(mutate_bytes(der, rng)) + b"\n"
    return b"-----".join(lines)


@_few_rounds
def run(raw: bytes) -> bool:
    _FILE.write_bytes(raw)
    for look in (is_encrypted, public_key_of):
        try:
            look(_FILE)
        except KeyFileError as error:
            assert "\n" not in str(error)
    try:
        read_public_key_pem(raw.decode("latin-1"))
    except InvalidKey as error:
        assert "\n" not in str(error)
    try:
        found = read_key_file(_FILE, _PASSWORD)
    except KeyFileError as error:
        assert "\n" not in str(error)
        return False
    _FILE.write_bytes(_written(found, None))
    assert read_key_file(_FILE) == found
    return True


TARGET = Target(samples, run, mutate)
