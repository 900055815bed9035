"""A `.env` file and a config file in TOML: refused in one line, or a configuration. One input is both, in turn."""

from __future__ import annotations

from random import Random

from blockchain.config import load_config
from blockchain.errors import ConfigError
from blockchain.settings import SETTINGS
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.files import a_folder
from tests.fuzz.target import Target

_FOLDER = a_folder()
_ENV, _TOML = _FOLDER / ".env", _FOLDER / "node.toml"
_VALUES = (
    *("localhost", "8010", "0", "-1", "65536", "true", '"a"', "''", "::1", "[::1]:80", "a:1,b:2", "json", "debug"),
    *("1:" + "ab" * 32, "h:1@" + "ab" * 32, "/a/b", "\x00", "[1, 2]", "1.5", "9" * 30, "2026-01-01", "{a=1}"),
)


def samples() -> list[bytes]:
    return [
        b"# comment\nexport BLOCKCHAIN_IP='127.0.0.1' # here\nBLOCKCHAIN_NODE_PORT=8011\nBLOCKCHAIN_SEEDS=a:1,b:2\n",
        b"FIRST_NODE_PORT=8010\nDOCKER_NODE_CONTAINER_NAMES=a,b\nDOCKER_NODE_PORTS=1,2\n",
        b'ip = "localhost"\nnode_port = 8011\nseeds = ["a:1", "b:2"]\nlog_format = "text"\n',
    ]


def mutate(raw: bytes, rng: Random) -> bytes:
    """A line more, of a setting and some value; or other bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(raw, rng)
    name, value = rng.choice(list(SETTINGS)), rng.choice(_VALUES)
    line = rng.choice((f"BLOCKCHAIN_{name.upper()}={value}", f'{name} = "{value}"', f"{name} = {value}"))
    lines = [*raw.splitlines()[-8:], line.encode("utf-8")]
    rng.shuffle(lines)
    return b"\n".join(lines)


def run(raw: bytes) -> bool:
    return _is_taken(raw, toml=False) | _is_taken(raw, toml=True)


def _is_taken(raw: bytes, *, toml: bool) -> bool:
    _ENV.write_bytes(b"" if toml else raw)
    _TOML.write_bytes(raw if toml else b"")
    try:
        config = load_config({"config": "node.toml"}, {}, _FOLDER)
    except ConfigError as error:
        assert "\n" not in str(error)
        return False
    assert config == load_config({"config": "node.toml"}, {}, _FOLDER)
    return True


TARGET = Target(samples, run, mutate)
