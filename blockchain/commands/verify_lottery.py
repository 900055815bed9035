"""`verify-lottery`: check a lottery receipt offline, with a genesis file and nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command
from blockchain.commands.text import facts

if TYPE_CHECKING:
    from blockchain.client.answers import Lottery
    from blockchain.client.lottery import ProvenDraw
    from blockchain.commands.arguments import Commands

RECEIPT_BYTES_MAX: Final = 64 * 1024 * 1024  # one of 10,000 validators takes 4 MB
_HASH_DIGITS: Final = 64


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "verify-lottery",
        "check a lottery receipt offline",
        run,
        "Check a lottery receipt offline: that this validator, and no other, was drawn. Trusted is the genesis file, "
        "as long as the validators are those of genesis; else the hash of the set or the id of the block, from "
        "somebody whom you believe.",
    )
    parser.add_argument("file", help="the receipt, as `lottery` prints it; - reads stdin")
    parser.add_argument("--genesis", type=Path, metavar="FILE", help="the chain's (default: the built-in demo chain)")
    parser.add_argument("--validators_hash", type=_hash, metavar="HEX", help="trust the set with this hash")
    parser.add_argument(
        "--block_id", type=_hash, metavar="HEX", help="trust this block of the receipt's height, or the one before it"
    )


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client.lottery import verify_lottery
    from blockchain.commands.run import read_spec

    spec = read_spec(arguments.genesis)
    receipt = _read(arguments.file)
    proven = verify_lottery(receipt, spec, validators_hash=arguments.validators_hash, trusted_id=arguments.block_id)
    print(page(proven, _trusted(arguments)))
    return 0


def page(proven: ProvenDraw, trusted: str) -> str:
    from blockchain.primitives.address import format_address

    return facts(
        [
            ("receipt", "good"),
            ("height", f"{proven.height}, round {proven.round}"),
            ("drawn", format_address(proven.forger)),
            ("stake", f"{proven.stake} of {proven.total_stake}"),
            ("block", _block(proven)),
            ("trusted", trusted),
        ]
    )


def _block(proven: ProvenDraw) -> str:
    if proven.is_forged:
        return "built by the one drawn here"
    return "built in another round" if proven.is_final else "none yet"


def _trusted(arguments: argparse.Namespace) -> str:
    if arguments.block_id is not None:
        return f"block {arguments.block_id.hex()}"
    if arguments.validators_hash is not None:
        return f"the validators with the hash {arguments.validators_hash.hex()}"
    return "the validators of genesis"


def _read(file: str) -> Lottery:
    import msgspec

    from blockchain.client.answers import Lottery
    from blockchain.errors import MalformedMessage

    if file == "-":
        raw = sys.stdin.buffer.read(RECEIPT_BYTES_MAX + 1)
    else:
        with Path(file).open("rb") as opened:
            raw = opened.read(RECEIPT_BYTES_MAX + 1)
    if len(raw) > RECEIPT_BYTES_MAX:
        raise MalformedMessage(f"{file}: more than {RECEIPT_BYTES_MAX} bytes are no receipt")
    try:
        return msgspec.json.decode(raw, type=Lottery)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"{file} is no lottery receipt: {error}") from None


def _hash(text: str) -> bytes:
    if len(text) != _HASH_DIGITS:
        raise argparse.ArgumentTypeError(f"{text!r} has to be {_HASH_DIGITS} hex digits")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} has to be {_HASH_DIGITS} hex digits") from None
