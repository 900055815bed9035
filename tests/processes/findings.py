"""What is looked at after the crashes: the chains that the nodes hold, their signatures, and their logs.

Chains are read from the stores of ended nodes: that they open and pass their checks is a finding too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Certificate
from blockchain.runtime.keystore import read_key_file
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import SigningRecord
from tests.processes.network import Network
from tests.processes.node_process import NodeProcess

# What no crash of another node explains.
_BAD_EVENTS: Final = frozenset({"halted", "evidence_found", "block_rejected", "peer_penalized"})
_BAD_LEVELS: Final = frozenset({"error", "critical"})
_CERTIFICATE_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True)
class StoredChain:
    """Everything that one node holds as final, lowest height first."""

    name: str
    block_ids: tuple[bytes, ...]
    transaction_ids: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    evidence: int
    pending: int


def stored_chain(node: NodeProcess, genesis_hash: Hash32) -> StoredChain:
    """Read the store of a node that has ended."""
    assert not node.is_running
    store = SqliteStore.open(node.data_dir, genesis_hash)
    try:
        blocks = [block for height in range(1, store.head() + 1) if (block := store.block(height)) is not None]
        assert len(blocks) == store.head()
        return StoredChain(
            name=node.name,
            block_ids=tuple(block.id for block in blocks),
            transaction_ids=tuple(one.hex() for block in blocks for one in block.transaction_ids),
            certificates=tuple(_certificate(block.certificate) for block in blocks),
            evidence=len(store.evidence()),
            pending=len(store.pending()),
        )
    finally:
        store.close()


def signing_record(node: NodeProcess, genesis_hash: Hash32) -> SigningRecord:
    """What the node's key has signed, from the file that the signer keeps."""
    assert node.key_file is not None
    [record] = node.key_file.parent.glob(f"{node.key_file.stem}.*-{genesis_hash.hex()[:8]}.signing_record")
    return Signer(read_key_file(node.key_file, None), genesis_hash, record).load()


def check_one_chain(chains: list[StoredChain]) -> None:
    """At every height that two nodes hold, they hold the same block; no transaction stands in it twice."""
    longest = max(chains, key=lambda chain: len(chain.block_ids))
    for chain in chains:
        assert chain.block_ids == longest.block_ids[: len(chain.block_ids)], f"{chain.name} is on another chain"
        assert len(set(chain.transaction_ids)) == len(chain.transaction_ids), f"{chain.name} holds one twice"


def check_signed_once(chains: list[StoredChain]) -> None:
    """No validator has precommitted two values in one round: nodes hold different certificates of one block."""
    signed: dict[tuple[int, int, int], bytes] = {}
    for certificate in (one for chain in chains for one in chain.certificates):
        for precommit in certificate.precommits:
            place = (certificate.height, certificate.round, precommit.index)
            assert signed.setdefault(place, certificate.block_id) == certificate.block_id, f"signed twice: {place}"
    assert sum(chain.evidence for chain in chains) == 0


def check_records_lead(net: Network, chains: list[StoredChain]) -> None:
    """A signature that anybody holds is on its signer's record: the record is at its place or further."""
    addresses = [validator.address for validator in net.spec.validators]
    line = sorted(addresses)  # a certificate names a validator by its place on the line
    for node, address in zip(net.nodes, addresses, strict=False):
        record = signing_record(node, net.spec.hash)
        place = line.index(address)
        for certificate in (one for chain in chains for one in chain.certificates):
            if any(precommit.index == place for precommit in certificate.precommits):
                assert (record.height, record.round) >= (certificate.height, certificate.round) or (
                    record.height > certificate.height
                ), f"{node.name}'s record is behind what it has signed"


def check_logs(nodes: Iterable[NodeProcess]) -> Counter[str]:
    """Nothing was said on standard error, and nothing bad in a log; how often each warning came, by its event."""
    warnings: Counter[str] = Counter()
    for node in nodes:
        for start in range(1, node.starts + 1):
            assert node.errors(start).read_text("utf-8", "replace") == "", f"{node.name}, start {start}"
        for line in node.lines():
            name = line.get("evt.name", "")
            assert line["status"] not in _BAD_LEVELS and name not in _BAD_EVENTS, f"{node.name}: {json.dumps(line)}"
            if line["status"] == "warning":
                warnings[name or line["message"]] += 1
    return warnings


def _certificate(raw: bytes) -> Certificate:
    return codec.decode(raw, Certificate, bytes_max=_CERTIFICATE_BYTES_MAX)
