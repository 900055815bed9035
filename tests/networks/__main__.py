"""Generated networks as real processes: `make networks`, or `python -m tests.networks`.

`NETWORKS=24` says how many, each with a fresh seed that is printed; `NETWORK_SEED=` plays one of them again, and
`NETWORK_MANIFEST=FILE` one that was written. A network that fails keeps its folder, with the manifest and the logs.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Final

import httpx
import msgspec

from blockchain.errors import BlockchainError
from tests.asked import asked
from tests.networks.manifest import Manifest, draw, from_json, summary, to_json
from tests.networks.play import Outcome, play
from tests.record_lines import append_record

_SEEDS: Final = 2**32
# A claim that does not hold; a node that does not end, or does not answer where it has to.
_FAILURES: Final = (AssertionError, subprocess.TimeoutExpired, BlockchainError, httpx.HTTPError)


def main() -> int:
    manifests = _asked()
    outcomes = [_play(manifest) for manifest in manifests]
    well = [outcome for outcome in outcomes if outcome is not None]
    seconds = sorted(healed.seconds for outcome in well for healed in outcome.healed)
    if seconds:
        print(
            f"{len(well)} of {len(manifests)} networks hold all claims; {len(seconds)} rounds of blows, well again "
            f"after {statistics.median(seconds):.1f} s (median), {seconds[int(len(seconds) * 0.9)]:.1f} s (one in "
            f"ten takes longer), {seconds[-1]:.1f} s (slowest)"
        )
    return 0 if len(well) == len(manifests) else 1


def _asked() -> list[Manifest]:
    if path := os.environ.get("NETWORK_MANIFEST"):
        return [from_json(Path(path).read_bytes())]
    if seed := asked("NETWORK_SEED", 0):
        return [draw(seed)]
    return [draw(random.randrange(1, _SEEDS)) for _ in range(asked("NETWORKS", 24, 1))]


def _play(manifest: Manifest) -> Outcome | None:
    """None for one that failed, which is told, recorded and kept."""
    print(f"NETWORK_SEED={manifest.seed}: {summary(manifest)}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="network-"))
    (folder / "manifest.json").write_bytes(to_json(manifest))
    try:
        with (folder / "ends_of_logs").open("w", encoding="utf-8") as ends, redirect_stderr(ends):
            outcome = play(manifest, folder)
    except _FAILURES as error:
        print(f"  FAILED: {error}\n  load of this machine: {load_average()}; its logs: {folder}", flush=True)
        print(f"  again: make networks NETWORK_SEED={manifest.seed}", flush=True)
        append_record("networks", _line(manifest, failed=str(error)))
        return None
    shutil.rmtree(folder)
    print(f"  {outcome.height} blocks, {outcome.transactions}, {outcome.seconds:.0f} s in all", flush=True)
    append_record("networks", _line(manifest, outcome))
    return outcome


def _line(manifest: Manifest, outcome: Outcome | None = None, failed: str = "") -> dict[str, object]:
    facts: dict[str, object] = {"seed": manifest.seed, "network": summary(manifest), "load_average": load_average()}
    if outcome is None:
        return {**facts, "failed": failed.replace(tempfile.gettempdir(), "")}
    return {**facts, "failed": None, **msgspec.to_builtins(outcome)}


def load_average() -> str:
    """How busy the machine was over the last minute, where the system says so."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    sys.exit(main())
