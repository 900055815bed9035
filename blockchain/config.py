"""This node's configuration: where each setting may be set, and which of them wins (`settings.py` has the table).

A setting comes from the first of these that has it: flags, the environment, the `.env` file, the config file (TOML),
its default. An empty value in the environment or in `.env` counts as not set. A relative path in a config file counts
from that file's folder, any other from the working folder. Every value that cannot be used is a ConfigError of one
line: the setting, where it was set, and what is allowed. What the *chain* is like stands in genesis, never here.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blockchain.errors import ConfigError
from blockchain.settings import (
    DEFAULT_API_PORT,
    DEFAULT_API_RATE,
    DEFAULT_IP,
    DEFAULT_NODE_PORT,
    SETTINGS,
    LogFormat,
    LogLevel,
    Value,
    bad,
    read_port,
    read_seeds,
    split,
)

ENV_FILE: Final = ".env"
ENV_PREFIX: Final = "BLOCKCHAIN_"
ENV_FILE_VARIABLE: Final = "BLOCKCHAIN_ENV_FILE"  # another `.env` file, or none when it is empty
CONFIG_VARIABLE: Final = "BLOCKCHAIN_CONFIG"
FIRST_PORT: Final = "FIRST_NODE_PORT"
CONTAINER_NAMES: Final = "DOCKER_NODE_CONTAINER_NAMES"
CONTAINER_PORTS: Final = "DOCKER_NODE_PORTS"
SETTINGS_FILE_BYTES_MAX: Final = 64 * 1024  # a page of settings; more is another kind of file
_ENV_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=\s*(.*))?")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of one node. `ip` is the listening host of both ports; port 0 means any free one.

    `api_ip` is that of the API where it is another one. `genesis` None is the built-in demo chain; `advertise` None
    tells no peer where to dial this node; `look_s` None is the chain's default, `verify_workers` None this machine's.
    """

    ip: str = DEFAULT_IP
    node_port: int = DEFAULT_NODE_PORT
    api_port: int = DEFAULT_API_PORT
    api_ip: str | None = None
    key_file: Path | None = None
    next_key_file: Path | None = None
    signer: tuple[tuple[str, bytes], ...] = ()
    password_file: Path | None = None
    data_dir: Path = Path("data", f"node-{DEFAULT_NODE_PORT}")
    genesis: Path | None = None
    seeds: tuple[str, ...] = ()
    advertise: str | None = None
    log_format: LogFormat = "json"
    log_level: LogLevel = "info"
    service: str = "blockchain-node"
    api_hosts: tuple[str, ...] = ()
    api_rate: int = DEFAULT_API_RATE
    admin_token_file: Path | None = None
    checkpoint: tuple[int, bytes] | None = None
    trust_genesis: bool = False
    look_s: int | None = None
    sign_anew: bool = False
    admit: Path | None = None
    verify_workers: int | None = None

    @property
    def api_host(self) -> str:
        """What the API listens on."""
        return self.ip if self.api_ip is None else self.api_ip


def load_config(flags: Mapping[str, str | None], environment: Mapping[str, str], folder: Path) -> NodeConfig:
    """Put the settings together; `folder` is the working folder, where `.env` is looked for.

    `flags` has the text of each flag by the setting's name, None for one not given, and "config" for the config
    file's. Raises ConfigError.
    """
    env_file = _read_env_file(environment, folder)
    shell = Layer("the environment", environment)
    named = flags.get("config") or environment.get(CONFIG_VARIABLE) or env_file.values.get(CONFIG_VARIABLE)
    file = _read_config_file(folder / str(named)) if named else Layer("", {})
    values: dict[str, Found] = {}
    for name in SETTINGS:
        found = _from_flag(name, flags) or _from_environment(name, shell) or _from_environment(name, env_file)
        found = found or _from_file(name, file)
        if found is not None:
            values[name] = found
    return _build(values)


# ------------------------------------------------------------------------------------------------ the layers


@dataclass(frozen=True, slots=True)
class Layer:
    """One place where settings come from, and its name in messages."""

    source: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """A checked value and the name that it was set by; `folder` is where a relative path counts from."""

    value: Value
    where: str


def _from_flag(name: str, flags: Mapping[str, str | None]) -> Found | None:
    raw = flags.get(name)
    return None if raw is None else _check(name, raw, f"--{name}")


def _from_environment(name: str, layer: Layer) -> Found | None:
    variable = f"{ENV_PREFIX}{name.upper()}"
    if raw := layer.values.get(variable):
        return _check(name, raw, f"{variable} in {layer.source}")
    return _parents_seeds(layer) if name == "seeds" else None


def _from_file(name: str, layer: Layer) -> Found | None:
    if name not in layer.values:
        return None
    found = _check(name, layer.values[name], f"{name} in {layer.source}")
    if isinstance(found.value, Path):
        return Found(Path(layer.source).parent / found.value, found.where)
    return found


def _parents_seeds(layer: Layer) -> Found | None:
    """The parent project's variables: other containers by name and port, or the first node of this machine."""
    names, ports = layer.values.get(CONTAINER_NAMES), layer.values.get(CONTAINER_PORTS)
    if names or ports:
        where = f"{CONTAINER_NAMES} and {CONTAINER_PORTS} in {layer.source}"
        hosts, numbers = split(str(names or "")), split(str(ports or ""))
        if len(hosts) != len(numbers):
            raise bad(where, f"{len(hosts)} names and {len(numbers)} ports", "as many ports as names, in their order")
        pairs = [f"{host}:{number}" for host, number in zip(hosts, numbers, strict=True)]
        return Found(read_seeds(pairs, where), where)
    if first := layer.values.get(FIRST_PORT):
        where = f"{FIRST_PORT} in {layer.source}"
        return Found(read_seeds([f"localhost:{read_port(first, where)}"], where), where)
    return None


def _read_env_file(environment: Mapping[str, str], folder: Path) -> Layer:
    named = environment.get(ENV_FILE_VARIABLE, ENV_FILE)
    path = folder / named
    if not named or (ENV_FILE_VARIABLE not in environment and not path.is_file()):
        return Layer(named, {})
    return Layer(str(named), parse_env(_read_text(path), str(named)))


def parse_env(text: str, source: str) -> dict[str, str]:
    """The `NAME=value` lines of a `.env` file.

    Blank lines, `#` comments and a leading `export` are skipped; one pair of quotes around a value is taken off; an
    unquoted value ends before ` #`. Nothing is expanded. Raises ConfigError for any other line.
    """
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(stripped)
        if match is None:
            raise ConfigError(f"{source}, line {number}: not of the form NAME=value")
        values[match[1]] = _unquoted(match[2] or "")
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()


def _read_config_file(path: Path) -> Layer:
    try:
        values = tomllib.loads(_read_text(path))
    except RecursionError:
        raise ConfigError(f"config file {path}: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and what Python says of a number of thousands of digits
        raise ConfigError(f"config file {path}: no TOML: {error}") from None
    unknown = sorted(values.keys() - SETTINGS.keys())
    if unknown:
        raise ConfigError(f"config file {path}: no setting is called {unknown[0]!r}; there are: {', '.join(SETTINGS)}")
    return Layer(str(path), values)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SETTINGS_FILE_BYTES_MAX + 1)
        if len(raw) > SETTINGS_FILE_BYTES_MAX:
            raise ConfigError(f"settings file {path}: larger than {SETTINGS_FILE_BYTES_MAX} bytes, so no settings")
        return raw.decode("utf-8-sig")  # some editors of Windows begin a file with the mark
    except UnicodeDecodeError:
        raise ConfigError(f"settings file {path}: no UTF-8 text") from None
    except ValueError:  # of `open`
        raise ConfigError(f"settings file {str(path)!r}: no name that a file can have") from None
    except OSError as error:
        raise ConfigError(f"settings file {path}: {error.strerror}") from None


def _check(name: str, raw: object, where: str) -> Found:
    return Found(SETTINGS[name].read(raw, where), where)


def _build(found: Mapping[str, Found]) -> NodeConfig:
    values: dict[str, Any] = {name: one.value for name, one in found.items()}  # each read by its own reader
    ip, node_port = values.get("ip", DEFAULT_IP), values.get("node_port", DEFAULT_NODE_PORT)
    api_port = values.get("api_port", DEFAULT_API_PORT)
    if node_port == api_port != 0:
        where = found["api_port"].where if "api_port" in found else found["node_port"].where
        raise bad(where, api_port, "another port than the other one of this node")
    values.setdefault("data_dir", Path("data", f"node-{node_port}"))
    if "advertise" not in values and node_port != 0 and not is_wildcard(ip):
        values["advertise"] = f"[{ip}]:{node_port}" if ":" in ip else f"{ip}:{node_port}"
    seeds = values.get("seeds", (f"localhost:{DEFAULT_NODE_PORT}",))
    own = {values.get("advertise"), f"localhost:{node_port}"}
    values["seeds"] = tuple(seed for seed in seeds if seed not in own)
    return NodeConfig(**values)


def is_wildcard(ip: str) -> bool:
    """Whether it stands for all addresses of this machine, and so is none that others could dial."""
    try:
        return ipaddress.ip_address(ip).is_unspecified
    except ValueError:
        return False
