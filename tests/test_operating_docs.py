"""docs/operating.md and docs/errors.md say what is so: each command is one, each code and event stands there once."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockchain import cli, errors
from blockchain.api.admin import AdminToken
from blockchain.api.app import ApiSettings, create_app
from blockchain.api.routes.health import CHECKS
from blockchain.cli import build_parser
from blockchain.config import load_config
from blockchain.seams import events
from blockchain.settings import SETTINGS
from tests.api.fake_node import FakeNode
from tests.test_docs import DOCS, PROTOCOL, ROOT, documents, nodes, table, texts_of

README = ROOT / "README.md"
OPERATING = DOCS / "operating.md"
ERRORS = DOCS / "errors.md"
FIELDS = "(?:amount|fee|nonce|expiry|sender|recipient|signature|validator_key)"  # protocol §3.4
ADD = "every code stands in docs/errors.md: add a row (or take one out) for"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `blockchain …` of a document: its shell blocks, and what stands between backquotes."""
    lines = [line.removeprefix("$ ") for block in blocks(text, "sh") for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`(blockchain [a-z][^`\n]*)`", text)]:
        words = shlex.split(line, comments=True)
        program = words[:1] == ["blockchain"] or words[:3] == ["python", "-m", "blockchain"]
        if program:
            yield words[1 if words[0] == "blockchain" else 3 :]


def rows(path: Path, heading: str, column: str) -> set[str]:
    """The first cells of the table under a heading."""
    text = path.read_text(encoding="utf-8")
    start = text.index(f"## {heading}\n")
    end = text.find("\n## ", start)
    section = "## 0. x\n" + text[start : end if end > 0 else None].split("\n", 1)[1]
    return table(section, "0", column)


def is_command(words: list[str]) -> bool:
    """Whether it is one; also one that lacks its operands, as it stands in a sentence: `blockchain keys generate`."""
    return _is_parsed(words) or (not any(word.startswith("-") for word in words) and _is_parsed([*words, "--help"]))


def _is_parsed(words: list[str]) -> bool:
    try:
        build_parser().parse_args(words)
    except SystemExit as end:
        return end.code == 0
    return True


# ---------------------------------------------------------------------------------------------------- operating


@pytest.mark.parametrize("path", [README, OPERATING, ERRORS, DOCS / "api.md"], ids=lambda path: path.name)
def test_every_command_on_the_page_is_one(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = list(commands(path.read_text(encoding="utf-8")))
    assert found or path != OPERATING
    wrong = [shlex.join(words) for words in found if not is_command(words)]
    assert wrong == [], capsys.readouterr().err


def test_a_command_that_is_none_is_seen() -> None:
    text = (
        "```sh\nblockchain fly\nblockchain run --fly\nblockchain run  # so\n```\n`blockchain db mend` `blockchain db`"
    )
    wrong = [words for words in commands(text) if not is_command(words)]
    assert wrong == [["fly"], ["run", "--fly"], ["db", "mend"]]


def test_the_settings_file_and_the_unit_are_good(tmp_path: Path) -> None:
    (settings,) = blocks(OPERATING.read_text(encoding="utf-8"), "toml")
    (tmp_path / "node.toml").write_text(settings, encoding="utf-8")
    config = load_config({"config": str(tmp_path / "node.toml")}, {"BLOCKCHAIN_ENV_FILE": ""}, tmp_path)
    assert config.genesis == tmp_path / "genesis.json"
    assert len(config.seeds) == 2 and tomllib.loads(settings).keys() <= {*type(config).__slots__}
    (unit,) = blocks(OPERATING.read_text(encoding="utf-8"), "ini")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    program, *words = shlex.split(line)
    assert program.endswith("/bin/blockchain") and is_command(words)


def test_every_setting_stands_in_the_readme_and_none_else() -> None:
    assert rows(README, "Settings of a node", "Setting") == set(SETTINGS)


def test_every_command_stands_in_the_readme() -> None:
    (section,) = re.findall(r"^## Commands\n(.*?)^## ", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    first_cells = re.findall(r"^\| (`.*?) (?<!\\)\| ", section, re.MULTILINE)
    named = {word for cell in first_cells for word in re.findall(r"`([a-z-]+)", cell)}
    (known,) = (action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    assert named == known.keys()


def test_every_event_of_the_log_stands_on_the_page_and_none_else() -> None:
    kinds = {kind.__struct_config__.tag for kind in vars(events).values() if hasattr(kind, "__struct_config__")}
    assert rows(OPERATING, "Logs", "`evt.name`") == {*kinds, *_logged_names()} - {None}, (
        "every `evt.name` stands in the table of docs/operating.md, section Logs"
    )


def test_every_field_of_an_event_stands_beside_it() -> None:
    lines = re.findall(r"^\| `(\w+)` \| (.*?) \|", OPERATING.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: set(re.findall(r"`([\w.]+)`", fields)) for name, fields in lines}
    for kind in vars(events).values():
        tag = kind.__struct_config__.tag if hasattr(kind, "__struct_config__") else None
        if tag is not None:
            fields = {"transaction_id" if name == "id" else name for name in kind.__struct_fields__}
            assert fields <= documented[tag], f"docs/operating.md, section Logs, {tag}"


def _logged_names() -> Iterator[str]:
    """What is put beside `"evt.name"` in a dictionary anywhere in the package."""
    for path in (ROOT / "blockchain").rglob("*.py"):
        for node in nodes(path.read_text(encoding="utf-8")):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "evt.name" and isinstance(value, ast.Constant):
                        yield str(value.value)


def test_every_check_of_doctor_stands_on_the_page_and_none_else() -> None:
    found = texts_of(("commands",), {"ok": 0, "warn": 0, "fail": 0, "skip": 0})
    assert rows(OPERATING, "doctor", "What") == found


def test_the_checks_of_readyz_are_named() -> None:
    (sentence,) = re.findall(r"The checks of `/readyz`: (.*?)\.\s", OPERATING.read_text(encoding="utf-8"), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(CHECKS)


# ------------------------------------------------------------------------------------------------------- errors


def problem_codes() -> set[str]:
    """Those that the code gives, and those that the OpenAPI document announces; not those of transactions."""
    given = set()
    for path in (ROOT / "blockchain").rglob("*.py"):
        for node in nodes(path.read_text(encoding="utf-8")):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_call and node.func.id in {"Refusal", "problem"} and len(node.args) > 1:  # type: ignore[attr-defined]
                code = node.args[1]  # type: ignore[attr-defined]
                given |= {str(code.value)} if isinstance(code, ast.Constant) else set()
    document = create_app(FakeNode(), ApiSettings(admin_token=AdminToken(b"-" * 32))).openapi()
    answers = [
        answer for item in document["paths"].values() for one in item.values() for answer in one["responses"].values()
    ]
    for answer in answers:
        _, _, named = answer["description"].partition("as a problem document: ")
        given |= set(re.findall(r"`(\w+)`", named))
    return given | {"not_found", "method_not_allowed", "bad_request"}


def refusal_codes() -> set[str]:
    return table(PROTOCOL.read_text(encoding="utf-8"), "3.4", "Code")


def is_of_transactions(code: str) -> bool:
    patterns = [re.escape(one).replace("<field>", FIELDS) for one in refusal_codes()]
    return any(re.fullmatch(pattern, code) for pattern in patterns)


def test_the_problems_are_those_of_the_code() -> None:
    codes = {code for code in problem_codes() if not is_of_transactions(code) or code == "invalid_address"}
    assert rows(ERRORS, "Problem documents of the API", "Code") == codes, f"{ADD} each problem of the API"


def test_the_refusals_are_those_of_the_protocol() -> None:
    assert rows(ERRORS, "Transactions that are refused", "Code") == refusal_codes(), f"{ADD} each refusal of §3.4"


def test_the_errors_are_those_of_the_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {str(vars(kind)["code"]) for kind in kinds if "code" in vars(kind)}
    assert rows(ERRORS, "Errors of the program", "Code") == codes, f"{ADD} each class of blockchain/errors.py"


def test_the_exit_codes_are_those_of_the_code() -> None:
    codes = {str(value) for name, value in vars(cli).items() if name.startswith("EXIT_")}
    assert rows(ERRORS, "Exit codes", "Code") == {"0"} | codes, f"{ADD} each exit code of blockchain/cli.py"


def test_both_pages_are_documents_whose_links_are_checked() -> None:
    assert {OPERATING, ERRORS} <= set(documents())
