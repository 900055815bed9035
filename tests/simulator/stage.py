"""A small world to write scripts for: equal validators, one rich account, every message ten ms on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.transaction import prove_possession
from blockchain.seams import BlockFinalized, ForgerDrawn, NodeEvent
from blockchain.simulator.network import Links
from blockchain.simulator.scenario import GENESIS_MS, key
from blockchain.simulator.world import World
from blockchain.wallet import Wallet

E = TypeVar("E", bound=NodeEvent)
LINKS = Links(delay_ms=(10, 10))
PARAMETERS = Parameters(
    block_max_wait_ms=None,
    propose_timeout_ms=300,
    prevote_timeout_ms=200,
    precommit_timeout_ms=200,
    propose_delta_ms=100,
    prevote_delta_ms=100,
    precommit_delta_ms=100,
    commit_wait_ms=0,
)


class Stage:
    """Equal validators (nodes 0 to 3) and followers behind them, in one world; nobody runs yet."""

    def __init__(
        self, followers: int = 0, parameters: Parameters = PARAMETERS, links: Links = LINKS, validators: int = 4
    ) -> None:
        self.keys = [key("validator", n) for n in range(validators)]
        self.rich = key("wallet", 0)
        owner = Address(self.rich.public_key)
        self.spec = ChainSpec(
            chain_id="stage",
            time_ms=GENESIS_MS,
            parameters=parameters,
            issuer=owner,
            accounts=(GenesisAccount(owner, 1_000_000),),
            validators=tuple(GenesisValidator(Address(held.public_key), 10) for held in self.keys),
        )
        keys: list[SigningKey | None] = [*self.keys, *[None] * followers]
        self.world = World(self.spec, keys, 1, links)
        self._wallet = Wallet(self.rich, self.spec.hash)
        self._nonce = 0

    def address(self, number: int) -> Address:
        return Address(self.keys[number].public_key)

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.world.start(number)

    def crash(self, *numbers: int) -> None:
        for number in numbers:
            self.world.crash(number)

    def pay(self, number: int) -> Hash32:
        """Send one transfer, the next of the rich account, to a node; returns its id."""
        self._nonce += 1
        return self.pay_again(number)

    def stake(self, number: int, amount: int, key: SigningKey) -> None:
        """Lock some of the rich account's money behind a validator key."""
        self._nonce += 1
        nonce = self._nonce - 1
        proof = prove_possession(key, self._wallet.address, nonce, self._wallet.genesis_hash)
        verified = self._wallet.stake(amount, nonce, validator_key=key.public_key, proof=proof)
        token = self.world.submit(number, (verified,))
        assert [result.code for result in self.world.replies[token]] == [""]

    def pay_again(self, number: int) -> Hash32:
        """Send the last transfer to another node too."""
        verified = self._wallet.transfer(Address(self.keys[3].public_key), 1, self._nonce - 1)
        token = self.world.submit(number, (verified,))
        assert [result.code for result in self.world.replies[token]] == [""]
        return verified.id

    def replace_last(self, number: int) -> str:
        """Try to replace the last transfer by one that pays a fee; returns the code of the answer."""
        verified = self._wallet.transfer(Address(self.keys[3].public_key), 1, self._nonce - 1, fee=100)
        token = self.world.submit(number, (verified,))
        return self.world.replies[token][0].code

    def run(self, ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Let so much time pass at most; True when `until` came to hold."""
        return self.world.run_until(self.world.time_ms + ms, until)

    def heads(self) -> list[int]:
        return [node.store.head() for node in self.world.nodes]

    def forger(self, round: int) -> int:
        """The number of the node that is drawn for a round of the height that the furthest node is at."""
        core = max(self.world.nodes, key=lambda node: node.store.head()).core
        assert core is not None
        address = core.engine.current.forgers.forger(round)
        return next(n for n, held in enumerate(self.keys) if Address(held.public_key) == address)

    def events(self, kind: type[E], number: int | None = None) -> list[E]:
        """What happened, at one node or at all."""
        return [event for at, event in self.world.events if isinstance(event, kind) and number in (None, at)]

    def decided(self, height: int) -> set[Hash32]:
        """The blocks that nodes made final at a height."""
        return {event.block_id for event in self.events(BlockFinalized) if event.height == height}

    def rounds(self) -> Iterator[int]:
        return (event.round for event in self.events(ForgerDrawn))
