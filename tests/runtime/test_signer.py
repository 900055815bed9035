"""The signer: its record on disk before a signature is given, through crashes, and never against itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.errors import SigningRefused
from blockchain.primitives import vrf
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.vote import Announcement, Proposal, Signable, Step, Vote, VoteStep, verify_message
from blockchain.runtime import record_file as record_module
from blockchain.runtime import signer as signer_module
from blockchain.runtime.atomic_file import overwrite
from blockchain.runtime.record_file import RECORD_BYTES_MAX
from blockchain.runtime.record_slots import FILE_BYTES, SLOT_BYTES
from blockchain.runtime.signer import Signer
from blockchain.seams import SigningRecord
from tests.runtime.record_damage import flipped, payload_in

KEY = SigningKey(b"\x01" * 32)
CHAIN = Hash32(b"\x0c" * 32)
ME = Address(KEY.public_key)
A = Hash32(b"\xaa" * 32)
B = Hash32(b"\xbb" * 32)
LARGE = 2**53 - 1

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows names these errors otherwise")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing_record"


def open_signer(path: Path, key: SigningKey = KEY, chain: Hash32 = CHAIN) -> Signer:
    """What a process does when it starts."""
    signer = Signer(key, chain, path)
    signer.load()
    return signer


def proposal(height: int, round_number: int, block_id: Hash32 = A) -> Proposal:
    return Proposal(height, round_number, -1, block_id, ME)


def prevote(height: int, round_number: int, block_id: Hash32 | None = A, polka_round: int = -1) -> Vote:
    return Vote(height, round_number, VoteStep.PREVOTE, block_id, polka_round, ME)


def precommit(height: int, round_number: int, block_id: Hash32 | None = A) -> Vote:
    return Vote(height, round_number, VoteStep.PRECOMMIT, block_id, -1, ME)


def announcement(time_ms: int) -> Announcement:
    return Announcement(ME, 7, time_ms)


def refusal(signer: Signer, message: Signable) -> str:
    with pytest.raises(SigningRefused) as refused:
        signer.sign(message)
    return refused.value.why


# ----------------------------------------------------------------------------------------------- signatures


@pytest.mark.parametrize("message", [proposal(1, 0), prevote(1, 0), precommit(1, 0, None), announcement(5)])
def test_signs_for_its_chain(path: Path, message: Signable) -> None:
    signed = open_signer(path).sign(message)
    assert replace(signed, signature=message.signature) == message
    assert verify_message(signed, KEY.public_key, CHAIN)
    assert not verify_message(signed, KEY.public_key, Hash32(bytes(32)))


def test_says_whose_signer_it_is(path: Path) -> None:
    assert open_signer(path).public_key == KEY.public_key


def test_keeps_the_rule_of_the_record(path: Path) -> None:
    signer = open_signer(path)
    signer.sign(prevote(3, 1))
    signer.sign(precommit(3, 1))
    assert "another message" in refusal(signer, precommit(3, 1, None))
    assert "is below" in refusal(signer, prevote(3, 0))
    assert "no polka" in refusal(signer, prevote(3, 2, B))
    assert signer.record.message == signer.sign(precommit(3, 1))


def test_an_announcement_leaves_no_record(path: Path) -> None:
    signer = open_signer(path)
    before = path.read_bytes()
    for time_ms in (5, 5, 4):
        assert verify_message(signer.sign(announcement(time_ms)), KEY.public_key, CHAIN)
    assert path.read_bytes() == before
    assert signer.record == SigningRecord(KEY.public_key)


@pytest.mark.parametrize("message", [bytes(32), b"", A, None, "vote"])
def test_signs_structured_values_and_nothing_else(path: Path, message: Any) -> None:
    signer = open_signer(path)
    with pytest.raises(AssertionError):
        signer.sign(message)


def test_would_not_sign_32_bytes_that_a_message_had_become(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_signer(path)
    monkeypatch.setattr(signer_module, "signed_bytes", lambda message, genesis_hash: bytes(32))
    for message in (prevote(1, 0), announcement(1)):
        with pytest.raises(AssertionError, match="32 bare bytes"):
            signer.sign(message)
    assert signer.record == SigningRecord(KEY.public_key)


def test_proves_the_lottery_output_of_a_height(path: Path) -> None:
    seed = Hash32(b"\x05" * 32)
    signer = open_signer(path)
    proof = signer.prove(seed, 9)
    assert vrf.verify(KEY.public_key, vrf_alpha(CHAIN, seed, 9), proof) == vrf.output(proof)
    assert vrf.output(signer.prove(seed, 10)) != vrf.output(proof)
    assert signer.record == SigningRecord(KEY.public_key)


# -------------------------------------------------------------------------------------------------- restarts


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (proposal(4, 2),),
        (prevote(4, 2),),
        (prevote(4, 2, None), precommit(4, 2, None)),
        (precommit(4, 2), prevote(4, 3, None), precommit(4, 3, None)),
        (precommit(4, 2), proposal(5, 0)),
        (Vote(LARGE, 2**31 - 2, VoteStep.PRECOMMIT, A, -1, ME), Vote(LARGE, 2**31 - 1, VoteStep.PRECOMMIT, A, -1, ME)),
    ],
)
def test_a_record_comes_back_as_it_was(path: Path, messages: tuple[Vote | Proposal, ...]) -> None:
    signer = open_signer(path)
    for message in messages:
        signer.sign(message)
    again = open_signer(path)
    assert again.record == signer.record == replace(again.load(), is_new=False)
    assert again.load().is_new is (messages == ())
    assert type(again.record.step) is Step
    assert path.stat().st_size == FILE_BYTES and len(payload_in(path)) <= RECORD_BYTES_MAX


def test_the_place_of_the_record_is_made(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "of a node" / "record"
    open_signer(path).sign(prevote(1, 0))
    assert open_signer(path).record.height == 1


class Killed(BaseException):
    """The process ends here."""


def die_before(path: Path, offset: int, content: bytes) -> NoReturn:
    raise Killed


def die_after(path: Path, offset: int, content: bytes) -> NoReturn:
    overwrite(path, offset, content)
    raise Killed


def die_in(path: Path, offset: int, content: bytes) -> NoReturn:
    overwrite(path, offset, content[:100])
    raise Killed


def kill(signer: Signer, message: Signable, how: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(record_module, "overwrite", how)
        with pytest.raises(Killed):
            signer.sign(message)


def test_killed_between_record_and_answer_it_gives_that_message_again_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = open_signer(path)
    signer.sign(proposal(7, 0))
    kill(signer, prevote(7, 0, A), die_after, monkeypatch)
    again = open_signer(path)
    assert "another message for height 7, round 0, prevote" in refusal(again, prevote(7, 0, B))
    signed = again.sign(prevote(7, 0, A))
    assert verify_message(signed, KEY.public_key, CHAIN)
    assert signed == again.record.message


@pytest.mark.parametrize("how", [die_before, die_in])
def test_killed_before_the_record_is_there_nothing_was_signed(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    signer = open_signer(path)
    signer.sign(proposal(7, 0))
    kill(signer, prevote(7, 0, A), how, monkeypatch)
    again = open_signer(path)
    assert again.record.message == signer.sign(proposal(7, 0))
    assert verify_message(again.sign(prevote(7, 0, B)), KEY.public_key, CHAIN)


KILL_9 = """
import os, sys
from pathlib import Path
from blockchain.primitives.crypto import SigningKey
from blockchain.primitives.vote import Vote, VoteStep
from blockchain.runtime import record_file, signer
def write_and_die(path, offset, content, overwrite=record_file.overwrite):
    overwrite(path, offset, content)
    os._exit(9)
key = SigningKey(bytes([1]) * 32)
running = signer.Signer(key, bytes([12]) * 32, Path(sys.argv[1]))
running.load()
record_file.overwrite = write_and_die
running.sign(Vote(7, 0, VoteStep.PREVOTE, bytes([0xAA]) * 32, -1, key.public_key))
print("it lives")
"""


def test_a_process_that_really_ends_there(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILL_9, path], cwd=Path(__file__).parents[2], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (9, b""), done.stderr
    signer = open_signer(path)
    assert "another message" in refusal(signer, prevote(7, 0, B))
    assert verify_message(signer.sign(prevote(7, 0, A)), KEY.public_key, CHAIN)


def test_the_record_is_on_the_disk_before_the_signature_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    signer = open_signer(path)
    monkeypatch.setattr(record_module, "overwrite", lambda path, offset, content: written.append(content))
    signed = signer.sign(prevote(1, 0))
    assert len(written) == 1
    assert bytes(signed.signature) in written[0]


def test_a_record_that_cannot_be_written_gives_no_signature(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path, offset: int, content: bytes) -> NoReturn:
        raise OSError(28, "No space left on device")

    signer = open_signer(path)
    with monkeypatch.context() as patch:
        patch.setattr(record_module, "overwrite", no_space)
        assert "cannot be written: No space left" in refusal(signer, prevote(1, 0))
        assert signer.record == SigningRecord(KEY.public_key)
    assert verify_message(signer.sign(prevote(1, 0)), KEY.public_key, CHAIN)  # when there is space again


# ------------------------------------------------------------------------------------------ records that differ


def test_a_record_ahead_of_its_node_keeps_it_silent_until_the_chain_is_there(path: Path) -> None:
    open_signer(path).sign(precommit(9, 3))
    signer = open_signer(path)  # of a node whose store was lost
    for message in (proposal(1, 0), prevote(8, 0), precommit(9, 2), prevote(9, 3, None)):
        assert "is below height 9, round 3, precommit" in refusal(signer, message)
    signer.sign(prevote(10, 0))


def test_a_record_behind_its_node_is_no_hindrance(path: Path) -> None:
    open_signer(path).sign(precommit(9, 3))
    signer = open_signer(path)
    signer.sign(prevote(500, 2))
    assert signer.record.height == 500


@pytest.mark.parametrize("what", ["an older copy", "nothing"])
def test_a_record_that_goes_back_while_it_is_in_use_is_refused(path: Path, what: str) -> None:
    signer = open_signer(path)
    signer.sign(prevote(1, 0))
    older = path.read_bytes()
    signer.sign(prevote(2, 0))
    if what == "nothing":
        path.unlink()
    else:
        path.write_bytes(older)
    assert "removed, or replaced by an older one" in refusal(signer, prevote(3, 0))


def test_two_signers_on_one_record_do_not_contradict_each_other(path: Path) -> None:
    first, second = open_signer(path), open_signer(path)
    signed = first.sign(prevote(1, 0, A))
    assert "another message" in refusal(second, prevote(1, 0, B))
    assert second.sign(prevote(1, 0, A)) == signed
    second.sign(precommit(1, 0, A))
    assert "no polka" in refusal(first, prevote(1, 1, B))


def test_of_signers_that_race_one_wins(path: Path) -> None:
    signers = [open_signer(path) for _ in range(4)]
    start = threading.Barrier(len(signers))
    signatures: list[Signable] = []

    def run(signer: Signer, number: int) -> None:
        for height in range(1, 21):
            start.wait()
            try:
                signatures.append(signer.sign(prevote(height, 0, Hash32(bytes([number]) * 32))))
            except SigningRefused:
                continue

    threads = [threading.Thread(target=run, args=(signer, number)) for number, signer in enumerate(signers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heights = [message.height for message in signatures if isinstance(message, Vote)]
    assert heights == list(range(1, 21))


def test_a_record_of_another_chain_is_refused(path: Path) -> None:
    open_signer(path).sign(prevote(1, 0))
    with pytest.raises(SigningRefused, match=f"belongs to another chain \\(genesis {CHAIN.hex()}\\)"):
        open_signer(path, chain=Hash32(b"\x0d" * 32))


def test_a_record_of_another_key_is_refused_even_when_it_is_empty(path: Path) -> None:
    open_signer(path)
    with pytest.raises(SigningRefused, match=f"belongs to another key \\({KEY.public_key.hex()}\\)"):
        open_signer(path, key=SigningKey(b"\x02" * 32))


def test_a_damaged_record_is_refused_whatever_the_damage(path: Path) -> None:
    open_signer(path).sign(precommit(4, 2))
    good = path.read_bytes()
    damages = [good[:size] for size in range(0, FILE_BYTES, 97)]
    damages += [flipped(good, place, SLOT_BYTES + place) for place in (*range(500), *range(500, SLOT_BYTES, 97))]
    damages += [good + b"\x00", good * 9, bytes(FILE_BYTES), good[:SLOT_BYTES]]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(SigningRefused, match=r"is damaged \(.*restore it"):
            Signer(KEY, CHAIN, path).load()
        assert path.read_bytes() == damage  # refused, not repaired
    path.write_bytes(good)
    assert open_signer(path).record.height == 4


@needs_posix
def test_a_record_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(SigningRefused, match=f"the signing record {folder} cannot be read: Is a directory"):
        open_signer(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(SigningRefused, match="cannot be locked: "):
        open_signer(tmp_path / "file" / "record")


def test_a_lock_that_the_file_system_does_not_know_is_one_clear_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> NoReturn:
        raise OSError(37, "No locks available")

    name = "msvcrt.locking" if os.name == "nt" else "fcntl.flock"
    monkeypatch.setattr(name, no_locks)
    with pytest.raises(SigningRefused, match="cannot be locked: No locks available"):
        open_signer(path)


def test_a_start_removes_what_a_crash_left_of_a_half_written_record(path: Path) -> None:
    open_signer(path).sign(prevote(1, 0))
    left = path.with_name(f".{path.name}.0123456789abcdef.blockchain.tmp")
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert open_signer(path).record.message is not None
    assert not left.exists()
