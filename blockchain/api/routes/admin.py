"""What changes a node, or tells of it what is its operator's alone. Every path here asks for the token."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute

from blockchain.api.admin import AdminGate, AdminToken, check_admin
from blockchain.api.routes.paths import add_path, answer_json
from blockchain.api.schemas import AdminAnswer

TOKEN_PROBLEMS: Final = {401: "token_missing", 403: "token_wrong"}  # of every path that asks for the token


async def list_actions(request: Request) -> Response:
    """List what the token may do."""
    return answer_json({"actions": request.app.state.admin_actions})


def admin_routes() -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(check_admin)])
    add_path(router, "/", list_actions, AdminAnswer, problems=TOKEN_PROBLEMS)
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
