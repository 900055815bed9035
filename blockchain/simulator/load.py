"""The clients of a simulated chain: wallets that send to random nodes, well and badly, and remember every promise.

What a client does wrong is part of the load: too much money, a nonce that is taken or too far ahead, minting without
being the issuer, the same transaction twice, another one with the same nonce to another node.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from msgspec import Struct

from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.transaction import VerifiedTransaction, prove_possession
from blockchain.seams import Token
from blockchain.simulator.node import Node
from blockchain.simulator.world import World
from blockchain.wallet import Wallet

FRESH_MS: Final = 200  # between two deliveries of fresh load

LEAVES: Final = 10  # of a validator's stake, which is some hundred


class Promise(Struct, frozen=True):
    """A transaction that a node acknowledged: durable there, and final or refused with a reason one day."""

    node: int
    verified: VerifiedTransaction
    token: Token  # of the submission: they count up


class Load:
    """Sends for some wallets whenever `send` is called; `fresh` is a wallet kept for the time after healing."""

    def __init__(
        self, world: World, wallets: tuple[SigningKey, ...], fresh: SigningKey, *, is_staking: bool = True
    ) -> None:
        self._is_staking = is_staking
        self._world = world
        self._rng = Random(f"load {world.seed}")
        genesis_hash = world.spec.hash
        self._wallets = [Wallet(held, genesis_hash) for held in wallets]
        self._fresh = Wallet(fresh, genesis_hash)
        self._fresh_nonce = 0
        self._fresh_ms = -FRESH_MS
        members = {validator.address for validator in world.spec.validators}
        owners = [Wallet(held, genesis_hash) for node in world.nodes for held in node.keys.values()]
        self._joiners = [owner for owner in owners if owner.address not in members]
        self._leavers = [owner for owner in owners if owner.address in members][:1]  # part of whose stake comes back
        self._sent: list[VerifiedTransaction] = []
        self._asked: list[tuple[Token, int, list[VerifiedTransaction]]] = []  # and of which node

    @property
    def promises(self) -> list[Promise]:
        """What was acknowledged so far; a slow node answers late."""
        return [
            Promise(number, verified, token)
            for token, number, transactions in self._asked
            for verified, result in zip(transactions, self._world.replies.get(token, ()), strict=False)
            if not result.code
        ]

    def send(self) -> None:
        """One client's next submission, to a node that may be down."""
        node = self._rng.choice(self._world.nodes)
        if self._joiners and node.core is not None:
            self._submit(node, [self._joiners.pop().stake(300, 0)])
        if self._leavers and node.core is not None:
            self._submit(node, [self._leavers.pop().unstake(LEAVES, 0)])
        wallet = self._rng.choice(self._wallets)
        self._submit(node, list(self._transactions(node, wallet)))

    def send_fresh(self) -> None:
        """Enough for a block, from a wallet that nobody disturbs; not more often than each `FRESH_MS`."""
        if self._world.time_ms < self._fresh_ms + FRESH_MS:
            return
        self._fresh_ms = self._world.time_ms
        count = self._world.spec.parameters.block_threshold
        recipient = self._wallets[0].address
        first = self._fresh_nonce
        self._submit(
            self._rng.choice(self._world.honest),
            [self._fresh.transfer(recipient, 1, nonce) for nonce in range(first, first + count)],
        )
        self._fresh_nonce += count

    def _submit(self, node: Node, transactions: list[VerifiedTransaction]) -> None:
        if not transactions:
            return
        token = self._world.submit(node.number, tuple(transactions))
        if node.is_honest:  # a hostile one may promise what it likes
            self._asked.append((token, node.number, transactions))
        self._sent.extend(transactions)

    def _transactions(self, node: Node, wallet: Wallet) -> Iterator[VerifiedTransaction]:
        """What one client sends in one go: mostly what applies."""
        rng = self._rng
        nonce = 0 if node.core is None else node.core.chain.pool.next_nonce(wallet.address)
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            if kind < 0.75:
                yield self._good(node, wallet, nonce)
                nonce += 1
            elif kind < 0.8 and self._sent:
                yield rng.choice(self._sent)
            else:
                yield self._bad(wallet, nonce)

    def _good(self, node: Node, wallet: Wallet, nonce: int) -> VerifiedTransaction:
        rng = self._rng
        fee = rng.choice((0, 0, 1, 5))
        expiry = rng.choice((None, None, None, node.store.head() + rng.randint(1, 4)))
        kind = rng.random()
        if kind < 0.1 and self._is_staking:
            return wallet.stake(rng.randint(5, 40), nonce, fee, expiry)
        if kind < 0.2 and self._is_staking:
            return self._own_stake(wallet, nonce, fee)
        if kind < 0.3 and wallet is self._wallets[0]:
            return wallet.exchange(self._recipient(), rng.randint(1, 50), nonce, fee, expiry)
        return wallet.transfer(self._recipient(), rng.randint(1, 50), nonce, fee, expiry)

    def _own_stake(self, wallet: Wallet, nonce: int, fee: int) -> VerifiedTransaction:
        """What applies only for who has staked; a wallet runs no node, so its key votes nowhere."""
        match self._rng.choice(("unstake", "unstake", "rotate", "pause", "resume")):
            case "unstake":
                return wallet.unstake(self._rng.randint(1, 40), nonce, fee)
            case "pause":
                return wallet.pause(self._rng.randint(1, 5), nonce, fee)
            case "resume":
                return wallet.resume(nonce, fee)
            case _:
                key = SigningKey(wallet.address[:24] + nonce.to_bytes(8, "big"))
                proof = prove_possession(key, wallet.address, nonce, wallet.genesis_hash)
                return wallet.rotate(key.public_key, proof, nonce, fee)

    def _bad(self, wallet: Wallet, nonce: int) -> VerifiedTransaction:
        rng = self._rng
        match rng.choice(("rich", "used", "gap", "replace", "mint", "poor", "expired")):
            case "rich":
                return wallet.transfer(self._recipient(), 10**9, nonce)
            case "used":
                return wallet.transfer(self._recipient(), 2, max(nonce - rng.randint(1, 3), 0))
            case "gap":
                return wallet.transfer(self._recipient(), 3, nonce + rng.randint(1, 2))
            case "replace":
                return wallet.transfer(self._recipient(), 4, max(nonce - 1, 0), fee=rng.randint(1, 9))
            case "mint":
                return self._wallets[1].exchange(self._recipient(), 5, nonce)
            case "expired":
                return wallet.transfer(self._recipient(), 6, nonce, expiry=1)
            case _:  # an account that waits for money: this comes to its node with a gap, so it is kept
                return self._poor().transfer(self._recipient(), rng.randint(1, 20), rng.randint(0, 1))

    def _poor(self) -> Wallet:
        """An account that has only what others send it."""
        return Wallet(SigningKey(b"poor".ljust(32, b"\0")), self._world.spec.hash)

    def _recipient(self) -> Address:
        return self._rng.choice((*(wallet.address for wallet in self._wallets), self._poor().address))


def pool_of(node: Node) -> dict[tuple[Address, int], Hash32]:
    """What a running node's pool holds: ids by sender and nonce."""
    assert node.core is not None, "a node that is down has no pool"
    held = node.core.chain.pool
    return {(each.transaction.sender, each.transaction.nonce): each.id for each in held}
