"""guilty: two data folders whose nodes made different blocks final, what they export, and what is no fork."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.node.fork_case import ForkCase, case_to_json, merged, read_case
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.jsonform import certificate_to_json, vote_to_json
from blockchain.primitives.vote import Certificate, ConflictingVotes, Fork
from blockchain.seams import Batch, HeightVotes
from tests.commands.stored_chain import HEIGHT, SPEC, grow, open_chain
from tests.commands.test_cli import stderr_line
from tests.node.one_chain import KEYS, NOW
from tests.samples import BLOCK_A, PRECOMMIT, PREVOTE, certificate_of, vote

ALL = dict(enumerate(KEYS))
FORK = HEIGHT + 1


class Made:
    """Folder `a` has a block 6 of round 0, `b` another one of round 2, with the prevotes of that round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.genesis = folder / "genesis.json"
        self.certificates: list[Certificate] = []
        with open_chain(folder / "a") as node:
            grow(node, HEIGHT)
        shutil.copytree(folder / "a", folder / "b")
        for name, round in (("a", 0), ("b", 2)):
            with open_chain(folder / name) as node:
                nonce = 2 * HEIGHT
                node.add(node.pay("a", nonce), node.pay("a", nonce + 1))
                block = node.build(now=NOW + 50 + round)
                certificate = certificate_of(ALL, FORK, block.id, round=round, genesis_hash=SPEC.hash)
                node.perform(node.chain.finalize(block, certificate, round, NOW))
                self.certificates.append(certificate)
                cast = (
                    vote(held, FORK, PREVOTE, block.id, round=round, polka_round=-1, genesis_hash=SPEC.hash)
                    for held in KEYS
                )
                node.store.write(Batch(prevotes=HeightVotes(FORK, codec.encode(tuple(cast)))) if round else Batch())

    def know(self, name: str, *proofs: object) -> None:
        with open_chain(self.folder / name) as node:
            node.store.write(Batch(evidence=tuple(map(codec.encode, proofs))))


@pytest.fixture(name="template", scope="module")
def template_fixture(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from blockchain.genesis import dump_genesis

    made = Made(tmp_path_factory.mktemp("fork"))
    made.genesis.write_bytes(dump_genesis(SPEC))
    return made


@pytest.fixture(name="made")
def made_fixture(template: Made, tmp_path: Path) -> Made:
    made = object.__new__(Made)
    made.folder = Path(shutil.copytree(template.folder, tmp_path / "fork"))
    made.genesis, made.certificates = made.folder / "genesis.json", template.certificates
    return made


def run(made: Made, *arguments: object) -> int:
    return main(["guilty", *map(str, arguments), "--genesis", str(made.genesis)])


def test_two_folders_name_the_guilty_with_both_messages(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, made.folder / "a", made.folder / "b", "--height", FORK) == 0
    page = capsys.readouterr().out
    assert f"fork at height {FORK}" in page and "guilty: 3, with 300 of 300 of the stake" in page
    for held in KEYS:
        assert f"{format_address(held.public_key)}  stake 100: it forgot its lock" in page
    assert f"precommit of round 0 for {made.certificates[0].block_id.hex()}" in page
    assert f"prevote of round 2 for {made.certificates[1].block_id.hex()}" in page
    assert "not proven: 0" in page


def test_one_folder_that_has_proof_tells_the_height_and_what_is_not_proven(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    double = ConflictingVotes(
        *(vote(KEYS[0], FORK, PRECOMMIT, value, round=1, genesis_hash=SPEC.hash) for value in (BLOCK_A, None))
    )
    made.know("a", Fork(*made.certificates), double)
    assert run(made, made.folder / "a", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["validator"] for one in told["guilty"]] == [format_address(KEYS[0].public_key)]
    assert told["guilty"][0]["evidence"]["kind"] == "votes"
    assert [(one["polka_round"], one["block_id"]) for one in told["not_proven"]] == [
        (2, made.certificates[1].block_id.hex())
    ] * 2
    assert (told["height"], told["stake"], told["skipped"]) == (FORK, 300, 0)


def test_what_is_exported_proves_the_same_elsewhere(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        file = made.folder / f"{name}.json"
        assert run(made, made.folder / name, "--height", FORK, "--export", file) == 0
        shutil.rmtree(made.folder / name)
    capsys.readouterr()
    assert run(made, made.folder / "a.json", made.folder / "b.json") == 0
    assert "guilty: 3, with 300 of 300" in capsys.readouterr().out
    assert run(made, made.folder / "a.json", "--export", made.folder / "b.json") == EXIT_USAGE, "it is there already"


@pytest.mark.parametrize("form", ["json", "bytes"])
def test_two_certificates_in_a_file_are_enough_beside_a_folder(
    made: Made, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made.folder / "two"
    as_json = json.dumps([certificate_to_json(each) for each in made.certificates]).encode()
    file.write_bytes(as_json if form == "json" else codec.encode(Fork(*made.certificates)))
    assert run(made, file, made.folder / "b") == 0
    assert "guilty: 3" in capsys.readouterr().out
    assert run(made, file) == EXIT_USAGE
    assert "no source has the validator set" in stderr_line(capsys)


def test_what_is_no_fork_is_said(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, made.folder / "a") == EXIT_USAGE
    assert "no source has proof of a fork" in stderr_line(capsys)
    assert run(made, made.folder / "a", "--height", FORK) == EXIT_USAGE
    assert "no fork: the sources hold no two certificates for different blocks" in stderr_line(capsys)
    assert run(made, made.folder / "nothing") == EXIT_USAGE
    assert "No such file or directory: name a data folder" in stderr_line(capsys)
    (made.folder / "empty").write_bytes(b"")
    assert run(made, made.folder / "empty") == EXIT_FAILED
    assert "empty: not a Fork" in stderr_line(capsys)


# ------------------------------------------------------------------------------------------------ the file


def case(made: Made, **changes: object) -> ForkCase:
    plain = ForkCase(SPEC.hash, FORK, tuple(made.certificates), None, ())
    return replace(plain, **changes)


BAD: dict[str, tuple[dict[str, object], str]] = {
    "another chain": ({"genesis_hash": "00" * 32}, "another chain"),
    "an unknown field": ({"more": 1}, "unknown field"),
    "no hex": ({"genesis_hash": "zz"}, "not what is known"),
    "a step that votes do not have": ({"votes": [{"step": "propose"}]}, "no 'propose'"),
    "a round out of bounds": ({"votes": [{"round": -2}]}, "not a Vote"),
    "an address that is none": ({"votes": [{"validator": "pos1"}]}, "not what is known"),
    "a signature that is too short": ({"votes": [{"signature": "00"}]}, "not a Vote"),
}


@pytest.mark.parametrize("change, said", BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_case_is_refused(
    made: Made, change: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    voted = vote(KEYS[0], FORK, PREVOTE, BLOCK_A, genesis_hash=SPEC.hash)
    plain = case_to_json(case(made, votes=(voted,)))
    assert read_case(json.dumps(plain).encode(), SPEC.hash).votes == (voted,)
    wrong = change.get("votes", [{}])
    assert isinstance(wrong, list)
    file = made.folder / "case.json"
    file.write_text(json.dumps(plain | change | {"votes": [vote_to_json(voted) | wrong[0]]}))
    assert run(made, file) == EXIT_FAILED
    assert said in stderr_line(capsys)


def test_cases_of_other_heights_or_sets_do_not_go_together(made: Made) -> None:
    from blockchain.errors import MalformedMessage
    from tests.samples import set_of

    one = case(made, validators=set_of([1])[0])
    with pytest.raises(MalformedMessage, match="different heights"):
        merged([one, case(made, height=FORK + 1)])
    with pytest.raises(MalformedMessage, match="different validator sets"):
        merged([one, case(made, validators=set_of([2])[0])])
    both = merged([case(made), one, case(made)])
    assert both.validators == one.validators and both.certificates == tuple(made.certificates)
    assert both.genesis_hash == Hash32(SPEC.hash)
