"""`keys`: make a key file, and see whose key a file holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_password_file
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
        "Make a new Ed25519 key file (PKCS#8 PEM, mode 0600), encrypted when there is a password file. An existing "
        "file is never overwritten.",
    )
    make.add_argument("file", type=Path)
    add_password_file(make)
    look = add_command(actions, "show", "show the address and public key of a key file; no password is needed", show)
    look.add_argument("file", type=Path)
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
    from blockchain.commands.keyring import read_password
    from blockchain.runtime.keystore import generate_key, write_key_file

    password = read_password(arguments.password_file)
    key = generate_key()
    write_key_file(arguments.file, key, password)
    print(page(arguments.file, key.public_key))
    if password is None:
        print("note: the key is not encrypted; --password_file makes one that is", file=sys.stderr)
    return 0


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
