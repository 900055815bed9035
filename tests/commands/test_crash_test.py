"""`crash-test` in short: a real validator is killed, what it says, and what it does when something is lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.commands import crash_test_play
from blockchain.commands.crash_test import disk_line, verdict
from blockchain.commands.crash_test_play import CrashTestFailed, Figures, Victim, _check_all
from blockchain.runtime.record_file import RecordFile
from tests.commands.stored_chain import HEIGHT, SPEC, make_chain, open_chain, sql
from tests.commands.test_cli import stderr_line
from tests.samples import key


@pytest.mark.slow
def test_a_validator_survives_its_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crash-test", str(tmp_path), "--kills=6"]) == 0
    out = capsys.readouterr().out
    assert "kill 6: " in out and "PASSED: 6 kills" in out and "What this cannot show" in out
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_a_signing_record_that_is_put_back_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, lives = RecordFile.refresh, []

    def put_back(record: RecordFile) -> object:
        lives.append(record.path.read_bytes())
        if len(lives) > 3:  # the newer ones were seen
            record.path.write_bytes(lives[0])
        return refresh(record)

    monkeypatch.setattr(RecordFile, "refresh", put_back)
    assert main(["crash-test", str(tmp_path), "--kills=8"]) == EXIT_FAILED
    assert "replaced by an older one" in stderr_line(capsys).replace("FAILED: ", "")
    assert len([*tmp_path.iterdir()]) == 1, "what was found is left there"


def victim(folder: Path, seen: dict[int, str]) -> Victim:
    one = Victim(folder, SPEC, RecordFile(folder / "record", key(1).public_key, SPEC.hash))
    one.seen.update(seen)
    return one


def ids(folder: Path) -> tuple[dict[int, str], list[str]]:
    with open_chain(folder / "data") as node:
        blocks = [node.store.block(height) for height in range(1, HEIGHT + 1)]
    found = [block for block in blocks if block is not None]
    return {one.height: one.id.hex() for one in found}, [each.hex() for one in found for each in one.transaction_ids]


def test_what_is_checked_in_the_end(tmp_path: Path) -> None:
    file = make_chain(tmp_path)
    seen, acknowledged = ids(tmp_path)
    _check_all(tmp_path, SPEC, victim(tmp_path, seen), acknowledged)
    with pytest.raises(CrashTestFailed, match="1 of 11 acknowledged transactions are lost, first 00"):
        _check_all(tmp_path, SPEC, victim(tmp_path, seen), [*acknowledged, "00" * 32])
    with pytest.raises(CrashTestFailed, match="block 2 was final, and is another one now"):
        _check_all(tmp_path, SPEC, victim(tmp_path, {**seen, 2: "00" * 32}), acknowledged)
    sql(file, "DELETE FROM state_log")
    with pytest.raises(CrashTestFailed, match="is damaged"):
        _check_all(tmp_path, SPEC, victim(tmp_path, seen), acknowledged)


def test_a_file_system_that_forces_nothing_is_told() -> None:
    assert "forces nothing" in disk_line([0.001, 0.002, 0.001])
    assert disk_line([1.0, 2.0, 9.0]) == "Disk: a small durable write takes 2.00 ms, the slowest of 3 9.00 ms."


def test_the_verdict_says_what_was_seen_and_what_cannot_be() -> None:
    said = verdict(
        Figures(kills=30, starting=7, blocks=400, acknowledged=900, starts=24, start_sum_s=36, start_max_s=2)
    )
    assert "30 kills, 7 of them" in said and "400 blocks" in said and "900 transactions" in said and "1.5 s" in said
    assert "power cut" in said


@pytest.mark.parametrize("kills", ["0", "x", "10001"])
def test_so_many_kills_are_none(kills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crash-test", str(tmp_path), f"--kills={kills}"]) == EXIT_USAGE
    assert "--kills" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crash-test", str(tmp_path / "none")]) == EXIT_USAGE
    assert "no folder can be made in" in stderr_line(capsys)


def test_a_validator_that_does_not_start_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        crash_test_play, "python_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no disk')"]
    )
    assert main(["crash-test", str(tmp_path), "--kills=1"]) == EXIT_FAILED
    assert "FAILED: it ended with 1: no disk" in stderr_line(capsys)
