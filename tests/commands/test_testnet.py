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
from blockchain.commands.testnet_files import read_testnet
from blockchain.config import NodeConfig
from blockchain.genesis import load_genesis
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address
from blockchain.runtime.keystore import DEMO_KEYS, check_mode, read_key_file
from tests.commands.test_cli import stderr_line


class Service(msgspec.Struct, frozen=True):
    command: str
    ports: list[str]
    volumes: list[str]
    cap_drop: list[str]
    user: str = ""


class Compose(msgspec.Struct, frozen=True):
    services: dict[str, Service]


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a testnet of four; the working folder is elsewhere and has no `.env`."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "net"
    assert main(["testnet", "--validators=4", f"--output={folder}", "--first_node_port=9100"]) == 0
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
    assert main(["testnet", f"--output={folder}"]) == 0
    testnet = read_testnet(folder)
    printed = capsys.readouterr().out
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert testnet.genesis_hash == genesis_of(folder).hash.hex()
    for node in testnet.nodes:
        command = testnet.start_command(node)
        assert command in printed and command in readme
        assert shlex.split(command) == ["python", "run_node.py", testnet.config_flag(node)]
        build_parser().parse_args(["run", testnet.config_flag(node)])
    assert "not encrypted" in printed


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
    arguments = ["testnet", "--validators=1", f"--output={tmp_path}", "--set=block_max_wait_ms=none"]
    assert main([*arguments, "--set", "stake_delay=8", "--chain-id=mine"]) == 0
    spec = genesis_of(tmp_path)
    assert (spec.chain_id, spec.parameters.block_max_wait_ms, spec.parameters.stake_delay) == ("mine", None, 8)
    assert config_of(tmp_path, "node-1").seeds == ()


def test_fewer_than_four_are_told_what_they_tolerate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["testnet", "--validators=3", f"--output={tmp_path}"]) == 0
    assert "stops when one of them does" in capsys.readouterr().out
    assert main(["testnet", "--validators=4", f"--output={tmp_path / 'four'}"]) == 0
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
    assert (folder / "genesis.json").read_bytes() == before
