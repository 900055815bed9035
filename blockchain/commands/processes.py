"""Nodes as child processes: started like from a shell, ended cleanly, and never outliving the command.

A child is started with `--exit_with_parent` and a pipe as its standard input: closing the pipe asks it to end, on
Windows too, where there is no gentle signal; and the system closes it when the parent is killed. Children stand in a
process group of their own, so that Ctrl-C reaches the parent alone, which ends them in order.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Final, Self

from blockchain.commands.keyring import PROJECT
from blockchain.config import CONTAINER_NAMES, CONTAINER_PORTS, ENV_FILE_VARIABLE, ENV_PREFIX, FIRST_PORT
from blockchain.errors import ConfigError, PortInUse

EXIT_FLAG: Final = "--exit_with_parent"
STOP_SECONDS: Final = 10.0  # a node ends its write and closes its store well within it
_KILL_SECONDS: Final = 5.0
_LOG_LINE_BYTES_MAX: Final = 64 * 1024  # a longer line of a child is shown in pieces
_LOG_TAIL_BYTES: Final = 4_096


class NodeProcesses:
    """The children of one command. `with NodeProcesses() as nodes:` ends them whatever happens inside."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_into_file(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start a child whose output goes into a file. Raises OSError."""
        with log.open("ab") as output:
            self._start(name, command, output, environment)

    def start_with_prefix(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], show: Callable[[str], None]
    ) -> None:
        """Start a child whose output is given to `show`, line by line, behind its name. Raises OSError."""
        child = self._start(name, command, subprocess.PIPE, environment)
        assert child.stdout is not None
        reader = threading.Thread(target=_pass_on, args=(name, child.stdout, show), name=f"log of {name}", daemon=True)
        reader.start()
        self._readers.append(reader)

    def ended(self) -> dict[str, int]:
        """The exit codes of the children that have ended."""
        return {name: child.returncode for name, child in self._children.items() if child.poll() is not None}

    def kill(self, name: str) -> None:
        """kill -9: it ends between two instructions. Its name is free for another child."""
        child = self._children.pop(name)
        child.kill()
        child.wait()
        _close(child.stdin)

    def running(self) -> list[str]:
        return [name for name, child in self._children.items() if child.poll() is None]

    def stop(self) -> dict[str, int]:
        """Ask all to end, wait, end those that do not; their exit codes. A second call changes nothing."""
        for child in self._children.values():
            _close(child.stdin)
        for child in self._children.values():
            _end(child)
        for reader in self._readers:
            reader.join(_KILL_SECONDS)
        return {name: child.returncode for name, child in self._children.items()}

    def _start(
        self, name: str, command: Sequence[str], output: int | IO[bytes], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [*command, EXIT_FLAG],
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same for Windows
        )
        self._children[name] = child
        return child


def _end(child: subprocess.Popen[bytes]) -> None:
    for force, seconds in ((child.terminate, STOP_SECONDS), (child.kill, _KILL_SECONDS)):
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            force()
    child.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):  # the child is gone already
            pipe.close()


def _pass_on(name: str, output: IO[bytes], show: Callable[[str], None]) -> None:
    while line := output.readline(_LOG_LINE_BYTES_MAX):
        show(f"{name} | {line.decode('utf-8', 'replace').rstrip()}")
    output.close()


# ------------------------------------------------------------------------------------------------- around them


def python_command(script: str, *arguments: str) -> list[str]:
    """This Python with a script of the checkout, or the same command of the package where there is no checkout."""
    if (PROJECT / script).is_file():
        return [sys.executable, script, *arguments]
    command = {"run_node.py": "run", "sample_transactions.py": "sample"}[script]
    return [sys.executable, "-m", "blockchain", command, *arguments]


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without the settings of a node, and with no `.env` file; `settings` on top."""
    ours = (CONTAINER_NAMES, CONTAINER_PORTS, FIRST_PORT)
    kept = {name: text for name, text in os.environ.items() if name not in ours and not name.startswith(ENV_PREFIX)}
    return {**kept, "PYTHONUNBUFFERED": "1", ENV_FILE_VARIABLE: "", **settings}


def check_ports_free(host: str, ports: Iterable[int]) -> None:
    """Raises PortInUse, naming the first of the ports that somebody else listens on, or ConfigError for the host."""
    for port in ports:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host!r}: {error.strerror}") from None
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if _is_busy(family, address):
                raise PortInUse(host, port)


def _is_busy(family: socket.AddressFamily, address: tuple[object, ...]) -> bool:
    """Whether the address cannot be bound although another port of its host can: a machine may lack the family."""
    return not _can_bind(family, address) and _can_bind(family, (address[0], 0, *address[2:]))


def _can_bind(family: socket.AddressFamily, address: tuple[object, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform != "win32":  # there the option would let two programs share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError:
        return False
    return True


def last_line(log: Path) -> str:
    """The last line of a child's log, for a message; empty when there is none."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


@contextmanager
def interruptible() -> Iterator[None]:
    """A request to end comes as KeyboardInterrupt, so that all is tidied up: SIGTERM too, and also in a background
    where the shell has Ctrl-C ignored."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
