"""A signing record with one damaged slot does not leave the store that knows what it may lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockchain.commands.history import read_records
from blockchain.commands.validator import move_away
from blockchain.errors import SigningRefused
from blockchain.runtime import moving
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.signer import Signer
from tests.runtime.record_damage import spoil
from tests.runtime.test_signer import CHAIN, KEY, open_signer, prevote
from tests.samples import spec_of


def read(path: Path) -> RecordFile:
    """As a command does that is started now. Raises SigningRefused."""
    [(file, _)] = read_records([RecordFile(path, KEY.public_key, CHAIN)])
    return file


@pytest.mark.parametrize("is_newest", [True, False])
def test_it_is_exported_when_a_start_has_mended_it(tmp_path: Path, is_newest: bool) -> None:
    path = tmp_path / "record"
    open_signer(path).sign(prevote(5, 0))
    assert read(path).kept.record.height == 5
    spoil(path, is_newest=is_newest)
    with pytest.raises(SigningRefused, match="is half damaged, and may lack the last signature: start the node here"):
        read(path)
    open_signer(path)  # its node then asks again for what is missing
    assert not read(path).has_damage


def test_no_move_is_made_of_it_but_of_one_that_was_moved_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "OPERATIONS", 1)
    monkeypatch.setattr(moving, "MEMORY_BYTES", 8_192)
    path = tmp_path / "record"

    def move(name: str) -> None:
        file = RecordFile(path, KEY.public_key, CHAIN)
        move_away(tmp_path / name, spec_of(), [(file, b"a key file")], b"open sesame")

    open_signer(path).sign(prevote(5, 0))
    spoil(path, is_newest=True)
    with pytest.raises(SigningRefused, match="is half damaged"):
        move("none")
    assert not (tmp_path / "none").exists()
    open_signer(path)
    move("first")
    spoil(path, is_newest=True)
    with pytest.raises(SigningRefused, match="was moved away"):  # both slots say so
        Signer(KEY, CHAIN, path).load()
    move("second")  # and it lacks nothing
    assert (tmp_path / "second").exists()
