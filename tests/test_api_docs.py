"""docs/api.md is true: its examples run, in their order, against a node on free ports; its tables are the code's.

What stands in a fenced block is run by its language:

- `console`: lines that begin with `$ `, and behind each what it prints. `curl` is asked of the node, `python -m
  blockchain` runs in this process, `NAME=value` sets a variable of the shell. `testnet --run` starts the node. With
  `curl -i` the answer begins with the status line, then headers that have to be there, if any.
- `python`: run in one namespace from the top of the page to its end. What it prints is the `text` block behind it, if
  there is one; a printed line `NAME=value` sets a variable of the shell, as if a reader had pasted it there.
- `text`: what the `python` block before it prints.
- `hex`: the bytes of one transaction, each line with what it is behind two spaces; `json` is a shape by itself.

`…` stands for what is left out (tests/page.py). The only thing changed is the port: the node of the page listens on
8050, the node of the test on any free port.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, Final, get_args

import httpx
import pytest

from blockchain.api import admin, body, connection, rate, render, url, waiting
from blockchain.api.app import ApiSettings, create_app
from blockchain.api.routes import chain, history, seeing, transactions
from blockchain.api.schemas import TransactionAnswer
from blockchain.api.schemas_seeing import MissedPart
from blockchain.cli import main
from blockchain.client import Client, calls
from blockchain.commands.processes import NodeProcesses, clean_environment, python_command
from blockchain.demo_chain import demo_spec
from blockchain.errors import NodeUnreachable
from blockchain.node import entry, mempool, store, timeline
from blockchain.node.liveness import OFFLINE_MS
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.primitives.jsonform import transaction_to_json
from blockchain.primitives.scalars import SIGNATURE_TAIL_BYTES
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX
from blockchain.wallet import Wallet
from tests.api.fake_node import FakeNode
from tests.page import Block, Command, blocks, commands, differences, rows, says, shape
from tests.processes.network import free_ports
from tests.processes.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "api.md"
PACKAGE: Final = ROOT / "blockchain"
URL_OF_THE_PAGE: Final = "http://localhost:8050"
ANSWER_SECONDS: Final = 60.0  # twice what a waiting request takes by itself
TOKEN: Final = "a-token-that-only-this-test-knows-0123456789"


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ a reader


@dataclass
class Reader:
    """Somebody who goes down the page and does what it says, in an empty folder."""

    folder: Path
    stack: contextlib.ExitStack
    url: str = ""
    shell: dict[str, str] = field(default_factory=lambda: {"TOKEN": TOKEN})
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""

    def do(self, block: Block) -> None:
        match block.language:
            case "console":
                for command in commands(block):
                    self._run(command)
            case "python":
                self._execute(block)
            case "text":
                assert says(block.text, self.printed), f"line {block.line}: it printed\n{self.printed}"
            case "hex" | "json":
                pass  # looked at by tests of their own
            case _:
                raise AssertionError(f"line {block.line}: nobody runs {block.language!r}")

    def close(self) -> None:
        """A page that ends early leaves its client open."""
        for one in self.names.values():
            if isinstance(one, Client):
                one.close()

    def _execute(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(_compiled(block, self.url), self.names)
        self.printed = printed.getvalue()
        self.shell |= dict(re.findall(r"^([A-Z_]+)=(\S+)$", self.printed, re.MULTILINE))

    def _run(self, command: Command) -> None:
        words = command.words(self.shell)
        match words:
            case ["curl", *arguments]:
                self._check_answer(command, arguments)
            case ["python", "-m", "blockchain", "testnet", "--run", *arguments]:
                self._start(arguments)
            case ["python", "-m", "blockchain", *arguments]:
                self._command_line(command, arguments)
            case [one] if "=" in one:
                name, _, value = one.partition("=")
                self.shell[name] = value
            case _:
                raise AssertionError(f"line {command.line}: nobody runs {words[0]!r}")

    def _command_line(self, command: Command, arguments: list[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
            assert main(arguments) == 0, f"line {command.line}"
        said = printed.getvalue().rstrip()
        assert says(command.answer, said), f"line {command.line}: it printed\n{said}"

    def _start(self, arguments: list[str]) -> None:
        """Make what the page says, and start its one node, with a token."""
        node_port, api_port = free_ports(2)
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["testnet", *arguments, f"--first_node_port={node_port}", f"--first_api_port={api_port}"]) == 0
        (config,) = self.folder.rglob("node.toml")
        token = self.folder / "token"
        token.touch(0o600)
        token.write_text(TOKEN, encoding="utf-8")
        command = python_command("run_node.py", f"--config={config}", f"--admin_token_file={token}")
        self.stack.enter_context(_running(command, self.folder / "log"))
        self.url = f"http://localhost:{api_port}"
        wait_until("an answer", self._answers)

    def _answers(self) -> bool:
        with Client(self.url) as node, contextlib.suppress(NodeUnreachable):
            return node.ping()
        return False

    def _check_answer(self, command: Command, arguments: list[str]) -> None:
        request, is_whole = _request(arguments, self.url)
        with httpx.Client(trust_env=False, timeout=ANSWER_SECONDS) as http:
            response = http.send(request)
        expected = _check_head(command, response) if is_whole else command.answer
        found = differences(shape(expected), response.json())
        assert not found, f"docs/api.md, line {command.line}: {'; '.join(found)}\n{response.text}"


def _compiled(block: Block, url: str) -> CodeType:
    """With the page's line numbers, so that a traceback leads to the page."""
    source = "\n" * (block.line - 1) + block.text.replace(URL_OF_THE_PAGE, url)
    return compile(source, str(PAGE), "exec")


def _request(arguments: list[str], url: str) -> tuple[httpx.Request, bool]:
    """What curl would send, and whether `-i` asks for the head of the answer too; an option unknown here fails."""
    method, target, content, headers, is_whole = "GET", "", None, httpx.Headers(), False
    words = iter(arguments)
    for word in words:
        match word:
            case "-s":
                pass
            case "-i":
                is_whole = True
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(":")
                headers[name] = value.strip()
            case "-d" | "--data-binary":
                method, given = "POST" if method == "GET" else method, next(words)
                content = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
            case _ if word.startswith(URL_OF_THE_PAGE):
                target = word.replace(URL_OF_THE_PAGE, url)
            case _:
                raise AssertionError(f"curl {word} is not known here")
    return httpx.Request(method, target, headers=headers, content=content), is_whole


def _check_head(command: Command, response: httpx.Response) -> str:
    """The status and the headers that the page shows are there; returns the rest of what it shows."""
    head, _, expected = command.answer.partition("\n\n")
    status, *lines = head.splitlines()
    assert says(status, f"HTTP/1.1 {response.status_code} {response.reason_phrase}"), f"line {command.line}: {response}"
    for line in lines:
        name, _, value = line.partition(": ")
        assert says(value, response.headers[name]), f"line {command.line}: {name} is {response.headers[name]}"
    return expected


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    """A node as a process; it is told to end, and ends well."""
    with NodeProcesses() as nodes:
        nodes.start_into_file("node", command, log, clean_environment())
        yield
        assert nodes.stop() == {"node": 0}, log.read_text(encoding="utf-8")[-2_000:]


def test_every_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        stack.callback(reader.close)
        for block in blocks(page()):
            reader.do(block)


# ------------------------------------------------------------------------------------------------ the tables


def documented_routes() -> dict[tuple[str, str], str]:
    """(method, path) to the text of the parameters."""
    table = rows(page(), "Routes")
    routes = {(method, path.strip("`")): parameters for method, path, _, parameters in table}
    assert len(routes) == len(table), "a row stands twice"
    return routes


@cache
def served_routes() -> dict[tuple[str, str], set[str]]:
    """(method, path) to the names of the parameters, of a node that has a token."""
    settings = ApiSettings(admin_token=admin.AdminToken(b"-" * 32))
    paths = create_app(FakeNode(), settings).openapi()["paths"]
    return {
        (method.upper(), path): {one["name"] for one in operation.get("parameters", [])}
        for path, item in paths.items()
        for method, operation in item.items()
    }


def test_the_table_of_routes_has_every_route_and_none_else() -> None:
    assert documented_routes().keys() == served_routes().keys()


def test_the_table_of_routes_names_their_parameters() -> None:
    documented = documented_routes()
    for route, names in served_routes().items():
        assert set(re.findall(r"`(\w+)`", documented[route])) == names, route


LIMITS: Final = {
    "path with its query": f"{url.URL_CHARACTERS_MAX:,} characters",
    "head of a request": f"{connection.HEAD_BYTES_MAX:,} bytes, in {connection.IDLE_SECONDS_MAX:.0f} s",
    "bodies of all requests together": f"{body.BODIES_BYTES_MAX:,} bytes",
    "body of a request": f"{body.BODY_BYTES_MAX:,} bytes",
    "time for a body to arrive": f"{body.BODY_SECONDS_MAX:.0f} s",
    "transactions in a request": f"{body.SUBMISSION_TRANSACTIONS_MAX:,}",
    "bytes of a transaction": f"{TRANSACTION_BYTES_MAX:,}",
    "requests of one client": (
        f"{rate.REQUESTS_PER_SECOND} a second, {rate.REQUESTS_PER_SECOND * rate.BURST_SECONDS:,} at once"
    ),
    "wrong tokens of one client": (
        f"1 in {1 / admin.WRONG_TOKENS_PER_SECOND:.0f} s, {admin.WRONG_TOKENS_BURST} at once"
    ),
    "connections": f"{connection.CONNECTIONS_MAX}, of one client {connection.CLIENT_CONNECTIONS_MAX}",
    "time without a request in progress": f"{connection.IDLE_SECONDS_MAX:.0f} s",
    "transactions in the pool": (
        f"{mempool.TRANSACTIONS_MAX:,}, of one sender {mempool.SENDER_TRANSACTIONS_MAX:,}, "
        f"and {mempool.BYTES_MAX >> 20} MiB"
    ),
    "requests that wait (`wait=final`)": (
        f"{waiting.WAITS_MAX}, of one client {waiting.CLIENT_WAITS_MAX}, each {waiting.WAIT_SECONDS_MAX} s"
    ),
    "blocks of a page": (
        f"{chain.PAGE_BLOCKS_MAX}, default {chain.PAGE_BLOCKS}, and {chain.PAGE_BYTES_MAX >> 20} MiB as stored"
    ),
    "validators of a page": f"{seeing.PAGE_VALIDATORS_MAX:,}, default {seeing.PAGE_VALIDATORS}",
    "heights whose timeline is kept": f"{timeline.HEIGHTS_MAX}, of each the newest {timeline.ROUNDS_MAX} rounds",
    "blocks that the record of a validator counts": f"{store.TURNS_MAX:,}",
    "transactions of a page of a history": (
        f"{history.HISTORY_ENTRIES_MAX}, default {history.HISTORY_ENTRIES}, and {chain.PAGE_BYTES_MAX >> 20} MiB "
        "of blocks as stored"
    ),
    "transactions listed from the pool": f"{transactions.POOL_LISTED_MAX:,}",
    "accounts listed from genesis": f"{render.GENESIS_ACCOUNTS_LISTED_MAX:,}",
}


def test_the_limits_are_those_of_the_code() -> None:
    assert {row[0]: row[1] for row in rows(page(), "Limits")} == LIMITS
    assert calls.SUBMISSION_TRANSACTIONS_MAX == body.SUBMISSION_TRANSACTIONS_MAX


def test_the_codes_on_the_page_are_those_of_the_code() -> None:
    """A code is what stands between backquotes behind a status, or in a `code` of an answer."""
    named = set(re.findall(r"\b[45]\d\d `(\w+)`", page())) | set(re.findall(r'"code": "(\w+)"', page()))
    sources = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert len(named) > 5
    assert {code for code in named if f'"{code}"' not in sources} == set()


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    text = " ".join(page().split())
    assert f"up to {mempool.NONCE_GAP_MAX:,} ahead" in text
    assert f"kept for the newest {store.STORIES_MAX:,}, and what was refused" in text
    assert f"at once for the newest {store.REFUSALS_MAX:,}" in text
    assert entry.REPLACEMENT_PERCENT == 10, "the page says a tenth"
    assert mempool.WAIT_MAX_MS == 3_600_000, "the page says an hour"


def test_the_reasons_of_missed_heights_are_those_of_the_code() -> None:
    documented = {row[0].strip("`*") for row in rows(page(), "See what validators do, and what held a height up")}
    assert documented == {reason or "empty" for reason in get_args(MissedPart.model_fields["reason"].annotation)}
    assert OFFLINE_MS == 15_000, "the page says 15 s"


def test_the_states_of_a_transaction_are_those_of_the_code() -> None:
    documented = [row[0].strip("`") for row in rows(page(), "The story of a payment that is refused")]
    assert documented == list(get_args(TransactionAnswer.model_fields["state"].annotation))


def test_the_canonical_bytes_are_those_of_the_wallet() -> None:
    (shown,) = (block for block in blocks(page()) if block.language == "hex")
    raw = bytes.fromhex("".join(line.split()[0] for line in shown.text.splitlines()))
    keys = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
    made = Wallet(keys[0], demo_spec().hash).transfer(Address(keys[1].public_key), 7, nonce=0, fee=1)
    assert raw == made.raw
    assert made.id.hex() in page()
    assert f"last {SIGNATURE_TAIL_BYTES}" in page()


def test_the_json_of_a_transaction_is_what_a_node_reads() -> None:
    (shown,) = (block for block in blocks(page()) if block.language == "json")
    key = SigningKey(b"\x01" * 32)
    made = Wallet(key, demo_spec().hash).transfer(Address(key.public_key), 250, nonce=0, fee=1)
    assert differences(shape(shown.text), transaction_to_json(made.transaction)) == []
