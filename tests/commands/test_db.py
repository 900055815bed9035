"""db info, check and backup: what they tell of a store, the faults that they find, and what they never do."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from msgspec.structs import replace

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.node.verify import VerifyContext, verify_block
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import Validator
from blockchain.primitives.vote import Certificate
from blockchain.runtime import atomic_file
from blockchain.runtime.sqlite_pending import PackedRow
from blockchain.runtime.sqlite_validators import StoredChange
from blockchain.seams import Batch, PendingTransaction
from tests.commands.stored_chain import (
    HEIGHT,
    SPEC,
    change_block,
    change_index,
    change_state,
    flags,
    grow,
    make_chain,
    open_chain,
    sql,
)
from tests.commands.test_cli import stderr_line
from tests.node.one_chain import sealed
from tests.samples import address, key


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    make_chain(folder)
    return folder


@pytest.fixture(name="folder")
def folder_fixture(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "node"))


def store(folder: Path) -> Path:
    return folder / "data" / "chain.db"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["db", *arguments]) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


# ---------------------------------------------------------------------------------------------------------- info


def test_info_says_what_the_store_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(capsys, "info", *flags(folder))
    assert SPEC.hash.hex() in page and SPEC.chain_id in page
    assert f"height        {HEIGHT}, forged 2023-11-14" in page
    assert f"transactions  {2 * HEIGHT} final, 1 pending" in page
    assert "none runs on it" in page and "format        " in page
    found = json.loads(told(capsys, "info", "--json", *flags(folder)))
    assert (found["height"], found["pending"], found["is_in_use"]) == (HEIGHT, 1, False)
    assert found["file_bytes"] == store(folder).stat().st_size


def test_info_says_first_that_the_node_has_halted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_chain(folder / "data") as node:
        node.store.write(Batch(halted="two certificates at height 4"))
    assert told(capsys, "info", *flags(folder)).startswith("HALTED        two certificates at height 4\n")


def test_info_works_while_a_node_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_chain(folder / "data") as node:
        grow(node, 1)
        page = told(capsys, "info", *flags(folder))
        assert f"height        {HEIGHT + 1}, " in page and "node          runs on it" in page
    assert "none runs on it" in told(capsys, "info", *flags(folder))


@pytest.mark.parametrize("action", ["info", "check", "backup"])
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda file: file.unlink(), "there is no store in"),
        (lambda file: sql(file, "UPDATE meta SET value = zeroblob(32) WHERE name = 'genesis_hash'"), "another chain"),
        (lambda file: sql(file, "UPDATE meta SET value = x'000000ff' WHERE name = 'schema_version'"), "newer version"),
        (lambda file: file.write_bytes(b"text" * 1_000), "not a database"),
        (lambda file: file.write_bytes(b""), "is empty"),
        (lambda file: sql(file, "DROP TABLE meta"), "is damaged"),
        (lambda file: sql(file, "PRAGMA application_id = 1"), "another program"),
    ],
)
def test_a_store_that_cannot_be_read_is_a_line(
    action: str, harm: Callable[[Path], object], why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(store(folder))
    before = sorted(path.name for path in folder.rglob("*"))
    more = [str(folder / "copy.db")] if action == "backup" else []
    assert main(["db", action, *more, *flags(folder)]) == EXIT_FAILED
    assert why in stderr_line(capsys)
    assert {path.name for path in folder.rglob("*")} - set(before) <= {"chain.db-wal", "chain.db-shm"}


# --------------------------------------------------------------------------------------------------------- check


def test_a_sound_store_passes_also_while_its_node_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "check", *flags(folder))
    assert f"{HEIGHT} blocks with {2 * HEIGHT} transactions" in said and "its books balance: " in said
    with open_chain(folder / "data") as node:
        grow(node, 1)
        assert f"{HEIGHT + 1} blocks" in told(capsys, "check", *flags(folder))


def test_a_store_without_blocks_is_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(folder).unlink()
    with open_chain(folder / "data"):
        pass
    assert "0 blocks" in told(capsys, "check", *flags(folder))


def two_votes(file: Path, folder: Path) -> None:
    """Exactly two thirds of the stake, which proves nothing."""
    with open_chain(folder) as node:
        stored = node.store.block(3)
    assert stored is not None
    full = codec.decode(stored.certificate, Certificate, bytes_max=1_000_000)
    change_block(file, 3, certificate=codec.encode(replace(full, precommits=full.precommits[:2])))


def another_certificate(file: Path, folder: Path) -> None:
    with open_chain(folder) as node:
        stored = node.store.block(4)
    assert stored is not None
    change_block(file, 3, certificate=stored.certificate)


def another_id(file: Path, folder: Path) -> None:
    change_block(file, 2, id=b"\x07" * 32)


def other_transactions(file: Path, folder: Path) -> None:
    change_block(file, 2, transaction_ids=b"\x07" * 64)


def forged_block(file: Path, folder: Path) -> None:
    """A block with another state root, its id and its certificate's votes made to fit as far as a thief could."""
    with open_chain(folder) as node:
        stored = node.store.block(3)
    assert stored is not None
    block = verify_block(stored.raw, VerifyContext(SPEC.hash, 3, {}, lambda _: None))
    forged = sealed(block, state_root=Hash32(bytes(32)))
    change_block(file, 3, raw=codec.encode(forged.block))


def torn_page(file: Path, folder: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2 // 4096 * 4096)
        opened.write(b"\xff" * 4096)


def other_set() -> tuple[bytes, int]:
    """A row that says that one account has the whole stake, with the check sum that fits it."""
    raw = codec.encode(StoredChange((Validator(address("a"), key("a").public_key, 1),), ()))
    return raw, crc32(raw)


def turns_of_another(file: Path, folder: Path) -> None:
    with open_chain(folder) as node:
        turn = replace(node.store.turns()[1], absent=(address("a"),))
    raw = codec.encode(turn)
    sql(file, "UPDATE turns SET raw = ?, crc = ? WHERE height = 2", raw, crc32(raw))


def pending_of(change: Callable[[PendingTransaction], PackedRow]) -> Callable[[Path, Path], None]:
    """Another value in the pool's only row, with the check sum that fits it."""

    def harm(file: Path, folder: Path) -> None:
        with open_chain(folder) as node:
            (waiting,) = node.store.pending()
        raw = codec.encode(change(waiting))
        sql(file, "UPDATE pending SET seq = 1, raw = ?, crc = ?", raw, crc32(raw, 1))

    return harm


def another_signature(one: PendingTransaction) -> PackedRow:
    return PackedRow(one.id, (one.raw[:-1] + bytes([one.raw[-1] ^ 1]),), ((),), (0,))


def round_block_of_another_id(file: Path, folder: Path) -> None:
    with open_chain(folder) as node:
        stored = node.store.block(2)
    assert stored is not None
    sql(file, "INSERT INTO round_blocks VALUES (zeroblob(32), ?, ?)", stored.raw, crc32(stored.raw))


def drop_from(height: int) -> Callable[[bytes], bytes]:
    """All entries of a block but the first."""
    return lambda entry: b"" if entry[33:] == height.to_bytes(5, "big") + b"\0\0\1" else entry


def elsewhere(entry: bytes) -> bytes:
    """The entries of block 1 name other positions."""
    return entry[:-1] + bytes([entry[-1] + 8]) if entry[33:38] == (1).to_bytes(5, "big") else entry


def another_run(file: Path, _: Path) -> None:
    """Entries that no block has."""
    entry = b"t" + bytes(32) + (2).to_bytes(5, "big") + bytes(3)
    sql(file, "INSERT INTO index_runs VALUES (99, 1, 1, 0, 0)")
    sql(file, "INSERT INTO index_pages VALUES (999, 99, ?, ?, ?)", entry, entry, crc32(entry))


def trigger(file: Path, _: Path) -> None:
    sql(file, "CREATE TRIGGER evil AFTER INSERT ON pending BEGIN DELETE FROM blocks; END")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (pending_of(another_signature), "the round in progress, or the pool: the signature"),
        (pending_of(lambda one: PackedRow(one.id, (b"none",), ((),), (0,))), "in progress, or the pool: malformed"),
        (pending_of(lambda one: PackedRow(one.id, (one.raw,), (), (0,))), "the contents of a row of pending"),
        (pending_of(lambda one: PackedRow(bytes(32), (one.raw,), ((),), (0,))), "another id than its row says"),
        (lambda file, _: sql(file, "INSERT INTO prevotes VALUES (3, 1, x'00', 5)"), "the prevotes of height 3"),
        (lambda file, _: sql(file, "INSERT INTO stories VALUES (1, zeroblob(32), x'ff')"), "the story of a"),
        (lambda file, _: sql(file, "INSERT INTO refusals VALUES (1, zeroblob(32), 'text')"), "the story of a"),
        (lambda file, _: sql(file, "INSERT OR REPLACE INTO block_stories VALUES (3, 2, x'ff')"), "the story of a"),
        (lambda file, _: sql(file, "INSERT OR REPLACE INTO block_stories VALUES (3, 2, x'93909100920000')"), "story"),
        (lambda file, _: sql(file, "INSERT OR REPLACE INTO block_stories VALUES (9, 0, x'93909090')"), "story of"),
        (lambda file, _: sql(file, "INSERT INTO round_record VALUES (1, x'ff', ?)", crc32(b"\xff")), "the round in"),
        (round_block_of_another_id, "a block of the round in progress has another id"),
        (lambda file, _: sql(file, "INSERT INTO meta VALUES ('halted', 7)"), "why it halted"),
        (lambda file, _: sql(file, "INSERT INTO meta VALUES ('untrusted_above', 'text')"), "not trusted"),
        (lambda file, _: change_state(file, lambda _, value: b""), "its state is not the one"),
        (lambda file, _: change_state(file, lambda _, value: None), "its state is not the one"),
        (lambda file, _: change_state(file, lambda _, value: value + b"\0"), "its state is not the one"),
        (lambda file, _: change_index(file, drop_from(2)), "transactions of blocks 0 to 999 are not in the"),
        (lambda file, _: change_index(file, elsewhere), "of blocks 0 to 999 are not in the index"),
        (lambda file, _: change_index(file, lambda entry: entry[:1] * 41 if entry < b"t" else entry), "not in order"),
        (another_run, "transactions of blocks 0 to 999 are not in the index"),
        (lambda file, _: sql(file, "UPDATE index_runs SET entries = entries + 1"), "entries in a run of the index"),
        (lambda file, _: sql(file, "UPDATE index_runs SET stage = 'text'"), "is not in its index"),
        (lambda file, _: sql(file, "UPDATE index_runs SET entries = 'text'"), "a run of the index"),
        (lambda file, _: sql(file, "UPDATE index_pages SET first = zeroblob(41)"), "not in order"),
        (lambda file, _: sql(file, "UPDATE validator_sets SET raw = ?, crc = ?", *other_set()), "set of height 1 is"),
        (lambda file, _: sql(file, "INSERT INTO validator_sets VALUES (3, 0, ?, ?)", *other_set()), "are missing"),
        (lambda file, _: sql(file, "UPDATE validator_sets SET raw = x'c0', crc = ?", crc32(b"\xc0")), "set of"),
        (lambda file, _: sql(file, "DELETE FROM turns WHERE height = 5"), "or turns, are missing"),
        (lambda file, _: sql(file, "ALTER TABLE blocks RENAME COLUMN raw TO bytes"), "table blocks has other columns"),
        (lambda file, _: sql(file, "ALTER TABLE pending ADD COLUMN story"), "table pending has other columns"),
        (lambda file, _: sql(file, "CREATE VIEW more AS SELECT * FROM pending"), "views or triggers"),
        (trigger, "views or triggers"),
    ],
)  # fmt: skip
def test_what_no_accident_would_do_is_found_too(
    harm: Callable[[Path, Path], object], why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(store(folder), folder / "data")
    assert main(["db", "check", *flags(folder)]) == EXIT_FAILED
    line = stderr_line(capsys)
    assert why in line and line.count("start again") == 1


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("UPDATE head SET id = 'text'", "without its head"),
        ("INSERT INTO meta VALUES ('halted', 1.5)", "why it halted"),
        ("UPDATE pending SET raw = 'text'", "a row of pending transactions"),
        ("ALTER TABLE blocks RENAME COLUMN raw TO bytes", "other columns"),
    ],
)
def test_info_of_what_is_no_text_or_number_is_a_line(
    harm: str, why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(store(folder), harm)
    assert main(["db", "info", *flags(folder)]) == EXIT_FAILED
    assert why in stderr_line(capsys)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda file, _: sql(file, "UPDATE blocks SET raw = zeroblob(9) WHERE height = 2"), "block 2"),
        (lambda file, _: sql(file, "DELETE FROM blocks WHERE height = 2"), "without block 2"),
        (lambda file, _: sql(file, "DELETE FROM index_runs WHERE run = 2"), "do not belong together"),
        (lambda file, _: sql(file, "UPDATE index_pages SET raw = zeroblob(41) WHERE run = 2"), "a page of the index"),
        (lambda file, _: sql(file, "UPDATE index_pages SET raw = 'text' WHERE run = 2"), "a page of the index"),
        (lambda file, _: sql(file, "DELETE FROM index_pages WHERE run = 2"), "0 entries in a run of the index"),
        (lambda file, _: sql(file, "UPDATE index_runs SET stage = 0 WHERE run = 2"), "do not belong together"),
        (lambda file, _: sql(file, "UPDATE index_runs SET stage = 2 WHERE run = 2"), "blocks 0 to 999 are not in the"),
        (lambda file, _: sql(file, "UPDATE state_log SET raw = CAST(raw || x'00' AS BLOB)"), "a row of its state"),
        (lambda file, _: sql(file, "UPDATE state_log SET raw = 7"), "a row of its state"),
        (lambda file, _: sql(file, "UPDATE state_log SET key = x'7a' WHERE seq = 5"), "a row of its state"),
        (lambda file, _: sql(file, "UPDATE state_log SET lap = lap + 1 WHERE seq = 5"), "a row of its state"),
        (lambda file, _: sql(file, "UPDATE head SET state_count = 7"), "records of state, where its head has 7"),
        (lambda file, _: sql(file, "DELETE FROM state_log"), "without row 5 of its state"),
        (lambda file, _: sql(file, "DELETE FROM state_log WHERE seq = 5"), "without row 5 of its state"),
        (lambda file, _: sql(file, "UPDATE pending SET raw = x'00'"), "a row of pending transactions"),
        (lambda file, _: sql(file, "UPDATE head SET height = 4"), "its head is not its newest block"),
        (another_id, "block 2 has another id"),
        (other_transactions, "block 2 has other transactions"),
        (two_votes, "block 3: invalid certificate"),
        (another_certificate, "the certificate of block 3 is that of another block"),
        (forged_block, "block 3"),
        (torn_page, "is damaged"),
        (lambda file, _: sql(file, "UPDATE validator_sets SET raw = x'00'"), "the validator set of height 1"),
        (lambda file, _: sql(file, "UPDATE turns SET raw = x'00' WHERE height = 2"), "the turns of height 2"),
        (turns_of_another, "the turns of height 2 are others"),
    ],
)  # fmt: skip
def test_the_first_fault_is_said_with_what_to_do(
    harm: Callable[[Path, Path], object], why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(store(folder), folder / "data")
    assert main(["db", "check", *flags(folder)]) == EXIT_FAILED
    line = stderr_line(capsys)
    assert why in line and line.count("start again") == 1


def test_a_store_of_an_earlier_version_is_to_be_upgraded_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(store(folder), "UPDATE meta SET value = x'00000001' WHERE name = 'schema_version'")
    assert main(["db", "check", *flags(folder)]) == EXIT_FAILED
    assert "start its node once" in stderr_line(capsys)
    assert "format        1\n" in told(capsys, "info", *flags(folder))


# -------------------------------------------------------------------------------------------------------- backup


def restored(copy: Path, folder: Path) -> list[str]:
    """The flags of a node whose store is the copy."""
    (folder / "data").mkdir()
    shutil.copy(copy, folder / "data" / "chain.db")
    return [f"--data_dir={folder / 'data'}", *flags(copy.parent)[1:]]


def test_a_backup_of_a_running_node_is_a_store(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = folder / "copy.db"
    with open_chain(folder / "data") as node:
        grow(node, 2)  # in the WAL only
        said = told(capsys, "backup", str(copy), *flags(folder))
        grow(node, 1)
    assert f"up to block {HEIGHT + 2}" in said and "NOT in it" in said and "signing record" in said
    assert sorted(path.name for path in folder.iterdir()) == ["copy.db", "data", "genesis.json"]
    (tmp_path / "restored").mkdir()
    again = restored(copy, tmp_path / "restored")
    assert f"{HEIGHT + 2} blocks" in told(capsys, "check", *again)
    with open_chain(tmp_path / "restored" / "data") as node:
        grow(node, 1)


def test_a_backup_never_overwrites_unless_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = folder / "copy.db"
    copy.write_text("mine")
    assert main(["db", "backup", str(copy), *flags(folder)]) == EXIT_FAILED
    assert "it exists" in stderr_line(capsys)
    assert copy.read_text() == "mine"
    told(capsys, "backup", str(copy), "--overwrite", *flags(folder))
    assert copy.read_bytes()[:15] == b"SQLite format 3"


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("data", "it is a folder"),
        ("data/chain.db", "the store itself"),
        ("data/lock.db", "a file of the node"),
        ("none/copy.db", "there is no folder"),
    ],
)
def test_a_destination_that_cannot_be_is_a_line(
    destination: str, why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store(folder).read_bytes()
    assert main(["db", "backup", str(folder / destination), "--overwrite", *flags(folder)]) == EXIT_FAILED
    assert why in stderr_line(capsys)
    assert store(folder).read_bytes() == before


def test_a_damaged_store_gives_no_backup(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = folder / "copy.db"
    copy.write_text("the one before")
    sql(store(folder), "DELETE FROM blocks WHERE height = 4")
    assert main(["db", "backup", str(copy), "--overwrite", *flags(folder)]) == EXIT_FAILED
    assert "without block 4" in stderr_line(capsys)
    assert copy.read_text() == "the one before"
    assert sorted(path.name for path in folder.iterdir()) == ["copy.db", "data", "genesis.json"]


def test_a_full_disk_leaves_nothing_behind(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_file, "sync", full)
    assert main(["db", "backup", str(folder / "copy.db"), *flags(folder)]) == EXIT_FAILED
    assert "No space left" in stderr_line(capsys)
    assert sorted(path.name for path in folder.iterdir()) == ["data", "genesis.json"]


def test_a_wrong_command_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db"]) == EXIT_USAGE
    assert main(["db", "backup"]) == EXIT_USAGE
    assert "usage: blockchain db" in capsys.readouterr().err
