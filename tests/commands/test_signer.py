"""`signer`, and nodes that are given one: they find each other, and each misuse is told in a line."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.commands import checks_signer, validator_keys
from blockchain.commands.checks_signer import check_signers
from blockchain.commands.keyring import keys_folder
from blockchain.commands.node import running_node
from blockchain.commands.signer_process import SignerConfig, running_signer
from blockchain.commands.validator_keys import open_signers, record_path
from blockchain.config import NodeConfig
from blockchain.demo_chain import demo_spec
from blockchain.errors import ConfigError, SignerUnreachable
from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import GenesisValidator
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.primitives.host_port import HostPort
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import node_key, write_key_file
from tests.commands.test_cli import stderr_line
from tests.runtime.scenarios import run
from tests.samples import address, key, spec_of, wallet

SPEC = spec_of(
    validators=(GenesisValidator(address("v"), 100),),
    parameters={"block_max_transactions": 1, "stake_min": 10, "stake_step_max_bp": 1_000},
)
KEY, NEXT = key("v"), key("the next key")


class Folders:
    """A validator's key with the signer, and a node's folder; ports are free ones."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "validator.pem"
        self.signer, self.node = folder / "signer", folder / "node"
        self.admit, self.genesis = folder / "nodes", folder / "genesis.json"
        write_key_file(self.key_file, KEY, None)
        self.genesis.write_bytes(dump_genesis(SPEC))
        self.admit.write_text(f"{node_key(self.node).public_key.hex()}  # the one node\n")

    @property
    def signer_id(self) -> bytes:
        return bytes(node_key(self.signer).public_key)

    def signer_config(self, **changes: Path) -> SignerConfig:
        key_file, data_dir = changes.get("key_file", self.key_file), changes.get("data_dir", self.signer)
        return SignerConfig(key_file, None, HostPort("127.0.0.1", 0), self.admit, data_dir)

    def node_config(self, *places: tuple[int, bytes]) -> NodeConfig:
        signer = tuple((f"127.0.0.1:{port}", node_id) for port, node_id in places)
        return NodeConfig(
            ip="127.0.0.1", node_port=0, api_port=0, data_dir=self.node, signer=signer, trust_genesis=True, look_s=0
        )

    def flags(self, **changes: object) -> list[str]:
        given = {
            "key_file": self.key_file,
            "listen": "127.0.0.1:8060",
            "admit": self.admit,
            "genesis": self.genesis,
            "data_dir": self.signer,
        }
        return ["signer", *(f"--{name}={value}" for name, value in (given | changes).items())]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


# ------------------------------------------------------------------------------------------------ together


def test_a_node_makes_a_block_with_a_signer_and_its_record_lies_beside_the_key(folders: Folders) -> None:
    async def scenario() -> None:
        async with running_signer(folders.signer_config(), SPEC) as signer:
            config = folders.node_config((signer.p2p.port, folders.signer_id))
            async with running_node(config, SPEC) as validator:
                pay = wallet("a", SPEC.hash).transfer(Address(key("b").public_key), 1, 0)
                await validator.submit([pay.raw])
                while validator.status().height == 0:
                    await asyncio.sleep(0.005)
        assert record_path(folders.key_file, folders.node, SPEC).is_file()

    run(scenario())


def test_a_signer_that_is_not_there_keeps_a_node_from_starting_with_one_line(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validator_keys, "SIGNER_FOUND_S", 0.01)

    async def scenario() -> None:
        with pytest.raises(SignerUnreachable, match=r"^the signer at 127\.0\.0\.1:1 cannot be reached: "):
            async with running_node(folders.node_config((1, folders.signer_id)), SPEC):
                raise AssertionError("it started")

    run(scenario())


def test_a_node_that_waits_for_its_signer_ends_when_it_is_told_to(folders: Folders) -> None:
    async def told() -> None:
        pass

    async def scenario() -> None:
        with pytest.raises(KeyboardInterrupt):
            async with running_node(folders.node_config((1, folders.signer_id)), SPEC, contextlib.nullcontext, told):
                raise AssertionError("it started")

    run(scenario())


def test_two_signers_of_one_key_are_not_two(folders: Folders) -> None:
    async def scenario() -> None:
        again = folders.signer_config(data_dir=folders.signer.with_name("again"))
        async with running_signer(folders.signer_config(), SPEC) as one, running_signer(again, SPEC) as other:
            places = (one.p2p.port, folders.signer_id), (other.p2p.port, bytes(node_key(again.data_dir).public_key))
            with pytest.raises(ConfigError, match="both signers hold the same key"):
                async with running_node(folders.node_config(*places), SPEC):
                    raise AssertionError("it started")

    run(scenario())


def test_a_demo_signers_record_lies_in_its_folder(folders: Folders) -> None:
    async def scenario() -> None:
        config = folders.signer_config(key_file=keys_folder() / "genesis_private_key.pem")
        async with running_signer(config, demo_spec()):
            assert (folders.signer / "signing_record").is_file()

    run(scenario())


# ------------------------------------------------------------------------------------------------ doctor


def test_doctor_asks_the_signer(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_signer, "FOUND_S", 30.0)

    async def scenario() -> None:
        async with running_signer(folders.signer_config(), SPEC) as signer:
            config = folders.node_config((signer.p2p.port, folders.signer_id))
            found, keys = await asyncio.get_running_loop().run_in_executor(None, check_signers, config, SPEC)
            assert [one.level for one in found] == ["ok"] and KEY.public_key.hex() in found[0].text
            assert keys == {KEY.public_key}

    run(scenario())


def test_doctor_finds_a_signer_that_is_not_there(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_signer, "FOUND_S", 0.01)
    [found], keys = check_signers(folders.node_config((1, folders.signer_id)), SPEC)
    assert found.level == "fail" and node_key(folders.node).public_key.hex() in found.fix
    assert keys == frozenset()


def test_doctor_does_not_take_the_signer_from_a_node_that_runs(folders: Folders) -> None:
    lock = FolderLock.take(folders.node)
    [found], _ = check_signers(folders.node_config((1, folders.signer_id)), SPEC)
    lock.release()
    assert found.level == "ok" and "the node that runs here" in found.text


def test_doctor_makes_no_node_id(folders: Folders, tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path / "new", signer=(("127.0.0.1:1", folders.signer_id),))
    [found], _ = check_signers(config, SPEC)
    assert found.level == "warn" and "keys node" in found.fix and not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        ({"admit": "nowhere"}, EXIT_USAGE, "admit file nowhere: "),
        ({"listen": "8060"}, EXIT_USAGE, "not a"),
        ({"listen": "localhost:0"}, EXIT_USAGE, "not an address of the form host:port"),
        ({"key_file": "nowhere.pem"}, EXIT_FAILED, "key file nowhere.pem: "),
        ({"genesis": "nowhere.json"}, EXIT_FAILED, "nowhere.json cannot be read"),
        ({"key_file": keys_folder() / "genesis_private_key.pem"}, EXIT_FAILED, "genesis_private_key.pem"),
    ],
)
def test_what_a_signer_cannot_use_is_told_in_a_line(
    folders: Folders, capsys: pytest.CaptureFixture[str], changes: dict[str, object], code: int, line: str
) -> None:
    assert main(folders.flags(**changes)) == code
    assert line in stderr_line(capsys)


def test_a_list_that_admits_nobody_is_told_at_the_start(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    folders.admit.write_text("# nobody yet\n")
    assert main(folders.flags()) == EXIT_USAGE
    assert "names no node id" in stderr_line(capsys)


def test_a_signer_does_not_run_in_the_folder_of_a_node(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FolderLock.take(folders.node)
    assert main(folders.flags(data_dir=folders.node)) == EXIT_FAILED
    lock.release()
    assert "is in use" in stderr_line(capsys)


ID = "ab" * 32
FREE = ["--node_port=0", "--api_port=0", "--seeds=none"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--signer=localhost:8060"], "host:port@node_id"),
        (["--signer=localhost:8060@abc"], "host:port@node_id"),
        ([f"--signer=localhost@{ID}"], "an address of the form host:port"),
        ([f"--signer=a:1@{ID},b:2@{ID},c:3@{ID}"], "host:port@node_id"),
        ([f"--signer=a:1@{ID}", "--key_file=key.pem"], "signer stands in place of key_file"),
        ([f"--signer=a:1@{ID}", "--next_key_file=key.pem"], "signer stands in place of key_file"),
        (["--next_key_file=key.pem"], "no key_file is given"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FREE, *flags]) == EXIT_USAGE
    assert line in stderr_line(capsys)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ two keys here


def two_keys(folder: Path, next_key: bytes = NEXT.seed) -> NodeConfig:
    first, following = folder / "validator.pem", folder / "next.pem"
    write_key_file(first, KEY, None)
    write_key_file(following, SigningKey(next_key), None)
    return NodeConfig(data_dir=folder / "data", key_file=first, next_key_file=following)


def test_each_of_two_keys_has_a_record_of_its_own(tmp_path: Path) -> None:
    config = two_keys(tmp_path)
    signers = open_signers(config, SPEC)
    assert [signer.load().key for signer in signers] == [KEY.public_key, NEXT.public_key]
    records = {record_path(one, config.data_dir, SPEC) for one in (config.key_file, config.next_key_file) if one}
    assert len(records) == 2 and all(record.is_file() for record in records)


def test_the_next_key_is_another_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds the same key as"):
        open_signers(two_keys(tmp_path, KEY.seed), SPEC)


def test_on_a_demo_chain_the_next_key_finds_its_record_when_it_is_the_first_one(tmp_path: Path) -> None:
    public = keys_folder()
    both = NodeConfig(
        data_dir=tmp_path,
        key_file=public / "genesis_private_key.pem",
        next_key_file=public / "staker_private_key.pem",
    )
    for signer in open_signers(both, demo_spec()):
        signer.load()
    names = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    [later] = open_signers(NodeConfig(data_dir=tmp_path, key_file=public / "staker_private_key.pem"), demo_spec())
    later.load()
    assert names == {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert len(names) == 2
