"""`genesis`: make a genesis file, show one, and the hash that is its chain's identity."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from blockchain.commands.arguments import add_command, whole_number

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.primitives.chain import GenesisAccount, GenesisValidator, Parameters

T = TypeVar("T")


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "genesis", "make or show a genesis file", create)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    make = add_command(
        actions,
        "create",
        "make a genesis file",
        create,
        "Make a genesis file. An ADDRESS is bech32m, hex, or the file of a key. `blockchain testnet` makes keys and "
        "folders with it.",
    )
    make.add_argument("output", type=Path, help="the file to make")
    make.add_argument("--chain_id", required=True, help="its label for people: a-z, 0-9, . _ -")
    make.add_argument("--validator", action="append", required=True, metavar="ADDRESS=STAKE", help="once for each")
    make.add_argument("--account", action="append", default=[], metavar="ADDRESS=BALANCE", help="once for each")
    make.add_argument("--issuer", metavar="ADDRESS", help="who may mint (default: nobody)")
    make.add_argument("--time_ms", type=whole_number, help="time of genesis, ms since 1970 (default: now)")
    add_parameters(make)
    for name, what, run in (("show", "print a genesis as JSON", show), ("hash", "print the chain's identity", hash_)):
        one = add_command(actions, name, what, run)
        one.add_argument("file", nargs="?", type=Path, help="a genesis file (default: the built-in demo chain)")


def add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the chain, once for each, `none` where it may be absent: block_threshold=2",
    )


def create(arguments: argparse.Namespace) -> int:
    from blockchain.commands.keyring import read_address
    from blockchain.errors import ConfigError
    from blockchain.genesis import dump_genesis, load_genesis
    from blockchain.primitives.chain import ChainSpec
    from blockchain.runtime.atomic_file import create_file

    spec = ChainSpec(
        chain_id=arguments.chain_id,
        time_ms=time.time_ns() // 1_000_000 if arguments.time_ms is None else arguments.time_ms,
        parameters=read_parameters(arguments.set),
        issuer=None if arguments.issuer is None else read_address(arguments.issuer),
        accounts=_accounts(arguments.account),
        validators=_validators(arguments.validator),
    )
    raw = dump_genesis(spec)
    load_genesis(raw)  # bounds and rules, before there is a file
    try:
        create_file(arguments.output, raw)
    except FileExistsError:
        raise ConfigError(
            f"{arguments.output} exists, and a genesis is never overwritten: choose another name"
        ) from None
    print(spec.hash.hex())
    return 0


def show(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.genesis import dump_genesis

    print(dump_genesis(read_spec(arguments.file)).decode(), end="")
    return 0


def hash_(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec

    print(read_spec(arguments.file).hash.hex())
    return 0


def read_parameters(settings: list[str], **defaults: int | None) -> Parameters:
    """A chain's parameters from NAME=VALUE texts. Raises ConfigError for an unknown name or a value out of bounds."""
    import msgspec

    from blockchain.errors import ConfigError
    from blockchain.genesis import schema_words
    from blockchain.primitives.chain import Parameters

    values: dict[str, int | None] = dict(defaults)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in Parameters.__struct_fields__:
            raise ConfigError(f"--set {setting}: the parameters are {', '.join(Parameters.__struct_fields__)}")
        if text != "none" and not (text.isascii() and text.replace("_", "").isdigit()):
            raise ConfigError(f"--set {setting}: the value has to be a whole number, or none")
        values[name] = None if text == "none" else int(text)
    try:
        return msgspec.convert(values, Parameters)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--set {schema_words(error)}") from None


def _accounts(texts: list[str]) -> tuple[GenesisAccount, ...]:
    from blockchain.commands.keyring import read_address
    from blockchain.primitives.chain import GenesisAccount

    pairs = [_pair("--account", text) for text in texts]
    return tuple(GenesisAccount(read_address(address), amount) for address, amount in pairs)


def _validators(texts: list[str]) -> tuple[GenesisValidator, ...]:
    from blockchain.commands.keyring import read_address
    from blockchain.primitives.chain import GenesisValidator

    pairs = [_pair("--validator", text) for text in texts]
    return tuple(GenesisValidator(read_address(address), amount) for address, amount in pairs)


def _pair(flag: str, text: str) -> tuple[str, int]:
    from blockchain.errors import ConfigError

    address, _, amount = text.rpartition("=")
    if not address or not (amount.isascii() and amount.replace("_", "").isdigit()):
        raise ConfigError(f"{flag} {text}: it has to be ADDRESS=AMOUNT")
    return address, int(amount)
