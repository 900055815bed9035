"""`sample`: the seven transactions of the parent project, sent to a node of the demo chain."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, add_url
from blockchain.commands.text import short_id

if TYPE_CHECKING:
    from blockchain.client import Client
    from blockchain.commands.arguments import Commands
    from blockchain.primitives.crypto import Address
    from blockchain.primitives.transaction import VerifiedTransaction
    from blockchain.wallet import Wallet

JANES_STAKE: Final = 25


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "sample",
        "send the seven sample transactions",
        run,
        "Send seven transactions to a node of the demo chain: the exchange gives Jane 100 and John 100, then John 10; "
        "Jane stakes 25; Jane sends John 1, three times. It can be run again.",
    )
    add_url(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        for transaction in sample_transactions(node):
            (identifier,) = node.submit([transaction])
            print(f"accepted {short_id(identifier)}  {describe(transaction)}", flush=True)
    return 0


def sample_transactions(node: Client) -> Iterator[VerifiedTransaction]:
    """Signed for the node's chain, with the nonces that the node says are next."""
    from blockchain.commands.keyring import keys_folder
    from blockchain.demo_chain import john_key
    from blockchain.primitives.crypto import Address, Hash32
    from blockchain.runtime.keystore import read_key_file
    from blockchain.wallet import Wallet

    genesis_hash = Hash32(bytes.fromhex(node.status().genesis_hash))
    exchange = Wallet(read_key_file(keys_folder() / "exchange_private_key.pem", None), genesis_hash)
    jane = Wallet(read_key_file(keys_folder() / "staker_private_key.pem", None), genesis_hash)
    john = Address(john_key().public_key)
    return _seven(exchange, jane, john, _next_nonce(node, exchange), _next_nonce(node, jane))


def _seven(
    exchange: Wallet, jane: Wallet, john: Address, exchange_nonce: int, jane_nonce: int
) -> Iterator[VerifiedTransaction]:
    yield exchange.exchange(jane.address, 100, exchange_nonce)
    yield exchange.exchange(john, 100, exchange_nonce + 1)
    yield exchange.exchange(john, 10, exchange_nonce + 2)
    yield jane.stake(JANES_STAKE, jane_nonce)
    for index in range(3):
        yield jane.transfer(john, 1, jane_nonce + 1 + index)


def _next_nonce(node: Client, wallet: Wallet) -> int:
    return node.account(wallet.address_text).next_nonce


def describe(verified: VerifiedTransaction) -> str:
    """Kind, who to whom, and how much, by the names of the sample."""
    from blockchain.commands.text import short_address
    from blockchain.demo_chain import demo_names
    from blockchain.primitives.address import format_address
    from blockchain.primitives.transaction import PAYMENTS, Stake

    names = demo_names()

    def name(address: Address) -> str:
        return names.get(address) or short_address(format_address(address))

    transaction = verified.transaction
    payload = transaction.payload
    assert isinstance(payload, (*PAYMENTS, Stake)), "no other kind is in the sample"
    whom = f" -> {name(payload.recipient)}" if isinstance(payload, PAYMENTS) else ""
    return f"{transaction.kind:<8}  {name(transaction.sender)}{whom}, {payload.amount}"
