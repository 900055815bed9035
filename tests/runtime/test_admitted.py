"""The file of admitted node ids: what it may hold, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockchain.errors import ConfigError
from blockchain.runtime.admitted import ADMITTED_MAX, FILE_BYTES_MAX, read_admitted

ANN, BOB = b"\x0a" * 32, b"\x0b" * 32


def test_node_ids_stand_one_a_line_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "admitted"
    text = f"\ufeff# ours\r\n{ANN.hex()}\n\n  {BOB.hex().upper()}  # Bob's, caf\xe9\n{ANN.hex()}\n"
    path.write_text(text, encoding="utf-8")
    assert read_admitted(path) == {ANN, BOB}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f"# one\n{ANN.hex()}\n{BOB.hex()[:-1]}\n".encode(), ", line 3: not a node id of 64 hexadecimal digits"),
        (f"{ANN.hex()} {BOB.hex()}\n".encode(), ", line 1: not a node id of 64 hexadecimal digits"),
        (b"\xff\xfe\x00\n", ", line 1: not a node id of 64 hexadecimal digits"),
        (b"# nobody\n", ": names no node id, so this node would talk to nobody"),
        (b"#" * (FILE_BYTES_MAX + 1), f": larger than {FILE_BYTES_MAX} bytes, so no list of node ids"),
        (
            "".join(f"{number:064x}\n" for number in range(ADMITTED_MAX + 1)).encode(),
            f": {ADMITTED_MAX + 1} node ids, {ADMITTED_MAX} at most",
        ),
    ],
    ids=["too short", "two", "binary", "none", "too large", "too many"],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "admitted"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_admitted(path)
    assert str(caught.value) == f"admit file {path}{complaint}"


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^admit file .*none: No such file or directory$"):
        read_admitted(tmp_path / "none")
