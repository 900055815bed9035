"""The order of the rooms (docs/architecture.md), what the pure rooms may use, and what no file may name.

The checks are functions from source text to complaints. The tests run them over the whole project, and over
snippets that offend, so that a check which has stopped seeing anything fails too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "blockchain"

# Top may import below, rooms on one line never import each other, except where they are one room in several
# files: those share a set here. `errors` stands below `settings`, whose readers raise ConfigError.
LEVELS: tuple[tuple[frozenset[str], ...], ...] = (
    (frozenset({"cli", "commands", "__main__", "run_node", "sample_transactions"}),),
    (frozenset({"api"}), frozenset({"simulator"})),
    (frozenset({"runtime"}),),
    (frozenset({"node"}),),
    (frozenset({"genesis", "genesis_stake", "demo_chain"}),),
    (frozenset({"client", "wallet"}),),
    (frozenset({"consensus"}), frozenset({"ledger"})),
    (frozenset({"seams"}),),
    (frozenset({"primitives"}),),
    (frozenset({"config"}),),
    (frozenset({"settings"}),),
    (frozenset({"errors"}),),
)
FORBIDDEN_BESIDES = {"simulator": frozenset({"runtime"})}  # the same core in another world, not the shell

PURE_ROOMS = frozenset({"primitives", "ledger", "consensus", "node", "seams"})
BANNED_IN_PURE_ROOMS = frozenset(
    {"asyncio", "socket", "time", "datetime", "random", "secrets", "os", "uuid", "apsw", "sqlite3", "logging"}
    | {"threading", "concurrent", "multiprocessing", "fastapi", "websockets"}
)
MAY_IMPORT_LATE = frozenset({"cli", "commands", "__main__"})  # a command loads what it needs when it is called

# Spelled so that the patterns do not match themselves.
FORBIDDEN_TEXT = re.compile(
    r"[p]ypi\.org|python[h]osted|[n]pmjs\.|anaconda\.[o]rg|crates\.[i]o"  # a registry's host
    r"|(?<![\w.~/$}-])/(?:home|root|Users|work|opt)/\w"  # a path of somebody's machine
)
SKIPPED_FOLDERS = frozenset({"build", "dist", "htmlcov", "data"})
TEXT_BYTES_MAX = 2_000_000  # larger files are not written by hand


def room_of(module: str) -> str | None:
    """The room that a dotted module belongs to; "" for the package itself, None for one outside the project."""
    parts = module.split(".")
    if parts[0] == PACKAGE:
        return parts[1] if len(parts) > 1 else ""
    return parts[0] if parts[0] in {"run_node", "sample_transactions"} else None


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every module that the tree imports, anywhere in it, absolute: (line, dotted name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package=is_package)
            if origin == PACKAGE:  # `from blockchain import ledger` imports a room, not a name
                yield from ((node.lineno, f"{PACKAGE}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, origin


def _origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    parents = parts[: len(parts) - node.level + is_package]
    return ".".join([*parents, node.module] if node.module else parents)


def may_import(room: str, other: str) -> bool:
    """Whether the order of the rooms lets `room` import `other`. The version, in the package itself, all may."""
    if room == other or other in {"", "__version__"}:
        return True
    if other in FORBIDDEN_BESIDES.get(room, frozenset()):
        return False
    (level, own), (other_level, _) = _place(room), _place(other)
    return level < other_level or other in own


def _place(room: str) -> tuple[int, frozenset[str]]:
    for level, row in enumerate(LEVELS):
        for rooms in row:
            if room in rooms:
                return level, rooms
    raise AssertionError(f"{room}: a room that docs/architecture.md does not know")


def complaints_about_imports(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module imports against the order of the rooms or the ban of its room."""
    room = room_of(module)
    assert room is not None
    found = []
    for line, name in imported_modules(ast.parse(source), module, is_package=is_package):
        other = room_of(name)
        if other is None and room in PURE_ROOMS and name.split(".")[0] in BANNED_IN_PURE_ROOMS:
            found.append(f"{module}:{line} a pure room imports {name}")
        if other is not None and (room == "" or not may_import(room, other)):
            found.append(f"{module}:{line} {room or PACKAGE} imports {name}")
    return found


def complaints_about_late_imports(source: str, module: str) -> list[str]:
    """Imports inside functions, where the module is not one of those that may."""
    if room_of(module) in MAY_IMPORT_LATE:
        return []
    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    late = {
        inner.lineno for node in functions for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    return [f"{module}:{line} imports inside a function" for line in sorted(late)]


def complaints_about_text(text: str, name: str) -> list[str]:
    """Hosts of package registries and paths of somebody's machine."""
    return [
        f"{name}:{number} names {match.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := FORBIDDEN_TEXT.search(line))
    ]


def code_files() -> list[Path]:
    scripts = [path for name in ("run_node.py", "sample_transactions.py") if (path := ROOT / name).exists()]
    return sorted((ROOT / PACKAGE).rglob("*.py")) + scripts


def text_files() -> Iterator[Path]:
    """What a checkout holds, whether git is at hand or not: no caches, no environments, no node's data."""
    for path in sorted(ROOT.iterdir()):
        if path.is_file():
            if path.name != ".git":  # of a worktree: where the repository lies
                yield path
        elif path.name in {".ci", ".github"} or not (path.name.startswith(".") or path.name in SKIPPED_FOLDERS):
            yield from (
                inner for inner in sorted(path.rglob("*")) if inner.is_file() and "__pycache__" not in inner.parts
            )


def test_rooms_import_only_what_stands_below_them() -> None:
    found = []
    for path in code_files():
        source = path.read_text(encoding="utf-8")
        found += complaints_about_imports(source, module_of(path), is_package=path.name == "__init__.py")
    assert found == []


def test_imports_stand_at_the_top_of_a_file() -> None:
    found = []
    for path in code_files():
        found += complaints_about_late_imports(path.read_text(encoding="utf-8"), module_of(path))
    assert found == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = []
    for path in text_files():
        if path.stat().st_size <= TEXT_BYTES_MAX and path.name != ".env" and not path.name.startswith(".coverage"):
            text = path.read_bytes().decode("utf-8", errors="replace")
            found += complaints_about_text(text, str(path.relative_to(ROOT)))
    assert found == []


def test_the_checks_read_the_project() -> None:
    names = {path.name for path in text_files()}
    assert {"pyproject.toml", "run", "test_architecture.py", "errors.py"} <= names
    assert len(code_files()) > 5


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import time", "blockchain.consensus.bft"),
        ("from os import path", "blockchain.primitives.codec"),
        ("import concurrent.futures", "blockchain.node.core"),
        ("if True:\n    import random", "blockchain.seams"),
        ("def draw():\n    import secrets", "blockchain.ledger.accounts"),
        ("from blockchain.ledger import accounts", "blockchain.consensus.pos"),
        ("from blockchain.consensus.votes import VoteBook", "blockchain.ledger.accounts"),
        ("from blockchain import node", "blockchain.primitives.block"),
        ("from ..runtime import sqlite", "blockchain.node.core"),
        ("from .. import runtime", "blockchain.node.core"),
        ("from blockchain.runtime.service import Service", "blockchain.simulator.world"),
        ("import blockchain.simulator.world", "blockchain.api.app"),
        ("from blockchain.api.app import app", "blockchain.simulator.world"),
        ("from blockchain.cli import main", "blockchain.runtime.service"),
        ("from blockchain.config import NodeConfig", "blockchain.errors"),
        ("from blockchain.errors import BlockchainError", "blockchain"),
    ],
)
def test_an_offending_import_is_seen(source: str, module: str) -> None:
    assert len(complaints_about_imports(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import time\nfrom blockchain.node.core import Core", "blockchain.runtime.service"),
        ("from blockchain import __version__", "blockchain.node.core"),
        ("from .vote import Vote\nfrom ..errors import InvalidBlock", "blockchain.primitives.block"),
        ("from blockchain.commands import run", "blockchain.cli"),
        ("from blockchain.cli import main", "run_node"),
        ("import timeit", "blockchain.node.core"),
        ("from blockchain.node.core import Core", "blockchain.simulator.world"),
        ("from blockchain.errors import ConfigError", "blockchain.config"),
    ],
)
def test_an_import_in_order_passes(source: str, module: str) -> None:
    assert complaints_about_imports(source, module) == []


def test_a_relative_import_in_a_package_file_is_resolved() -> None:
    assert complaints_about_imports("from ..ledger import x", "blockchain.consensus", is_package=True) != []
    assert complaints_about_imports("from . import bft", "blockchain.consensus", is_package=True) == []


def test_a_room_that_nobody_planned_is_refused() -> None:
    with pytest.raises(AssertionError, match="does not know"):
        may_import("node", "helpers")


@pytest.mark.parametrize(
    "source",
    ["def f():\n    import json", "class A:\n    async def f(self):\n        from json import loads"],
)
def test_a_late_import_is_seen_except_in_commands(source: str) -> None:
    assert len(complaints_about_late_imports(source, "blockchain.node.core")) == 1
    assert complaints_about_late_imports(source, "blockchain.commands.demo") == []


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://" + "pypi" + ".org/simple",
        "https://files." + "python" + "hosted.org/x.whl",
        "cd " + "/".join(["", "home", "jane", "project"]),
        "'" + "/".join(["", "work", "main"]) + "'",
    ],
)
def test_a_registry_or_a_path_of_a_machine_is_seen(text: str) -> None:
    (complaint,) = complaints_about_text(f"first line\n{text}", "a file")
    assert complaint.startswith("a file:2 names ")


@pytest.mark.parametrize("text", ["./keys/genesis_private_key.pem", "/data", "https://example.org/work/1", "network/x"])
def test_an_ordinary_path_passes(text: str) -> None:
    assert complaints_about_text(text, "a file") == []
