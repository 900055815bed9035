"""Pictures of a core, for its readers: pure functions from the core to the views of `views.py`."""

from __future__ import annotations

from typing import Final

from blockchain.consensus.height import HeightInProgress
from blockchain.errors import StoreError
from blockchain.ledger.records import account_of, stakeholder
from blockchain.node.ahead import Finals
from blockchain.node.core import Core
from blockchain.node.record import RecordFacts
from blockchain.node.views import (
    AccountView,
    ConsensusView,
    LotteryReceipt,
    OutcomeView,
    PeerView,
    PoolView,
    StatusView,
    TransactionView,
    UnbondingView,
)
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.block import BLOCK_BYTES_MAX, decode_block
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.records import Pause, Stakeholder, Unbonding
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Step
from blockchain.seams import FinalBlock, Stage

NAMED_MAX: Final = 4  # validators in a sentence; /api/v1/consensus lists all
LOTTERY_ROUNDS_MAX: Final = 1_000  # a receipt of a later round takes all the draws before it


def status_of(core: Core) -> StatusView:
    head = core.chain.head
    return StatusView(
        height=head.height,
        head=head.id,
        head_time_ms=head.time_ms,
        best_peer_height=max(core.sync.best_height - 1, 0),
        is_syncing=core.sync.is_syncing,
        is_halted=core.halted,
        validator=core.engine.validator,
        is_active=core.engine.validator is not None,
        keys=tuple(sorted(core.keys)),
        peers=len(core.peers),
        pool=pool_of(core),
        consensus=consensus_of(core),
        stalled_ms=core.liveness.stalled_ms(core.chain.height),
        sync=core.sync.view(),
        untrusted=core.trust.why,
        silent=core.silent,
        network=core.surroundings.view(),
    )


def pool_of(core: Core) -> PoolView:
    pool = core.chain.pool
    parameters = core.chain.spec.parameters
    ready = min(pool.ready_count, parameters.block_max_transactions)
    return PoolView(pending=len(pool), ready=ready, bytes=pool.bytes, threshold=parameters.block_threshold)


def consensus_of(core: Core) -> ConsensusView:
    current = core.engine.current
    rules = current.rules
    round = max(rules.round, 0)
    votes = rules.book.of(round)
    members = [validator.address for validator in current.validators.validators]
    return ConsensusView(
        height=current.height,
        round=round,
        step=rules.step,
        forger=current.forgers.forger(round),
        has_proposal=round in current.proposals,
        locked_round=rules.locked_round,
        locked_block=rules.locked_value,
        valid_round=rules.valid_round,
        valid_block=rules.valid_value,
        total_stake=current.validators.total,
        prevote_stake=votes.prevotes.stake,
        precommit_stake=votes.precommits.stake,
        missing_prevotes=tuple(address for address in members if address not in votes.prevotes.firsts),
        missing_precommits=tuple(address for address in members if address not in votes.precommits.firsts),
        offline=core.liveness.offline(current.validators),
        waiting_for=_waiting_for(core, current),
    )


def _waiting_for(core: Core, current: HeightInProgress) -> str:
    """Why nothing becomes final at this moment, in a sentence."""
    if core.halted:
        return f"nothing: this node stopped voting: {core.halted}"
    if core.trust.why and core.engine.validator is not None:
        return f"trust: this node does not vote: {core.trust.why}"
    if core.lookout.is_stopped:
        return f"nothing: this node signs nothing until it is started again: {core.lookout.why}"
    if core.sync.is_syncing:
        return f"blocks: peers are at height {core.sync.best_height - 1}"
    if core.lookout.why:
        return f"a look around: this node does not vote yet: it {core.lookout.why}"
    if core.silent:
        return f"the signer: this node does not vote: {core.silent}"
    rules = current.rules
    needed = current.validators.quorum_stake
    offline = core.liveness.offline(current.validators)
    online = current.validators.total - sum(current.validators.stake_of(one) for one in offline)
    if online < needed and core.engine.is_block_awaited:
        return f"validators: {online} of the {needed} stake needed are on line, without {_named(offline)}"
    if rules.step is Step.PROPOSE:
        pool = pool_of(core)
        if pool.ready < pool.threshold and not rules.proposals and rules.valid_value is None:
            return f"pool holds {pool.ready} of {pool.threshold}"
        return f"the proposal of round {max(rules.round, 0)}'s forger"
    votes = rules.book.of(rules.round)
    step = votes.prevotes if rules.step is Step.PREVOTE else votes.precommits
    name = "prevotes" if rules.step is Step.PREVOTE else "precommits"
    return f"{name}: {step.stake} of the {needed} needed of {current.validators.total} stake have come"


def _named(addresses: tuple[Address, ...]) -> str:
    named = ", ".join(format_address(address) for address in addresses[:NAMED_MAX])
    return named if len(addresses) <= NAMED_MAX else f"{named} and {len(addresses) - NAMED_MAX} more"


def peers_of(core: Core) -> list[PeerView]:
    return [
        PeerView(
            id=peer.id,
            address=peer.address,
            inbound=peer.inbound,
            height=peer.height,
            round=peer.round,
            remote=peer.remote,
            agent=peer.agent,
            clock_offset_ms=peer.clock.offset_ms,
            clock_error_ms=peer.clock.error_ms,
            dialled_back=peer.dialled.outcome,
        )
        for peer in core.peers.values()
    ]


def account_view(core: Core, address: Address) -> AccountView:
    state = core.chain.state()
    account = account_of(state, address)
    holder = stakeholder(state, address)
    parameters = core.chain.spec.parameters
    return AccountView(
        address=address,
        balance=account.balance,
        nonce=account.nonce,
        next_nonce=core.chain.pool.next_nonce(address),
        stake=0 if holder is None else holder.seat_at(core.chain.height),
        staked=0 if holder is None else holder.bonded,
        waiting=0 if holder is None else holder.waiting_amount,
        unbonding=() if holder is None else tuple(_unbonding(entry, parameters) for entry in holder.unbonding),
        validator_key=None if holder is None else holder.newest_key,
        validator_key_from=None if holder is None else holder.keys[-1].height,
        is_out=holder is not None and holder.is_out,
        suspension=None if holder is None else holder.suspension,
        pause=None if holder is None else _pause(holder, core.chain.height),
    )


def _pause(holder: Stakeholder, height: int) -> Pause | None:
    """The one that holds, or is to come: the record keeps one that is over too, for the interval between two."""
    return holder.pause if holder.pause is not None and height < holder.pause.until else None


def _unbonding(entry: Unbonding, parameters: Parameters) -> UnbondingView:
    return UnbondingView(
        amount=entry.amount,
        leaves=entry.leaves,
        release_height=entry.leaves + parameters.unbonding_blocks + 1,
        release_ms=None if entry.left_ms is None else entry.left_ms + parameters.unbonding_ms + 1,
    )


def validators_at(core: Core, store: Finals, height: int | None) -> ValidatorSet:
    """The set of a height up to the one in progress (None). Raises LookupError for one that this node does not know.

    A store of an earlier format knows the sets of its later blocks only. There an earlier one is the same for as long
    as no stake has changed since, which the hash in its header tells.
    """
    chain = core.chain
    if height is None or height == chain.height:
        return chain.validators
    stored = store.block(height)
    if stored is None:
        raise LookupError(f"this node has no block {height}")
    known = store.validators(height)
    if known is not None:
        return known
    wanted = decode_block(stored.raw).header.validators_hash
    for validators in (chain.parent_validators, chain.validators):
        if validators.hash(chain.genesis_hash) == wanted:
            return validators
    raise LookupError(f"this node was not told the set of height {height}: its store is of an earlier format")


def transaction_of(core: Core, store: Finals, transaction_id: Hash32) -> TransactionView | None:
    """None for one that this node knows nothing of. Raises StoreError where its block cannot be read."""
    pending = core.chain.pool.get(transaction_id)
    if pending is not None:
        return TransactionView(transaction_id, "pending", pending.raw, stages=core.chain.pool.story(transaction_id))
    story = store.story(transaction_id)
    place = store.locate(transaction_id)
    if place is not None:
        height, position = place
        stored = store.block(height)
        ids = () if stored is None else stored.transaction_ids
        if stored is None or not 0 <= position < len(ids) or ids[position] != transaction_id:
            raise StoreError(f"transaction {transaction_id.hex()} is not in block {height}, where it is said to be")
        block = decode_block(stored.raw)
        if not story or story[-1].name != "final":  # it came with its block, or long ago: only the block is known
            story = (*story, Stage("final", block.header.time_ms, height, block.header.round))
        return TransactionView(transaction_id, "final", block.transactions[position], height, position, story)
    return TransactionView(transaction_id, story[-1].name, None, stages=story) if story else None


def outcome_of(core: Core, store: Finals, transaction_id: Hash32) -> OutcomeView:
    """As `transaction_of`, without reading a block."""
    if core.chain.pool.get(transaction_id) is not None:
        return OutcomeView(transaction_id, "pending")
    place = store.locate(transaction_id)
    if place is not None:
        return OutcomeView(transaction_id, "final", *place)
    story = store.story(transaction_id)
    return OutcomeView(transaction_id, story[-1].name if story else "unknown")


def records_of(core: Core) -> RecordFacts:
    chain = core.chain
    offline = frozenset(core.liveness.offline(chain.validators))
    return RecordFacts(tuple(chain.turns.newest), chain.parent_validators, offline)


def lottery_of(core: Core, store: Finals, height: int, round: int) -> LotteryReceipt | None:
    """The receipt of a draw of the height in progress, or before; None where this node has not the set."""
    chain = core.chain
    if round > LOTTERY_ROUNDS_MAX:
        return None
    try:
        validators = validators_at(core, store, height)
    except LookupError:
        return None
    stored = store.block(height)
    header = None if stored is None else decode_block(stored.raw).header
    if header is None and height != chain.height:
        return None  # genesis was not drawn
    seed = chain.seed if header is None else header.seed
    draw = chain.selection.forgers(seed, height, validators).draw(round)
    parent = store.block(height - 1)
    newest = stored or parent
    is_winner = header is not None and header.round == round
    return LotteryReceipt(
        genesis_hash=chain.genesis_hash,
        height=height,
        round=round,
        seed=seed,
        reference=draw.reference,
        point=draw.point,
        total_stake=validators.total,
        left_out=draw.left_out,
        forger=draw.forger,
        interval=draw.interval,
        validators=validators,
        vrf_proof=header.vrf_proof if header is not None and is_winner else None,
        header=header,
        parent_header=None if parent is None else decode_block(parent.raw).header,
        certificate=None if newest is None else certificate_of(newest),
    )


def certificate_of(stored: FinalBlock) -> Certificate:
    return codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)
