"""Views of the node as JSON objects: addresses bech32m, ids and keys hex. Pure, and free to run in a thread.

What is long to write down (a bech32m address takes ten microseconds or more) is rendered away from the loop that runs
the node; the views themselves are taken on it, because they are pictures of one moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from blockchain.api.rendered import Parties, RenderedBlock
from blockchain.errors import InvalidTransaction
from blockchain.node.views import (
    AccountView,
    BanView,
    ConsensusView,
    DialView,
    DryRunView,
    LotteryReceipt,
    OutcomeView,
    PeerView,
    StatusView,
    TransactionView,
)
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.jsonform import (
    JsonObject,
    certificate_to_json,
    chain_to_json,
    hex_or_none,
    transaction_to_json,
    validators_to_json,
)
from blockchain.primitives.transaction import VerifiedTransaction, decode_transaction
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import Stage, SubmissionResult

GENESIS_ACCOUNTS_LISTED_MAX: Final = 1_000  # a genesis may have a million; the answer says how many there are


def status(view: StatusView, spec: ChainSpec, genesis_hash: Hash32, node_id: bytes, version: str) -> JsonObject:
    return {
        "version": version,
        "chain_id": spec.chain_id,
        "genesis_hash": genesis_hash.hex(),
        "node_id": node_id.hex(),
        "height": view.height,
        "head": view.head.hex(),
        "head_time_ms": view.head_time_ms,
        "best_peer_height": view.best_peer_height,
        "is_syncing": view.is_syncing,
        "is_halted": view.is_halted,
        "validator": _address_or_none(view.validator),
        "is_active": view.is_active,
        "keys": [key.hex() for key in view.keys],
        "peers": view.peers,
        "pool": msgspec.structs.asdict(view.pool),
        "waiting_for": view.consensus.waiting_for,
        "stalled_ms": view.stalled_ms,
        "sync": msgspec.structs.asdict(view.sync),
        "untrusted": view.untrusted,
        "silent": view.silent,
        "network": msgspec.structs.asdict(view.network),
    }


def consensus(view: ConsensusView, validators: ValidatorSet) -> JsonObject:
    """`quorum_stake` is the least that is more than two thirds."""
    return {
        "height": view.height,
        "round": view.round,
        "step": view.step.name.lower(),
        "forger": format_address(view.forger),
        "has_proposal": view.has_proposal,
        "locked_round": view.locked_round,
        "locked_block": hex_or_none(view.locked_block),
        "valid_round": view.valid_round,
        "valid_block": hex_or_none(view.valid_block),
        "total_stake": view.total_stake,
        "quorum_stake": validators.quorum_stake,
        "prevote_stake": view.prevote_stake,
        "precommit_stake": view.precommit_stake,
        "missing_prevotes": _stakes(view.missing_prevotes, validators),
        "missing_precommits": _stakes(view.missing_precommits, validators),
        "online_stake": view.total_stake - sum(validators.stake_of(one) for one in view.offline),
        "offline": _stakes(view.offline, validators),
        "waiting_for": view.waiting_for,
    }


def account(view: AccountView) -> JsonObject:
    return {
        "address": format_address(view.address),
        "public_key": view.address.hex(),
        "balance": view.balance,
        "nonce": view.nonce,
        "next_nonce": view.next_nonce,
        "stake": view.stake,
        "staked": view.staked,
        "waiting": view.waiting,
        "unbonding": [msgspec.structs.asdict(entry) for entry in view.unbonding],
        "validator_key": hex_or_none(view.validator_key),
        "validator_key_from": view.validator_key_from,
        "is_out": view.is_out,
        "suspension": view.suspension,
        "pause": None if view.pause is None else msgspec.structs.asdict(view.pause),
    }


def peers(connected: Sequence[PeerView], dials: Sequence[DialView], bans: Sequence[BanView]) -> JsonObject:
    return {
        "peers": [{**msgspec.structs.asdict(peer), "id": peer.id.hex()} for peer in connected],
        "dials": [msgspec.structs.asdict(dial) for dial in dials],
        "bans": [{**msgspec.structs.asdict(ban), "peer": hex_or_none(ban.peer)} for ban in bans],
    }


def transaction(view: TransactionView) -> JsonObject:
    is_refused = view.state not in ("pending", "final")
    return {
        "id": view.id.hex(),
        "state": view.state,
        "height": view.height,
        "position": view.position,
        "transaction": None if view.raw is None else transaction_to_json(decode_transaction(view.raw)),
        "refusal": _refusal(view.stages[-1]) if is_refused else None,
        "stages": [_stage(stage) for stage in view.stages],
    }


def outcome(view: OutcomeView) -> JsonObject:
    return {"id": view.id.hex(), "state": view.state, "height": view.height, "position": view.position}


def dry_run(view: DryRunView, identifier: Hash32 | None, signature: str) -> JsonObject:
    return {
        "outcome": view.outcome,
        "height": view.height,
        "code": view.code,
        "why": view.why,
        "signature": signature,
        "id": hex_or_none(identifier),
        "replaces": hex_or_none(view.replaces),
        "changes": [
            {
                "address": format_address(change.address),
                "before": msgspec.structs.asdict(change.before),
                "after": msgspec.structs.asdict(change.after),
            }
            for change in view.changes
        ],
    }


def pool(pending: Sequence[VerifiedTransaction]) -> list[JsonObject]:
    return [{"id": one.id.hex(), **transaction_to_json(one.transaction)} for one in pending]


def page(blocks: Sequence[RenderedBlock]) -> JsonObject:
    """Ascending; `next` is what `before` has to be for the page of older blocks, or null."""
    lowest = blocks[0].final.height if blocks else 1
    return {"blocks": [block.on_page() for block in blocks], "next": lowest if lowest > 1 else None}


def block_range(blocks: Sequence[RenderedBlock], following: int | None, height: int) -> JsonObject:
    return {"blocks": [block.on_page() for block in blocks], "next": following, "height": height}


def history(
    account: Address,
    places: Sequence[tuple[int, int]],
    blocks: Mapping[int, RenderedBlock],
    following: tuple[int, int] | None,
) -> JsonObject:
    entries = []
    for height, position in places:
        found = blocks[height]
        entries.append(
            {
                "height": height,
                "position": position,
                "block_id": found.final.id.hex(),
                "time_ms": found.block.header.time_ms,
                "direction": direction(found.parties(position), account),
                "transaction": found.transaction(position),
            }
        )
    return {"entries": entries, "next": None if following is None else f"{following[0]}:{following[1]}"}


def direction(parties: Parties, account: Address) -> str:
    """Which way a transaction goes, seen from an account that it names."""
    sender, paid = parties
    if sender != account:
        return "in"
    return "self" if paid == account else "out"


def genesis(spec: ChainSpec, genesis_hash: Hash32) -> JsonObject:
    listed = msgspec.structs.replace(spec, accounts=spec.accounts[:GENESIS_ACCOUNTS_LISTED_MAX])
    return {"hash": genesis_hash.hex(), "account_count": len(spec.accounts), **chain_to_json(listed)}


def lottery(receipt: LotteryReceipt) -> JsonObject:
    first, end = receipt.interval
    return {
        "genesis_hash": receipt.genesis_hash.hex(),
        "height": receipt.height,
        "round": receipt.round,
        "seed": receipt.seed.hex(),
        "reference": receipt.reference.hex(),
        "point": receipt.point,
        "total_stake": receipt.total_stake,
        "left_out": [format_address(address) for address in receipt.left_out],
        "forger": format_address(receipt.forger),
        "interval": [first, end],
        "validators": validators_to_json(receipt.validators),
        "vrf_proof": hex_or_none(receipt.vrf_proof),
        "header": _header_or_none(receipt.header),
        "parent_header": _header_or_none(receipt.parent_header),
        "certificate": None if receipt.certificate is None else certificate_to_json(receipt.certificate),
    }


def _header_or_none(header: Header | None) -> str | None:
    """Canonical bytes, which have the block's id."""
    return None if header is None else codec.encode(header).hex()


def submission_result(result: SubmissionResult) -> JsonObject:
    return {"id": result.id.hex(), "is_accepted": not result.code, "code": result.code, "why": result.why}


def unread_result(error: InvalidTransaction) -> JsonObject:
    """Of one that could not be read, so that it has no id."""
    return {"id": None, "is_accepted": False, "code": error.code, "why": error.why}


def _refusal(end: Stage) -> JsonObject:
    return {"code": end.code, "why": end.why, "time_ms": end.time_ms}


def _stage(stage: Stage) -> JsonObject:
    return {
        "stage": stage.name,
        "time_ms": stage.time_ms,
        "height": stage.height or None,
        "round": stage.round if stage.round >= 0 else None,
        "code": stage.code or None,
        "why": stage.why or None,
    }


def _stakes(missing: Sequence[Address], chosen: ValidatorSet) -> list[JsonObject]:
    return [{"validator": format_address(one), "stake": chosen.stake_of(one)} for one in missing]


def _address_or_none(address: Address | None) -> str | None:
    return None if address is None else format_address(address)
