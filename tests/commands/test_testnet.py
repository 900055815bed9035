"""testnet: what it writes is whole, loads, passes genesis' checks, and is found again."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import msgspec
import pytest

from blockchain.cli import EXIT_FAILED, EXIT_USAGE, build_parser, main
from blockchain.commands.arguments import read_settings
from blockchain.commands.passwords import open_key, read_password
from blockchain.commands.testnet_files import read_testnet
from blockchain.config import NodeConfig
from blockchain.genesis import load_genesis
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address
from blockchain.runtime.keystore import DEMO_KEYS, check_mode, is_encrypted, read_key_file
from tests.commands.test_cli import stderr_line


class Service(msgspec.Struct, frozen=True):
    command: str
    ports: list[str]
    volumes: list[str]
    cap_drop: list[str]
    user: str = ""
    environment: list[str] = []


class Compose(msgspec.Struct, frozen=True):
    services: dict[str, Service]


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a testnet of four; the working folder is elsewhere and has no `.env`."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "net"
    assert main(["testnet", "--validators=4", f"--output={folder}", "--first_node_port=9100", "--no_password"]) == 0
    return folder


def genesis_of(folder: Path) -> ChainSpec:
    return load_genesis((folder / "genesis.json").read_bytes())


def config_of(folder: Path, name: str, *more: str) -> NodeConfig:
    return read_settings(build_parser().parse_args(["run", f"--config={folder / name / 'node.toml'}", *more]))


def test_genesis_has_equal_stakes_funded_accounts_and_an_issuer(folder: Path) -> None:
    spec = genesis_of(folder)
    assert not spec.demo
    assert len({one.stake for one in spec.validators}) == 1 and len(spec.validators) == 4
    assert spec.issuer in {one.address for one in spec.accounts}
    assert all(one.balance > 0 for one in spec.accounts) and len(spec.accounts) == 3
    parameters = spec.parameters
    assert (parameters.block_threshold, parameters.block_max_wait_ms, parameters.stake_delay) == (1, 1_000, 32)


def test_every_key_belongs_to_genesis_and_only_its_owner_may_read_it(folder: Path) -> None:
    spec = genesis_of(folder)
    validators = [read_key_file(folder / f"node-{one}" / "validator_key.pem", None).public_key for one in range(1, 5)]
    assert [Address(key) for key in validators] == [one.address for one in spec.validators]
    names = ("issuer", "account-1", "account-2")
    funded = [read_key_file(folder / "keys" / f"{name}_key.pem", None).public_key for name in names]
    assert [Address(key) for key in funded] == [one.address for one in spec.accounts]
    assert not {*validators, *funded} & set(DEMO_KEYS)
    for path in folder.rglob("*.pem"):
        check_mode(path, public_ok=False)
        assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600


# ------------------------------------------------------------------------------------------------ its password


def test_keys_are_encrypted_with_a_password_that_the_nodes_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BLOCKCHAIN_PASSWORD", raising=False)
    monkeypatch.setattr("blockchain.runtime.keystore.KDF_ROUNDS", 1_000)  # the real number takes its time
    folder = tmp_path / "net"
    assert main(["testnet", "--validators=1", f"--output={folder}"]) == 0
    said = capsys.readouterr()
    password = read_password(folder / "password")
    assert len(password) >= 32 and password.decode() not in said.out + said.err
    keys = list(folder.rglob("*.pem"))
    assert len(keys) == 4 and all(is_encrypted(path) for path in keys)
    config = config_of(folder, "node-1")
    assert config.key_file is not None and config.password_file is not None
    assert config.password_file.samefile(folder / "password")
    assert (
        Address(open_key(config.key_file, config.password_file).public_key) == genesis_of(folder).validators[0].address
    )
    assert password_of_container(folder) == (["--password_file=/testnet/password"], ["./password:/testnet/password:ro"])


def password_of_container(folder: Path) -> tuple[list[str], list[str]]:
    described = msgspec.yaml.decode((folder / "docker-compose.yml").read_bytes(), type=Compose)
    service = described.services["node-1"]
    return [word for word in shlex.split(service.command) if "password" in word], service.volumes[2:]


def test_a_password_file_of_ones_own_is_named_and_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.runtime.keystore.KDF_ROUNDS", 1_000)
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    folder = tmp_path / "net"
    assert main(["testnet", "--validators=1", f"--output={folder}", f"--password_file={secret}"]) == 0
    assert not (folder / "password").exists()
    config = config_of(folder, "node-1")
    assert config.password_file == secret.resolve()
    read_key_file(folder / "keys" / "issuer_key.pem", b"open sesame")
    flags, volumes = password_of_container(folder)
    assert flags == ["--password_file=/testnet/password"] and volumes == [f"{secret.resolve()}:/testnet/password:ro"]


def test_a_password_of_the_environment_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKCHAIN_PASSWORD", "open sesame")
    monkeypatch.setattr("blockchain.runtime.keystore.KDF_ROUNDS", 1_000)
    folder = tmp_path / "net"
    assert main(["testnet", "--validators=1", f"--output={folder}"]) == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files and not any(b"open sesame" in path.read_bytes() for path in files)
    assert config_of(folder, "node-1").password_file is None
    assert password_of_container(folder) == ([], [])
    described = msgspec.yaml.decode((folder / "docker-compose.yml").read_bytes(), type=Compose)
    assert described.services["node-1"].environment == ["BLOCKCHAIN_PASSWORD"]
    read_key_file(folder / "keys" / "issuer_key.pem", b"open sesame")


@pytest.mark.skipif(os.name == "nt", reason="no modes on Windows")
def test_the_folders_with_keys_are_their_owners_alone(folder: Path) -> None:
    for path in (folder, folder / "keys", folder / "node-1"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


# --------------------------------------------------------------------------------------------------- its nodes


def test_each_nodes_settings_work_from_any_folder(folder: Path) -> None:
    for index in range(4):
        config = config_of(folder, f"node-{index + 1}")
        assert (config.node_port, config.api_port) == (9100 + index, 8050 + index)
        assert config.key_file is not None and config.key_file.is_file()
        assert config.genesis is not None and load_genesis(config.genesis.read_bytes()) == genesis_of(folder)
        assert config.data_dir == folder / f"node-{index + 1}" / "data"
        assert config.seeds == tuple(f"localhost:{9100 + other}" for other in range(4) if other != index)
        assert config.service == f"node-{index + 1}"


def test_the_start_commands_are_printed_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "net"
    assert main(["testnet", "--no_password", f"--output={folder}"]) == 0
    testnet = read_testnet(folder)
    printed = capsys.readouterr().out
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert testnet.genesis_hash == genesis_of(folder).hash.hex()
    for node in testnet.nodes:
        command = testnet.start_command(node)
        assert command in printed and command in readme
        assert shlex.split(command) == ["python", "run_node.py", testnet.config_flag(node)]
        build_parser().parse_args(["run", testnet.config_flag(node)])
    assert "No key is encrypted" in printed and "No key is encrypted" in readme


def test_an_installed_package_is_started_by_its_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.commands.testnet_files.PROJECT", folder)
    testnet = read_testnet(folder)
    assert testnet.start_command(testnet.nodes[0]).startswith("blockchain run --config=")


def test_the_compose_file_starts_each_node_with_its_own_folder(folder: Path) -> None:
    described = msgspec.yaml.decode((folder / "docker-compose.yml").read_bytes(), type=Compose)
    assert list(described.services) == [f"node-{index}" for index in range(1, 5)]
    for index, (name, service) in enumerate(described.services.items()):
        words = shlex.split(service.command)
        assert words[:2] == ["python", "run_node.py"]
        inside = f"--config=/testnet/{name}/node.toml"
        assert inside in words
        flags = [word for word in words[2:] if word != inside]
        config = config_of(folder, name, *flags)
        assert (config.ip, config.advertise) == ("0.0.0.0", f"{name}:{9100 + index}")
        assert len(config.seeds) == 3 and f"{name}:{9100 + index}" not in config.seeds
        assert service.ports == [f"127.0.0.1:{8050 + index}:{8050 + index}"]
        assert service.volumes[0] == f"./{name}:/testnet/{name}"
        assert os.name == "nt" or service.user == f"{os.getuid()}:{os.getgid()}"


def test_parameters_can_be_set(tmp_path: Path) -> None:
    arguments = ["testnet", "--no_password", "--validators=1", f"--output={tmp_path}", "--set=block_max_wait_ms=none"]
    assert main([*arguments, "--set", "stake_delay=8", "--chain-id=mine"]) == 0
    spec = genesis_of(tmp_path)
    assert (spec.chain_id, spec.parameters.block_max_wait_ms, spec.parameters.stake_delay) == ("mine", None, 8)
    assert config_of(tmp_path, "node-1").seeds == ()


def test_fewer_than_four_are_told_what_they_tolerate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["testnet", "--no_password", "--validators=3", f"--output={tmp_path}"]) == 0
    assert "stops when one of them does" in capsys.readouterr().out
    assert main(["testnet", "--no_password", "--validators=4", f"--output={tmp_path / 'four'}"]) == 0
    assert "stops when one of them does" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "code", "why"),
    [
        (["--validators=0"], EXIT_USAGE, "1 to 100"),
        (["--validators=101"], EXIT_USAGE, "1 to 100"),
        (["--first_node_port=65534"], EXIT_USAGE, "--first_node_port"),
        (["--first_node_port=8048"], EXIT_USAGE, "would meet"),
        (["--set=stake_delay=0"], EXIT_FAILED, "stake_delay"),
        (["--set=nothing=0"], EXIT_USAGE, "the parameters are"),
        (["--chain_id=Mine"], EXIT_FAILED, "chain_id"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, why: str
) -> None:
    assert main(["testnet", f"--output={tmp_path / 'net'}", *more]) == code
    assert why in stderr_line(capsys)
    assert not (tmp_path / "net").exists()


def test_an_existing_folder_is_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "genesis.json").read_bytes()
    capsys.readouterr()
    assert main(["testnet", "--validators=4", f"--output={folder}"]) == EXIT_USAGE
    assert "not empty" in stderr_line(capsys)
    assert main(["testnet", "--validators=5", "--run", f"--output={folder}"]) == EXIT_USAGE
    assert "already" in stderr_line(capsys)
    assert main(["testnet", "--no_password", "--run", f"--output={folder}"]) == EXIT_USAGE
    assert "already" in stderr_line(capsys)
    assert (folder / "genesis.json").read_bytes() == before
