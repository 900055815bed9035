"""What clients hand in: each gets the answer to its own transaction, whoever verified it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockchain.node.checkpoint import Vouched
from blockchain.node.inputs import Input
from blockchain.node.stateless import TRANSACTIONS_AT_ONCE
from blockchain.primitives.transaction import VerifiedTransaction, transaction_id
from blockchain.runtime import verifiers as module
from blockchain.runtime.grouping import Grouping
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.submissions import PART_MAX, Outcome, Submissions
from blockchain.runtime.verifiers import Verifiers
from blockchain.seams import PeerId, SubmissionResult, TransactionsSubmitted
from tests.runtime.test_service import MAKE_P2P, OWN, SECONDS, SPEC
from tests.samples import GENESIS_HASH, address, wallet

SOME = [wallet("a").transfer(address("b"), 1, nonce) for nonce in range(TRANSACTIONS_AT_ONCE + 5)]
UNSIGNED = SOME[0].raw[:-64] + bytes(64)
GARBAGE = b"\x90"


class Clients:
    """Submissions, and a core that takes whatever it is given."""

    def __init__(self, workers: int, *pending: VerifiedTransaction) -> None:
        held = {one.id: one for one in pending}
        self.verifiers = Verifiers(workers)
        self.taken: list[VerifiedTransaction] = []
        self.turns: list[int] = []  # how many came together
        self.entered = asyncio.Event()
        self.waiting = Submissions(GENESIS_HASH, held.get, self.deliver, self.verifiers)

    async def deliver(self, given: Input, before: Callable[[], object], after: Callable[[], object]) -> None:
        assert isinstance(given, TransactionsSubmitted)
        self.taken += given.transactions
        self.turns.append(len(given.transactions))
        self.entered.set()
        self.waiting.on_reply(given.token, tuple(SubmissionResult(one.id) for one in given.transactions))

    def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        try:
            return asyncio.run(asyncio.wait_for(self.waiting.submit(raws), SECONDS))
        finally:
            self.waiting.stop()
            self.verifiers.stop()


@pytest.mark.parametrize("workers", [0, 1])
def test_each_gets_its_answer_in_its_place(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a batch that is checked in parts, with flaws in both."""
    monkeypatch.setattr(module, "FAR_BYTES_MIN", 0)
    raws = [one.raw for one in SOME]
    raws[3], raws[-1], raws[-2] = UNSIGNED, UNSIGNED, GARBAGE
    wrong = {3: "invalid_signature", len(raws) - 1: "invalid_signature", len(raws) - 2: "malformed"}
    clients = Clients(workers)
    results = clients.submit(raws)
    assert [one.id for one in results] == [transaction_id(GENESIS_HASH, raw) for raw in raws]
    assert {at: one.code for at, one in enumerate(results) if one.code} == wrong
    assert all(one.why for one in results if one.code)
    assert clients.taken == [one for at, one in enumerate(SOME) if at not in wrong]


def test_what_is_pending_is_not_verified_again() -> None:
    clients = Clients(0, SOME[0])
    assert clients.submit([SOME[0].raw, SOME[1].raw]) == [SubmissionResult(one.id) for one in SOME[:2]]
    assert clients.taken[0] is SOME[0]


def test_a_node_with_workers_leaves_none_when_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAR_BYTES_MIN", 0)
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)

    async def scenario() -> None:
        store = SqliteStore.open(tmp_path, SPEC.hash)
        own = PeerId(OWN.public_key)
        node = NodeService(SPEC, store, (), MAKE_P2P, own, Vouched(genesis=True), verify_workers=1)
        await node.start()
        assert not started, "a node with nothing to verify has none"
        paid = wallet("a", SPEC.hash).transfer(address("b"), 1, 0)
        async with asyncio.timeout(SECONDS):
            assert await node.submit([paid.raw]) == [SubmissionResult(paid.id)]
        assert len(started) == 1 and started[0].poll() is None
        await node.stop()
        store.close()

    asyncio.run(scenario())
    assert started[0].returncode is not None


def test_the_core_enters_a_part_while_the_next_is_verified() -> None:
    """Of a long batch; the answer comes for all together, and every part is a turn of the core of its own."""
    long = [wallet("a").transfer(address("b"), 1, nonce) for nonce in range(PART_MAX + 2)]
    raws = [one.raw for one in long]
    raws[PART_MAX] = UNSIGNED
    clients = Clients(0)
    verified: list[int] = []  # how many were, each time that the core was given some
    verify = clients.waiting._verify_group

    async def noted(group: list[bytes]) -> list[Outcome]:
        if verified:
            await clients.entered.wait()
        outcomes = await verify(group)
        verified.append(len(outcomes))
        return outcomes

    clients.waiting._verifying = Grouping(noted, PART_MAX)
    results = clients.submit(raws)
    assert verified == [PART_MAX, 2]
    assert clients.turns == [PART_MAX, 1]
    assert [one.code for one in results] == [""] * PART_MAX + ["invalid_signature", ""]
