"""Workers: what they find is what is found here, none is started for little, and none is left, whatever ends."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from blockchain.ledger.smt_build import HERE, cut, shared_out
from blockchain.node.stateless import (
    Check,
    Found,
    TransactionsCheck,
    block_checks,
    check,
    check_here,
    transaction_checks,
)
from blockchain.primitives import codec
from blockchain.runtime import verifiers as module
from blockchain.runtime.verifier import Question, receive, send
from blockchain.runtime.verifiers import (
    ASKED_MAX,
    FAR_BYTES_MIN,
    LATE_LOOKS,
    Verifiers,
    Worker,
    WorkerLost,
    default_workers,
)
from tests.node.test_verify import BLOCK
from tests.samples import GENESIS_HASH, address, wallet

SECONDS = 60.0
PAID = [wallet("a").transfer(address("b"), 1, nonce).raw for nonce in range(20)]
CHECKS: list[Check] = [
    *block_checks(GENESIS_HASH, [BLOCK.raw, b"\x90"]),
    *transaction_checks(GENESIS_HASH, [*PAID, PAID[0][:-1] + b"\x00"], each=True),
]
FOUND = list(check_here(CHECKS))
RECORDS = cut({bytes([number]): b"value" for number in range(100)})
HASHED = list(HERE.hash_all(RECORDS))
LEAVES = shared_out(HASHED)
BUILT = list(HERE.build_all(LEAVES))
ENDS = (sys.executable, "-c", "import sys; sys.stdin.buffer.read(4)")  # when it is asked
BOTH_FIRST = (  # heard, then both answered
    sys.executable,
    "-c",
    "import sys; from blockchain.primitives import codec; from blockchain.runtime.verifier import *\n"
    "heard = [codec.decode_again(receive(sys.stdin.buffer), Question).asked for _ in range(2)]\n"
    "[send(sys.stdout.buffer, answer(asked)) for asked in heard]; sys.stdin.buffer.read()",
)
OTHER_WORDS = (
    sys.executable,
    "-c",
    "import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write(bytes([0, 0, 0, 1, 7])); sys.stdout.buffer.flush()\n"
    "sys.stdin.buffer.read()",
)
HANGS = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")  # until it is ended


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little it is, workers do it."""
    monkeypatch.setattr(module, "FAR_BYTES_MIN", 0)


@pytest.fixture
def verifiers() -> Iterator[Verifiers]:
    made = Verifiers(1)
    yield made
    pids = made.running
    made.stop()
    assert made.running == [] and not any(map(is_there, pids))


def is_there(pid: int) -> bool:
    if sys.platform == "win32":
        return False  # nothing to ask with
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="nobody tells the priority of another process there")
def test_a_worker_lets_the_core_go_first(verifiers: Verifiers, eager: None) -> None:
    assert list(verifiers.check_all(CHECKS)) == FOUND
    (worker,) = verifiers.running
    assert os.getpriority(os.PRIO_PROCESS, worker) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)


def ask(verifiers: Verifiers) -> list[Found]:
    return list(verifiers.check_all(CHECKS))


def test_little_is_done_here_and_much_by_workers_started_then(verifiers: Verifiers) -> None:
    assert ask(verifiers) == FOUND and verifiers.running == []
    raws = PAID * (FAR_BYTES_MIN // len(b"".join(PAID)) + 1)
    assert all(found == Found() for found in verifiers.check_all(transaction_checks(GENESIS_HASH, raws)))
    assert len(verifiers.running) == 1


def test_what_waits_elsewhere_counts_too(verifiers: Verifiers) -> None:
    """A crowd of small batches is a large amount of work."""
    waiting = [verifiers.check_all(transaction_checks(GENESIS_HASH, PAID)) for _ in range(20)]
    for each in waiting:
        next(each)  # under way until all of it was taken
    assert len(verifiers.running) == 1
    for each in waiting:
        list(each)
    before = verifiers.running
    assert ask(verifiers) == FOUND and verifiers.running == before


def test_what_is_little_does_not_wait_behind_what_is_much(
    verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", HANGS)
    raws = PAID * (FAR_BYTES_MIN // len(b"".join(PAID)) + 1)
    with ThreadPoolExecutor(1) as threads:
        much = threads.submit(lambda: list(verifiers.check_all(transaction_checks(GENESIS_HASH, raws))))
        while not verifiers.running:
            assert not much.done()
        assert ask(verifiers) == FOUND and not much.done()
        verifiers.stop()
        assert isinstance(much.exception(SECONDS), CancelledError)


def test_a_worker_is_sent_the_next_question_while_it_works(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", BOTH_FIRST)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, verifiers)
        try:
            assert asked.result(SECONDS) == FOUND
        finally:
            verifiers.stop()


def test_what_is_asked_at_once_is_shared_out(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRAM", HANGS)
    verifiers = Verifiers(2)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, verifiers)
        while len(verifiers.running) < 2:
            assert not asked.done()
        verifiers.stop()
        assert isinstance(asked.exception(SECONDS), CancelledError)


def let_workers_hang(monkeypatch: pytest.MonkeyPatch, on_asked: Callable[[], object]) -> None:
    """None of them answers; each time before one is asked it is said."""
    ask_one = Worker.ask

    def ask_and_say(worker: Worker, one: Check, kind: type[Found]) -> Found:
        on_asked()
        return ask_one(worker, one, kind)

    monkeypatch.setattr(module, "_PROGRAM", HANGS)
    monkeypatch.setattr(Worker, "ask", ask_and_say)


def test_what_the_workers_that_are_left_have_no_room_for_is_done_here(
    eager: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Semaphore(0)
    let_workers_hang(monkeypatch, begun.release)
    verifiers = Verifiers(2)
    with ThreadPoolExecutor(ASKED_MAX) as threads:
        for _ in range(ASKED_MAX):
            threads.submit(ask, verifiers)
        assert all(begun.acquire(timeout=SECONDS) for _ in range(2 * ASKED_MAX)), "as many as both take"
        os.kill(verifiers.running[0], signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        assert ask(verifiers) == FOUND and len(verifiers.running) == 1
        assert len(caplog.records) == 1, "the others that waited for it need not say so again"
        verifiers.stop()


def test_without_workers_everything_is_done_here(eager: None) -> None:
    verifiers = Verifiers(0)
    assert ask(verifiers) == FOUND and verifiers.running == []
    verifiers.stop()


def test_the_parts_of_a_large_tree_are_built_by_workers_and_are_those_built_here(
    verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    builders = verifiers.builders
    assert list(builders.hash_all(RECORDS)) == HASHED and verifiers.running == []
    assert list(builders.build_all(LEAVES)) == BUILT and verifiers.running == []
    monkeypatch.setattr(module, "FAR_LEAVES_MIN", 100)
    assert list(builders.build_all(LEAVES)) == BUILT and len(verifiers.running) == 1
    assert list(builders.hash_all(RECORDS)) == HASHED and len(verifiers.running) == 1
    [pid] = verifiers.running
    os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    assert list(builders.hash_all(RECORDS)) == HASHED, "done here"
    assert list(builders.build_all(LEAVES)) == BUILT, "done here"
    assert len(caplog.records) == 1


def test_a_worker_finds_what_is_found_here_and_hears_no_signal_for_the_node(eager: None, verifiers: Verifiers) -> None:
    assert ask(verifiers) == FOUND
    before = verifiers.running
    if sys.platform != "win32":
        assert os.getpgid(before[0]) == before[0], "what is sent to the node's group does not reach it"
        assert os.getsid(before[0]) == os.getsid(0), "its low priority counts beside the node"
        assert os.getpriority(os.PRIO_PROCESS, before[0]) > os.getpriority(os.PRIO_PROCESS, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(before[0], number)
    assert ask(verifiers) == FOUND and verifiers.running == before


def test_one_that_died_costs_a_line_and_another_takes_its_place(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "REST_S", 0.0)
    ask(verifiers)
    [before] = verifiers.running
    os.kill(before, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    assert ask(verifiers) == FOUND
    [line] = caplog.records
    assert line.levelno == logging.WARNING and "a worker was lost: it ended with code" in line.getMessage()
    assert vars(line)["evt.name"] == "verifier_lost"
    assert ask(verifiers) == FOUND and before not in verifiers.running
    assert len(verifiers.running) == 1 and len(caplog.records) == 1


@pytest.mark.parametrize("program", [ENDS, ("there-is-no-such-program",)])
def test_where_none_lives_the_node_does_it_and_does_not_try_again_at_once(
    program: tuple[str, ...],
    eager: None,
    verifiers: Verifiers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", program)
    assert ask(verifiers) == FOUND == ask(verifiers)
    assert len(caplog.records) == 1 and verifiers.running == []


def test_who_waits_when_it_is_stopped_is_let_go(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    let_workers_hang(monkeypatch, asked.set)
    verifiers = Verifiers(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, verifiers)
        assert asked.wait(SECONDS)
        [pid] = verifiers.running
        verifiers.stop()
        with pytest.raises(CancelledError):
            waiting.result(SECONDS)
    assert not is_there(pid)


def test_one_that_does_not_answer_is_lost_as_any_other(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that somebody stopped. Else all clients would wait for it, and all large messages of peers."""
    monkeypatch.setattr(module, "_PROGRAM", HANGS)
    monkeypatch.setattr(module, "LATE_CHECK_S", 0.01)
    assert ask(verifiers) == FOUND and verifiers.running == []
    [line] = caplog.records
    assert line.getMessage().startswith("a worker was lost: it did not answer; ")


def test_one_that_nobody_asks_is_never_late(eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(verifiers)
    before = verifiers.running
    look_often(verifiers, 2 * LATE_LOOKS)
    assert ask(verifiers) == FOUND and verifiers.running == before


def test_one_whose_answer_cannot_be_read_is_lost_as_any_other(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the program was brought up to date while the node runs, and a worker begins then."""
    monkeypatch.setattr(module, "_PROGRAM", OTHER_WORDS)
    assert ask(verifiers) == FOUND and verifiers.running == []
    [line] = caplog.records
    assert line.getMessage().startswith("a worker was lost: its answer cannot be read: ")


def look_often(verifiers: Verifiers, times: int) -> None:
    for _ in range(times):
        for worker in verifiers._started.values():
            worker.kill_if_late()


def test_one_is_late_by_looks_and_not_by_the_clock(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where node and workers stood still together, for hours, the first look after it kills nobody."""
    heard = threading.Semaphore(0)

    def send_and_say(pipe: IO[bytes], value: Question) -> None:
        send(pipe, value)
        heard.release()

    monkeypatch.setattr(module, "_PROGRAM", HANGS)
    monkeypatch.setattr(module, "send", send_and_say)
    monkeypatch.setattr(module, "LATE_CHECK_S", SECONDS)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=count(0, 3_600).__next__))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, verifiers)
        try:
            assert all(heard.acquire(timeout=SECONDS) for _ in range(ASKED_MAX))
            look_often(verifiers, LATE_LOOKS)  # the first sees the question
            assert len(verifiers.running) == 1 and not asked.done()
            [worker] = verifiers._started.values()
            assert not worker._fault
            look_often(verifiers, 1)
            assert asked.result(SECONDS) == FOUND and "did not answer" in caplog.text
        finally:
            verifiers.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="no zombies there")
def test_one_that_died_is_no_zombie_until_it_is_asked(eager: None, verifiers: Verifiers) -> None:
    ask(verifiers)
    [pid] = verifiers.running
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert is_there(pid)
    look_often(verifiers, 1)
    assert not is_there(pid)
    assert ask(verifiers) == FOUND


def test_who_asks_when_it_is_stopped_is_told_the_same_as_who_waited(eager: None) -> None:
    verifiers = Verifiers(1)
    verifiers.stop()
    with pytest.raises(CancelledError):
        ask(verifiers)


def test_an_answer_cut_off_is_none() -> None:
    worker = Worker()
    assert worker.ask(CHECKS[0], Found) == FOUND[0]
    worker.kill()
    with pytest.raises(WorkerLost):
        worker.ask(CHECKS[0], Found)


def test_one_that_is_long_in_dying_is_lost_as_any_other(
    eager: None, verifiers: Verifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where memory is short: nobody waits for it for ever, and the node goes on."""

    dying: list[subprocess.Popen[bytes]] = []

    def takes_long(process: subprocess.Popen[bytes], timeout: float) -> int:
        dying.append(process)
        raise subprocess.TimeoutExpired("worker", timeout)

    monkeypatch.setattr(module, "_PROGRAM", ENDS)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "wait", takes_long)
        assert ask(verifiers) == FOUND
    for process in dying:
        process.wait(SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="pipes of a given size are Linux's")
def test_an_answer_is_sent_to_its_end_though_the_worker_is_stopped_in_the_middle() -> None:
    """As a container is that is paused; many set PYTHONUNBUFFERED. What is lost of an answer is waited for for ever."""
    asked = TransactionsCheck(GENESIS_HASH, (b"x",) * 100, each=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        module._PROGRAM,
        cwd=module._PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=4_096,  # the answer takes more
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        send(process.stdin, Question(asked))
        process.stdin.close()
        assert select.select([process.stdout], [], [], SECONDS)[0]
        for number, state in ((signal.SIGSTOP, os.WUNTRACED), (signal.SIGCONT, os.WCONTINUED)):
            process.send_signal(number)
            os.waitpid(process.pid, state)
        assert codec.decode_again(receive(process.stdout), Found) == check(asked)


NODE = """
import os, signal, sys
from blockchain.node.stateless import transaction_checks
from blockchain.runtime import verifiers
verifiers.FAR_BYTES_MIN = 0
one = verifiers.Verifiers(2)
list(one.check_all(transaction_checks(bytes(32), [bytes(200)] * 400)))
print(*one.running, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and sessions are of Unix")
def test_workers_end_with_a_node_that_is_killed() -> None:
    """They hold its standard error open: that ends when the last of them has ended."""
    done = subprocess.run(
        [sys.executable, "-c", NODE], cwd=Path(__file__).parents[2], capture_output=True, timeout=SECONDS
    )
    assert done.returncode == -signal.SIGKILL and done.stderr == b""
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2


@pytest.mark.parametrize("cpus, workers", [(1, 0), (2, 2), (3, 3), (64, 4)])
def test_there_is_one_for_each_cpu_up_to_four(cpus: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cpus), raising=False)
    assert default_workers() == workers
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert default_workers() == workers
