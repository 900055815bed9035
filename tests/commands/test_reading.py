"""status, block, tx and account, against the real API over a node in memory."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from blockchain.cli import EXIT_FAILED, main
from blockchain.commands.text import table, time_text
from blockchain.primitives.address import format_address
from tests.api.fake_node import ALICE, ALICE_KEY, BOB, FakeNode
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line


@pytest.fixture(name="api")
def api_fixture() -> Iterator[tuple[str, FakeNode]]:
    with running_api(pending=1) as running:
        yield running


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_the_status_page_says_what_an_operator_asks(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    page = output(capsys, "status", f"--url={api[0]}")
    assert "height       3" in page
    assert "pool holds 1 of 2, 1 transaction pending" in page
    assert "waiting for  pool holds 1 of 2" in page
    assert "localhost:8012: connection refused" in page
    assert f"{ALICE.address_text}  (votes)" in page
    assert "HALTED" not in page


def test_a_halted_node_says_so_first(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    api[1].is_halted = "two certificates at height 2"
    api[1].is_syncing = True
    page = output(capsys, "status", f"--url={api[0]}")
    assert page.startswith("HALTED       two certificates at height 2\n")
    assert "catching up to 8" in page
    assert "sync         3 of 8, 12.5 blocks/s, about 1 s left, 1 source\n" in page


def test_a_terminal_obeys_nothing_that_a_node_says(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    api[1].is_halted = "\x1b[2J\x9b2J\u202e \r\nheight       9"
    page = output(capsys, "status", f"--url={api[0]}")
    assert page.startswith("HALTED       ?[2J?2J? ??height       9\n")
    told = output(capsys, "status", "--json", f"--url={api[0]}")
    assert "".join(told.split("\n")).isprintable()
    assert json.loads(told)["is_halted"] == api[1].is_halted
    assert table([("A",), ("\x1b[2J",)]).splitlines()[2] == "?[2J"


def test_a_node_that_does_not_trust_its_chain_says_so_first(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    api[1].untrusted = "block 3 is too old"
    assert output(capsys, "status", f"--url={api[0]}").startswith("NOT TRUSTED  block 3 is too old\n")


def test_a_validator_that_signs_nothing_says_so_first(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    api[1].silent = "another process has its key"
    page = output(capsys, "status", f"--url={api[0]}")
    assert page.startswith("SIGNS NOTHING  another process has its key\n")
    assert "(does not vote now)" in page and "(votes)" not in page


def test_a_node_whose_key_does_not_count_says_where_to_look(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    api[1].validator = None
    assert "none at this height: its key is in no set" in output(capsys, "status", f"--url={api[0]}")
    api[1].keys = ()
    assert "none: this node follows and does not vote" in output(capsys, "status", f"--url={api[0]}")


def test_the_status_of_an_empty_chain(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api(heights=0) as (url, _):
        assert "0, no block yet" in output(capsys, "status", f"--url={url}")


@pytest.mark.parametrize("command", [["status"], ["block"], ["account", ALICE.address_text]])
def test_json_is_the_nodes_answer(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    answer = json.loads(output(capsys, *command, "--json", f"--url={api[0]}"))
    expected = {"status": ("height", 3), "block": ("height", 3), "account": ("balance", 994)}
    name, value = expected[command[0]]
    assert answer[name] == value


def test_a_block_by_height_id_and_the_newest(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    url = f"--url={api[0]}"
    newest = output(capsys, "block", url)
    assert "height        3" in newest
    assert newest.count("TRANSFER") == 2
    second = output(capsys, "block", "2", url)
    identifier = next(line.split()[1] for line in second.splitlines() if line.startswith("id "))
    assert output(capsys, "block", identifier, url) == second


def test_a_transaction_final_pending_and_unknown(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    url = f"--url={api[0]}"
    block = json.loads(output(capsys, "block", "1", "--json", url))
    final = output(capsys, "tx", block["transactions"][1]["id"], url)
    assert "final, in block 1 at place 1" in final and "amount     1" in final
    assert "state      pending" in output(capsys, "tx", api[1].pool[0].id.hex(), url)
    assert main(["tx", "00" * 32, url]) == EXIT_FAILED
    assert "does not know" in stderr_line(capsys)


def test_a_transaction_is_waited_for(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    url, node = api
    made = node.pool[0]
    assert "pending" in output(capsys, "tx", made.id.hex(), "--wait=0.01", f"--url={url}")
    node.finalize_while_waiting(made)
    assert "final, in block 1" in output(capsys, "tx", made.id.hex(), "--wait=20", f"--url={url}")
    ((waited_for, seconds),) = node.waited
    assert waited_for == (made.id,)
    assert 1 <= seconds <= 19
    assert main(["tx", "00" * 32, "--wait=0.01", f"--url={url}"]) == EXIT_FAILED
    assert "does not know" in stderr_line(capsys)


def test_a_refused_transaction_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, node):
        refused = node.make_refused()
        page = output(capsys, "tx", refused.id.hex(), f"--url={url}")
    assert "evicted: the pool was full (evicted)" in page
    assert "received  1970-01-01 00:00:04 UTC, from a client\n" in page
    assert "evicted   1970-01-01 00:00:05 UTC, the pool was full (evicted)\n" in page


def test_an_account_by_bech32m_hex_and_key_file(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    url = f"--url={api[0]}"
    page = output(capsys, "account", ALICE.address_text, url)
    assert "balance        994" in page
    assert f"validator key  {ALICE_KEY.public_key.hex()}  from height 7 on\n" in page
    assert output(capsys, "account", ALICE.address.hex(), url) == page
    other = output(capsys, "account", "keys/staker_private_key.pem", url)
    assert "balance     0" in other


def test_the_history_of_an_account_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api(heights=15) as (url, _):
        first = output(capsys, "account", ALICE.address_text, "--history", f"--url={url}").splitlines()
        assert len(first) == 2 + 20 + 1
        assert first[2].startswith("15 ")
        assert "-1" in first[2].split()
        assert first[-1] == "older: --history --cursor=6:0"
        second = output(capsys, "account", ALICE.address_text, "--history", "--cursor=6:0", f"--url={url}").splitlines()
        assert len(second) == 2 + 10
        given = json.loads(output(capsys, "account", BOB.address_text, "--history", "--json", f"--url={url}"))
        assert given["entries"][0]["direction"] == "in"
        nobody = output(capsys, "account", "ab" * 32, "--history", f"--url={url}")
        assert nobody == "no final transaction names this account\n"


def test_what_is_no_address_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["account", "pos1nonsense"]) == EXIT_FAILED
    assert "no key file" in stderr_line(capsys)


@pytest.mark.parametrize(
    "command",
    [["status"], ["block"], ["tx", "00" * 32], ["account", format_address(bytes(31) + b"\1")], ["sample"]],
)
def test_no_node_is_a_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:  # bound and not listening: nobody else gets this port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert main([*command, f"--url=http://127.0.0.1:{port}"]) == EXIT_FAILED
    assert "no answer from" in stderr_line(capsys)


def test_a_block_that_is_not_there_is_a_line(api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["block", "99", f"--url={api[0]}"]) == EXIT_FAILED
    assert "no final block 99" in stderr_line(capsys)
    assert main(["block", "../x", f"--url={api[0]}"]) == EXIT_FAILED
    stderr_line(capsys)


def test_times_are_utc_as_far_as_the_calendar_goes() -> None:
    assert time_text(1_767_225_600_000) == "2026-01-01 00:00:00 UTC"
    assert time_text(2**53 - 1) == "9007199254740991 ms since 1970"
