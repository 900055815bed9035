"""A process that computes for a node: `python -m blockchain.runtime.verifier`.

It checks blocks and transactions, and builds pieces of the state tree. Reads questions from its standard input and
writes what it found to its standard output, one after the other. It holds no state and opens nothing. It ends when its
input closes, which the system does when the node is gone, however it went; so it needs no signal, and those that are
meant for the node, and reach all of its group, are not heeded here.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import IO, Final, TypeAlias

from msgspec import Struct

from blockchain.ledger.smt_build import Hashed, Leaves, Part, Records, build_part, hash_records
from blockchain.node.stateless import Check, Found, check
from blockchain.primitives import codec
from blockchain.runtime.collector import rest_collector

_LENGTH_BYTES: Final = 4
_NICENESS: Final = 5  # the core goes first: what it does not take over while they verify is left when they are done


Work: TypeAlias = Check | Leaves | Records


class Question(Struct, frozen=True, array_like=True):
    """As it goes through the pipe."""

    asked: Work


def answer(asked: Work) -> Found | Hashed | Part:
    """What a worker does, and who has none."""
    match asked:
        case Leaves():
            return build_part(asked)
        case Records():
            return hash_records(asked)
        case _:
            return check(asked)


def send(pipe: IO[bytes], value: Question | Found | Hashed | Part) -> None:
    """Raises OSError when the other end is gone."""
    raw = codec.encode(value)
    pipe.write(len(raw).to_bytes(_LENGTH_BYTES, "big") + raw)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """The next message; no bytes when the other end is gone, in the middle of one too."""
    size = int.from_bytes(pipe.read(_LENGTH_BYTES), "big")
    raw = pipe.read(size)
    return raw if len(raw) == size else b""


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until there are no more questions, or nobody who reads the answers."""
    while raw := receive(questions):
        found = answer(codec.decode_again(raw, Question).asked)
        try:
            send(answers, found)
        except OSError:
            return


def main() -> None:
    if sys.platform != "win32":  # there the node says so when it starts it
        os.nice(_NICENESS)
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    rest_collector()
    # sys.stdout.buffer has no buffer where PYTHONUNBUFFERED is set: what the system cuts short would stay so.
    serve(sys.stdin.buffer, os.fdopen(sys.stdout.fileno(), "wb", closefd=False))
    os._exit(0)  # not a word of an answer that nobody reads


if __name__ == "__main__":
    main()
