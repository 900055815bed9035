"""The life of a validator in a network of real processes: `pytest -m slow tests/processes/test_life.py -s`.

It stakes, earns, misses and is suspended, resumes, pauses, changes its key, takes its stake back and withdraws it. At
every step what the node says of the account is compared with the rules worked out by hand: the independent model of
the ledger's tests, fed with nothing but the blocks and their certificates as the API gives them.
"""

from __future__ import annotations

import faulthandler
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from blockchain.client import Client
from blockchain.client.answers import Account, Block, SignedTransaction
from blockchain.primitives.address import parse_address
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.transaction import VerifiedTransaction, prove_possession
from blockchain.runtime.keystore import generate_key, write_key_file
from blockchain.wallet import Wallet
from tests.ledger.model import Model
from tests.processes.network import QUICK, Network, network
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import wait_until

LIFE: Final = replace(
    QUICK,
    heartbeat_ms=150,
    stake_delay=8,
    unbonding_blocks=20,
    unbonding_ms=4_000,
    absence_window=10,
    pause_blocks_max=20,
    pause_interval=40,
    reward_per_block=1_000,
)
STAKE: Final = 120  # beside four times 1,000: little enough to be suspended
LATE_SECONDS: Final = 90.0
_PAYLOADS: Final = {
    "TRANSFER": ("recipient", "amount"),
    "STAKE": ("amount", "validator_key", "proof"),
    "UNSTAKE": ("amount",),
    "ROTATE": ("validator_key", "proof"),
    "PAUSE": ("blocks",),
    "RESUME": (),
}


class ByHand:
    """The model, following a chain through the API of one node."""

    def __init__(self, spec: ChainSpec, client: Client) -> None:
        self.model = Model(spec)
        self._client = client
        self.height = 0

    def follow(self, height: int) -> None:
        while self.height < height:
            self.height += 1
            block = self._client.block(self.height)
            assert block is not None
            self._apply(block)

    def _apply(self, block: Block) -> None:
        for one in block.transactions:
            sender = parse_address(one.sender)
            code = self.model.apply(block.height, sender, one.nonce, one.fee, one.expiry, payload(one))
            assert code is None, f"block {block.height} holds what the model refuses: {code}"
        assert not block.evidence and block.parent_certificate is not None
        members = sorted(self.model.sets[block.height - 1])
        signers = [members[entry.index] for entry in block.parent_certificate.precommits]
        self.model.finish(block.height, block.time_ms, parse_address(block.forger), (), signers)

    def check(self, address: bytes, text: str) -> Account:
        """That the node says of an account, at some height, exactly what the model does."""
        account = wait_until("two looks at one height", lambda: self._account_at_rest(text))
        staker = self.model.stakers.get(address)
        unbonding = [] if staker is None else [(entry.amount, entry.leaves) for entry in staker.unbonding]
        assert account.balance == self.model.balance[address]
        assert account.nonce == self.model.nonce.get(address, 0)
        assert account.staked == (0 if staker is None else staker.bonded)
        assert account.waiting == sum(entry.amount for entry in self.model.waiting_of(address))
        assert [(entry.amount, entry.leaves) for entry in account.unbonding] == unbonding
        assert account.stake == self.model.sets[self.height + 1].get(address, (b"", 0))[1]
        assert account.suspension == (None if staker is None else staker.suspension)
        assert self.model.held() == self.model.minted - self.model.burnt
        return account

    def _account_at_rest(self, text: str) -> Account | None:
        before = self._client.status().height
        account = self._client.account(text)
        if self._client.status().height != before:
            return None
        self.follow(before)
        return account


def payload(one: SignedTransaction) -> list[object]:
    fields = [one.payload[name] for name in _PAYLOADS[one.kind]]
    return [one.kind, *(_bytes(name, value) for name, value in zip(_PAYLOADS[one.kind], fields, strict=True))]


def _bytes(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    return parse_address(value) if name == "recipient" else bytes.fromhex(value)


@pytest.mark.slow
def test_a_life_from_stake_to_withdrawal_is_right_to_the_unit_at_every_step(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # pytest's alarm for a test that hangs: this one takes a minute or two
    with network(tmp_path, 4, LIFE, followers=1) as net:
        Life(tmp_path, net).run()


class Life:
    def __init__(self, folder: Path, net: Network) -> None:
        self._net = net
        self._node: NodeProcess = net.nodes[-1]
        self._client = net.nodes[0].client
        self._wallet: Wallet = net.wallets[-1]
        self._by_hand = ByHand(net.spec, self._client)
        self._nonce = 0
        key_file = folder / "account.pem"
        write_key_file(key_file, self._wallet.key, None)
        self._node.key_file = key_file
        self._next_key = generate_key()  # held from the first start: nothing is started anew for the switch
        write_key_file(folder / "next.pem", self._next_key, None)
        self._node.environment["BLOCKCHAIN_NEXT_KEY_FILE"] = str(folder / "next.pem")
        for node in net.nodes:  # they are away for longer than stake is bound here
            node.environment["BLOCKCHAIN_TRUST_GENESIS"] = "true"

    def run(self) -> None:
        self._net.start_all()
        self._net.wait_connected()
        self._stake()
        self._earn()
        self._miss()
        self._resume()
        self._pause()
        self._rotate()
        self._unstake()
        self._withdraw()

    def _stake(self) -> None:
        self._send(self._wallet.stake(STAKE, self._nonce, fee=3))
        self._until("it counts", lambda account: account.stake == STAKE)

    def _earn(self) -> None:
        before = self._look()
        self._pass(12)
        assert self._look().balance > before.balance

    def _miss(self) -> None:
        self._node.kill()
        suspended = self._until("it is suspended", lambda account: bool(account.suspension) and account.stake == 0)
        assert suspended.staked == STAKE
        self._pass(3)
        assert self._look().balance == suspended.balance  # it earns nothing

    def _resume(self) -> None:
        self._start()
        self._send(self._wallet.resume(self._nonce, fee=2))
        self._until("it is back", lambda account: account.stake == STAKE)
        self._pass(10)
        assert self._look().suspension is None

    def _pause(self) -> None:
        self._send(self._wallet.pause(20, self._nonce))
        self._until("it is away", lambda account: account.stake == 0)
        missed = self._missed()
        self._node.kill()
        self._pass(2)
        self._start()
        self._until("it is back", lambda account: account.stake == STAKE)
        assert len(self._missed() - missed) <= 3  # the heights in which it comes back, on a loaded machine
        assert self._look().suspension is None

    def _rotate(self) -> None:
        key = self._next_key
        proof = prove_possession(key, self._wallet.address, self._nonce, self._net.spec.hash)
        self._send(self._wallet.rotate(PublicKey(key.public_key), proof, self._nonce))
        wait_until("the new key counts", lambda: self._key_in_set() == key.public_key, LATE_SECONDS)
        at = self._by_hand.height
        self._pass(8)
        late = {height for height in self._missed() if height > at}
        assert len(late) <= 3, f"with its new key it missed {late}"

    def _unstake(self) -> None:
        before = self._look()
        self._send(self._wallet.unstake(50, self._nonce))
        self._pass(2)
        self._send(self._wallet.unstake(STAKE - 50, self._nonce))
        account = self._look()
        assert account.staked == 0 and [entry.amount for entry in account.unbonding] == [50, STAKE - 50]
        self._until("it has left", lambda account: account.stake == 0)
        self._until("all is paid out", lambda account: not account.unbonding)
        assert self._look().balance >= before.balance + STAKE

    def _withdraw(self) -> None:
        balance = self._look().balance
        self._send(self._wallet.transfer(self._net.wallets[0].address, balance - 1, self._nonce, fee=1))
        assert self._look().balance == 0

    # ------------------------------------------------------------------------------------------------ steps

    def _send(self, transaction: VerifiedTransaction) -> None:
        (identifier,) = self._client.submit([transaction])
        assert self._client.wait_final(identifier, LATE_SECONDS).state == "final"
        self._nonce += 1
        self._look()

    def _look(self) -> Account:
        return self._by_hand.check(self._wallet.address, self._wallet.address_text)

    def _until(self, what: str, holds: object) -> Account:
        assert callable(holds)

        def look() -> Account | None:
            account = self._look()
            return account if holds(account) else None

        return wait_until(what, look, LATE_SECONDS)

    def _pass(self, heights: int) -> None:
        self._net.wait_height(self._client.status().height + heights, self._net.nodes[:4])
        self._look()

    def _start(self) -> None:
        self._node.start()
        self._net.wait_height(self._client.status().height)

    def _missed(self) -> set[int]:
        self._look()
        return set(self._by_hand.model.stakers[self._wallet.address].missed)

    def _key_in_set(self) -> bytes:
        self._look()
        return self._by_hand.model.sets[self._by_hand.height + 1][self._wallet.address][0]
