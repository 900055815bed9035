"""How signals reach a node: as an event while it runs, as an interruption while it opens, and never twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator

import pytest

from blockchain.commands.ending import SIGNALS, ToldToEnd, ended_by_signals
from blockchain.commands.progress import Progress


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(test: Callable[[ToldToEnd], Coroutine[None, None, None]]) -> None:
    async def once() -> None:
        await test(ToldToEnd())

    asyncio.run(once())


@pytest.mark.parametrize("number", SIGNALS)
def test_while_the_node_runs_a_signal_is_an_event_however_often_it_comes(number: signal.Signals) -> None:
    async def test(told: ToldToEnd) -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)
        await told.wait()

    run(test)
    signal.raise_signal(number)  # the loop is closed: it says nothing new


def test_while_the_store_is_opened_a_signal_interrupts_once() -> None:
    def open_and_close() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)  # while what was opened is closed again

    async def test(told: ToldToEnd) -> None:
        with pytest.raises(KeyboardInterrupt), told.interrupting():
            open_and_close()
        await told.wait()

    run(test)


def test_a_signal_from_before_is_not_forgotten() -> None:
    async def test(told: ToldToEnd) -> None:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), told.interrupting():
            raise AssertionError("the work is not begun")

    run(test)


def test_after_a_good_end_signals_are_ignored_and_after_an_error_they_are_what_they_were() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), ended_by_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with ended_by_signals():
        pass
    for number in SIGNALS:
        signal.raise_signal(number)


# ----------------------------------------------------------------------------------------------------- progress


def test_progress_is_one_line_of_a_terminal_and_goes_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.1, 1.0, 2.0])
    monkeypatch.setattr("blockchain.commands.progress.time.monotonic", lambda: next(times))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("checked block") as progress:
        for done in (1, 10, 20):
            progress.show(done, 100)
    first, second = "checked block 10 of 100, 10 a second, 9 s left", "checked block 20 of 100, 10 a second, 8 s left"
    assert capsys.readouterr().err == f"\r{first}\r{second}\r{' ' * len(second)}\r"


def test_progress_says_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("checked block") as progress:
        progress.show(1, 2)
    assert capsys.readouterr().err == ""
