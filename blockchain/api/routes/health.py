"""Whether the process answers, and whether the node is fit to be used."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response

from blockchain.api.routes.paths import NodeOf, add_path, answer_json
from blockchain.api.schemas import LiveAnswer, PingAnswer, ReadyAnswer, SyncingAnswer
from blockchain.errors import Refusal
from blockchain.node.liveness import stall_limit_ms
from blockchain.node.views import NodeReader, StatusView

Check = Callable[[StatusView, NodeReader], str]


async def ping() -> Response:
    """Answer "pong!"."""
    return answer_json({"success": "pong!"})


async def is_live() -> Response:
    """The process answers.

    Says nothing of the chain: a node that is halted or syncing is alive, and a restart would not help it.
    """
    return answer_json({"status": "live"})


async def is_ready(node: NodeOf) -> Response:
    """This node can be used: every check passes.

    It has not halted, is not catching up, trusts its chain (which it does not when its newest block is older than stake
    is bound, until it meets a checkpoint), signs where it is a validator (it does not while it listens whether
    anybody else signs with its key, nor once somebody was seen to), and the chain is not stopped: a block is awaited,
    and none became final for four times the time-outs of a round. A chain with nothing to do is ready. Otherwise 503,
    code `not_ready`, with the same named checks.
    """
    checks = _checks(node)
    failed = _failed(checks)
    if failed:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "; ".join(failed.values()), checks=checks)
    return answer_json({"status": "ready", "checks": checks})


async def get_health(node: NodeOf) -> Response:
    """The health of this node as one status: 200 ready, 206 syncing, 503 not to be used.

    The same checks as `/readyz`; 503 has the code `not_usable`.
    """
    checks = _checks(node)
    failed = _failed(checks)
    if not failed:
        return answer_json({"status": "ready", "checks": checks})
    if failed.keys() == {"synced"}:
        return answer_json({"status": "syncing", "checks": checks}, HTTPStatus.PARTIAL_CONTENT)
    raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_usable", "; ".join(failed.values()), checks=checks)


def health_routes() -> APIRouter:
    router = APIRouter(tags=["health"])
    add_path(router, "/ping/", ping, PingAnswer)
    add_path(router, "/livez", is_live, LiveAnswer)
    add_path(router, "/readyz", is_ready, ReadyAnswer, problems={503: "not_ready"})
    also = {206: SyncingAnswer}
    add_path(router, "/health", get_health, ReadyAnswer, also=also, problems={503: "not_usable"})
    return router


def _not_halted(view: StatusView, _node: NodeReader) -> str:
    return f"halted: {view.is_halted}" if view.is_halted else ""


def _synced(view: StatusView, _node: NodeReader) -> str:
    return f"syncing: at height {view.height}, a peer at {view.best_peer_height}" if view.is_syncing else ""


def _trusted(view: StatusView, _node: NodeReader) -> str:
    return f"not trusted: {view.untrusted}" if view.untrusted else ""


def _signs(view: StatusView, _node: NodeReader) -> str:
    """While it catches up, that is what it says: it signs nothing before it is level anyway."""
    return f"signs nothing: {view.silent}" if view.silent and not view.is_syncing else ""


def _not_stalled(view: StatusView, node: NodeReader) -> str:
    if view.stalled_ms < stall_limit_ms(node.spec.parameters):
        return ""
    return f"stopped: nothing final for {view.stalled_ms // 1_000} s, waiting for {view.consensus.waiting_for}"


CHECKS: Final[dict[str, Check]] = {  # each says why it fails, or nothing
    "not_halted": _not_halted,
    "synced": _synced,
    "not_stalled": _not_stalled,
    "trusted": _trusted,
    "signs": _signs,
}


def _checks(node: NodeReader) -> dict[str, dict[str, object]]:
    view = node.status()
    reasons = {name: check(view, node) for name, check in CHECKS.items()}
    return {name: {"ok": not why, "why": why} for name, why in reasons.items()}


def _failed(checks: dict[str, dict[str, object]]) -> dict[str, str]:
    return {name: str(check["why"]) for name, check in checks.items() if not check["ok"]}
