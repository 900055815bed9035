"""What a check of `doctor` found: how bad it is, what it is about, and what to do."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from blockchain.commands.text import printable

Level = Literal["ok", "warn", "fail", "skip"]

_LABELS: Final = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "skip": "not checked"}
_LABEL_WIDTH: Final = 11


class Finding(Struct, frozen=True):
    """One line of the report; "skip" is what could not be checked from here. "warn" and "fail" come with a fix."""

    level: Level
    what: str
    text: str
    fix: str = ""

    def line(self) -> str:
        """For people."""
        text = f"{self.text}: {self.fix}" if self.fix else self.text
        return f"{_LABELS[self.level].ljust(_LABEL_WIDTH)}  {self.what}: {printable(text)}"


def ok(what: str, text: str) -> Finding:
    return Finding("ok", what, text)


def skip(what: str, text: str, fix: str = "") -> Finding:
    return Finding("skip", what, text, fix)


def warn(what: str, text: str, fix: str) -> Finding:
    return Finding("warn", what, text, fix)


def fail(what: str, text: str, fix: str) -> Finding:
    return Finding("fail", what, text, fix)
