"""Passwords of key files: from a file, from the environment, or typed at a terminal; never from a flag's value.

What stands on a command line everybody on the machine can read (`ps`), and a shell keeps it. A password is in no log
and in no error text either: what is wrong with one is told by the file that it is for.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from blockchain.config import ENV_PREFIX
from blockchain.errors import ConfigError, KeyFileError
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.keystore import check_mode, is_encrypted, read_key_file

PASSWORD_VARIABLE: Final = f"{ENV_PREFIX}PASSWORD"
NEW_PASSWORD_VARIABLE: Final = f"{ENV_PREFIX}NEW_PASSWORD"
PASSWORD_BYTES_MAX: Final = 1_024  # a line that a person could have typed


def read_key(path: Path, password_file: Path | None) -> SigningKey:
    """The key of a file that only its owner can read, or of a public demo key. Raises KeyFileError, ConfigError."""
    check_mode(path, public_ok=True)
    return open_key(path, password_file)


def open_key(path: Path, password_file: Path | None) -> SigningKey:
    """The key of a file, with the password given for it, or else asked for. Raises KeyFileError, ConfigError."""
    password = given_password(password_file)
    if password is None and is_encrypted(path):
        password = asked_password(path)
    return read_key_file(path, password)


def given_password(path: Path | None, variable: str = PASSWORD_VARIABLE) -> bytes | None:
    """That of the file, else that of the environment, None when there is neither. Raises ConfigError."""
    if path is not None:
        return read_password(path)
    text = os.environ.get(variable)
    if not text:
        return None
    password = text.encode("utf-8", "surrogateescape")  # the very bytes, where the system has bytes
    if len(password) > PASSWORD_BYTES_MAX:
        raise ConfigError(f"{variable} in the environment is longer than the {PASSWORD_BYTES_MAX} bytes of a password")
    return password


def read_password(path: Path) -> bytes:
    """The first line of a password file, which only its owner may read, as a key. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            line = file.readline(PASSWORD_BYTES_MAX + 2).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"password file {path} cannot be read: {error.strerror}: check the name") from None
    try:
        check_mode(path, public_ok=False)
    except KeyFileError as error:
        raise ConfigError(f"password file {path} cannot be used: {error.why}") from None
    if not line or len(line) > PASSWORD_BYTES_MAX:
        raise ConfigError(
            f"password file {path}: its first line has to be a password of 1 to {PASSWORD_BYTES_MAX} bytes"
        )
    return line


def asked_password(path: Path) -> bytes:
    """What a person types for the key in `path`. Raises KeyFileError where there is no terminal to ask at."""
    if not _is_terminal():
        raise KeyFileError(
            str(path), f"it is encrypted: give its password with --password_file or {PASSWORD_VARIABLE} (no terminal)"
        )
    password = _typed(path, f"Password of {path}: ")
    if not password:
        raise KeyFileError(str(path), "it is encrypted, and no password was typed")
    return password


def typed_password(path: Path, flag: str, variable: str) -> bytes:
    """What a person types to open `path`. Raises KeyFileError, ConfigError where there is no terminal."""
    if not _is_terminal():
        raise ConfigError(f"the password of {path} is needed: give {flag} or {variable} (there is no terminal)")
    password = _typed(path, f"Password of {path}: ")
    if not password:
        raise KeyFileError(str(path), "no password was typed")
    return password


def new_password(path: Path, password_file: Path | None, variable: str, flag: str = "--password_file") -> bytes:
    """For what is to be written to `path`: given, or typed twice.

    Raises KeyFileError, and ConfigError where none is given and there is no terminal.
    """
    given = given_password(password_file, variable)
    if given is not None:
        return given
    if not _is_terminal():
        raise ConfigError(f"a new password for {path} is needed: give {flag} or {variable} (there is no terminal)")
    password = _typed(path, f"New password for {path}: ")
    if not password:
        raise KeyFileError(str(path), "an empty password protects nothing")
    if _typed(path, "The same once more: ") != password:
        raise KeyFileError(str(path), "the two passwords differ: nothing was written")
    return password


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _typed(path: Path, prompt: str) -> bytes:
    """A hidden line from the terminal; empty at its end. Raises KeyFileError when it is too long."""
    try:
        password = getpass.getpass(prompt).encode("utf-8", "surrogateescape")
    except EOFError:
        return b""
    if len(password) > PASSWORD_BYTES_MAX:
        raise KeyFileError(str(path), f"a password has at most {PASSWORD_BYTES_MAX} bytes")
    return password
