"""This node's settings: what they are, where each may be set, and which setting wins.

A setting comes from the first of these that has it: flags, the environment, the `.env` file, the config file (TOML),
its default. An empty value in the environment or in `.env` counts as not set. A relative path in a config file counts
from that file's folder, any other from the working folder. Every value that cannot be used is a ConfigError of one
line: the setting, where it was set, and what is allowed. What the *chain* is like stands in genesis, never here.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from blockchain.errors import ConfigError

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
Value = tuple[int, bytes] | bool | str | Path | int | tuple[str, ...] | tuple[tuple[str, bytes], ...] | None

DEFAULT_IP: Final = "localhost"
DEFAULT_NODE_PORT: Final = 8010
DEFAULT_API_PORT: Final = 8050
DEFAULT_API_RATE: Final = 500  # requests a second of one client: about half of what one core answers
API_HOSTS_MAX: Final = 64
ENV_FILE: Final = ".env"
ENV_PREFIX: Final = "BLOCKCHAIN_"
ENV_FILE_VARIABLE: Final = "BLOCKCHAIN_ENV_FILE"  # another `.env` file, or none when it is empty
CONFIG_VARIABLE: Final = "BLOCKCHAIN_CONFIG"
FIRST_PORT: Final = "FIRST_NODE_PORT"
CONTAINER_NAMES: Final = "DOCKER_NODE_CONTAINER_NAMES"
CONTAINER_PORTS: Final = "DOCKER_NODE_PORTS"
SETTINGS_FILE_BYTES_MAX: Final = 64 * 1024  # a page of settings; more is another kind of file
SIGNERS_MAX: Final = 2  # the key that signs now, and the one that follows it
SEEDS_MAX: Final = 64  # what a node is told to dial at its start; it learns of the others from these
_ADDRESS_CHARACTERS_MAX: Final = 256  # as in the handshake
_SHOWN_CHARACTERS: Final = 60  # of a wrong value in a message
_PORT_MAX: Final = 65535
_RATE_MAX: Final = 1_000_000  # as good as no limit
_LOOK_MAX_S: Final = 3_600
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", re.ASCII)
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}", re.ASCII)  # what Datadog takes as a service name
_CHECKPOINT: Final = re.compile(r"([1-9][0-9]{0,15}):([0-9a-fA-F]{64})", re.ASCII)
_NODE_ID: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_SWITCH: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_ENV_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=\s*(.*))?")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of one node. `ip` is the listening host of both ports; port 0 means any free one.

    `api_ip` is that of the API where it is another one. `genesis` None is the built-in demo chain; `advertise` None
    tells no peer where to dial this node; `look_s` None is the chain's default.
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
        hosts, numbers = _split(str(names or "")), _split(str(ports or ""))
        if len(hosts) != len(numbers):
            raise _bad(where, f"{len(hosts)} names and {len(numbers)} ports", "as many ports as names, in their order")
        pairs = [f"{host}:{number}" for host, number in zip(hosts, numbers, strict=True)]
        return Found(_read_seeds(pairs, where), where)
    if first := layer.values.get(FIRST_PORT):
        where = f"{FIRST_PORT} in {layer.source}"
        return Found(_read_seeds([f"localhost:{_read_port(first, where)}"], where), where)
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


# ------------------------------------------------------------------------------------------- one setting each


def _read_host(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not _HOST.fullmatch(raw):
        raise _bad(where, raw, "a host name or an address of this machine, without a port")
    return raw


def _read_hosts(raw: object, where: str) -> tuple[str, ...]:
    """Names and addresses, as a list or as text with commas; "none" for no further ones."""
    entries = _split(raw.removeprefix("none")) if isinstance(raw, str) else raw
    if not isinstance(entries, list) or len(entries) > API_HOSTS_MAX:
        raise _bad(where, raw, f"at most {API_HOSTS_MAX} host names, without ports, with commas between them")
    return tuple(dict.fromkeys(_read_host(entry, where) for entry in entries))


def _read_rate(raw: object, where: str) -> int:
    return _read_number(raw, where, 1, _RATE_MAX, f"a whole number of requests a second, 1 to {_RATE_MAX}")


def _read_look(raw: object, where: str) -> int:
    return _read_number(raw, where, 0, _LOOK_MAX_S, f"a whole number of seconds, 0 to {_LOOK_MAX_S}")


def _read_port(raw: object, where: str) -> int:
    return _read_number(raw, where, 0, _PORT_MAX, f"a port, 0 to {_PORT_MAX} (0: any free one)")


def _read_number(raw: object, where: str, least: int, most: int, allowed: str) -> int:
    number = int(raw) if isinstance(raw, str) and _DIGITS.fullmatch(raw) else raw
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise _bad(where, raw, allowed)
    return number


def _read_path(raw: object, where: str) -> Path:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise _bad(where, raw, "a path")
    return Path(raw)


def _read_seeds(raw: object, where: str) -> tuple[str, ...]:
    """Addresses, as a list or as text with commas; "none" or an empty list for a node that waits to be dialled."""
    entries = _split(raw.removeprefix("none")) if isinstance(raw, str) else raw
    if not isinstance(entries, list):
        raise _bad(where, raw, "addresses of the form host:port, with commas between them")
    if len(entries) > SEEDS_MAX:
        raise _bad(where, f"{len(entries)} addresses", f"at most {SEEDS_MAX}")
    return tuple(dict.fromkeys(_read_address(entry, where) for entry in entries))


def _read_address(raw: object, where: str) -> str:
    match = _ADDRESS.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or len(match[0]) > _ADDRESS_CHARACTERS_MAX or not 1 <= int(match[1]) <= _PORT_MAX:
        raise _bad(where, raw, "an address of the form host:port")
    return match[0]


def _read_signers(raw: object, where: str) -> tuple[tuple[str, bytes], ...]:
    """Addresses and node ids of remote signers: one, or two while a rotation is under way."""
    entries = _split(raw) if isinstance(raw, str) else raw
    if not isinstance(entries, list) or not 1 <= len(entries) <= SIGNERS_MAX:
        raise _bad(where, raw, "host:port@node_id of a remote signer, or of two with a comma between them")
    return tuple(_read_signer(entry, where) for entry in entries)


def _read_signer(raw: object, where: str) -> tuple[str, bytes]:
    address, _, node_id = raw.rpartition("@") if isinstance(raw, str) else ("", "", "")
    if not _NODE_ID.fullmatch(node_id):
        raise _bad(where, raw, "host:port@node_id, the node id of 64 hex digits as `blockchain keys node` prints it")
    return _read_address(address, where), bytes.fromhex(node_id)


def _read_advertise(raw: object, where: str) -> str | None:
    """An address, or "none" for a node that nobody can dial."""
    return None if raw == "none" else _read_address(raw, where)


def _read_choice(*choices: str) -> Callable[[object, str], str]:
    def read(raw: object, where: str) -> str:
        if not isinstance(raw, str) or raw.lower() not in choices:
            raise _bad(where, raw, f"one of {', '.join(choices)}")
        return raw.lower()

    return read


def _read_service(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not _SERVICE.fullmatch(raw):
        raise _bad(where, raw, "up to 100 letters, digits and _ . : / -")
    return raw


def _read_checkpoint(raw: object, where: str) -> tuple[int, bytes]:
    match = _CHECKPOINT.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise _bad(where, raw, "a block's height:id, the id of 64 hex digits")
    return int(match[1]), bytes.fromhex(match[2])


def _read_switch(raw: object, where: str) -> bool:
    found = raw if isinstance(raw, bool) else _SWITCH.get(raw.lower()) if isinstance(raw, str) else None
    if found is None:
        raise _bad(where, raw, "true or false")
    return found


@dataclass(frozen=True, slots=True)
class Setting:
    """How a setting is read, and what it is, for the command line's help and the README's table."""

    read: Callable[[object, str], Value]
    what: str
    default: str
    is_switch: bool = False  # a flag without a value


SETTINGS: Final[dict[str, Setting]] = {
    "ip": Setting(_read_host, "host that both ports listen on", DEFAULT_IP),
    "node_port": Setting(_read_port, "port for other nodes", str(DEFAULT_NODE_PORT)),
    "api_port": Setting(_read_port, "port of the HTTP API", str(DEFAULT_API_PORT)),
    "api_ip": Setting(_read_host, "host that the API listens on, if not the same", "<ip>"),
    "key_file": Setting(_read_path, "validator key (PEM); without one the node follows and does not vote", "none"),
    "next_key_file": Setting(
        _read_path, "key that a rotation announced: signs from the height on where it counts", "none"
    ),
    "signer": Setting(
        _read_signers, "host:port@node_id of the process that holds the validator key, in place of `key_file`", "none"
    ),
    "password_file": Setting(_read_path, "file whose first line is the password of an encrypted key file", "none"),
    "data_dir": Setting(_read_path, "folder of the node's data", "data/node-<node_port>"),
    "genesis": Setting(_read_path, "genesis file of the chain", "the built-in demo chain"),
    "seeds": Setting(_read_seeds, "nodes to dial first, host:port with commas, or none", "localhost:<FIRST_NODE_PORT>"),
    "advertise": Setting(
        _read_advertise, "host:port that other nodes are told to dial, or none", "<ip>:<node_port>, not of 0.0.0.0"
    ),
    "log_format": Setting(_read_choice(*get_args(LogFormat)), "json: an object a line; text: for people", "json"),
    "log_level": Setting(_read_choice(*LOG_LEVELS), "least level that is logged", "info"),
    "service": Setting(_read_service, "name of this node in its logs", "blockchain-node"),
    "api_hosts": Setting(
        _read_hosts, "further names that API clients may call this node by (`Host`), with commas", "none"
    ),
    "api_rate": Setting(_read_rate, "requests a second that one client of the API may make", str(DEFAULT_API_RATE)),
    "admin_token_file": Setting(_read_path, "file whose first line is the token for /api/v1/admin/", "no such paths"),
    "checkpoint": Setting(_read_checkpoint, "height:id of a block that the chain holds, or it is not trusted", "none"),
    "trust_genesis": Setting(
        _read_switch, "trust the chain from genesis on, however old its newest block is", "false", is_switch=True
    ),
    "look_s": Setting(
        _read_look,
        "seconds for which a validator listens for others with its key before it signs",
        "10, on a demo chain 0",
    ),
    "sign_anew": Setting(
        _read_switch,
        "sign though the record is lost or old: nobody else signs with this key",
        "false",
        is_switch=True,
    ),
    "admit": Setting(_read_path, "file of the node ids (hex, one a line) that this node talks to", "everybody"),
}


def _check(name: str, raw: object, where: str) -> Found:
    return Found(SETTINGS[name].read(raw, where), where)


def _build(found: Mapping[str, Found]) -> NodeConfig:
    values: dict[str, Any] = {name: one.value for name, one in found.items()}  # each read by its own reader
    ip, node_port = values.get("ip", DEFAULT_IP), values.get("node_port", DEFAULT_NODE_PORT)
    api_port = values.get("api_port", DEFAULT_API_PORT)
    if node_port == api_port != 0:
        where = found["api_port"].where if "api_port" in found else found["node_port"].where
        raise _bad(where, api_port, "another port than the other one of this node")
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


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _bad(where: str, raw: object, allowed: str) -> ConfigError:
    shown = str(list(raw) if isinstance(raw, Iterable) and not isinstance(raw, str) else raw)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return ConfigError(f"{where} is {shown!r}: it has to be {allowed}")
