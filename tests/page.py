"""A page of documentation as something that runs: its fenced blocks, its commands, and what it says they answer.

`…` stands for what a page leaves out. In an answer that is JSON: as a value for any value, inside a text for any
characters, in an object for any further members, in an array for any further items. In other output: for any
characters of a line, and alone on a line for any lines.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LEFT_OUT: Final = "…"
ANYTHING: Final = "……"  # what a `…` outside of a text becomes
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|…|[{}\[\]:,]|[^\s{}\[\]:,"…]+')
_VARIABLE: Final = re.compile(r"\$([A-Z][A-Z_]*)")


@dataclass(frozen=True)
class Block:
    """The text between two fences, and the number of its first line on the page."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line that begins with `$ `, its variables still in it, and what the page says that it prints."""

    text: str
    answer: str
    line: int

    def words(self, variables: dict[str, str]) -> list[str]:
        """As a shell takes it apart. Raises KeyError for a variable that nothing has set."""
        return shlex.split(_VARIABLE.sub(lambda found: variables[found[1]], self.text))


def blocks(page: str) -> list[Block]:
    return [Block(found[1], found[2], page.count("\n", 0, found.start(2)) + 1) for found in _FENCE.finditer(page)]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block; a backslash at the end of a line joins the next one to it."""
    lines = block.text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {block.line}: a console block begins with a command"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        last = start
        while lines[last].endswith("\\"):
            last += 1
        text = " ".join(line.removesuffix("\\").strip() for line in lines[start : last + 1]).removeprefix("$ ")
        yield Command(text, "\n".join(lines[last + 1 : end]), block.line + start)


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    start = re.search(rf"^#+ {re.escape(heading)}$", page, re.MULTILINE)
    assert start is not None, heading
    lines = page[start.end() :].splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[head + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


# ------------------------------------------------------------------------------------------------ answers


def shape(text: str) -> object:
    """JSON with `…` in it, as JSON values: `…` outside of a text is ANYTHING, as value, item or name of a member."""
    inside: list[str] = []
    made: list[str] = []
    for token in _TOKEN.findall(text):
        if token in "{[":
            inside.append(token)
        elif token in "}]":
            inside.pop()
        elif token == LEFT_OUT:
            is_member = inside[-1:] == ["{"] and made[-1] != ":"
            token = f'"{ANYTHING}": null' if is_member else f'"{ANYTHING}"'
        made.append(token)
    value: object = json.loads("".join(made))
    return value


def differences(expected: object, found: object, where: str = "the answer") -> list[str]:
    """Where what was found is not of the expected shape; empty when it is."""
    match expected, found:
        case str(), _ if expected == ANYTHING:
            return []
        case dict(), dict():
            return _of_objects(expected, found, where)
        case list(), list():
            return _of_arrays(expected, found, where)
        case str(), str() if says(expected, found):
            return []
        case _ if type(expected) is type(found) and expected == found:
            return []
        case _:
            return [f"{where} is {json.dumps(found)[:200]}, not {json.dumps(expected, ensure_ascii=False)[:200]}"]


def _of_objects(expected: dict[str, object], found: dict[str, object], where: str) -> list[str]:
    listed = expected.keys() - {ANYTHING}
    missing = [f"{where} has no member {name!r}" for name in sorted(listed - found.keys())]
    more = [] if ANYTHING in expected else sorted(found.keys() - listed)
    inner = [
        line
        for name in expected
        if name in listed and name in found
        for line in differences(expected[name], found[name], f"{where}.{name}")
    ]
    return missing + [f"{where} has a member that the page does not show: {name!r}" for name in more] + inner


def _of_arrays(expected: list[object], found: list[object], where: str) -> list[str]:
    listed = [one for one in expected if one != ANYTHING]
    if len(found) < len(listed) or (len(found) > len(listed) and ANYTHING not in expected):
        return [f"{where} has {len(found)} items, not {len(listed)}"]
    pairs = enumerate(zip(listed, found, strict=False))
    return [line for at, (one, other) in pairs for line in differences(one, other, f"{where}[{at}]")]


def says(expected: str, found: str) -> bool:
    """Whether a text is what the page says; `…` stands for any characters, and alone on a line for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == LEFT_OUT else ".*".join(map(re.escape, line.split(LEFT_OUT))) + r"\n"
        for line in expected.splitlines()
    ]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in found.splitlines())) is not None
