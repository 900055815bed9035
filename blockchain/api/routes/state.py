"""Where the node and its chain stand: status, agreement, accounts, validators, peers, and the lottery's receipts."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from blockchain import __version__
from blockchain.api import render
from blockchain.api.routes.parameters import AddressPath, HeightPath, RoundPath
from blockchain.api.routes.paths import NodeOf, add_path, answer_json
from blockchain.api.schemas_state import (
    AccountAnswer,
    ConsensusAnswer,
    LotteryAnswer,
    PeersAnswer,
    StatusAnswer,
)
from blockchain.errors import Refusal
from blockchain.primitives.address import parse_address


async def get_status(node: NodeOf) -> Response:
    """This node in a few lines.

    `is_halted` is empty, or says why this node stopped voting; `waiting_for` is what the next block waits for.
    """
    return answer_json(render.status(node.status(), node.spec, node.genesis_hash, node.node_id, __version__))


async def get_consensus(node: NodeOf) -> Response:
    """Where agreement on the next block stands, and whose votes are missing, with their stake."""
    view, validators = node.status().consensus, node.validators()
    return await run_in_threadpool(lambda: answer_json(render.consensus(view, validators)))


async def get_account(node: NodeOf, address: AddressPath) -> Response:
    """An account on the final state: balance, stake, next nonce.

    The address as bech32m or as 64 hex digits. An account that holds nothing yet is all zeros. `next_nonce` counts
    this node's pending transactions too: use it for the next one.
    """
    return answer_json(render.account(node.account(parse_address(address))))


async def list_peers(node: NodeOf) -> Response:
    """Connected peers with their scores, the addresses that this node dials, with why the last attempt failed, and who
    is banned."""
    return answer_json(render.peers(node.peers(), node.dials(), node.bans()))


async def get_lottery(node: NodeOf, height: HeightPath, round: RoundPath) -> Response:
    """Why this forger: a receipt that can be checked offline against the headers."""
    receipt = node.lottery(height, round)
    if receipt is None:
        raise Refusal(404, "lottery_not_found", f"this node knows no draw for height {height}, round {round}")
    return await run_in_threadpool(lambda: answer_json(render.lottery(receipt)))


def state_routes() -> APIRouter:
    router = APIRouter(tags=["state"])
    add_path(router, "/status/", get_status, StatusAnswer)
    add_path(router, "/consensus/", get_consensus, ConsensusAnswer)
    add_path(router, "/accounts/{address}/", get_account, AccountAnswer, problems={422: "invalid_address"})
    add_path(router, "/peers/", list_peers, PeersAnswer)
    add_path(
        router,
        "/lottery/{height}/{round}/",
        get_lottery,
        LotteryAnswer,
        problems={404: "lottery_not_found", 422: "invalid_parameter"},
    )
    return router
