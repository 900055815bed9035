"""history and validator move: from the command line, through crashes at each point, and never in two places."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, build_parser, main
from blockchain.commands.validator_keys import record_path
from blockchain.errors import BlockchainError, SigningRefused
from blockchain.genesis import dump_genesis
from blockchain.primitives.vote import Proposal, Signable, Vote
from blockchain.runtime import atomic_file, moving
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import read_key_file, write_key_file
from blockchain.runtime.signer import Signer
from tests.commands.test_cli import stderr_line
from tests.runtime.power_cut import Killed
from tests.runtime.test_signer import A, B, precommit, prevote, proposal
from tests.samples import key, spec_of

KEY, NEXT = key(1), key(2)
SPEC = spec_of(parameters={"stake_min": 100, "stake_step_max_bp": 1_000})
OPERATIONS_MAX = 40


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "OPERATIONS", 1)
    monkeypatch.setattr(moving, "MEMORY_BYTES", 8_192)
    monkeypatch.setattr("blockchain.runtime.keystore.KDF_ROUNDS", 1_000)
    monkeypatch.setenv("BLOCKCHAIN_ENV_FILE", "")
    monkeypatch.setenv("BLOCKCHAIN_MOVE_PASSWORD", "open sesame")
    monkeypatch.delenv("BLOCKCHAIN_PASSWORD", raising=False)


@dataclass(frozen=True)
class Machine:
    """A folder that stands for a machine with a node's settings."""

    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "keys" / "validator.pem"

    def record(self, name: str = "validator.pem") -> Path:
        return record_path(self.folder / "keys" / name, self.folder / "data", SPEC)

    def signer(self) -> Signer:
        """What a node that starts here does. Raises SigningRefused or KeyFileError."""
        signer = Signer(read_key_file(self.key_file, b"of the key"), SPEC.hash, self.record())
        signer.load()
        return signer

    def flags(self) -> list[str]:
        return [f"--key_file={self.key_file}", f"--genesis={self.folder / 'genesis.json'}", f"--data_dir={self.data}"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def do(self, *words: str | Path) -> int:
        return main([*map(str, words), *self.flags()])

    def would_sign(self) -> bool:
        """Whether a node that starts here could sign with the key."""
        return self.key_file.exists() and not is_refused(self.signer)


def is_refused(start: Callable[[], Signer]) -> bool:
    try:
        start()
    except SigningRefused:
        return True
    return False


def machine(folder: Path) -> Machine:
    (folder / "keys").mkdir(parents=True)
    (folder / "genesis.json").write_bytes(dump_genesis(SPEC))
    return Machine(folder)


@pytest.fixture(name="here")
def here_fixture(tmp_path: Path) -> Machine:
    """Has the key, which has signed a little."""
    here = machine(tmp_path / "here")
    write_key_file(here.key_file, KEY, b"of the key")
    signer = here.signer()
    for message in (proposal(4, 0), prevote(4, 0, A), precommit(4, 0, A)):
        signer.sign(message)
    return here


@pytest.fixture(name="there")
def there_fixture(tmp_path: Path) -> Machine:
    return machine(tmp_path / "there")


def refusal(signer: Signer, message: Signable) -> str:
    with pytest.raises(SigningRefused) as refused:
        signer.sign(message)
    return refused.value.why


# ------------------------------------------------------------------------------------------------------- history


def test_a_history_goes_from_one_record_to_another(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.json"
    assert here.do("history", "export", path) == 0
    assert "height 4, round 0, precommit" in capsys.readouterr().out
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shutil.copy(here.key_file, there.key_file)
    assert there.do("history", "import", path) == 0
    assert "raised to this" in capsys.readouterr().out
    assert there.signer().record == here.signer().record
    before = there.record().read_bytes()
    assert there.do("history", "import", path) == 0
    assert "on record already" in capsys.readouterr().out
    assert there.record().read_bytes() == before
    assert "another message" in refusal(there.signer(), precommit(4, 0, B))
    assert there.do("history", "export", path) == EXIT_FAILED
    assert "it exists" in stderr_line(capsys)


def test_an_import_never_lowers(here: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.json"
    assert here.do("history", "export", path) == 0
    running = here.signer()
    running.sign(prevote(9, 0))
    before = here.record().read_bytes()
    assert here.do("history", "import", path) == 0
    assert here.record().read_bytes() == before
    running.sign(precommit(9, 0))  # it was not stopped


def test_an_import_raises_the_record_of_a_running_signer(here: Machine, there: Machine, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    running = here.signer()
    shutil.copytree(here.folder / "keys", there.folder / "keys", dirs_exist_ok=True)
    there.signer().sign(prevote(9, 0, A))
    assert there.do("history", "export", path) == 0
    assert here.do("history", "import", path) == 0
    assert "another message for height 9" in refusal(running, prevote(9, 0, B))
    assert isinstance(running.sign(precommit(9, 0, A)), Vote)


def test_histories_that_contradict_change_nothing(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.json"
    shutil.copytree(here.folder / "keys", there.folder / "keys", dirs_exist_ok=True)
    here.signer().sign(prevote(5, 0, A))
    there.signer().sign(prevote(5, 0, B))
    assert there.do("history", "export", path) == 0
    before = here.record().read_bytes()
    capsys.readouterr()
    assert here.do("history", "import", path) == EXIT_FAILED
    line = stderr_line(capsys)
    assert "contradicts" in line and "two different messages are signed for height 5" in line
    assert here.record().read_bytes() == before


def test_of_two_keys_both_are_merged_or_neither(here: Machine, there: Machine, tmp_path: Path) -> None:
    """The second contradicts: the first, which would be raised, stays."""
    path = tmp_path / "history.json"
    two = [f"--next_key_file={here.folder / 'keys' / 'next.pem'}"]
    write_key_file(here.folder / "keys" / "next.pem", NEXT, None)
    shutil.copytree(here.folder / "keys", there.folder / "keys", dirs_exist_ok=True)
    for one, value in ((here, A), (there, B)):
        Signer(NEXT, SPEC.hash, one.record("next.pem")).sign(prevote(5, 0, value))
    there.signer().sign(prevote(9, 0))
    assert there.do("history", "export", path, f"--next_key_file={there.folder / 'keys' / 'next.pem'}") == 0
    before = here.record().read_bytes()
    assert here.do("history", "import", path, *two) == EXIT_FAILED
    assert here.record().read_bytes() == before
    history = json.loads(path.read_bytes())
    path.write_text(json.dumps({**history, "data": history["data"][:1]}))
    assert here.do("history", "import", path, *two) == 0
    assert here.signer().record.height == 9


def test_keys_of_others_are_left_out(here: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.json"
    assert here.do("history", "export", path) == 0
    history = json.loads(path.read_bytes())
    other = {"public_key": NEXT.public_key.hex(), "last_signed": None, "lock": None}
    path.write_text(json.dumps({**history, "data": [*history["data"], other]}))
    assert here.do("history", "import", path) == 0
    assert f"{NEXT.public_key.hex()} is no key of this node" in capsys.readouterr().err
    path.write_text(json.dumps({**history, "data": [other]}))
    assert here.do("history", "import", path) == EXIT_FAILED
    assert "no key of this node: nothing was changed" in capsys.readouterr().err


def test_a_history_without_a_record_is_none(there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_key_file(there.key_file, KEY, None)
    assert there.do("history", "export", tmp_path / "history.json") == EXIT_FAILED
    assert "is not there: is this the right key and chain?" in stderr_line(capsys)
    assert main(["history", "export", str(tmp_path / "history.json")]) == EXIT_USAGE
    assert "key_file is missing" in stderr_line(capsys)


# ---------------------------------------------------------------------------------------------------------- moves


def test_a_validator_moves_and_comes_back(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.move", tmp_path / "second.move"
    running = here.signer()
    assert here.do("validator", "move", "export", first) == 0
    assert "signs nothing here any more" in capsys.readouterr().out
    if os.name != "nt":
        assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert "moved away (move 1)" in refusal(running, prevote(5, 0))
    assert not here.would_sign() and not there.would_sign()

    assert there.do("validator", "move", "import", first) == 0
    assert "delete it" in capsys.readouterr().out
    assert not here.would_sign()
    signer = there.signer()
    assert "another message" in refusal(signer, precommit(4, 0, None))
    signer.sign(prevote(7, 0))
    if os.name != "nt":
        assert stat.S_IMODE(there.key_file.stat().st_mode) == 0o600

    assert there.do("validator", "move", "export", second) == 0
    assert here.do("validator", "move", "import", second) == 0
    assert here.would_sign() and not there.would_sign()
    assert "another message" in refusal(here.signer(), prevote(7, 0, B))

    capsys.readouterr()
    for one, before in ((here, True), (there, False)):  # the file of the first move brings nobody back
        assert one.do("validator", "move", "import", first) == EXIT_FAILED
        assert "knows of move 2: the validator has been elsewhere since" in stderr_line(capsys)
        assert one.would_sign() is before


def test_a_move_that_nobody_took_over_is_brought_back(here: Machine, tmp_path: Path) -> None:
    path = tmp_path / "validator.move"
    assert here.do("validator", "move", "export", path) == 0
    assert here.do("validator", "move", "import", path) == 0
    assert here.would_sign()
    assert here.do("validator", "move", "import", path) == 0  # twice is once
    assert here.do("validator", "move", "export", tmp_path / "again.move") == 0
    assert json.loads((tmp_path / "again.move").read_bytes())["head"]["number"] == 2


def test_the_same_move_is_exported_again(here: Machine, there: Machine, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert here.do("validator", "move", "export", tmp_path / name) == 0
        assert json.loads((tmp_path / name).read_bytes())["head"]["number"] == 1
        assert not here.would_sign()
    assert there.do("validator", "move", "import", tmp_path / "second") == 0
    assert there.would_sign()


def public_half(key_file: Path, name: str) -> Path:
    """What `openssl pkey -pubout` writes; its record would be that of the key file."""
    path = key_file.with_name(name)
    path.write_text("-----BEGIN PUBLIC" + key_file.read_text().partition("-----BEGIN PUBLIC")[2])
    path.chmod(0o600)
    return path


def test_a_public_key_is_not_moved_for_the_validator(
    here: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, public = tmp_path / "validator.move", public_half(here.key_file, "validator.pub")
    words = ["validator", "move", "export", str(path), *here.flags()]
    words[words.index(f"--key_file={here.key_file}")] = f"--key_file={public}"
    assert main(words) == EXIT_FAILED
    assert "no private key in it" in stderr_line(capsys)
    assert not path.exists() and here.would_sign()


def test_a_public_key_does_not_stand_in_the_way_of_the_one_that_is_moved(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "validator.move"
    assert here.do("validator", "move", "export", path) == 0
    public_half(here.key_file, "public").rename(there.key_file)
    assert there.do("validator", "move", "import", path) == EXIT_FAILED
    assert "no private key in it" in stderr_line(capsys)
    assert not there.record().exists(), "nothing was changed"


def test_both_keys_of_a_rotation_move_together(here: Machine, there: Machine, tmp_path: Path) -> None:
    path = tmp_path / "validator.move"
    write_key_file(here.folder / "keys" / "next.pem", NEXT, None)
    following = Signer(NEXT, SPEC.hash, here.record("next.pem"))
    following.load()
    assert here.do("validator", "move", "export", path, f"--next_key_file={here.folder / 'keys' / 'next.pem'}") == 0
    assert "moved away" in refusal(following, prevote(5, 0))
    assert there.do("validator", "move", "import", path) == EXIT_USAGE  # where would the second go?
    assert not there.key_file.exists()
    target = there.folder / "keys" / "next.pem"
    assert there.do("validator", "move", "import", path, f"--next_key_file={target}") == 0
    assert there.would_sign() and read_key_file(target) == NEXT


def nothing(*_: object) -> None:
    return


class Failing:
    """Lets the n-th operation on the disk fail, with its work done or not."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, failure: BaseException, *, after: bool) -> None:
        self.count = 0
        for name in ("sync", "sync_folder", "rename", "publish"):
            do = nothing if name.startswith("sync") else getattr(atomic_file, name)  # the disk is not what is tested
            patch.setattr(atomic_file, name, self._wrapped(do, number, failure, after))

    def _wrapped(
        self, do: Callable[..., None], number: int, failure: BaseException, after: bool
    ) -> Callable[..., None]:
        def operation(*arguments: object) -> None:
            is_it, self.count = self.count == number, self.count + 1
            if is_it and not after:
                raise failure
            do(*arguments)
            if is_it:
                raise failure

        return operation


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failure", [Killed(), OSError(28, "No space left on device")], ids=["killed", "no space"])
def test_a_crash_at_each_point_leaves_one_place_at_most_and_loses_nothing(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, after: bool
) -> None:
    failures = seen = 0
    for number in range(OPERATIONS_MAX):
        own = tmp_path / str(number)
        source = Machine(Path(shutil.copytree(here.folder, own / "source")))
        target = machine(own / "target")
        path = own / "validator.move"
        with monkeypatch.context() as patch:
            failing = Failing(patch, number, failure, after=after)
            for one, word in ((source, "export"), (target, "import")):
                failures += is_cut(one, word, path)
                assert not (path.exists() and source.would_sign())  # a file that is there is the only place
                assert not (source.would_sign() and target.would_sign())
            seen = failing.count
        if not path.exists():
            path = own / "again.move"  # another name, as the message says
            assert not is_cut(source, "export", path)
        if not target.would_sign():
            assert not is_cut(target, "import", path)
        assert target.would_sign() and not source.would_sign()
        assert target.signer().record.height == 4
        if seen <= number:
            break
    assert failures >= 6  # at each operation of the record and of the file, there, and of both here
    assert seen < OPERATIONS_MAX


PARSER = build_parser()  # whose making takes longer than all the rest


def is_cut(one: Machine, word: str, path: Path) -> bool:
    if word == "import" and not path.exists():
        return False
    arguments = PARSER.parse_args(["validator", "move", word, str(path), *one.flags()])
    try:
        code = arguments.run(arguments)
    except (Killed, BlockchainError):
        return True
    assert code == 0
    return False


def test_under_a_running_node_nothing_is_moved(
    here: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = FolderLock.take(here.data)
    try:
        assert here.do("validator", "move", "export", tmp_path / "validator.move") == EXIT_FAILED
        assert "in use by another node: stop that one" in stderr_line(capsys)
    finally:
        lock.release()
    assert here.would_sign() and not (tmp_path / "validator.move").exists()


def test_a_node_that_another_data_folder_hides_signs_nothing_more(here: Machine, tmp_path: Path) -> None:
    running = here.signer()  # of a node with the same key file and another --data_dir
    assert here.do("validator", "move", "export", tmp_path / "validator.move") == 0
    assert "moved away" in refusal(running, proposal(9, 0))


@pytest.mark.parametrize("word", ["export", "import"])
def test_no_password_no_move(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    path = tmp_path / "validator.move"
    if word == "import":
        assert here.do("validator", "move", "export", path) == 0
    before = here.record().read_bytes()
    monkeypatch.delenv("BLOCKCHAIN_MOVE_PASSWORD")
    capsys.readouterr()
    assert here.do("validator", "move", word, path) == EXIT_USAGE
    line = stderr_line(capsys)
    assert "--move_password_file" in line and "BLOCKCHAIN_MOVE_PASSWORD" in line
    assert here.record().read_bytes() == before


def test_a_wrong_password_changes_nothing(
    here: Machine, there: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "validator.move"
    assert here.do("validator", "move", "export", path) == 0
    monkeypatch.setenv("BLOCKCHAIN_MOVE_PASSWORD", "wrong horse")
    capsys.readouterr()
    assert there.do("validator", "move", "import", path) == EXIT_FAILED
    line = stderr_line(capsys)
    assert "the password is wrong" in line and "horse" not in line
    assert not there.key_file.exists() and not there.record().exists()


def test_what_cannot_be_moved_is_left_as_it_is(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    before = here.record().read_bytes()
    for path, why in ((taken, "it exists"), (tmp_path / "none" / "x", "its folder is not there")):
        assert here.do("validator", "move", "export", path) == EXIT_FAILED
        assert why in stderr_line(capsys)
    assert main(["validator", "move", "export", str(tmp_path / "x"), f"--key_file={here.key_file}"]) == EXIT_USAGE
    assert "keys of a demo chain are everybody's" in stderr_line(capsys)
    assert here.record().read_bytes() == before

    write_key_file(there.key_file, NEXT, None)
    assert there.do("validator", "move", "export", tmp_path / "x") == EXIT_FAILED
    assert "is not there: is this the right key" in stderr_line(capsys)
    assert here.do("validator", "move", "export", tmp_path / "x") == 0
    capsys.readouterr()
    assert there.do("validator", "move", "import", tmp_path / "x") == EXIT_FAILED
    assert "holds another key" in stderr_line(capsys)
    assert not there.record().exists()


def test_a_history_that_contradicts_the_record_is_not_taken_over(
    here: Machine, there: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here.folder / "keys", there.folder / "keys", dirs_exist_ok=True)
    for one, value in ((here, A), (there, B)):
        signed = one.signer().sign(prevote(5, 0, value))
        assert not isinstance(signed, Proposal)
    assert here.do("validator", "move", "export", tmp_path / "x") == 0
    before = there.record().read_bytes()
    capsys.readouterr()
    assert there.do("validator", "move", "import", tmp_path / "x") == EXIT_FAILED
    assert "two different messages are signed for height 5" in stderr_line(capsys)
    assert there.record().read_bytes() == before
