"""Whether the process answers, and whether the node is fit to be used."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from blockchain.api.routes.paths import NodeOf, add_path, answer_json
from blockchain.api.schemas import LiveAnswer, PingAnswer, ReadyAnswer
from blockchain.errors import Refusal
from blockchain.node.views import StatusView


async def ping() -> Response:
    """Answer "pong!"."""
    return answer_json({"success": "pong!"})


async def is_live() -> Response:
    """The process answers.

    Says nothing of the chain: a node that is halted or syncing is alive, and a restart would not help it.
    """
    return answer_json({"status": "live"})


async def is_ready(node: NodeOf) -> Response:
    """This node can be used: it has not halted, and is not catching up.

    Otherwise 503, code `not_ready`, with the same named checks.
    """
    checks = _checks(node.status())
    failed = [str(check["why"]) for check in checks.values() if not check["ok"]]
    if failed:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "; ".join(failed), checks=checks)
    return answer_json({"status": "ready", "checks": checks})


def health_routes() -> APIRouter:
    router = APIRouter(tags=["health"])
    add_path(router, "/ping/", ping, PingAnswer)
    add_path(router, "/livez", is_live, LiveAnswer)
    add_path(router, "/readyz", is_ready, ReadyAnswer, problems={503: "not_ready"})
    return router


def _checks(view: StatusView) -> dict[str, dict[str, object]]:
    behind = f"at height {view.height}, a peer at {view.best_peer_height}" if view.is_syncing else ""
    return {
        "not_halted": {"ok": not view.is_halted, "why": f"halted: {view.is_halted}" if view.is_halted else ""},
        "synced": {"ok": not view.is_syncing, "why": f"syncing: {behind}" if behind else ""},
    }
