"""`keys`: make a key file, see whose key a file holds, change its password."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands import keys_prove
from blockchain.commands.arguments import add_command, add_new_password, add_password_file
from blockchain.commands.text import facts

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "keys", "make or show keys", generate)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    make = add_command(
        actions,
        "generate",
        "make a new key file, readable by its owner only",
        generate,
        "Make a new Ed25519 key file (PKCS#8 PEM, mode 0600), encrypted with the password of the file, of "
        "BLOCKCHAIN_PASSWORD, or typed twice. An existing file is never overwritten.",
    )
    make.add_argument("file", type=Path)
    add_new_password(make)
    look = add_command(actions, "show", "show the address and public key of a key file; no password is needed", show)
    look.add_argument("file", type=Path)
    change = add_command(
        actions,
        "password",
        "change the password of a key file, or encrypt one that is not",
        password,
        "Encrypt the key in a file with another password. The new file takes the place of the old one in one step. "
        "The old password comes from --password_file, BLOCKCHAIN_PASSWORD or the terminal, the new one from "
        "--new_password_file, BLOCKCHAIN_NEW_PASSWORD or the terminal.",
    )
    change.add_argument("file", type=Path)
    add_password_file(change)
    add_new_password(change, "--new_password_file")
    keys_prove.add_action(actions)
    name = add_command(
        actions,
        "node",
        "show the node id of a data folder",
        node,
        "Show the node id, by which peers know a node and the file of --admit names it. A folder that has no node key "
        "yet gets one, so that this can be asked before the first start.",
    )
    name.add_argument("--data_dir", type=Path, required=True, help="folder of the node's data")


def node(arguments: argparse.Namespace) -> int:
    from blockchain.runtime.keystore import node_key

    print(node_key(arguments.data_dir).public_key.hex())
    return 0


def generate(arguments: argparse.Namespace) -> int:
    from blockchain.commands.passwords import PASSWORD_VARIABLE, new_password
    from blockchain.errors import KeyFileError
    from blockchain.runtime.keystore import generate_key, write_key_file

    path: Path = arguments.file
    if path.exists():  # before anybody types a password; the writing itself refuses too
        raise KeyFileError(str(path), "it exists, and keys are never overwritten: choose another name")
    secret = None if arguments.no_password else new_password(path, arguments.password_file, PASSWORD_VARIABLE)
    key = generate_key()
    write_key_file(path, key, secret)
    print(page(path, key.public_key))
    if secret is None:
        _warn_of_plain(path)
    return 0


def password(arguments: argparse.Namespace) -> int:
    from blockchain.commands.passwords import NEW_PASSWORD_VARIABLE, asked_password, given_password, new_password
    from blockchain.runtime.keystore import change_password, is_encrypted, read_key_file

    path: Path = arguments.file
    old = given_password(arguments.password_file)
    if old is None and is_encrypted(path):
        old = asked_password(path)
    read_key_file(path, old)  # a wrong one is told before a new one is typed
    flag = "--new_password_file"
    new = (
        None if arguments.no_password else new_password(path, arguments.new_password_file, NEW_PASSWORD_VARIABLE, flag)
    )
    print(page(path, change_password(path, old, new)))
    if new is None:
        _warn_of_plain(path)
    return 0


def _warn_of_plain(path: Path) -> None:
    print(f"WARNING: {path} is not encrypted: whoever gets the file has the key", file=sys.stderr)


def show(arguments: argparse.Namespace) -> int:
    from blockchain.runtime.keystore import public_key_of

    print(page(arguments.file, public_key_of(arguments.file)))
    return 0


def page(path: Path, public_key: bytes) -> str:
    from blockchain.primitives.address import format_address
    from blockchain.runtime.keystore import DEMO_KEYS

    lines: list[tuple[str, object]] = [
        ("file", path),
        ("address", format_address(public_key)),
        ("public key", public_key.hex()),
    ]
    if public_key in DEMO_KEYS:
        lines.append(("note", "a public demo key: everybody can sign with it"))
    return facts(lines)
