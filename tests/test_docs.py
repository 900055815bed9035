"""The documents and the code say the same: sections that are cited exist, links lead somewhere, tables are complete.

Each check is a function from text to findings, and is tried on a text with a fault, so that one that has stopped seeing
anything fails too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from blockchain.errors import InvalidSignature, MalformedMessage
from blockchain.node.peers import ALLOWANCES
from blockchain.seams.faults import SMALL_FAULTS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PROTOCOL = DOCS / "protocol.md"

# `protocol §5.3`, `docs/protocol.md §1.3, §1.4` and `(protocol §5.8 a, b)`: a comma may lead to a further section.
CITATION = re.compile(r"protocol(?:\.md)?\s+§\d+(?:\.\d+)?(?:(?:,| and)\s+§\d+(?:\.\d+)?)*", re.IGNORECASE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"docs/[\w./-]*\w")
HEADING = re.compile(r"^#{2,4} (\d+(?:\.\d+)?)[. ]", re.MULTILINE)
PAPER_LINE = re.compile(r"^L(\d+)(?:[ :]|$)", re.MULTILINE)


def sources() -> Iterator[Path]:
    yield from sorted((ROOT / "blockchain").rglob("*.py"))
    yield from sorted((ROOT / "tests").rglob("*.py"))


def documents() -> list[Path]:
    return [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "keys").glob("*.md"))]


def cited_sections(text: str) -> set[str]:
    return {number for found in CITATION.finditer(text) for number in re.findall(r"§(\d+(?:\.\d+)?)", found.group())}


def sections(document: str) -> set[str]:
    return set(HEADING.findall(document))


def own_references(document: str) -> set[str]:
    """The sections that the protocol's text names as its own; those of RFCs and the paper stand behind their names."""
    return set(re.findall(r"(?<!\d )§(\d+(?:\.\d+)?)", document))


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(document: str) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", document, re.MULTILINE)}


def dead_links(text: str, folder: Path) -> list[str]:
    """Local links of a document in `folder` that lead nowhere."""
    return [
        target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target) and is_dead(target, text, folder)
    ]


def is_dead(target: str, text: str, folder: Path) -> bool:
    path, _, fragment = target.partition("#")
    if path and not (folder / path).exists():
        return True
    linked = (folder / path).read_text(encoding="utf-8") if path.endswith(".md") else text
    return bool(fragment) and fragment not in anchors(linked)


def dead_names(text: str) -> list[str]:
    """Files of docs/ that a text names and that are not there; `docs/decisions/0003` is the one that begins so."""
    return [name for name in NAMED.findall(text) if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}-*.md"))]


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def first_texts(source: str, calls: dict[str, int]) -> set[str]:
    """The text given to each of these calls at a position; what is put into an f-string is written `<field>`."""
    found = set()
    for node in nodes(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
            at = calls[node.func.id]
            text = _text(node.args[at]) if at < len(node.args) else None
            if text is not None:
                found.add(text)
    return found


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "<field>" for part in node.values)
    return None


def texts_of(rooms: Iterable[str], calls: dict[str, int]) -> set[str]:
    return {
        text
        for room in rooms
        for path in (ROOT / "blockchain" / room).rglob("*.py")
        for text in first_texts(path.read_text(encoding="utf-8"), calls)
    }


def table(document: str, number: str, column: str) -> set[str]:
    """The first cells of the table under a heading whose first column has this name."""
    start = re.search(rf"^#+ {re.escape(number)}[. ].*$", document, re.MULTILINE)
    assert start is not None, number
    end = re.compile(r"^#+ ", re.MULTILINE).search(document, start.end())
    lines = document[start.end() : end.start() if end else len(document)].splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith(f"| {column} |"))
    body = takewhile(lambda line: line.startswith("|"), lines[head + 2 :])
    cells = [line.split("|")[1].strip().strip("`") for line in body]
    assert len(cells) == len(set(cells)), "a row stands twice"
    return set(cells)


def second_cells(document: str, number: str, column: str) -> dict[str, int]:
    """The second cells of that table, numbers, by the first."""
    rows = {}
    for name in table(document, number, column):
        found = [int(cell.replace(",", "")) for cell in re.findall(rf"^\| `{name}` \| ([\d,]+) \|", document, re.M)]
        [rows[name]] = found
    return rows


def tag_of(kind: type) -> str:
    tag = kind.__struct_config__.tag  # type: ignore[attr-defined]
    assert isinstance(tag, str)
    return tag


def protocol() -> str:
    return PROTOCOL.read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------------- the project


def test_each_section_that_the_code_cites_exists() -> None:
    known = sections(protocol())
    unknown = [
        f"{path.relative_to(ROOT)}: §{number}"
        for path in sources()
        for number in sorted(cited_sections(path.read_text(encoding="utf-8")) - known)
        if path != Path(__file__)
    ]
    assert unknown == []


def test_the_protocol_is_cited_by_number() -> None:
    by_name = [
        f"{path.relative_to(ROOT)}: {found.group()!r}"
        for path in sorted((ROOT / "blockchain").rglob("*.py"))
        for found in re.finditer(r"docs/protocol\.md(?!\s+§)[^\n]*", path.read_text(encoding="utf-8"))
    ]
    assert by_name == []


def test_each_section_that_the_protocol_names_exists() -> None:
    text = re.sub(r"RFC \d+ §[\d.]+", "", protocol())
    assert own_references(text) - sections(text) == set()


def test_sections_are_numbered_without_gaps() -> None:
    numbers = HEADING.findall(protocol())
    assert len(numbers) == len(set(numbers))
    tops = [int(number) for number in numbers if "." not in number]
    assert tops == list(range(1, len(tops) + 1))
    for top in tops:
        inner = [int(number.split(".")[1]) for number in numbers if number.startswith(f"{top}.")]
        assert inner == list(range(1, len(inner) + 1)), top


def test_every_line_of_the_paper_stands_in_the_algorithm() -> None:
    assert [int(line) for line in PAPER_LINE.findall(protocol())] == list(range(1, 68))


def test_every_local_link_leads_somewhere() -> None:
    dead = {
        str(path.relative_to(ROOT)): found
        for path in documents()
        if (found := dead_links(path.read_text(encoding="utf-8"), path.parent))
    }
    assert dead == {}


def test_every_document_that_is_named_exists() -> None:
    dead = {
        str(path.relative_to(ROOT)): found
        for path in [*sorted((ROOT / "blockchain").rglob("*.py")), *documents()]
        if (found := dead_names(path.read_text(encoding="utf-8")))
    }
    assert dead == {}


def test_the_refusal_codes_are_those_of_the_code() -> None:
    given = texts_of(("ledger", "node", "primitives"), {"InvalidTransaction": 0, "ended": 1})
    assert table(protocol(), "3.4", "Code") == given | {MalformedMessage.code, InvalidSignature.code}


def test_the_faults_of_peers_are_those_of_the_code() -> None:
    given = texts_of(("node", "consensus", "runtime"), {"PeerFault": 0, "Penalize": 1})
    proofs, small = table(protocol(), "8.6", "Reason"), table(protocol(), "8.6", "Small fault")
    assert proofs | small == given
    assert small == SMALL_FAULTS.keys() and not proofs & small


def test_the_points_and_allowances_of_peers_are_those_of_the_code() -> None:
    assert second_cells(protocol(), "8.6", "Small fault") == SMALL_FAULTS
    given = {tag_of(kind): allowance for kind, allowance in ALLOWANCES.items()}
    assert second_cells(protocol(), "8.6", "Kind") == given


def test_the_reasons_of_failed_handshakes_are_those_of_the_code() -> None:
    given = texts_of(("runtime",), {"HandshakeFailed": 0}) | {"duplicate"}
    assert table(protocol(), "8.2", "Reason") == given


def test_the_tags_are_those_of_the_code() -> None:
    quoted = {
        node.value
        for path in (ROOT / "blockchain").rglob("*.py")
        for node in nodes(path.read_text(encoding="utf-8"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    tags = table(protocol(), "1.3", "Tag")
    assert tags - {"genesis"} <= quoted
    assert texts_of(("primitives", "consensus"), {"tagged": 0, "tagged_hash": 0}) <= tags
    named = {
        value
        for path in (ROOT / "blockchain").rglob("*.py")
        for value in re.findall(r'^_\w*TAG(?:: Final)? = "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named <= tags


# --------------------------------------------------------------------------------------------------- the checks


@pytest.mark.parametrize(
    "text, found",
    [
        ("# protocol §5.3", {"5.3"}),
        ("(docs/protocol.md §1.3, §1.4)", {"1.3", "1.4"}),
        ("(protocol §5.8 a, b)", {"5.8"}),
        ("RFC 9381 §5.1", set()),
    ],
)
def test_citations_are_found(text: str, found: set[str]) -> None:
    assert cited_sections(text) == found


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading, with `code`\n", encoding="utf-8")
    text = "[a](other.md) [b](other.md#a-heading-with-code) [c](none.md) [d](other.md#none) [e](https://example.org)"
    assert dead_links(text, tmp_path) == ["none.md", "other.md#none"]
    assert dead_names("see docs/none.md, docs/protocol.md.") == ["docs/none.md"]


def test_codes_are_found() -> None:
    source = 'raise InvalidTransaction("a", "why")\nraise InvalidTransaction(f"{name}_b", "why")\nRefused(x, "c")'
    assert first_texts(source, {"InvalidTransaction": 0, "Refused": 1}) == {"a", "<field>_b", "c"}
