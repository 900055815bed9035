"""`make api-fuzz`: schemathesis with all checks over the OpenAPI document of a real node, once for each seed.

    python -m tests.fuzz.api --cases 20000 --seeds 3

A check that fails fails the run: a status or body that is not in the document, a good request refused, a bad one taken,
an answer of the node's own fault. The node's log is counted too: an answer of 500 or more is in it, whoever asked.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import httpx

from blockchain.commands.keyring import keys_folder
from blockchain.demo_chain import JANE_ADDRESS, demo_spec
from blockchain.runtime.keystore import read_key_file
from blockchain.wallet import Wallet
from tests.processes.network import all_closed, free_ports
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import wait_until
from tests.record_lines import append_record

TOKEN: Final = "not-a-secret-but-a-token-of-a-test-00"
PROGRAM: Final = Path(sys.executable).parent / "schemathesis"
# 422 for what a schema cannot say (a checksum, a signature, `from` beyond `to`); 414 and 431 are answers too.
CONFIGURATION: Final = """
hooks = "hooks.py"
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "408", "413", "414", "415", "422", "429", "431", "5xx"]
[[operations]]
include-path-regex = "/(accounts/|transaction/|blocks/$|validators/)"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422", "429", "5xx"]
"""
HOOKS: Final = """
import schemathesis

@schemathesis.serializer("application/msgpack")
def as_bytes(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""
_SAID_TAIL: Final = 6_000


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api")
    parser.add_argument("--cases", type=int, default=5_000, help="in all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31 - 8) + 1, help="the first; then the next")
    given = parser.parse_args(arguments)
    seeds = list(range(given.seed, given.seed + given.seeds))
    with tempfile.TemporaryDirectory(prefix="api-fuzz-") as folder:
        figures = _run(Path(folder), given.cases, seeds)
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    append_record("api-fuzz", figures)
    return 0 if figures["failed_seeds"] == [] and figures["server_errors"] == 0 else 1


def _run(folder: Path, cases: int, seeds: list[int]) -> dict[str, object]:
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    (folder / "hooks.py").write_text(HOOKS)
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    node_port, api_port = free_ports(2)
    environment = {"BLOCKCHAIN_API_RATE": "1000000", "BLOCKCHAIN_ADMIN_TOKEN_FILE": str(token)}
    key = keys_folder() / "genesis_private_key.pem"
    node = NodeProcess("node", node_port, api_port, folder / "node", key, environment=environment)
    generated, failed = 0, []
    with all_closed([node]):
        node.start()
        wait_until("an answer", node.status)
        _make_a_chain(node)
        operations = _operations(api_port)
        for seed in seeds:
            said, is_good = _fuzz(folder, api_port, -(-cases // len(seeds) // operations), seed)
            found = re.search(r"([\d,]+) generated", said)
            generated += int(found[1].replace(",", "")) if found else 0
            failed += [] if is_good and found else [seed]
            print(f"seed {seed}: {found[0] if found else 'nothing generated'}", flush=True)
            if not is_good:
                print(said[-_SAID_TAIL:], flush=True)
        assert node.is_running, node.last_words()
        statuses = _statuses(node)
    return {
        "seeds": seeds,
        "operations": operations,
        "cases": generated,
        "failed_seeds": failed,
        "answers": sum(statuses.values()),
        # 503 stands in the document: a limit, a node that ends. None other of 500 and more is any good.
        "server_errors": sum(count for status, count in statuses.items() if status >= 500 and status != 503),
        "statuses": {str(status): statuses[status] for status in sorted(statuses)},
    }


def _operations(port: int) -> int:
    document = httpx.get(f"http://localhost:{port}/api/v1/openapi.json", timeout=30).json()
    return sum(len(path) for path in document["paths"].values())


def _make_a_chain(node: NodeProcess) -> None:
    issuer_key = read_key_file(keys_folder() / "exchange_private_key.pem", None)
    issuer = Wallet(issuer_key, demo_spec().hash)
    node.client.submit_each([issuer.exchange(JANE_ADDRESS, 100, nonce) for nonce in range(4)])
    wait_until("two blocks", lambda: node.client.status().height == 2)


def _fuzz(folder: Path, port: int, examples: int, seed: int) -> tuple[str, bool]:
    """What it said, and whether every check held."""
    command = [
        str(PROGRAM),
        "--config-file=schemathesis.toml",
        "run",
        f"http://localhost:{port}/api/v1/openapi.json",
        "--checks=all",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--request-timeout=70",  # longer than the longest wait
        "--warnings=off",
        "--no-color",
        f"--header=Authorization: Bearer {TOKEN}",
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr, ended.returncode == 0


def _statuses(node: NodeProcess) -> Counter[int]:
    """Of every answer that the node wrote down."""
    found = (line.get("http.status_code") for line in node.lines())
    return Counter(int(status) for status in found if status is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
