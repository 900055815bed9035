"""What can be held about the containers without an engine: names, ports, labels, commands and the build context."""

from __future__ import annotations

import json
import shlex
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parent.parent
NODES = {"node_one": (8010, 8050), "node_two": (8011, 8051), "node_three": (8012, 8052)}
KEYS = {"node_one": "./keys/genesis_private_key.pem", "node_two": "./keys/staker_private_key.pem"}


class Health(msgspec.Struct, frozen=True):
    test: list[str]


class EnvFile(msgspec.Struct, frozen=True):
    path: str
    required: bool


class Service(msgspec.Struct, frozen=True):
    build: str | None = None
    command: str = ""
    container_name: str = ""
    environment: dict[str, str] = {}
    env_file: list[EnvFile] = []
    healthcheck: Health | None = None
    labels: dict[str, str] = {}
    ports: list[str] = []
    profiles: list[str] = []
    volumes: list[str] = []
    privileged: bool = False
    user: str = ""


class Compose(msgspec.Struct, frozen=True):
    services: dict[str, Service]
    volumes: dict[str, None]


def compose() -> Compose:
    return msgspec.yaml.decode((ROOT / "docker-compose.yml").read_bytes(), type=Compose)


def dockerfile_lines(instruction: str) -> list[str]:
    """The arguments of every such instruction, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    words = [line.strip().split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [rest[0] for first, *rest in words if first == instruction and rest]


def check_starts(command: list[str]) -> list[str]:
    """That a command is `python run_node.py FLAGS` and that the command line understands each flag; its flags."""
    from blockchain.cli import build_parser

    assert command[:2] == ["python", "run_node.py"], command
    build_parser().parse_args(["run", *command[2:]])  # an unknown flag ends in SystemExit
    return command[2:]


def test_three_nodes_stand_on_the_ports_of_the_readme() -> None:
    services = compose().services
    assert [name for name, service in services.items() if not service.profiles] == list(NODES)
    for name, (node_port, api_port) in NODES.items():
        service = services[name]
        assert service.container_name == name
        assert service.ports == [f"127.0.0.1:{port}:{port}" for port in (node_port, api_port)]
        assert f"--node_port={node_port}" in service.command
        assert f"--api_port={api_port}" in service.command
        assert f"--advertise={name}:{node_port}" in service.command


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for service in compose().services.values() for port in service.ports]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_each_node_knows_where_the_others_are() -> None:
    for name in NODES:
        environment = compose().services[name].environment
        assert environment["DOCKER_NODE_CONTAINER_NAMES"].split(",") == list(NODES)
        assert [int(port) for port in environment["DOCKER_NODE_PORTS"].split(",")] == [
            node_port for node_port, _ in NODES.values()
        ]
        assert environment["FIRST_NODE_PORT"] == "8010"


def test_the_api_of_each_node_answers_to_the_names_of_all() -> None:
    for name in NODES:
        assert compose().services[name].environment["BLOCKCHAIN_API_HOSTS"].split(",") == list(NODES)


def test_each_node_keeps_its_data_in_a_volume_of_its_own() -> None:
    described = compose()
    mounts = {name: described.services[name].volumes for name in NODES}
    assert mounts == {name: [f"{name}_data:/data"] for name in NODES}
    assert set(described.volumes) == {f"{name}_data" for name in NODES}


def test_health_is_asked_at_the_port_of_the_node() -> None:
    for name, (_, api_port) in NODES.items():
        health = compose().services[name].healthcheck
        assert health is not None
        assert health.test[:3] == ["CMD", "python", "-c"]
        assert f"http://127.0.0.1:{api_port}/livez" in health.test[3]
        compile(health.test[3], "healthcheck", "exec")


def test_datadog_finds_source_and_service_of_each_node() -> None:
    for name in NODES:
        (entry,) = json.loads(compose().services[name].labels["com.datadoghq.ad.logs"])
        assert entry == {"source": "python", "service": name}


def test_the_agent_starts_only_with_its_profile_and_needs_no_env_file() -> None:
    agent = compose().services["datadog"]
    assert agent.profiles == ["datadog"]
    assert agent.env_file == [EnvFile(path=".env", required=False)]


def test_the_example_settings_name_what_the_agent_reads() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(settings) == {
        "DD_API_KEY",
        "DD_SITE",
        "DD_ENV",
        "DD_LOGS_ENABLED",
        "DD_LOGS_CONFIG_CONTAINER_COLLECT_ALL",
    }
    assert settings["DD_API_KEY"] == ""


@pytest.mark.parametrize("name", NODES)
def test_the_command_line_understands_the_command_of_a_node(name: str) -> None:
    flags = check_starts(shlex.split(compose().services[name].command))
    assert "--data_dir=/data" in flags
    assert [flag.partition("=")[2] for flag in flags if flag.startswith("--key_file")] == (
        [KEYS[name]] if name in KEYS else []
    )


def test_the_command_line_understands_the_command_of_the_image() -> None:
    (command,) = dockerfile_lines("CMD")
    assert "--data_dir=/data" in check_starts(msgspec.json.decode(command, type=list[str]))


@pytest.mark.parametrize("path", KEYS.values())
def test_the_keys_of_the_nodes_are_in_the_checkout(path: str) -> None:
    assert (ROOT / path).is_file()


def test_the_image_runs_without_root_and_installs_only_what_is_locked() -> None:
    assert dockerfile_lines("USER") == ["node"]
    installs = [line for line in dockerfile_lines("RUN") if "pip install" in line]
    assert installs == ["pip install --require-hashes --only-binary :all: -r requirements.lock"]
    (base,) = dockerfile_lines("FROM")
    assert base.startswith("python:3.13-slim")
    assert not any(service.privileged or service.user for service in compose().services.values())


def test_what_the_image_copies_exists_and_is_in_the_build_context() -> None:
    sources = [source for line in dockerfile_lines("COPY") for source in line.split()[:-1]]
    assert {"requirements.lock", "blockchain", "keys", "run_node.py", "sample_transactions.py"} == set(sources)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_in_context(source, ignored), source


def is_in_context(source: str, ignored: list[str]) -> bool:
    """Docker's rule for top-level names: the last pattern that matches decides."""
    included = True
    for pattern in (line for line in ignored if line and not line.startswith("#")):
        if fnmatch(source, pattern.removeprefix("!")):
            included = pattern.startswith("!")
    return included


def test_secrets_and_data_stay_out_of_the_build_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (".env", "data", ".git", ".venv", "tests"):
        assert not is_in_context(name, ignored), name
