"""One node as a process of its own, as a user starts it: its folder, its ports, its log, its life and its death.

Each start has a log file of its own, so that a line which a kill cut in two is the last of its file.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from blockchain.client import Client, Status
from blockchain.commands.keyring import PROJECT
from blockchain.commands.processes import EXIT_FLAG, clean_environment, python_command
from blockchain.errors import NodeUnreachable

HOST: Final = "localhost"
REQUEST_SECONDS: Final = 5.0
KILL_SECONDS: Final = 10.0  # for the system to bury a process that was killed


@dataclass
class NodeProcess:
    """A node that may be started, ended, killed and started again on the same folder."""

    name: str
    node_port: int
    api_port: int
    folder: Path
    key_file: Path | None = None
    genesis: Path | None = None
    seeds: str = "none"  # "": say nothing, and let the environment decide
    advertise: str = ""  # "": where it listens
    environment: dict[str, str] = field(default_factory=dict)
    data_folder: Path | None = None  # another than its own
    is_child: bool = True  # it ends when its standard input does; False: as from a terminal
    look_s: int | None = 0  # None: the default of its chain
    file_bytes_max: int | None = None  # of any file that it writes: the disk is full there. Not on Windows
    starts: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.client = Client(f"http://{HOST}:{self.api_port}", REQUEST_SECONDS)
        self._process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------------------------------------ life

    @property
    def data_dir(self) -> Path:
        return self.data_folder or self.folder / "data"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        flags = [
            f"--ip={HOST}",
            f"--node_port={self.node_port}",
            f"--api_port={self.api_port}",
            f"--data_dir={self.data_dir}",
            f"--service={self.name}",
        ]
        flags += [f"--seeds={self.seeds}"] if self.seeds else []
        flags += [f"--advertise={self.advertise}"] if self.advertise else []
        flags += [f"--key_file={self.key_file}"] if self.key_file else []
        flags += [f"--genesis={self.genesis}"] if self.genesis else []
        flags += [] if self.look_s is None else [f"--look_s={self.look_s}"]
        flags += [EXIT_FLAG] if self.is_child else []
        command = python_command("run_node.py", *flags)
        if self.file_bytes_max is None:
            return command
        blocks = self.file_bytes_max // 512  # POSIX's unit
        return ["sh", "-c", 'ulimit -f "$0" && exec "$@"', str(blocks), *command]

    def start(self) -> None:
        """Start it; a child's standard input is a pipe that it does not outlive, so it does not outlive the tests."""
        assert not self.is_running, f"{self.name} runs already"
        self._forget()
        self.starts += 1
        with self.log().open("wb") as output, self.errors().open("wb") as errors:
            self._process = subprocess.Popen(
                self.command(),
                cwd=PROJECT,
                env=clean_environment(**self.environment),
                stdin=subprocess.PIPE if self.is_child else subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=sys.platform != "win32",  # Ctrl-C at the tests is theirs to handle
            )

    def kill(self) -> None:
        """kill -9: it ends between two instructions."""
        self.process.kill()
        self.process.wait(KILL_SECONDS)

    def stop(self) -> None:
        """Ctrl-Z: it stands still, and its connections stay open. Not on Windows."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def tell_to_end(self) -> None:
        """Ask for a clean end, the same way on every system."""
        if self.is_child:
            self._forget()
        else:
            self.process.terminate()

    def wait_end(self, seconds: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """Whatever it does, it has ended after this."""
        if self.is_running:
            self.kill()
        self._forget()
        self.client.close()

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # the reader of the pipe is gone
                self._process.stdin.close()

    # ------------------------------------------------------------------------------------------------ what it says

    def status(self) -> Status | None:
        """None while it does not answer."""
        try:
            return self.client.status()
        except NodeUnreachable:
            assert self.is_running, f"{self.name} ended with {self.process.returncode}: {self.last_words()}"
            return None

    def failed_checks(self) -> dict[str, str]:
        """The checks of /readyz that do not pass, each with its reason."""
        answer = httpx.get(f"{self.client.url}/readyz", timeout=REQUEST_SECONDS)
        checks = answer.json()["checks"]
        failed = {name: check["why"] for name, check in checks.items() if not check["ok"]}
        assert answer.status_code == (503 if failed else 200), answer.text
        return failed

    def log(self, start: int | None = None) -> Path:
        return self.folder / f"log.{self.starts if start is None else start}"

    def errors(self, start: int | None = None) -> Path:
        """What it said on its standard error, where nothing but a last word belongs."""
        return self.folder / f"errors.{self.starts if start is None else start}"

    def last_words(self) -> str:
        return self.errors().read_text("utf-8", "replace").strip()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every whole line of its logs, of all its starts. A line that is no JSON object raises."""
        for start in range(1, self.starts + 1):
            *whole, _ = self.log(start).read_bytes().split(b"\n")
            for line in whole:
                yield json.loads(line)
