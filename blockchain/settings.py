"""The settings of a node: what each is, its default, and how its text or its value in a file is read (`config.py`).

A reader takes what was set, and where, and gives the value; what cannot be used is a ConfigError of one line: the
setting, where it was set, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

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
SIGNERS_MAX: Final = 2  # the key that signs now, and the one that follows it
SEEDS_MAX: Final = 64  # what a node is told to dial at its start; it learns of the others from these
_ADDRESS_CHARACTERS_MAX: Final = 256  # as in the handshake
_SHOWN_CHARACTERS: Final = 60  # of a wrong value in a message
_PORT_MAX: Final = 65535
_RATE_MAX: Final = 1_000_000  # as good as no limit
_LOOK_MAX_S: Final = 3_600
WORKERS_MAX: Final = 64  # more than the core could ever feed
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", re.ASCII)
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}", re.ASCII)  # what Datadog takes as a service name
_CHECKPOINT: Final = re.compile(r"([1-9][0-9]{0,15}):([0-9a-fA-F]{64})", re.ASCII)
_NODE_ID: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_SWITCH: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def _read_host(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not _HOST.fullmatch(raw):
        raise bad(where, raw, "a host name or an address of this machine, without a port")
    return raw


def _read_hosts(raw: object, where: str) -> tuple[str, ...]:
    """Names and addresses, as a list or as text with commas; "none" for no further ones."""
    entries = split(raw.removeprefix("none")) if isinstance(raw, str) else raw
    if not isinstance(entries, list) or len(entries) > API_HOSTS_MAX:
        raise bad(where, raw, f"at most {API_HOSTS_MAX} host names, without ports, with commas between them")
    return tuple(dict.fromkeys(_read_host(entry, where) for entry in entries))


def _read_rate(raw: object, where: str) -> int:
    return _read_number(raw, where, 1, _RATE_MAX, f"a whole number of requests a second, 1 to {_RATE_MAX}")


def _read_look(raw: object, where: str) -> int:
    return _read_number(raw, where, 0, _LOOK_MAX_S, f"a whole number of seconds, 0 to {_LOOK_MAX_S}")


def _read_workers(raw: object, where: str) -> int:
    return _read_number(raw, where, 0, WORKERS_MAX, f"a whole number of processes, 0 to {WORKERS_MAX}")


def read_port(raw: object, where: str) -> int:
    return _read_number(raw, where, 0, _PORT_MAX, f"a port, 0 to {_PORT_MAX} (0: any free one)")


def _read_number(raw: object, where: str, least: int, most: int, allowed: str) -> int:
    number = int(raw) if isinstance(raw, str) and _DIGITS.fullmatch(raw) else raw
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise bad(where, raw, allowed)
    return number


def _read_path(raw: object, where: str) -> Path:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise bad(where, raw, "a path")
    return Path(raw)


def read_seeds(raw: object, where: str) -> tuple[str, ...]:
    """Addresses, as a list or as text with commas; "none" or an empty list for a node that waits to be dialled."""
    entries = split(raw.removeprefix("none")) if isinstance(raw, str) else raw
    if not isinstance(entries, list):
        raise bad(where, raw, "addresses of the form host:port, with commas between them")
    if len(entries) > SEEDS_MAX:
        raise bad(where, f"{len(entries)} addresses", f"at most {SEEDS_MAX}")
    return tuple(dict.fromkeys(_read_address(entry, where) for entry in entries))


def _read_address(raw: object, where: str) -> str:
    match = _ADDRESS.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or len(match[0]) > _ADDRESS_CHARACTERS_MAX or not 1 <= int(match[1]) <= _PORT_MAX:
        raise bad(where, raw, "an address of the form host:port")
    return match[0]


def _read_signers(raw: object, where: str) -> tuple[tuple[str, bytes], ...]:
    """Addresses and node ids of remote signers: one, or two while a rotation is under way."""
    entries = split(raw) if isinstance(raw, str) else raw
    if not isinstance(entries, list) or not 1 <= len(entries) <= SIGNERS_MAX:
        raise bad(where, raw, "host:port@node_id of a remote signer, or of two with a comma between them")
    return tuple(_read_signer(entry, where) for entry in entries)


def _read_signer(raw: object, where: str) -> tuple[str, bytes]:
    address, _, node_id = raw.rpartition("@") if isinstance(raw, str) else ("", "", "")
    if not _NODE_ID.fullmatch(node_id):
        raise bad(where, raw, "host:port@node_id, the node id of 64 hex digits as `blockchain keys node` prints it")
    return _read_address(address, where), bytes.fromhex(node_id)


def _read_advertise(raw: object, where: str) -> str | None:
    """An address, or "none" for a node that nobody can dial."""
    return None if raw == "none" else _read_address(raw, where)


def _read_choice(*choices: str) -> Callable[[object, str], str]:
    def read(raw: object, where: str) -> str:
        if not isinstance(raw, str) or raw.lower() not in choices:
            raise bad(where, raw, f"one of {', '.join(choices)}")
        return raw.lower()

    return read


def _read_service(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not _SERVICE.fullmatch(raw):
        raise bad(where, raw, "up to 100 letters, digits and _ . : / -")
    return raw


def _read_checkpoint(raw: object, where: str) -> tuple[int, bytes]:
    match = _CHECKPOINT.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise bad(where, raw, "a block's height:id, the id of 64 hex digits")
    return int(match[1]), bytes.fromhex(match[2])


def _read_switch(raw: object, where: str) -> bool:
    found = raw if isinstance(raw, bool) else _SWITCH.get(raw.lower()) if isinstance(raw, str) else None
    if found is None:
        raise bad(where, raw, "true or false")
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
    "node_port": Setting(read_port, "port for other nodes", str(DEFAULT_NODE_PORT)),
    "api_port": Setting(read_port, "port of the HTTP API", str(DEFAULT_API_PORT)),
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
    "seeds": Setting(read_seeds, "nodes to dial first, host:port with commas, or none", "localhost:<FIRST_NODE_PORT>"),
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
    "verify_workers": Setting(
        _read_workers,
        "processes that verify signatures when there are many, started then; 0: threads of the node",
        "one a CPU, at most 4; on one CPU 0",
    ),
}


def split(text: str) -> list[str]:
    """The parts between commas that are not empty."""
    return [part.strip() for part in text.split(",") if part.strip()]


def bad(where: str, raw: object, allowed: str) -> ConfigError:
    """What to raise for a value that cannot be used; a long one is cut."""
    shown = str(list(raw) if isinstance(raw, Iterable) and not isinstance(raw, str) else raw)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return ConfigError(f"{where} is {shown!r}: it has to be {allowed}")
