"""What a fuzz target is: valid samples to begin with, one call that must end in a refusal or a value, and a mutation.

`run` raises for a finding only: an exception that the decoder does not promise, or a property that does not hold. What
a decoder refuses in its own words is no finding. It says whether the input was taken, so that a run can tell how much
of its work went past the first refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from random import Random
from typing import Final, NamedTuple, cast

Mutation = Callable[[bytes, Random], bytes]

# One module each in tests/fuzz/targets. The order is that of a run.
NAMES: Final = (
    "frame",
    "verify",
    "handshake_dialler",
    "handshake_listener",
    "transaction",
    "block",
    "outline",
    "certificate",
    "evidence",
    "inclusion",
    "state_proof",
    "genesis",
    "key_file",
    "history",
    "move",
    "signer",
    "remote_signer",
    "body",
    "query",
    "http",
    "websocket",
    "settings",
)


class Target(NamedTuple):
    """`mutate` makes another input of the same form out of one; `bytes_max` bounds what is tried."""

    samples: Callable[[], list[bytes]]
    run: Callable[[bytes], bool]
    mutate: Mutation
    bytes_max: int = 4_096


def target_of(name: str) -> Target:
    """Imports the module: what it needs is loaded, and instrumented, for this target alone."""
    assert name in NAMES, f"no target {name}; there are: {', '.join(NAMES)}"
    return cast("Target", import_module(f"tests.fuzz.targets.{name}").TARGET)
