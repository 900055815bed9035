"""The folder of a testnet: what is in it, how it is written, and how it is found again.

    DIR/genesis.json  docker-compose.yml  README.md
    DIR/password      of all keys here, unless another was given
    DIR/keys/         issuer_key.pem, account-1_key.pem, account-2_key.pem: accounts that hold something
    DIR/node-1/       node.toml (its settings), validator_key.pem, data/

Every path in a `node.toml` counts from its own folder, so the whole can be moved, or copied to another machine.

All keys are encrypted with one password. Where nobody gives one, it is drawn and kept beside them, so that the nodes
start without anybody typing: the keys are then as safe as that file, which can be taken away to a safer place.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.commands.keyring import PROJECT
from blockchain.commands.passwords import PASSWORD_VARIABLE
from blockchain.config import load_config
from blockchain.errors import ConfigError
from blockchain.genesis import GENESIS_BYTES_MAX, dump_genesis, load_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address
from blockchain.runtime.atomic_file import create_file, make_folder
from blockchain.runtime.keystore import generate_key, write_key_file

GENESIS_FILE: Final = "genesis.json"
CONFIG_FILE: Final = "node.toml"
COMPOSE_FILE: Final = "docker-compose.yml"
PASSWORD_FILE: Final = "password"
STAKE: Final = 1_000_000  # of each validator: enough units for any split of rewards to show
BALANCE: Final = 1_000_000_000
FUNDED: Final = ("issuer", "account-1", "account-2")
_CONTAINER_FOLDER: Final = "/testnet"
_SEEDS: Final = 16  # of each node; it learns of the others from these


@dataclass(frozen=True, slots=True)
class TestnetPassword:
    """What the keys are encrypted with (None: nothing), and the file where the nodes find it.

    `file` None: they are given it in their environment, if there is one. `is_drawn`: the file is to be made.
    """

    __test__ = False

    password: bytes | None = None
    file: Path | None = None
    is_drawn: bool = False

    @classmethod
    def draw(cls, folder: Path) -> TestnetPassword:
        """A new one for a testnet in `folder`, that nobody can guess."""
        return cls(secrets.token_urlsafe(24).encode("ascii"), folder / PASSWORD_FILE, is_drawn=True)


@dataclass(frozen=True, slots=True)
class TestnetPlan:
    """What is to be made."""

    __test__ = False  # no class of tests, whatever pytest makes of its name

    folder: Path
    chain_id: str
    time_ms: int
    parameters: Parameters
    validators: int
    first_node_port: int
    first_api_port: int
    password: TestnetPassword


@dataclass(frozen=True, slots=True)
class TestnetNode:
    __test__ = False

    name: str
    node_port: int
    api_port: int


@dataclass(frozen=True, slots=True)
class Testnet:
    """A testnet that is on the disk."""

    __test__ = False

    folder: Path
    genesis_hash: str
    nodes: tuple[TestnetNode, ...]

    def config_flag(self, node: TestnetNode) -> str:
        """The one flag that a node needs; absolute, so that it works from any folder."""
        return f"--config={(self.folder / node.name / CONFIG_FILE).resolve()}"

    def start_command(self, node: TestnetNode) -> str:
        """What a person types, in the checkout's folder, or anywhere when the package is installed."""
        start = ["python", "run_node.py"] if (PROJECT / "run_node.py").is_file() else ["blockchain", "run"]
        return shlex.join([*start, self.config_flag(node)])


def write_testnet(plan: TestnetPlan) -> Testnet:
    """Make all files. Raises ConfigError when something is there already, InvalidGenesis or KeyFileError."""
    folder = plan.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"--output {folder}: it is there and not empty; choose another folder, or use --run to start it"
        )
    keys = {name: generate_key() for name in (*_names(plan.validators), *FUNDED)}
    spec = _spec(plan, {name: Address(key.public_key) for name, key in keys.items()})
    raw = dump_genesis(spec)
    load_genesis(raw)  # its bounds and rules, before there is any file
    for sub in ("", "keys", *_names(plan.validators)):
        make_folder(folder / sub)
    secret = plan.password
    if secret.is_drawn:
        assert secret.file is not None and secret.password is not None
        create_file(secret.file, secret.password + b"\n")  # before what it opens
    for name, key in keys.items():
        path = folder / "keys" / f"{name}_key.pem" if name in FUNDED else folder / name / "validator_key.pem"
        write_key_file(path, key, secret.password)
    nodes = _nodes(plan)
    for node in nodes:
        create_file(folder / node.name / CONFIG_FILE, _config(node, nodes, secret).encode())
    testnet = Testnet(folder, spec.hash.hex(), nodes)
    create_file(folder / COMPOSE_FILE, _compose(plan, nodes).encode())
    create_file(folder / "README.md", _readme(testnet, secret).encode())
    create_file(folder / GENESIS_FILE, raw)  # last: a folder that has it is whole
    return testnet


def read_testnet(folder: Path) -> Testnet:
    """The testnet that `write_testnet` made. Raises ConfigError, InvalidGenesis or OSError."""
    with (folder / GENESIS_FILE).open("rb") as file:
        spec = load_genesis(file.read(GENESIS_BYTES_MAX + 1), folder / GENESIS_FILE)
    nodes = []
    for name in _names(len(spec.validators)):
        config = load_config({"config": str(folder / name / CONFIG_FILE)}, {"BLOCKCHAIN_ENV_FILE": ""}, Path())
        nodes.append(TestnetNode(name, config.node_port, config.api_port))
    return Testnet(folder, spec.hash.hex(), tuple(nodes))


def _names(count: int) -> list[str]:
    return [f"node-{index + 1}" for index in range(count)]


def _nodes(plan: TestnetPlan) -> tuple[TestnetNode, ...]:
    return tuple(
        TestnetNode(name, plan.first_node_port + index, plan.first_api_port + index)
        for index, name in enumerate(_names(plan.validators))
    )


def _spec(plan: TestnetPlan, addresses: dict[str, Address]) -> ChainSpec:
    return ChainSpec(
        chain_id=plan.chain_id,
        time_ms=plan.time_ms,
        parameters=plan.parameters,
        issuer=addresses["issuer"],
        accounts=tuple(GenesisAccount(addresses[name], BALANCE) for name in FUNDED),
        validators=tuple(GenesisValidator(addresses[name], STAKE) for name in _names(plan.validators)),
    )


def _config(node: TestnetNode, nodes: tuple[TestnetNode, ...], secret: TestnetPassword) -> str:
    seeds = [f"localhost:{other.node_port}" for other in nodes if other is not node]
    return (
        f"# Settings of {node.name}; flags and environment win over them. Paths count from this file's folder.\n"
        'ip = "localhost"\n'
        f"node_port = {node.node_port}\n"
        f"api_port = {node.api_port}\n"
        'key_file = "validator_key.pem"\n'
        f"{_password_setting(secret)}"
        'data_dir = "data"\n'
        f'genesis = "../{GENESIS_FILE}"\n'
        f"seeds = {json.dumps(seeds[:_SEEDS])}\n"
        f'service = "{node.name}"\n'
        "look_s = 1\n"
    )


def _password_setting(secret: TestnetPassword) -> str:
    if secret.file is None:
        return ""
    return f"password_file = {json.dumps(f'../{PASSWORD_FILE}' if secret.is_drawn else str(secret.file.resolve()))}\n"


def _compose(plan: TestnetPlan, nodes: tuple[TestnetNode, ...]) -> str:
    """Each container sees its own folder and genesis, and runs as whoever made the keys, who alone may read them."""
    user = f'    user: "{os.getuid()}:{os.getgid()}"\n' if hasattr(os, "getuid") else ""
    build = f"    build: {json.dumps(str(PROJECT))}\n" if (PROJECT / "Dockerfile").is_file() else ""
    return f"# {len(nodes)} nodes of the chain {plan.chain_id}: docker compose up --build\nservices:\n" + "".join(
        _compose_service(node, nodes, user, build, plan.password) for node in nodes
    )


def _compose_service(
    node: TestnetNode, nodes: tuple[TestnetNode, ...], user: str, build: str, secret: TestnetPassword
) -> str:
    seeds = ",".join([f"{other.name}:{other.node_port}" for other in nodes if other is not node][:_SEEDS]) or "none"
    inside = f"{_CONTAINER_FOLDER}/{node.name}"
    flag, variable, volume = _compose_password(secret)
    return (
        f"  {node.name}:\n"
        f"{build}"
        "    image: blockchain-node:local\n"
        f"{user}"
        "    init: true\n"
        "    restart: unless-stopped\n"
        "    stop_grace_period: 15s\n"
        "    cap_drop: [ALL]\n"
        '    security_opt: ["no-new-privileges:true"]\n'
        "    command: >-\n"
        f"      python run_node.py --config={inside}/{CONFIG_FILE} --ip=0.0.0.0 --seeds={seeds}\n"
        f"      --advertise={node.name}:{node.node_port}{flag}\n"
        f"{variable}"
        "    ports:\n"
        f'      - "127.0.0.1:{node.api_port}:{node.api_port}"\n'
        "    volumes:\n"
        f"      - ./{node.name}:{inside}\n"
        f"      - ./{GENESIS_FILE}:{_CONTAINER_FOLDER}/{GENESIS_FILE}:ro\n"
        f"{volume}"
    )


def _compose_password(secret: TestnetPassword) -> tuple[str, str, str]:
    """How a container gets it: a flag, a variable of the environment that it shares, and a volume."""
    if secret.password is None:
        return "", "", ""
    if secret.file is None:
        return "", f"    environment: [{PASSWORD_VARIABLE}]\n", ""
    inside = f"{_CONTAINER_FOLDER}/{PASSWORD_FILE}"
    outside = f"./{PASSWORD_FILE}" if secret.is_drawn else str(secret.file.resolve())
    return f" --password_file={inside}", "", f"      - {json.dumps(f'{outside}:{inside}:ro')}\n"


def _readme(testnet: Testnet, secret: TestnetPassword) -> str:
    starts = "\n".join(f"    {testnet.start_command(node)}" for node in testnet.nodes)
    return (
        "# A testnet\n\n"
        f"{len(testnet.nodes)} validators of equal stake. Genesis {testnet.genesis_hash}.\n\n"
        "From the project's folder, each in a terminal of its own:\n\n"
        f"{starts}\n\n"
        "or all of them: `python -m blockchain testnet --run --output=THIS_FOLDER`, or, in this folder,\n"
        "`docker compose up --build`.\n\n"
        "`keys/` has the issuer, who may mint, and two funded accounts. Never run two nodes with one validator key.\n\n"
        f"{password_text(secret)}\n"
    )


def password_text(secret: TestnetPassword) -> str:
    """How safe the keys are, in a sentence or two, for people."""
    if secret.password is None:
        return "No key is encrypted: good for a test, not for value. Only their owner may read them (mode 0600)."
    if secret.is_drawn:
        return (
            f"All keys are encrypted with the password in the file `{PASSWORD_FILE}`, for `--password_file`. Whoever\n"
            "has both has the keys: good for a test, not for value."
        )
    where = f"in {secret.file}" if secret.file else f"that was in {PASSWORD_VARIABLE}, which the nodes need too"
    return f"All keys are encrypted with the password {where}."
