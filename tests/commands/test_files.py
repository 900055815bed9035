"""keys, genesis and reset: what they make, show and delete."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.commands.keyring import keys_folder
from blockchain.commands.validator_keys import RECORD_FILE
from blockchain.demo_chain import (
    EXCHANGE_ADDRESS,
    GENESIS_ADDRESS,
    GENESIS_STAKE,
    JANE_ADDRESS,
    demo_names,
    demo_spec,
    john_key,
)
from blockchain.genesis import check_genesis, load_genesis
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import DEMO_KEYS, node_key, public_key_of, read_key_file
from tests.commands.test_cli import stderr_line

# ------------------------------------------------------------------------------------------------ the demo chain


def test_the_demo_chain_is_that_of_the_public_keys() -> None:
    expected = {"genesis": GENESIS_ADDRESS, "staker": JANE_ADDRESS, "exchange": EXCHANGE_ADDRESS}
    for name, address in expected.items():
        assert public_key_of(keys_folder() / f"{name}_private_key.pem") == PublicKey(address)
    assert {bytes(key) for key in DEMO_KEYS} == {bytes(address) for address in expected.values()}
    assert len(demo_names()) == 4 and Address(john_key().public_key) in demo_names()


def test_the_demo_chain_is_what_the_readme_says() -> None:
    spec = demo_spec()
    check_genesis(spec)
    parameters = spec.parameters
    assert spec.demo and spec.issuer == EXCHANGE_ADDRESS and spec.accounts == ()
    assert [(one.address, one.stake) for one in spec.validators] == [(GENESIS_ADDRESS, GENESIS_STAKE)]
    assert (parameters.block_threshold, parameters.block_max_transactions) == (2, 2)
    assert (parameters.block_max_wait_ms, parameters.heartbeat_ms, parameters.stake_delay) == (None, None, 0)


def test_the_demo_chain_is_the_same_on_every_machine() -> None:
    """Its identity: a node with another one speaks with none of the released ones."""
    assert demo_spec().hash.hex() == "8961fb016d96ed02dc12e3abf5486020209f407ae556e5943b51c9dfa0feece9"


# ---------------------------------------------------------------------------------------------------------- keys


def test_a_key_is_made_shown_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.pem"
    assert main(["keys", "generate", str(path), "--no_password"]) == 0
    made = capsys.readouterr()
    assert "WARNING" in made.err and "is not encrypted" in made.err
    key = read_key_file(path, None)
    assert format_address(key.public_key) in made.out and key.public_key.hex() in made.out
    assert key.seed.hex() not in made.out
    assert main(["keys", "show", str(path)]) == 0
    assert capsys.readouterr().out == made.out
    assert main(["keys", "generate", str(path), "--no_password"]) == EXIT_FAILED
    assert "never overwritten" in stderr_line(capsys)
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_node_id_is_known_before_the_first_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    assert main(["keys", "node", "--data_dir", str(folder)]) == 0
    node_id = capsys.readouterr().out.strip()
    assert bytes.fromhex(node_id) == node_key(folder).public_key
    assert main(["keys", "node", "--data_dir", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == node_id


def test_a_demo_key_is_shown_as_public_knowledge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "show", str(keys_folder() / "staker_private_key.pem")]) == 0
    assert "everybody can sign with it" in capsys.readouterr().out


def test_a_missing_key_file_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "show", str(tmp_path / "none.pem")]) == EXIT_FAILED
    assert "no such file" in stderr_line(capsys)


# ------------------------------------------------------------------------------------------------------- genesis


def create(path: Path, *more: str) -> int:
    return main(["genesis", "create", str(path), "--chain_id=mine", f"--validator={JANE_ADDRESS.hex()}=50", *more])


def test_a_genesis_is_made_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "genesis.json"
    staker = keys_folder() / "exchange_private_key.pem"
    assert create(path, f"--account={staker}=1_000", f"--issuer={staker}", "--set=block_threshold=3") == 0
    printed = capsys.readouterr().out.strip()
    spec = load_genesis(path.read_bytes())
    assert (spec.chain_id, spec.issuer, spec.parameters.block_threshold) == ("mine", EXCHANGE_ADDRESS, 3)
    assert (spec.accounts[0].balance, spec.validators[0].stake) == (1_000, 50)
    assert not spec.demo
    assert printed == spec.hash.hex()
    assert main(["genesis", "hash", str(path)]) == 0
    assert capsys.readouterr().out.strip() == printed
    assert main(["genesis", "show", str(path)]) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")


def test_without_a_file_the_demo_chain_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["genesis", "hash"]) == 0
    assert capsys.readouterr().out.strip() == demo_spec().hash.hex()


@pytest.mark.parametrize(
    ("more", "code", "why"),
    [
        (["--set=block_treshold=3"], EXIT_USAGE, "the parameters are"),
        (["--set=block_threshold=x"], EXIT_USAGE, "whole number"),
        (["--set=block_threshold=0"], EXIT_USAGE, "block_threshold: it has to be at least 1"),
        (["--set=block_threshold=none"], EXIT_USAGE, "block_threshold"),
        (["--set=stake_delay=1"], EXIT_FAILED, "at least 8"),
        (["--account=100"], EXIT_USAGE, "ADDRESS=AMOUNT"),
        (["--account=nobody=100"], EXIT_FAILED, "nobody"),
        ([f"--validator={JANE_ADDRESS.hex()}=1"], EXIT_FAILED, "stands twice"),
        ([f"--account={JANE_ADDRESS.hex()}={2**53}"], EXIT_FAILED, "balance"),
    ],
)
def test_a_genesis_that_cannot_be_is_refused_and_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, why: str
) -> None:
    assert create(tmp_path / "genesis.json", *more) == code
    assert why in stderr_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_genesis_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "genesis.json"
    path.write_text("mine")
    assert create(path) == EXIT_USAGE
    assert "never overwritten" in stderr_line(capsys)
    assert path.read_text() == "mine"


# --------------------------------------------------------------------------------------------------------- reset


@pytest.fixture(name="data")
def data_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "node-8010"
    folder.mkdir(parents=True)
    for name in ("chain.db", "chain.db-wal", "node_key.pem", "mine.txt"):
        (folder / name).write_text(name)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"lock.db"}


@pytest.mark.parametrize("answer", ["", "y", "no"])
def test_reset_asks_and_takes_only_yes(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    asked: list[str] = []

    def say(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("builtins.input", say)
    assert main(["reset"]) == EXIT_FAILED
    assert len(asked) == 1
    assert "Nothing was deleted" in capsys.readouterr().out
    assert "chain.db" in names(data)


def test_reset_without_anybody_to_ask_deletes_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert main(["reset"]) == EXIT_FAILED
    assert "chain.db" in names(data)


def test_reset_deletes_the_chain_and_keeps_keys_and_what_is_not_its_own(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    assert main(["reset"]) == 0
    assert names(data) == {"node_key.pem", "mine.txt"}


def test_the_signing_record_goes_on_a_demo_chain_and_stays_on_every_other(data: Path, tmp_path: Path) -> None:
    for name in (RECORD_FILE, f"{RECORD_FILE}.lock"):
        (data / name).write_text("record")
    genesis = tmp_path / "genesis.json"
    assert create(genesis) == 0
    assert main(["reset", "--yes", f"--genesis={genesis}"]) == 0
    assert names(data) == {"node_key.pem", "mine.txt", RECORD_FILE, f"{RECORD_FILE}.lock"}
    (data / "chain.db").write_text("again")
    assert main(["reset", "--yes"]) == 0
    assert names(data) == {"node_key.pem", "mine.txt"}


def test_reset_with_yes_does_not_ask(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("builtins.input")
    assert main(["reset", "--yes"]) == 0
    assert main(["reset", "--yes", "--node-port=8010"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    assert names(data) == {"node_key.pem", "mine.txt"}


def test_reset_refuses_while_the_node_runs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FolderLock.take(data)
    try:
        assert main(["reset", "--yes"]) == EXIT_FAILED
    finally:
        lock.release()
    assert "in use" in stderr_line(capsys)
    assert "chain.db" in names(data)
