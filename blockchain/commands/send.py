"""`send`: sign a transaction here, with a key that never leaves this process, and hand it to a node."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import (
    CommandParser,
    add_command,
    add_password_file,
    add_url,
    seconds,
    whole_number,
)
from blockchain.commands.text import printable

if TYPE_CHECKING:
    from blockchain.client import Client, TransactionState
    from blockchain.commands.arguments import Commands
    from blockchain.primitives.crypto import Hash32, PublicKey, Signature
    from blockchain.primitives.transaction import VerifiedTransaction
    from blockchain.wallet import Wallet

_ACCEPTED_HELP = "seconds to wait for it to become final (default: %(default)s, which only waits for the node's yes)"


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "send", "sign a transaction and hand it to a node", run)
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", dest="kind", required=True)
    transfer = add_command(kinds, "transfer", "move an amount from the key's account to another", run)
    exchange = add_command(kinds, "exchange", "mint an amount to an account; only the chain's issuer can", run)
    stake = add_command(kinds, "stake", "lock an amount of the key's account as stake", run)
    unstake = add_command(kinds, "unstake", "take an amount of the key's stake back, after the unbonding time", run)
    rotate = add_command(kinds, "rotate", "validate with another key, after the chain's delay", run)
    pause = add_command(kinds, "pause", "announce that the validator will be away for some blocks", run)
    resume = add_command(kinds, "resume", "come back from a suspension, or early from a pause", run)
    for one in (transfer, exchange):
        one.add_argument("recipient", help="an address (bech32m or hex), or the file of its key")
    for one in (transfer, exchange, stake, unstake):
        one.add_argument("amount", type=whole_number)
    rotate.add_argument("validator_key", metavar="KEY", help="the new key: its file, or hex with --proof")
    pause.add_argument("blocks", type=whole_number, help="for how many heights")
    for one in (transfer, exchange, stake, unstake, rotate, pause, resume):
        _add_common(one)
    stake.add_argument(
        "--validator_key", metavar="KEY", help="key that votes for it: its file, or hex with --proof (default: the own)"
    )
    for one in (stake, rotate):
        one.add_argument("--proof", metavar="HEX", help="what `keys prove` says where the validator key is held")
        one.add_argument(
            "--validator_password_file", type=Path, metavar="FILE", help="first line: password of the validator key"
        )


def _add_common(parser: CommandParser) -> None:
    parser.add_argument("--key_file", type=Path, required=True, metavar="FILE", help="key of the sender (PEM)")
    add_password_file(parser)
    parser.add_argument("--fee", type=whole_number, default=0, help="fee that the sender pays (default: %(default)s)")
    parser.add_argument("--nonce", type=whole_number, help="number of the transaction (default: the node says)")
    parser.add_argument("--expiry", type=whole_number, metavar="HEIGHT", help="last height at which it may stand")
    parser.add_argument(
        "--genesis", type=Path, metavar="FILE", help="sign for this chain alone, whatever the node says"
    )
    parser.add_argument("--wait", type=seconds, default=0.0, metavar="SECONDS", help=_ACCEPTED_HELP)
    add_url(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client
    from blockchain.commands.passwords import read_key
    from blockchain.wallet import Wallet

    key = read_key(arguments.key_file, arguments.password_file)
    with Client(arguments.url) as node:
        wallet = Wallet(key, _genesis_hash(node, arguments.genesis))
        signed = sign(wallet, node, arguments)
        (identifier,) = node.submit([signed])
        print(f"accepted {printable(identifier)}", flush=True)
        if arguments.wait <= 0:
            return 0
        return say_what_became_of_it(node.wait_final(identifier, arguments.wait), arguments.wait)


def sign(wallet: Wallet, node: Client, arguments: argparse.Namespace) -> VerifiedTransaction:
    """The transaction that the arguments describe. Raises InvalidTransaction, InvalidAddress or InvalidKey."""
    from blockchain.commands.keyring import read_address

    nonce = arguments.nonce
    if nonce is None:
        nonce = node.account(wallet.address_text).next_nonce
    fee, expiry = arguments.fee, arguments.expiry
    match arguments.kind:
        case "stake" if arguments.validator_key is None:
            return wallet.stake(arguments.amount, nonce, fee, expiry)
        case "stake":
            return wallet.stake(arguments.amount, nonce, fee, expiry, *_key_and_proof(wallet, nonce, arguments))
        case "unstake":
            return wallet.unstake(arguments.amount, nonce, fee, expiry)
        case "rotate":
            return wallet.rotate(*_key_and_proof(wallet, nonce, arguments), nonce, fee, expiry)
        case "pause":
            return wallet.pause(arguments.blocks, nonce, fee, expiry)
        case "resume":
            return wallet.resume(nonce, fee, expiry)
        case "exchange":
            return wallet.exchange(read_address(arguments.recipient), arguments.amount, nonce, fee, expiry)
        case _:
            return wallet.transfer(read_address(arguments.recipient), arguments.amount, nonce, fee, expiry)


def _key_and_proof(wallet: Wallet, nonce: int, arguments: argparse.Namespace) -> tuple[PublicKey, Signature]:
    """The validator key that is named, and its proof: given, or made with the key's file."""
    from blockchain.commands.keyring import read_public_key
    from blockchain.commands.passwords import read_key
    from blockchain.errors import ConfigError
    from blockchain.primitives.crypto import SIGNATURE_BYTES, Signature
    from blockchain.primitives.transaction import prove_possession
    from blockchain.primitives.values import check_bytes

    if arguments.proof is not None:
        proof = Signature(check_bytes("proof", arguments.proof, SIGNATURE_BYTES))
        return read_public_key(arguments.validator_key), proof
    path = Path(arguments.validator_key)
    if not path.is_file():
        raise ConfigError(
            f"validator key {arguments.validator_key}: no key file has this name; a key that is held elsewhere needs a "
            f"--proof, from there: blockchain keys prove FILE --account={wallet.address_text} --nonce={nonce}"
        )
    key = read_key(path, arguments.validator_password_file)
    return key.public_key, prove_possession(key, wallet.address, nonce, wallet.genesis_hash)


def _genesis_hash(node: Client, genesis: Path | None) -> Hash32:
    from blockchain.commands.run import read_spec
    from blockchain.primitives.crypto import Hash32

    return Hash32(bytes.fromhex(node.status().genesis_hash)) if genesis is None else read_spec(genesis).hash


def say_what_became_of_it(found: TransactionState, waited: float) -> int:
    """A wait that ran out is no failure: whoever reads it as one sends the transaction twice."""
    if found.state == "final":
        print(f"final in block {found.height}")
        return 0
    if found.refusal is not None:
        why = printable(f"{found.state}: {found.refusal.why} ({found.refusal.code})")
        print(f"blockchain: {why}", file=sys.stderr)
        return 1
    print(f"not final after {waited:g} s; the node keeps it, so do not send it again: blockchain tx {found.id}")
    return 0
