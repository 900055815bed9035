"""Who verifies what needs no state, and builds the state tree at a start: processes beside the node, one a core.

Theory of operation. Verifying signatures is most of what a node computes. Threads do it side by side in libsodium, but
share the interpreter with the core for all the rest; processes share nothing. A large amount of work is cut into checks
(`node/stateless.py`), each of which goes through a pipe to one of a few workers and comes back as ids and flaws. A
worker that has answered finds its next check in the pipe: the thread that sends it waits in the system then, not for
the interpreter. Small amounts are done where they are. A worker is started when there is work for it, as a program of
its own: nothing of the node is copied, and it holds no end of another's pipe, so it ends with the node, however that
ends (`runtime/verifier.py`). One that dies, as where memory is short, or that somebody stopped, costs a line in the
log: what it was asked is done here.

The bytes that wait here are bounded by who asks: `Intake` for peers, the API for clients.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from msgspec import DecodeError

from blockchain.ledger.smt_build import HERE, Builders, Hashed, Leaves, Part, Records
from blockchain.ledger.smt_subtree import RECORD_BYTES
from blockchain.node.stateless import Check, Found, check_here
from blockchain.primitives import codec
from blockchain.runtime.verifier import Question, Work, answer, receive, send

FAR_BYTES_MIN: Final = 16 * 1024  # at once, some 80 transfers; of fewer, each would wait for a worker's low priority
FAR_LEAVES_MIN: Final = 100_000  # of a tree, half a second of work: to start a process takes a fifth of one
ASKED_MAX: Final = 2  # questions to one worker: the next is being sent while it works, whoever holds the interpreter
WORKERS_DEFAULT_MAX: Final = 4  # the core applies no more than three or four of them verify
LATE_CHECK_S: Final = 5.0  # between two looks at who does not answer
LATE_LOOKS: Final = 12  # without an answer, a minute, longer than any work takes: it stands still, and who waits for it
REST_S: Final = 10.0  # after a worker was lost or could not be started, until the next is tried
_PROGRAM: Final = (sys.executable, "-m", "blockchain.runtime.verifier")
_PROJECT: Final = Path(__file__).parents[2]  # where the package is found
_BUFFER_BYTES: Final = 256 * 1024  # an answer is read in one go: each further read may wait 5 ms for the interpreter
# Ctrl-C is for the node, and the core goes first (`verifier.py`); 0 elsewhere.
_ON_WINDOWS: Final = sum(
    getattr(subprocess, name, 0) for name in ("CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
)
_END_S: Final = 5.0  # for a process that was killed to be gone

T = TypeVar("T")

_LOG: Final = logging.getLogger("blockchain.node")


def default_workers() -> int:
    """One for each CPU that this process may use, up to WORKERS_DEFAULT_MAX; none where there is one CPU."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cpus = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(cpus, WORKERS_DEFAULT_MAX) if cpus > 1 else 0


class WorkerLost(Exception):
    """It ended while it was needed, or never began; the message says how."""


class Worker:
    """One process. Raises OSError when it cannot be started."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _PROGRAM,
            bufsize=_BUFFER_BYTES,
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the node. In its session: Linux may share processors out by session, whatever `nice` says.
            process_group=None if sys.platform == "win32" else 0,
            creationflags=_ON_WINDOWS,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._asking, self._hearing = threading.Lock(), threading.Lock()
        self.asked = 0  # questions that are not answered; kept by who hands them out
        self._heard = 0  # counts on with each question and answer
        self._seen: tuple[int, int] = (0, 0)  # that count at the last look, and how many looks have seen it
        self._fault = ""  # why it is ended

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, asked: Work, kind: type[T]) -> T:
        """Blocks until it has answered. Any thread may ask meanwhile: answers come in order. Raises WorkerLost."""
        self._heard += 1  # before it looks asked
        try:
            with self._asking:
                send(self._questions, Question(asked))
                self._hearing.acquire()
            try:
                raw = receive(self._answers)
            finally:
                self._heard += 1
                self._hearing.release()
        except (OSError, ValueError):  # ValueError: who waited beside has found it dead, and closed the pipes
            raw = b""
        if not raw:
            code = self.end()
            raise WorkerLost(self._fault or f"it ended with code {code}")
        try:
            return codec.decode_again(raw, kind)
        except DecodeError as error:  # a program that was replaced by a newer one while the node ran
            self._fault = f"its answer cannot be read: {error}"
            self.end()
            raise WorkerLost(self._fault) from None

    def kill_if_late(self) -> None:
        """Where it has not answered for `LATE_LOOKS` calls of this. By one thread, each `LATE_CHECK_S`.

        Not by the clock: where node and workers stood still together, as in a paused container, none of them is late.
        """
        self._process.poll()  # one that has died is no zombie until it is asked
        heard, looks = self._heard, 0
        if (self._asking.locked() or self._hearing.locked()) and heard == self._seen[0]:
            looks = self._seen[1] + 1
        self._seen = heard, looks
        if looks >= LATE_LOOKS:
            self._fault = "it did not answer"
            self.kill()

    def kill(self) -> None:
        """Whoever waits for its answer gets WorkerLost."""
        self._process.kill()

    def end(self) -> int | None:
        """Kill it, for it holds nothing; its exit code. By who may ask it, or when nobody does any more.

        None where it is not gone by then: a killed process that waits for a disk goes when that answers.
        """
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        for pipe in (self._questions, self._answers):
            with suppress(OSError):  # what was not sent yet
                pipe.close()
        return self._process.returncode


class Verifiers:
    """Up to `workers` processes. Made and stopped by one thread; any thread may ask."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(max(ASKED_MAX * workers, 1), "workers")  # each waits for one answer
        self._lock = threading.Lock()  # of what follows
        self._started: dict[int, Worker] = {}  # by process id
        self._small_bytes = 0
        self._rests_until = 0.0
        self._is_stopped = False
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None  # begins with the first worker

    def check_all(self, checks: Sequence[Check]) -> Iterator[Found]:
        """What is found, in the order of the checks; implements `stateless.CheckAll`. Far away where there is much."""
        size = sum(len(raw) for one in checks for raw in one.raws)
        if size >= FAR_BYTES_MIN:
            yield from self._far(checks, Found)
            return
        with self._small(size) as total:
            yield from self._far(checks, Found) if total >= FAR_BYTES_MIN else check_here(checks)

    @property
    def builders(self) -> Builders:
        """Who builds the state tree: far away where there is much."""
        return Builders(self._hash_all, self._build_all)

    def _hash_all(self, asked: Sequence[Records]) -> Iterable[Hashed]:
        is_much = sum(len(one.keys) for one in asked) >= FAR_LEAVES_MIN
        return self._far(asked, Hashed) if is_much else HERE.hash_all(asked)

    def _build_all(self, asked: Sequence[Leaves]) -> Iterable[Part]:
        is_much = sum(len(one.leaves) for one in asked) >= FAR_LEAVES_MIN * RECORD_BYTES
        return self._far(asked, Part) if is_much else HERE.build_all(asked)

    @property
    def running(self) -> list[int]:
        """The process ids of the workers."""
        with self._lock:
            return list(self._started)

    def stop(self) -> None:
        """End all workers; who waits for one, or asks from now on, gets CancelledError."""
        with self._lock:
            self._is_stopped = True
        self._ended.set()
        if self._watch is not None:
            self._watch.join()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._started.values()):
            worker.kill()
        self._threads.shutdown()
        for worker in self._started.values():
            worker.end()
        self._started.clear()

    @contextmanager
    def _small(self, size: int) -> Iterator[int]:
        """Count so many bytes among the small amounts that are under way; gives all of these.

        Not the large ones: what is little and alone, as a client's transaction, does not wait behind a sync.
        """
        with self._lock:
            self._small_bytes += size
            total = self._small_bytes
        try:
            yield total
        finally:
            with self._lock:
                self._small_bytes -= size

    def _far(self, asked: Sequence[Work], kind: type[T]) -> Iterator[T]:
        if not self.workers:
            return (_here(one, kind) for one in asked)
        try:
            return self._threads.map(partial(self._ask, kind), asked)
        except RuntimeError:  # no thread takes any more
            with self._lock:
                self._check_going_on()
            raise

    def _ask(self, kind: type[T], asked: Work) -> T:
        """In one of the threads."""
        worker = self._worker()
        if worker is None:
            return _here(asked, kind)
        try:
            return worker.ask(asked, kind)
        except WorkerLost as lost:
            self._forget(worker, str(lost))
        finally:
            with self._lock:
                worker.asked -= 1
        return _here(asked, kind)

    def _worker(self) -> Worker | None:
        """The one with the fewest questions, to be given one more; another is started where all have some.

        None where all there are have ASKED_MAX: for a while after one was lost.
        """
        with self._lock:
            self._check_going_on()
            worker = min(self._started.values(), key=lambda each: each.asked, default=None)
            may_start = len(self._started) < self.workers and time.monotonic() >= self._rests_until
            if may_start and (worker is None or worker.asked):
                worker = self._start() or worker
            if worker is None or worker.asked >= ASKED_MAX:
                return None
            worker.asked += 1
            return worker

    def _start(self) -> Worker | None:
        try:
            worker = Worker()
        except OSError as error:
            self._rest(f"a worker cannot be started: {error}")
            return None
        self._started[worker.pid] = worker
        if self._watch is None:
            self._watch = threading.Thread(target=self._kill_late, name="late workers", daemon=True)
            self._watch.start()
        return worker

    def _kill_late(self) -> None:
        """Until the end. In a thread of its own: all others may wait for a worker."""
        while not self._ended.wait(LATE_CHECK_S):
            with self._lock:
                workers = list(self._started.values())
            for worker in workers:
                worker.kill_if_late()

    def _forget(self, worker: Worker, why: str) -> None:
        with self._lock:
            self._check_going_on()
            if self._started.pop(worker.pid, None) is not None:  # else who waited beside has said so
                self._rest(f"a worker was lost: {why}")

    def _rest(self, why: str) -> None:
        self._rests_until = time.monotonic() + REST_S
        facts = {"evt.name": "verifier_lost", "why": why}
        _LOG.warning("%s; what it was asked is done in the node, the next starts in %d s", why, REST_S, extra=facts)

    def _check_going_on(self) -> None:
        if self._is_stopped:
            raise CancelledError


def _here(asked: Work, kind: type[T]) -> T:
    found = answer(asked)
    assert isinstance(found, kind), "an answer to another question"
    return found
