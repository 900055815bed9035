"""From a manifest to processes: keys, genesis, folders, links and signers. Nothing is started here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.runtime.keystore import node_key, write_key_file
from blockchain.wallet import Wallet
from tests.networks.held_key import HeldKey
from tests.networks.manifest import Manifest, peers_of
from tests.processes.filling_disk import on_a_filling_disk
from tests.processes.network import BALANCE, Network, all_closed, free_ports
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.proxy import Links, links

OWN_BALANCE: Final = 1_000_000  # of a validator's account, for stake and fees


@dataclass(frozen=True)
class Keys:
    """Made of the seed, so that the lottery draws the same forgers when it is played again. No secrets."""

    nodes: tuple[SigningKey, ...]
    clients: tuple[SigningKey, ...]


@dataclass(frozen=True)
class Built:
    """A network that nobody has started. `marks`: the files that make a node's disk full."""

    manifest: Manifest
    net: Network
    wires: Links | None
    signers: dict[int, HeldKey]
    marks: dict[int, Path]
    owners: tuple[Wallet, ...]  # of the nodes' own accounts, of which validators stake


def keys_of(manifest: Manifest) -> Keys:
    def key(kind: str, index: int) -> SigningKey:
        return SigningKey(sha256(f"network {manifest.seed} {kind} {index}".encode()).digest())

    places = range(len(manifest.nodes))
    return Keys(tuple(key("node", place) for place in places), tuple(key("client", place) for place in places))


def spec_of(manifest: Manifest, keys: Keys, now_ms: int) -> ChainSpec:
    accounts = [GenesisAccount(Address(key.public_key), BALANCE) for key in keys.clients]
    validators = []
    for plan, key in zip(manifest.nodes, keys.nodes, strict=True):
        if plan.stake:
            accounts.append(GenesisAccount(Address(key.public_key), OWN_BALANCE))
            validators.append(GenesisValidator(Address(key.public_key), plan.stake))
    return ChainSpec(
        chain_id="networks",
        time_ms=now_ms,
        parameters=manifest.parameters,
        accounts=tuple(accounts),
        validators=tuple(validators),
    )


@contextmanager
def built(manifest: Manifest, folder: Path) -> Iterator[Built]:
    """Make all of it in an empty folder. On leaving, every process has ended and every socket is closed."""
    keys = keys_of(manifest)
    spec = spec_of(manifest, keys, time.time_ns() // 1_000_000)
    (folder / "genesis.json").write_bytes(dump_genesis(spec))
    nodes = [_node(manifest, folder, keys, index, ports) for index, ports in enumerate(_ports(len(manifest.nodes)))]
    with ExitStack() as stack:
        signers = {}
        for index, plan in enumerate(manifest.nodes):
            if plan.has_signer:
                signers[index] = HeldKey(folder / f"signer-{index}", nodes[index])
                stack.callback(signers[index].kill)
        stack.enter_context(all_closed(nodes))
        wires = None if _find_each_other(manifest, nodes) else stack.enter_context(_links(manifest, nodes))
        net = Network(folder, spec, nodes, [Wallet(key, spec.hash) for key in keys.clients])
        owners = tuple(Wallet(key, spec.hash) for key in keys.nodes)
        yield Built(manifest, net, wires, signers, _filling_disks(manifest, folder, nodes), owners)


def _ports(count: int) -> list[tuple[int, int]]:
    found = free_ports(2 * count)
    return list(zip(found[:count], found[count:], strict=True))


def _node(manifest: Manifest, folder: Path, keys: Keys, index: int, ports: tuple[int, int]) -> NodeProcess:
    own = folder / f"node-{index}"
    node = NodeProcess(own.name, *ports, own, genesis=folder / "genesis.json", look_s=manifest.look_s)
    if manifest.nodes[index].stake:
        node.key_file = own / "key.pem"
        write_key_file(node.key_file, keys.nodes[index], None)
    return node


def _find_each_other(manifest: Manifest, nodes: list[NodeProcess]) -> bool:
    """Whether the nodes are told of the first one only, and hear of the others from each other."""
    if manifest.topology != "seed":
        return False
    for node in nodes[1:]:
        node.seeds = f"{HOST}:{nodes[0].node_port}"
    return True


@contextmanager
def _links(manifest: Manifest, nodes: list[NodeProcess]) -> Iterator[Links]:
    """Every link goes through a proxy, and nobody advertises another way."""
    ids = [bytes(node_key(node.data_dir).public_key) for node in nodes]
    with links([node.node_port for node in nodes], ids) as wires:
        for index, node in enumerate(nodes):
            node.seeds = wires.seeds(index, peers_of(manifest, index)) or "none"
            node.advertise = "none"
        yield wires


def _filling_disks(manifest: Manifest, folder: Path, nodes: list[NodeProcess]) -> dict[int, Path]:
    """Under those nodes that such a blow awaits, the last thing that is said of how they start."""
    struck = {blow.node for one in manifest.rounds for blow in one.blows if blow.kind == "disk"}
    marks = {index: folder / f"full-{index}" for index in sorted(struck)}
    for index, mark in marks.items():
        on_a_filling_disk(nodes[index], mark)
    return marks
