"""send and sample: what is signed, with which nonce, and what is said of the answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.client import Refusal, TransactionState
from blockchain.commands.keyring import keys_folder
from blockchain.commands.send import say_what_became_of_it
from blockchain.demo_chain import EXCHANGE_ADDRESS, JANE_ADDRESS, demo_spec, john_key
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.transaction import Exchange, Stake, Transaction, Transfer, decode_transaction
from blockchain.runtime.keystore import write_key_file
from tests.api.fake_node import ALICE_KEY, BOB, FakeNode
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line

JOHN = john_key().public_key


@pytest.fixture(name="api")
def api_fixture() -> Iterator[tuple[str, FakeNode]]:
    with running_api() as running:
        yield running


@pytest.fixture(name="key")
def key_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "alice.pem"
    write_key_file(path, ALICE_KEY, None)
    return path


def submitted(node: FakeNode) -> list[Transaction]:
    return [decode_transaction(raw) for raws in node.submitted for raw in raws]


def test_the_sample_is_seven_posts_in_the_parents_order(
    api: tuple[str, FakeNode], capsys: pytest.CaptureFixture[str]
) -> None:
    url, node = api
    assert main(["sample", f"--url={url}"]) == 0
    assert [len(raws) for raws in node.submitted] == [1] * 7
    sent = [(one.sender, one.nonce, one.payload) for one in submitted(node)]
    assert sent == [
        (EXCHANGE_ADDRESS, 0, Exchange(JANE_ADDRESS, 100)),
        (EXCHANGE_ADDRESS, 1, Exchange(JOHN, 100)),  # type: ignore[arg-type]
        (EXCHANGE_ADDRESS, 2, Exchange(JOHN, 10)),  # type: ignore[arg-type]
        (JANE_ADDRESS, 0, Stake(25)),
        (JANE_ADDRESS, 1, Transfer(JOHN, 1)),  # type: ignore[arg-type]
        (JANE_ADDRESS, 2, Transfer(JOHN, 1)),  # type: ignore[arg-type]
        (JANE_ADDRESS, 3, Transfer(JOHN, 1)),  # type: ignore[arg-type]
    ]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert all(line.startswith("accepted ") for line in lines)
    assert lines[0].endswith("EXCHANGE  exchange -> jane, 100")
    assert lines[3].endswith("STAKE     jane, 25")
    assert lines[6].endswith("TRANSFER  jane -> john, 1")


def test_a_transfer_takes_the_nodes_nonce_and_the_flags(
    api: tuple[str, FakeNode], key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, node = api
    arguments = ["send", "transfer", BOB.address_text, "1_000", f"--key-file={key}", "--fee=2", "--expiry=9"]
    assert main([*arguments, f"--url={url}"]) == 0
    (sent,) = submitted(node)
    assert (sent.nonce, sent.fee, sent.expiry, sent.payload) == (6, 2, 9, Transfer(BOB.address, 1_000))
    assert capsys.readouterr().out.startswith("accepted ")


def test_a_nonce_of_ones_own_and_the_other_kinds(api: tuple[str, FakeNode], key: Path) -> None:
    url, node = api
    common = [f"--key_file={key}", f"--url={url}"]
    staker = keys_folder() / "staker_private_key.pem"
    assert main(["send", "stake", "5", "--nonce=40", f"--validator_key={staker}", *common]) == 0
    assert main(["send", "exchange", BOB.address.hex(), "7", "--nonce=41", *common]) == 0
    stake, exchange = submitted(node)
    assert isinstance(stake.payload, Stake)
    assert (stake.nonce, stake.payload.amount, stake.payload.validator_key) == (40, 5, PublicKey(JANE_ADDRESS))
    assert (exchange.nonce, exchange.payload) == (41, Exchange(BOB.address, 7))


def test_a_refusal_is_a_line_with_the_nodes_reason(
    api: tuple[str, FakeNode], key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["send", "transfer", BOB.address_text, "0", f"--key_file={key}", f"--url={api[0]}"]
    assert main(arguments) == EXIT_FAILED
    assert "amount is zero" in stderr_line(capsys)
    genesis = ["send", "transfer", BOB.address_text, "1", f"--key_file={key}", f"--url={api[0]}"]
    assert main([*genesis, f"--genesis={write_demo_genesis(key.parent)}"]) == EXIT_FAILED
    assert "signature" in stderr_line(capsys)  # signed for the chain of the file, which is not the node's


def write_demo_genesis(folder: Path) -> Path:
    from blockchain.genesis import dump_genesis

    path = folder / "genesis.json"
    path.write_bytes(dump_genesis(demo_spec()))
    return path


def test_a_wait_that_runs_out_is_no_failure(
    api: tuple[str, FakeNode], key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["send", "transfer", BOB.address_text, "1", f"--key_file={key}", f"--url={api[0]}", "--wait=0.01"]
    assert main(arguments) == 0
    assert "do not send it again" in capsys.readouterr().out


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "soon"])
def test_a_wait_that_is_none_is_refused_before_anything_is_sent(
    wait: str, api: tuple[str, FakeNode], key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["send", "transfer", BOB.address_text, "1", f"--key_file={key}", f"--url={api[0]}", f"--wait={wait}"]
    assert main(arguments) == 2
    assert "is not a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (TransactionState("ab" * 32, "final", 7, 0), 0, "final in block 7\n"),
        (TransactionState("ab" * 32, "unknown"), 0, f"blockchain tx {'ab' * 32}\n"),
        (TransactionState("ab" * 32, "refused", refusal=Refusal("evicted", "full", 1)), 1, "refused: full (evicted)\n"),
    ],
)
def test_what_became_of_it_is_said(
    found: TransactionState, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say_what_became_of_it(found, 1.0) == code
    captured = capsys.readouterr()
    assert (captured.err if code else captured.out).endswith(said)


@pytest.mark.parametrize("amount", ["1.5", "-1", "ten", "", "٣"])
def test_an_amount_that_is_none_is_usage(amount: str, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "stake", f"--key_file={key}", "--", amount]) == EXIT_USAGE
    assert "whole number" in capsys.readouterr().err


def test_an_encrypted_key_needs_its_password(
    api: tuple[str, FakeNode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, password = tmp_path / "key.pem", tmp_path / "password"
    write_key_file(key, ALICE_KEY, b"open sesame")
    common = ["send", "transfer", BOB.address_text, "1", f"--key_file={key}", f"--url={api[0]}"]
    assert main(common) == EXIT_FAILED
    assert "password" in stderr_line(capsys)
    password.write_bytes(b"open sesame\r\nsecond line")
    password.chmod(0o600)
    assert main([*common, f"--password_file={password}"]) == 0
    password.write_bytes(b"\n")
    assert main([*common, f"--password_file={password}"]) == EXIT_USAGE


@pytest.mark.skipif(os.name == "nt", reason="no modes on Windows")
def test_a_key_that_others_may_read_is_refused(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key.chmod(0o644)
    assert main(["send", "stake", "1", f"--key_file={key}"]) == EXIT_FAILED
    assert "chmod 600" in stderr_line(capsys)
