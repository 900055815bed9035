"""Settings: where they come from, which one wins, and what is said of those that cannot be used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from blockchain.config import SETTINGS_FILE_BYTES_MAX, NodeConfig, load_config, parse_env
from blockchain.errors import ConfigError
from blockchain.primitives.host_port import is_host_port
from blockchain.settings import SETTINGS


def load(
    folder: Path, flags: dict[str, str | None] | None = None, environment: dict[str, str] | None = None
) -> NodeConfig:
    return load_config(flags or {}, environment or {}, folder)


def complaint(
    folder: Path, flags: dict[str, str | None] | None = None, environment: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as raised:
        load(folder, flags, environment)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == NodeConfig(
        ip="localhost",
        node_port=8010,
        api_port=8050,
        key_file=None,
        password_file=None,
        data_dir=Path("data/node-8010"),
        genesis=None,
        seeds=(),
        advertise="localhost:8010",
        log_format="json",
        log_level="info",
        service="blockchain-node",
    )


def test_every_field_is_a_setting() -> None:
    assert [field.name for field in fields(NodeConfig)] == list(SETTINGS)


def test_flags_win_over_environment_over_env_file_over_config_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('service = "file"\napi_port = 4\nnode_port = 4\nlog_level = "debug"\n')
    (tmp_path / ".env").write_text("BLOCKCHAIN_SERVICE=envfile\nBLOCKCHAIN_API_PORT=3\nBLOCKCHAIN_NODE_PORT=33\n")
    environment = {"BLOCKCHAIN_SERVICE": "environment", "BLOCKCHAIN_API_PORT": "2"}
    found = load(tmp_path, {"service": "flag", "config": "node.toml"}, environment)
    assert (found.service, found.api_port, found.node_port, found.log_level) == ("flag", 2, 33, "debug")


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BLOCKCHAIN_SERVICE=envfile\nBLOCKCHAIN_GENESIS=\n")
    found = load(tmp_path, environment={"BLOCKCHAIN_SERVICE": ""})
    assert (found.service, found.genesis) == ("envfile", None)


def test_the_config_file_is_named_by_flag_or_variable(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("api_port = 1\n")
    (tmp_path / "b.toml").write_text("api_port = 2\n")
    assert load(tmp_path, environment={"BLOCKCHAIN_CONFIG": "a.toml"}).api_port == 1
    assert load(tmp_path, {"config": "b.toml"}, {"BLOCKCHAIN_CONFIG": "a.toml"}).api_port == 2


def test_another_env_file_or_none_can_be_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BLOCKCHAIN_SERVICE=usual\n")
    (tmp_path / "other").write_text("BLOCKCHAIN_SERVICE=other\n")
    assert load(tmp_path, environment={"BLOCKCHAIN_ENV_FILE": "other"}).service == "other"
    assert load(tmp_path, environment={"BLOCKCHAIN_ENV_FILE": ""}).service == "blockchain-node"
    assert "missing" in complaint(tmp_path, environment={"BLOCKCHAIN_ENV_FILE": "missing"})


def test_a_relative_path_counts_from_the_config_file_and_else_from_the_working_folder(tmp_path: Path) -> None:
    folder = tmp_path / "node-1"
    folder.mkdir()
    (folder / "node.toml").write_text('key_file = "key.pem"\ngenesis = "../genesis.json"\n')
    found = load(tmp_path, {"config": "node-1/node.toml", "data_dir": "here"})
    assert found.key_file == folder / "key.pem"
    assert found.genesis == folder / "../genesis.json"
    assert found.data_dir == Path("here")


def test_the_data_folder_follows_the_port(tmp_path: Path) -> None:
    assert load(tmp_path, {"node_port": "9000"}).data_dir == Path("data/node-9000")
    assert load(tmp_path, {"node_port": "9000", "data_dir": "x"}).data_dir == Path("x")


# -------------------------------------------------------------------------------------------------- whom to dial


def test_the_first_node_of_this_machine_is_dialled_unless_it_is_this_one(tmp_path: Path) -> None:
    assert load(tmp_path).seeds == ()
    assert load(tmp_path, {"node_port": "8011"}).seeds == ("localhost:8010",)
    assert load(tmp_path, {"node_port": "8011"}, {"FIRST_NODE_PORT": "9000"}).seeds == ("localhost:9000",)
    assert load(tmp_path, {"node_port": "9000"}, {"FIRST_NODE_PORT": "9000"}).seeds == ()


def test_containers_are_dialled_by_name_and_port_without_oneself(tmp_path: Path) -> None:
    environment = {
        "DOCKER_NODE_CONTAINER_NAMES": "node_one,node_two, node_three",
        "DOCKER_NODE_PORTS": "8010,8011,8012",
        "FIRST_NODE_PORT": "8010",
    }
    flags: dict[str, str | None] = {"ip": "0.0.0.0", "node_port": "8011", "advertise": "node_two:8011"}
    found = load(tmp_path, flags, environment)
    assert found.seeds == ("node_one:8010", "node_three:8012")
    assert found.advertise == "node_two:8011"


def test_further_names_of_the_api(tmp_path: Path) -> None:
    assert load(tmp_path).api_hosts == ()
    assert load(tmp_path, {"api_hosts": "node_one, 10.0.0.1,::1,node_one"}).api_hosts == ("node_one", "10.0.0.1", "::1")
    assert load(tmp_path, {"api_hosts": "none"}).api_hosts == ()
    (tmp_path / "node.toml").write_text('api_hosts = ["a", "b"]\napi_rate = 7\n')
    found = load(tmp_path, {"config": "node.toml"})
    assert (found.api_hosts, found.api_rate) == (("a", "b"), 7)


def test_seeds_win_over_the_variables_of_containers(tmp_path: Path) -> None:
    environment = {"DOCKER_NODE_CONTAINER_NAMES": "a", "DOCKER_NODE_PORTS": "1"}
    assert load(tmp_path, {"seeds": "b:2, c:3,b:2"}, environment).seeds == ("b:2", "c:3")
    assert load(tmp_path, {"seeds": "none"}, environment).seeds == ()
    assert load(tmp_path, None, {**environment, "BLOCKCHAIN_SEEDS": "d:4"}).seeds == ("d:4",)


def test_names_and_ports_have_to_come_in_pairs(tmp_path: Path) -> None:
    environment = {"DOCKER_NODE_CONTAINER_NAMES": "a,b", "DOCKER_NODE_PORTS": "1"}
    assert "2 names and 1 ports" in complaint(tmp_path, environment=environment)
    assert "DOCKER_NODE_PORTS" in complaint(tmp_path, environment={"DOCKER_NODE_PORTS": "1"})


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"ip": "0.0.0.0"}, None),
        ({"ip": "::"}, None),
        ({"node_port": "0"}, None),
        ({"advertise": "none"}, None),
        ({"ip": "::1"}, "[::1]:8010"),
        ({"ip": "10.0.0.1"}, "10.0.0.1:8010"),
        ({"ip": "0.0.0.0", "advertise": "example.org:1"}, "example.org:1"),
    ],
)
def test_what_peers_are_told_to_dial(tmp_path: Path, flags: dict[str, str | None], expected: str | None) -> None:
    found = load(tmp_path, flags).advertise
    assert found == expected
    assert found is None or is_host_port(found)


# ----------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("node_port", "65536", "0 to 65535"),
        ("node_port", "-1", "0 to 65535"),
        ("api_port", "http", "0 to 65535"),
        ("api_port", "80.5", "0 to 65535"),
        ("ip", "localhost:8010", "without a port"),
        ("ip", "", "host name"),
        ("seeds", "localhost", "host:port"),
        ("seeds", "localhost:0", "host:port"),
        ("seeds", "a b:1", "host:port"),
        ("seeds", ",".join(f"h{index}:1" for index in range(65)), "at most 64"),
        ("advertise", "8010", "host:port"),
        ("key_file", "", "a path"),
        ("log_format", "xml", "json, text"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("service", "a b", "letters"),
        ("api_hosts", "node:8050", "without a port"),
        ("api_hosts", "a b", "without a port"),
        ("api_hosts", ",".join(f"h{index}" for index in range(65)), "at most 64"),
        ("api_rate", "0", "1 to 1000000"),
        ("api_rate", "1000001", "1 to 1000000"),
        ("api_rate", "1_0", "1 to 1000000"),
        ("admin_token_file", "", "a path"),
        ("checkpoint", "12", "height:id"),
        ("checkpoint", "0:" + 64 * "a", "height:id"),
        ("checkpoint", "12:" + 63 * "a", "64 hex digits"),
        ("trust_genesis", "maybe", "true or false"),
        ("admit", "", "a path"),
        ("verify_workers", "-1", "0 to 64"),
        ("verify_workers", "65", "0 to 64"),
    ],
)
def test_a_wrong_value_is_a_line_that_names_the_setting_the_source_and_what_is_allowed(
    tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    from_flag = complaint(tmp_path, {name: value})
    assert from_flag.startswith(f"--{name} is ")
    assert allowed in from_flag
    if value:
        from_environment = complaint(tmp_path, environment={f"BLOCKCHAIN_{name.upper()}": value})
        assert f"BLOCKCHAIN_{name.upper()} in the environment" in from_environment
        (tmp_path / ".env").write_text(f"BLOCKCHAIN_{name.upper()}='{value}'\n")
        assert f"BLOCKCHAIN_{name.upper()} in .env" in complaint(tmp_path)


@pytest.mark.parametrize("value", ["true", "1.5", '"x"', "70000", "[1]", "1979-05-27"])
def test_a_wrong_port_in_the_config_file_names_the_file(tmp_path: Path, value: str) -> None:
    (tmp_path / "node.toml").write_text(f"node_port = {value}\n")
    text = complaint(tmp_path, {"config": "node.toml"})
    assert "node_port in " in text and "node.toml" in text and "0 to 65535" in text


def test_the_config_file_takes_lists_of_seeds(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('seeds = ["a:1", "b:2"]\n')
    assert load(tmp_path, {"config": "node.toml"}).seeds == ("a:1", "b:2")
    (tmp_path / "node.toml").write_text("seeds = [1]\n")
    assert "host:port" in complaint(tmp_path, {"config": "node.toml"})
    (tmp_path / "node.toml").write_text("seeds = 1\n")
    assert "with commas" in complaint(tmp_path, {"config": "node.toml"})


def test_an_unknown_name_in_the_config_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("node_prot = 1\n")
    text = complaint(tmp_path, {"config": "node.toml"})
    assert "'node_prot'" in text and "node_port" in text


def test_both_ports_must_not_be_the_same_unless_any_will_do(tmp_path: Path) -> None:
    assert "another port" in complaint(tmp_path, {"node_port": "8050"})
    assert "--api_port" in complaint(tmp_path, {"api_port": "8010"})
    found = load(tmp_path, {"node_port": "0", "api_port": "0"})
    assert (found.node_port, found.api_port) == (0, 0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"node_port = ", "no TOML"),
        (b"\xff\xfe", "no UTF-8"),
        (b"#" * (SETTINGS_FILE_BYTES_MAX + 1), "larger"),
        (b"node_port = " + b"1" * 5_000, "no TOML"),
        (b"seeds = " + b"[" * 60_000, "config file"),
    ],
)
def test_a_config_file_that_is_none_is_a_line(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "node.toml").write_bytes(content)
    assert why in complaint(tmp_path, {"config": "node.toml"})


def test_a_missing_config_file_is_a_line(tmp_path: Path) -> None:
    assert "nowhere.toml" in complaint(tmp_path, {"config": "nowhere.toml"})


def test_a_config_file_whose_name_is_none_is_a_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"BLOCKCHAIN_CONFIG=no\0de.toml\n")
    assert "no name that a file can have" in complaint(tmp_path)


def test_a_long_wrong_value_is_cut(tmp_path: Path) -> None:
    assert len(complaint(tmp_path, {"service": "x" * 10_000})) < 200


# ------------------------------------------------------------------------------------------------------ .env


def test_the_env_file_has_quotes_comments_and_export() -> None:
    text = """
    # a comment
    A=1
    export B = two words   # and a comment
    C='#1 " kept'
    D="x # y"
    E=
    F
    G=a=b#c
    H=#nothing
    """
    assert parse_env(text, ".env") == {
        "A": "1",
        "B": "two words",
        "C": '#1 " kept',
        "D": "x # y",
        "E": "",
        "F": "",
        "G": "a=b#c",
        "H": "",
    }


@pytest.mark.parametrize("line", ["not a setting", "1A=2", "=x", "A-B=1"])
def test_another_line_in_the_env_file_is_named(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^\.env, line 2: "):
        parse_env(f"A=1\n{line}\n", ".env")


def test_the_mark_of_windows_editors_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfBLOCKCHAIN_SERVICE=x\r\nBLOCKCHAIN_API_PORT=1\r\n")
    found = load(tmp_path)
    assert (found.service, found.api_port) == ("x", 1)


def test_a_checkpoint_is_a_height_and_an_id(tmp_path: Path) -> None:
    assert load(tmp_path, {"checkpoint": "12:" + 32 * "aB"}).checkpoint == (12, 32 * b"\xab")
    assert load(tmp_path).checkpoint is None


@pytest.mark.parametrize(("raw", "value"), [("true", True), ("Yes", True), ("1", True), ("false", False), ("0", False)])
def test_a_switch_is_on_or_off(tmp_path: Path, raw: str, value: bool) -> None:
    assert load(tmp_path, {"trust_genesis": raw}).trust_genesis is value
    assert load(tmp_path).trust_genesis is False
    (tmp_path / "node.toml").write_text(f"trust_genesis = {str(value).lower()}\n")
    assert load(tmp_path, {"config": "node.toml"}).trust_genesis is value
