"""The token that what changes a node asks for: from a file that only its owner can read, compared in constant time.

Without a configured token there is no path under `/api/v1/admin/` at all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from msgspec import Struct

from blockchain.api.rate import ClientBuckets, client_of, too_many
from blockchain.errors import ConfigError, KeyFileError, Refusal
from blockchain.runtime.keystore import check_mode

TOKEN_CHARACTERS_MIN: Final = 32  # of base64, 192 bits: nobody guesses it
TOKEN_CHARACTERS_MAX: Final = 1_024
WRONG_TOKENS_BURST: Final = 10  # of one client; a person who mistypes does not notice
WRONG_TOKENS_PER_SECOND: Final = 0.1
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_MAKE_ONE: Final = 'make one with `python -c "import secrets; print(secrets.token_urlsafe(32))"`'


class AdminToken(Struct, frozen=True):
    """A token as its SHA-256, so that it stands in no dump of a setting."""

    digest: bytes

    def is_shown_by(self, given: str) -> bool:
        return hmac.compare_digest(self.digest, hashlib.sha256(given.encode()).digest())


class AdminGate:
    """Who may pass: the token, and how often each client has shown a wrong one."""

    def __init__(self, token: AdminToken) -> None:
        self._token = token
        self._wrong = ClientBuckets(WRONG_TOKENS_PER_SECOND, WRONG_TOKENS_BURST)

    def check(self, client: str, given: str | None) -> None:
        """Raises Refusal: 401 without a token, 403 with a wrong one, 429 after too many of them."""
        if given is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "token_missing", "send the header `Authorization: Bearer <token>`")
        wait = self._wrong.wait(client)
        if wait:
            raise too_many("too many wrong tokens from this client", wait)
        if not self._token.is_shown_by(given):
            self._wrong.take(client)
            raise Refusal(HTTPStatus.FORBIDDEN, "token_wrong", "this is not the token of this node")


def read_admin_token(path: Path) -> AdminToken:
    """The token of a file, as a node keeps it. Raises as `read_token_text` does."""
    return AdminToken(hashlib.sha256(read_token_text(path).encode()).digest())


def read_token_text(path: Path) -> str:
    """The token on the first line of a file. Raises ConfigError, also where others may read it."""
    try:
        with path.open("rb") as file:
            line = file.readline(TOKEN_CHARACTERS_MAX + 2).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"admin_token_file {path}: {error.strerror}; {_MAKE_ONE}") from None
    try:
        check_mode(path, public_ok=False)
    except KeyFileError as error:
        raise ConfigError(f"admin_token_file {path}: {error.why}") from None
    if not TOKEN_CHARACTERS_MIN <= len(line) <= TOKEN_CHARACTERS_MAX or not _TOKEN.fullmatch(line):
        allowed = f"{TOKEN_CHARACTERS_MIN} to {TOKEN_CHARACTERS_MAX} letters, digits and - . _ ~ + / ="
        raise ConfigError(f"admin_token_file {path}: its first line has to be {allowed}; {_MAKE_ONE}")
    return line.decode("ascii")


_BEARER: Final = HTTPBearer(auto_error=False, description="the token of --admin_token_file")


async def check_admin(
    request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> None:
    """What every path under `/api/v1/admin/` depends on."""
    gate = cast("AdminGate", request.app.state.admin_gate)
    gate.check(client_of(request.scope), None if shown is None else shown.credentials)
