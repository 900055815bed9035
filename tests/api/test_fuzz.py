"""schemathesis over the OpenAPI document of a real node: some 5,000 cases, all checks. Takes several minutes.

It is no dependency of this project. Where the program is on the path, or `$SCHEMATHESIS` names it, this test runs:
`pip install schemathesis` into an environment of its own, then `pytest -m slow tests/api/test_fuzz.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from blockchain.commands.keyring import keys_folder
from blockchain.demo_chain import JANE_ADDRESS, demo_spec
from blockchain.runtime.keystore import read_key_file
from blockchain.wallet import Wallet
from tests.processes.network import all_closed, free_ports
from tests.processes.node_process import NodeProcess
from tests.processes.waiting import wait_until

CASES_OF_AN_OPERATION: Final = 240
CASES_MIN: Final = 5_000
TOKEN: Final = "not-a-secret-but-a-token-of-a-test-00"
# 422 for what a schema cannot say (a checksum, a signature, `from` beyond `to`); 414 and 431 are answers too.
CONFIGURATION: Final = """
hooks = "hooks.py"
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "408", "413", "414", "415", "422", "429", "431", "5xx"]
[[operations]]
include-path-regex = "/(accounts/|transaction/|blocks/$)"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422", "429", "5xx"]
"""
HOOKS: Final = """
import schemathesis

@schemathesis.serializer("application/msgpack")
def as_bytes(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""
PROGRAM: Final = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not on the path, and $SCHEMATHESIS does not name it")
def test_nothing_outside_the_document(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    (tmp_path / "hooks.py").write_text(HOOKS)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    node_port, api_port = free_ports(2)
    environment = {"BLOCKCHAIN_API_RATE": "1000000", "BLOCKCHAIN_ADMIN_TOKEN_FILE": str(token)}
    key = keys_folder() / "genesis_private_key.pem"
    node = NodeProcess("node", node_port, api_port, tmp_path / "node", key, environment=environment)
    with all_closed([node]):
        node.start()
        wait_until("an answer", node.status)
        _make_a_chain(node)
        said = _fuzz(tmp_path, api_port)
        assert '"status": "error"' not in node.log().read_text("utf-8")
    found = re.search(r"(\d+) generated", said)
    assert found is not None, said
    assert int(found[1]) >= CASES_MIN


def _make_a_chain(node: NodeProcess) -> None:
    issuer_key = read_key_file(keys_folder() / "exchange_private_key.pem", None)
    issuer = Wallet(issuer_key, demo_spec().hash)
    node.client.submit_each([issuer.exchange(JANE_ADDRESS, 100, nonce) for nonce in range(4)])
    wait_until("two blocks", lambda: node.client.status().height == 2)


def _fuzz(folder: Path, port: int) -> str:
    assert PROGRAM is not None
    command = [
        str(Path(PROGRAM).absolute()),
        "--config-file=schemathesis.toml",
        "run",
        f"http://127.0.0.1:{port}/api/v1/openapi.json",
        "--checks=all",
        f"--max-examples={CASES_OF_AN_OPERATION}",
        "--request-timeout=70",  # longer than the longest wait
        "--warnings=off",
        "--no-color",
        f"--header=Authorization: Bearer {TOKEN}",
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (folder / "said").write_text(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-5_000:]
    return ended.stdout
