"""What must hold whatever happens, and what must hold once everything has healed. Breaking one raises `Violation`.

The world itself refuses, while it runs, two signatures at one place, a penalty for an honest peer, a halt, what
`finality.py` finds wrong with a block when a node makes it final, and offences that a node could prove and does not
(`justice.py`). Here is the rest, looked at from outside: what nodes say (`check_word`, at once), and at the end the
chain is replayed on a fresh store, every certificate is verified, and every promise to a client is looked up.
"""

from __future__ import annotations

from typing import Final, NoReturn

from blockchain.errors import StoreError
from blockchain.genesis import ENGINES
from blockchain.ledger.records import RECORD_PREFIXES
from blockchain.ledger.supply import check_supply
from blockchain.node.chain import Chain
from blockchain.node.core import Core
from blockchain.node.store import MemoryStore
from blockchain.node.verify import VerifyContext, verify_block
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import verify_certificate
from blockchain.primitives.vote import Certificate
from blockchain.seams import (
    Batch,
    BlockFinalized,
    BlockRejected,
    EvidenceFound,
    ForgerDrawn,
    Halted,
    NodeEvent,
    NodeStarted,
    PeerPenalized,
    SignatureRefused,
    SigningStopped,
    TransactionRefused,
)
from blockchain.simulator.justice import accused_in, unpunished
from blockchain.simulator.load import Load, Promise, pool_of
from blockchain.simulator.node import Node
from blockchain.simulator.operator import is_explained
from blockchain.simulator.world import Violation, World

GRAVE: Final = EvidenceFound | SignatureRefused | SigningStopped | BlockRejected | PeerPenalized | Halted


def check_world(world: World, load: Load) -> None:
    """All that must hold at the end of a run. Raises Violation."""
    _check_words(world)
    _check_stores_agree(world)
    chain = _replay(world)
    _check_states(world, chain)
    _check_punished(world, chain)
    _check_refusals(world, chain, load)
    for promise in load.promises:
        _check_kept(world, promise)


def is_settled(world: World) -> bool:
    """Whether all nodes hold the same head and pool, and nothing is left that a block should take."""
    cores = [node.core for node in world.honest]
    if any(core is None for core in cores) or len({node.store.head() for node in world.honest}) > 1:
        return False
    if any(core is not None and _has_work(core, world) for core in cores):
        return False
    return not _lacking(world)


def unsettled(world: World, head: int) -> str:
    """Why not, for the reader of a Violation."""
    lines = [f"healed at head {head}"]
    for node in world.honest:
        if node.core is None:
            lines.append(f"node {node.number} is down")
            continue
        core = node.core
        rules = core.engine.current.rules
        lines.append(
            f"node {node.number}: head {node.store.head()} round {rules.round} step {rules.step.name} "
            f"locked {rules.locked_round} valid {rules.valid_round} silent {core.engine.voice.silent_until} "
            f"pool {len(core.chain.pool)} ready {core.chain.pool.ready_count}"
        )
    return "\n  ".join([*lines, *_lacking(world)])


def _has_work(core: Core, world: World) -> bool:
    parameters = world.spec.parameters
    least = parameters.block_threshold if parameters.block_max_wait_ms is None else 1
    return core.chain.pool.ready_count >= least or len(core.chain.evidence) > 0


def _lacking(world: World) -> list[str]:
    """Which node lacks what others hold pending; another transaction in the same place is as good."""
    pools = {node.number: pool_of(node) for node in world.honest if node.core is not None}
    places = set().union(*pools.values())
    return [
        f"node {number} lacks nonce {place[1]} of {place[0].hex()[:8]}"
        for number, pool in pools.items()
        for place in sorted(places - pool.keys())
    ]


def check_word(world: World, node: Node, event: NodeEvent) -> None:
    """Nobody honest accuses an honest validator, and no signer of theirs has to refuse its own node. Raises Violation.

    Asked of each event when it happens, in the worlds of scenarios.
    """
    if not isinstance(event, GRAVE) or not node.is_honest or _is_of_hostile(world, event):
        return
    if not (isinstance(event, SigningStopped) and is_explained(node)):
        _violate(world, f"node {node.number} says of honest nodes: {event}")


def _check_words(world: World) -> None:
    for number, event in world.events:
        check_word(world, world.nodes[number], event)
    for node in world.honest:
        for found in node.store.evidence():
            if accused_in(found) not in world.docket.suspects:
                _violate(world, f"node {node.number} keeps evidence against an honest validator")


def _is_of_hostile(world: World, event: NodeEvent) -> bool:
    """Whether what a node complains of was done by a hostile validator."""
    match event:
        case EvidenceFound(validator=validator):
            return validator in world.docket.suspects
        case BlockRejected(height=height, round=round):
            draws = (event for _, event in world.events if isinstance(event, ForgerDrawn))
            drawn = {event.forger for event in draws if (event.height, event.round) == (height, round)}
            return not drawn.isdisjoint(world.docket.suspects)
        case _:
            return False


def _check_stores_agree(world: World) -> None:
    for height in range(1, max(node.store.head() for node in world.honest) + 1):
        blocks = {block.raw for node in world.honest if (block := node.store.block(height)) is not None}
        if len(blocks) > 1:
            _violate(world, f"{len(blocks)} different final blocks at height {height}")


def _replay(world: World) -> Chain:
    """The longest chain once more, on a fresh store, with every certificate that any node holds verified."""
    longest = max(world.honest, key=lambda node: node.store.head())
    store = MemoryStore()
    chain = Chain(world.spec, ENGINES[world.spec.engine](world.spec.hash), store)
    context = VerifyContext(chain.genesis_hash, 0, {}, lambda _: None)
    for height in range(1, longest.store.head() + 1):
        final = longest.store.block(height)
        assert final is not None
        block = verify_block(final.raw, context)
        for raw in {held.certificate for node in world.honest if (held := node.store.block(height)) is not None}:
            certificate = codec.decode(raw, Certificate, bytes_max=BLOCK_BYTES_MAX)
            if (certificate.height, certificate.block_id) != (height, final.id):
                _violate(world, f"a certificate of height {height} is for another block")
            verify_certificate(certificate, chain.validators, chain.genesis_hash)
        chain.import_block(block, codec.decode(final.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX), 0)
        _check_supply(world, chain)
        store.write(Batch(block=final))
    return chain


def _check_states(world: World, chain: Chain) -> None:
    """The state of whoever is on the replayed head is the replayed one, in memory and in the store."""
    root = chain.state().root()
    records = sorted((key, value) for prefix in RECORD_PREFIXES for key, value in chain.state().items(prefix))
    for node in world.honest:
        if node.store.head() != chain.head.height:
            continue
        if node.core is not None and node.core.chain.state().root() != root:
            _violate(world, f"node {node.number} has another state in memory than the replay")
        again = Chain(world.spec, ENGINES[world.spec.engine](world.spec.hash), node.store)
        if again.head.id != chain.head.id or again.state().root() != root:
            _violate(world, f"node {node.number} would start with another head or state than the replay's")
        if node.core is not None and {each.id for each in node.store.pending()} != _written_of(node.core):
            _violate(world, f"node {node.number} has other transactions pending in its store than in its pool")
        if chain.head.height > 0 and sorted(node.store.state_records().items()) != records:
            _violate(world, f"node {node.number} has another state in its store than the replay")


def _written_of(core: Core) -> set[Hash32]:
    """What is in the pool but for what waits for its write."""
    return {each.id for each in core.chain.pool if each.id not in core.admission.unwritten}


def _check_punished(world: World, chain: Chain) -> None:
    """Every offence that an honest node could prove, and each that one has proved, cost its validator."""
    offences = world.docket.provable()
    for number, event in world.events:
        if isinstance(event, EvidenceFound) and world.nodes[number].is_honest:
            offences.setdefault(event.validator, set()).add(event.height)
    store = max(world.honest, key=lambda node: node.store.head()).store
    for complaint in unpunished(chain, store, offences):
        _violate(world, complaint)


def _check_supply(world: World, chain: Chain) -> None:
    """What was minted and not burnt is there."""
    try:
        check_supply(chain.state())
    except StoreError as error:
        _violate(world, f"after block {chain.head.height}: {error}")


def _check_refusals(world: World, chain: Chain, load: Load) -> None:
    """What was acknowledged is not refused for what the chain does not bear out; other reasons are of a moment."""
    promised = {(promise.node, promise.verified.id): promise.verified.transaction for promise in load.promises}
    heads: dict[int, int] = {}
    for number, event in world.events:
        match event:
            case NodeStarted(height=height) | BlockFinalized(height=height):
                heads[number] = height
            case TransactionRefused(id=id_, refusal="expired") if (number, id_) in promised:
                expiry = promised[number, id_].expiry
                if expiry is None or expiry > heads.get(number, 0):
                    _violate(world, f"node {number} lets {id_.hex()[:8]}, which it had acknowledged, expire too early")
            case TransactionRefused(id=id_, refusal="nonce_used") if (number, id_) in promised:
                transaction = promised[number, id_]
                if transaction.nonce >= chain.next_nonce(transaction.sender):
                    _violate(world, f"node {number} says of {id_.hex()[:8]}, which waits, that its nonce is used")
            case _:
                pass


def _check_kept(world: World, promise: Promise) -> None:
    """Final, refused with a durable reason, or pending in every running node."""
    id_ = promise.verified.id
    node = world.nodes[promise.node]
    if promise.token <= node.lost_up_to:
        return  # with its writes, whatever it had acknowledged
    if node.store.locate(id_) is not None:
        return
    story = node.store.story(id_)
    if story and story[0].name == "received":  # one that was refused at the door begins with it
        return
    place = (promise.verified.transaction.sender, promise.verified.transaction.nonce)
    what = f"nonce {place[1]} of {place[0].hex()[:8]} ({id_.hex()[:8]}), acknowledged by node {promise.node},"
    if id_ not in {each.id for each in node.store.pending()}:
        _violate(world, f"{what} is lost: neither final, nor refused, nor pending there")
    for other in world.honest:
        if other.core is not None and place not in pool_of(other):
            _violate(world, f"{what} is pending there and not in node {other.number}")


def _violate(world: World, what: str) -> NoReturn:
    raise Violation(f"seed {world.seed}: {what}")
