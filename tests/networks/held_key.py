"""A remote signer as a process of the tests: `python -m tests.networks.held_key FLAGS`.

It ends when its standard input does, so it outlives nobody.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from blockchain.cli import main
from blockchain.commands.keyring import PROJECT
from blockchain.commands.processes import clean_environment
from blockchain.runtime.keystore import node_key
from tests.processes.network import free_ports
from tests.processes.node_process import HOST, NodeProcess

_END_SECONDS: Final = 10.0


class HeldKey:
    """Takes the key of a node that was not started yet, and holds it for this node alone."""

    def __init__(self, folder: Path, node: NodeProcess) -> None:
        assert node.key_file is not None and node.genesis is not None
        folder.mkdir()
        (port,) = free_ports(1)
        admitted = folder / "admitted"
        admitted.write_text(f"{node_key(node.data_dir).public_key.hex()}\n", encoding="utf-8")
        data = folder / "data"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._flags = [
            f"--key_file={node.key_file}",
            f"--listen={HOST}:{port}",
            f"--admit={admitted}",
            f"--genesis={node.genesis}",
            f"--data_dir={data}",
        ]
        node.environment["BLOCKCHAIN_SIGNER"] = f"{HOST}:{port}@{node_key(data).public_key.hex()}"
        node.key_file = None

    def start(self) -> None:
        self._starts += 1
        with (self._folder / f"log.{self._starts}").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.networks.held_key", *self._flags],
                cwd=PROJECT,
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9; nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_SECONDS)
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process = None


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(main(["signer", *sys.argv[1:]]))
