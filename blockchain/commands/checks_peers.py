"""What `doctor` asks other nodes: chain, versions, clocks, whether they reach this one, whether its key is elsewhere.

A node that runs knows it already and is asked through its API; before a start the seeds are asked (probe.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from blockchain import __version__
from blockchain.client import Client, Status
from blockchain.commands.arguments import url_of
from blockchain.commands.clock import clock_ahead_ms
from blockchain.commands.finding import Finding, fail, ok, skip, warn
from blockchain.commands.probe import LISTEN_SECONDS, Probed, probe
from blockchain.commands.text import count_text
from blockchain.config import NodeConfig
from blockchain.errors import BlockchainError
from blockchain.node.clocks import CLOCK_PART, median_of
from blockchain.node.dial_back import Reachable, reachable_by
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey

API_SECONDS: Final = 5.0  # for a node of this machine to answer
HEADER_MS: Final = 2_000  # a Date header has whole seconds
OWN_AGENT: Final = f"blockchain/{__version__}"
_NTP: Final = "set the clocks with NTP, and let it slew"
_OPEN_PORT: Final = (
    "open node_port in the firewall; behind NAT forward it to this machine, and set advertise to the address and port "
    "outside"
)
_UNLIKE: Final = {
    "other_chain": "compare `blockchain genesis hash` on both machines",
    "other_version": "upgrade the older one of the two",
}

Clock = tuple[str, int, int]  # whose, how far it is ahead of this one, and the most that this is off by; in ms


# ------------------------------------------------------------------------------------------------ before a start


def check_seeds(config: NodeConfig, spec: ChainSpec, keys: frozenset[PublicKey]) -> Iterator[Finding]:
    """What the seeds say; `keys` are the validator keys that nobody else may use."""
    if not config.seeds:
        yield ok("seeds", "none: this node waits to be dialled")
        yield from check_clocks([], spec.parameters.clock_drift_ms)
        return
    try:
        found = probe(config, spec, keys)
    except BlockchainError as error:
        yield skip("seeds", str(error))
        return
    for address in config.seeds:
        yield _seed(address, found)
    yield from check_agents([(address, found.nodes[peer].agent) for address, peer in _met(found)])
    clocks = [(address, found.nodes[peer]) for address, peer in _met(found)]
    yield from check_clocks(
        [
            (address, node.offset_ms, node.error_ms)
            for address, node in clocks
            if node.offset_ms is not None and node.error_ms is not None
        ],
        spec.parameters.clock_drift_ms,
    )
    yield _reach_of_seeds(config, found)
    if keys:
        yield _twin(found)


def _met(found: Probed) -> list[tuple[str, bytes]]:
    """Each node once, by the first address at which it was met."""
    first: dict[bytes, str] = {}
    for address, peer in found.met.items():
        if peer in found.nodes:
            first.setdefault(peer, address)
    return [(address, peer) for peer, address in first.items()]


def _seed(address: str, found: Probed) -> Finding:
    if address in found.met:
        return ok("seeds", f"{address} is of this chain")
    why = found.failed[address]
    for reason, fix in _UNLIKE.items():
        if reason in why:
            return fail("seeds", f"{address}: {why}", fix)
    return warn("seeds", f"{address}: {why}", "is it running, is the address right, and its node_port open?")


def _reach_of_seeds(config: NodeConfig, found: Probed) -> Finding:
    if config.advertise is None:
        return skip("reachability", "it tells no peer where it listens", "set advertise, if others are to dial it")
    if not found.is_listening:
        return skip("reachability", f"this could not listen on node_port {config.node_port} itself")
    return check_reach(reachable_by(node.dialled for node in found.nodes.values()), config.advertise)


def _twin(found: Probed) -> Finding:
    if found.elsewhere is not None:
        text = f"this key is running elsewhere: instance {found.elsewhere.instance} announced itself just now"
        return fail("key", text, "do not start; find that node, end it, and make sure that it stays off")
    if not found.nodes:
        return skip("key", "whether it is running elsewhere: no node was reached that could tell")
    heard = f"{count_text(len(found.nodes), 'node')} in {LISTEN_SECONDS:g} s"
    return ok("key", f"not seen live elsewhere: no announcement of it from {heard}")


# ------------------------------------------------------------------------------------------------ beside a node


def check_running(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    """What the running node of these settings says of its peers."""
    url = url_of(config)
    try:
        with Client(url, API_SECONDS) as node:
            status, peers = node.status(), node.peers()
    except BlockchainError as error:
        yield warn("peers", f"this node is running, and its API does not answer: {error}", "ask with its own settings")
        return
    if status.genesis_hash != spec.hash.hex():
        yield fail("peers", f"at {url} is a node of another chain, {status.chain_id}", "ask with its own settings")
        return
    if status.silent:
        yield warn("key", f"this node signs nothing: {status.silent}", "docs/operating.md says what to do")
    if status.untrusted:
        yield warn("key", f"this node does not vote: {status.untrusted}", "name a block that you trust (--checkpoint)")
    for dial in peers.dials:
        for reason, fix in _UNLIKE.items():
            if not dial.is_connected and reason in dial.last_error:
                yield warn("peers", f"{dial.address}: {dial.last_error}", fix)
    if not peers.peers:
        yield warn("peers", "none is connected", "`blockchain peers` says why each dial failed")
        return
    yield ok("peers", f"{count_text(len(peers.peers), 'peer')} of this chain")
    names = {peer.id: peer.address or peer.remote or peer.id[:16] for peer in peers.peers}
    yield from check_agents([(names[peer.id], peer.agent) for peer in peers.peers])
    yield from check_clocks(
        [
            (names[peer.id], peer.clock_offset_ms, peer.clock_error_ms)
            for peer in peers.peers
            if peer.clock_offset_ms is not None and peer.clock_error_ms is not None
        ],
        spec.parameters.clock_drift_ms,
    )
    yield check_reach(Reachable(status.network.reachable, status.network.reachable_why), config.advertise or "")


# ------------------------------------------------------------------------------------------------ of either


def check_agents(nodes: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """The software of others, by name; none other than this one's is the simplest."""
    others = [f"{name} runs {agent or 'what it does not say'}" for name, agent in nodes if agent != OWN_AGENT]
    if others:
        yield warn("versions", f"this is {OWN_AGENT}; {', '.join(others)}", "upgrade the older ones, one by one")
    elif nodes:
        yield ok("versions", f"{count_text(len(nodes), 'node')} and this one are {OWN_AGENT}")


def check_clocks(clocks: Sequence[Clock], drift_ms: int) -> Iterator[Finding]:
    """The median of three or more says that this clock is off; with fewer it is not known whose is."""
    if not clocks:
        yield skip("clock", "no other node's is known", "name a node's API with --url")
        return
    offset = median_of([ahead for _, ahead, _ in clocks])
    if offset is None:
        for name, ahead, error in clocks:
            yield _clock_of_one(name, ahead, error, drift_ms)
    elif abs(offset) > drift_ms:
        text = f"it is {_side(-offset)} those of {len(clocks)} others, by their median; {drift_ms} ms are allowed"
        yield fail("clock", text, f"blocks of one are refused by the others: {_NTP}")
    elif abs(offset) > drift_ms // CLOCK_PART:
        yield warn("clock", f"it is {_side(-offset)} those of {len(clocks)} others, by their median", _NTP)
    else:
        yield ok("clock", f"it is {_side(-offset)} those of {len(clocks)} others, by their median")


def _clock_of_one(name: str, ahead: int, error: int, drift_ms: int) -> Finding:
    text = f"it is {_side(-ahead)} that of {name}, give or take {error} ms"
    if abs(ahead) - error > drift_ms // CLOCK_PART:
        return warn("clock", f"{text}; whose is wrong is not known", f"on both machines, {_NTP}")
    return ok("clock", text)


def _side(ahead_ms: int) -> str:
    return f"{abs(ahead_ms)} ms {'ahead of' if ahead_ms >= 0 else 'behind'}"


def check_reach(found: Reachable, advertised: str) -> Finding:
    """`advertised`: where this node says that it listens."""
    if found.verdict == "yes":
        return ok("reachability", f"{found.why}, at {advertised}")
    if found.verdict == "unknown":
        return skip("reachability", found.why)
    return warn("reachability", f"{found.why}, {advertised}", _OPEN_PORT)


# ------------------------------------------------------------------------------------------------ --url


def check_other_node(url: str, spec: ChainSpec) -> Iterator[Finding]:
    """A node that runs elsewhere is of the same chain, and its clock says the same."""
    try:
        with Client(url) as node:
            status: Status = node.status()
        ahead = clock_ahead_ms(url)
    except BlockchainError as error:
        yield warn("other node", str(error), "nothing was compared with it: check the URL")
        return
    if status.genesis_hash != spec.hash.hex():
        text = f"{url} is of another chain: {status.chain_id}, {status.genesis_hash}"
        yield fail("other node", text, _UNLIKE["other_chain"])
    else:
        yield ok("other node", f"{url} is of this chain, at height {status.height}")
    if ahead is None:
        yield skip("clock", f"{url} does not say what time it is")
    elif abs(ahead) > max(HEADER_MS, spec.parameters.clock_drift_ms):
        text = f"it is {_seconds(ahead)} that of {url}"
        yield fail("clock", text, f"blocks of one are refused by the other: {_NTP}")
    elif abs(ahead) > HEADER_MS:
        yield warn("clock", f"it is {_seconds(ahead)} that of {url}", f"on both machines, {_NTP}")
    else:
        yield ok("clock", f"within {HEADER_MS / 1000:.0f} s of that of {url}")


def _seconds(ahead_ms: int) -> str:
    return f"{abs(ahead_ms) / 1000:.0f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
