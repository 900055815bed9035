"""What changes a node, or tells of it what is its operator's alone. Every path here asks for the token."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute

from blockchain.api.admin import AdminGate, AdminToken, check_admin
from blockchain.api.body import BodyLimits, parse_json, read_body
from blockchain.api.rate import client_of
from blockchain.api.routes.paths import BODY_PROBLEMS, add_path, answer_json
from blockchain.api.schemas import AdminAnswer, LogLevelAnswer
from blockchain.errors import Refusal
from blockchain.runtime.logs import change_log_level, log_level
from blockchain.settings import LOG_LEVELS

_LEVEL_BODY: Final = BodyLimits(bytes_max=1_024, seconds_max=5.0)
_LEVEL_REQUEST: Final[dict[str, object]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"level": {"type": "string", "enum": list(LOG_LEVELS)}},
                "required": ["level"],
                "additionalProperties": False,
            },
            "example": {"level": "debug"},
        }
    },
}
TOKEN_PROBLEMS: Final = {401: "token_missing", 403: "token_wrong"}  # of every path that asks for the token


async def list_actions(request: Request) -> Response:
    """List what the token may do."""
    return answer_json({"actions": request.app.state.admin_actions})


async def show_log_level() -> Response:
    """Show the least level that is logged."""
    return answer_json({"level": log_level()})


async def set_log_level(request: Request) -> Response:
    """Set the least level that is logged, until the node ends.

    The change is logged. A node that is started again has the level of its settings.
    """
    level = _read_level(parse_json(await read_body(request, _LEVEL_BODY)))
    change_log_level(level, client_of(request.scope))
    return answer_json({"level": level})


def _read_level(value: object) -> str:
    level = value.get("level") if isinstance(value, dict) and value.keys() == {"level"} else None
    if not isinstance(level, str) or level not in LOG_LEVELS:
        raise Refusal(422, "log_level_unknown", f'send {{"level": "info"}}, or one of {", ".join(LOG_LEVELS)}')
    return level


def admin_routes() -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(check_admin)])
    add_path(router, "/", list_actions, AdminAnswer, problems=TOKEN_PROBLEMS)
    add_path(router, "/log_level/", show_log_level, LogLevelAnswer, problems=TOKEN_PROBLEMS)
    add_path(
        router,
        "/log_level/",
        set_log_level,
        LogLevelAnswer,
        method="PUT",
        problems={
            **BODY_PROBLEMS,
            **TOKEN_PROBLEMS,
            422: "log_level_unknown",
        },
        request_body=_LEVEL_REQUEST,
    )
    return router


def add_admin(app: FastAPI, prefix: str, token: AdminToken) -> None:
    """Add the paths under `<prefix>/admin/`, which only this token opens."""
    router = admin_routes()
    app.state.admin_gate = AdminGate(token)
    app.state.admin_actions = [
        {"method": method, "path": f"{prefix}{route.path}", "what": route.summary or ""}
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in sorted(route.methods or ())
    ]
    app.include_router(router, prefix=prefix)
