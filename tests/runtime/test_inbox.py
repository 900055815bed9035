"""What waits for the core: agreement before transactions, neither keeps the other out, and so many of each."""

from __future__ import annotations

import asyncio

import pytest

from blockchain.node.inputs import Input, MessageReceived
from blockchain.node.messages import GetPeers, Have, VerifiedTransactions, Want
from blockchain.runtime.inbox import INBOX_MAX, PASSED_MAX, Inbox, is_of_transactions
from blockchain.runtime.intake import nothing
from blockchain.seams import PeerId, TimerFired, TimerKey, TimerKind, Token, TransactionsSubmitted
from tests.runtime.scenarios import run

PEER = PeerId(b"\x01" * 32)
PAID = TransactionsSubmitted(Token(1), ())
TOLD = MessageReceived(PEER, GetPeers())


def test_which_inputs_are_of_transactions() -> None:
    for message in (VerifiedTransactions(()), Have(()), Want(())):
        assert is_of_transactions(MessageReceived(PEER, message))
    assert is_of_transactions(PAID)
    assert not is_of_transactions(TOLD)
    assert not is_of_transactions(TimerFired(TimerKey(TimerKind.STATUS)))


def test_agreement_comes_first_and_each_kind_in_its_order() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(nothing)
        inputs: tuple[Input, ...] = (PAID, TOLD, PAID, TOLD)
        for number, given in enumerate(inputs):
            await inbox.put(number, given)
        assert [inbox.take() for _ in range(5)] == [1, 3, 0, 2, None]

    run(scenario())


def test_transactions_get_their_turn_however_much_else_there_is() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(nothing)
        await inbox.put(-1, PAID)
        await inbox.put(-2, PAID)
        for number in range(3 * PASSED_MAX):
            await inbox.put(number, TOLD)
        taken = [inbox.take() for _ in range(3 * PASSED_MAX + 2)]
        assert (taken.index(-1), taken.index(-2)) == (PASSED_MAX, 2 * PASSED_MAX + 1)
        assert [one for one in taken if one is not None and one >= 0] == list(range(3 * PASSED_MAX))

    run(scenario())


def test_turns_are_not_saved_up_while_no_transaction_waits() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(nothing)
        for number in range(PASSED_MAX):
            await inbox.put(number, TOLD)
            assert inbox.take() == number
        await inbox.put(1, PAID)
        await inbox.put(2, TOLD)
        assert [inbox.take(), inbox.take()] == [2, 1]

    run(scenario())


def test_whoever_fills_one_kind_waits_and_the_other_does_not() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(nothing)
        for number in range(INBOX_MAX):
            await inbox.put(number, PAID)
        late = asyncio.create_task(inbox.put(-1, PAID))
        await asyncio.sleep(0)
        assert not late.done()
        await inbox.put(-2, TOLD)
        assert [inbox.take(), inbox.take()] == [-2, 0]
        await late

    run(scenario())


def test_who_cannot_wait_looks_for_room_first() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(nothing)
        for number in range(INBOX_MAX):
            assert inbox.has_room()
            inbox.put_now(number, TOLD)
        assert not inbox.has_room()
        with pytest.raises(AssertionError):
            inbox.put_now(-1, TOLD)
        assert inbox.take() == 0
        assert inbox.has_room()

    run(scenario())


def test_each_that_comes_in_wakes() -> None:
    async def scenario() -> None:
        found: list[int | None] = []
        inbox: Inbox[int] = Inbox(lambda: found.append(inbox.take()))
        await inbox.put(1, TOLD)
        inbox.put_now(2, PAID)
        assert found == [1, 2]

    run(scenario())
