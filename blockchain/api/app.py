"""Puts the application together: routes, problem documents, documentation, access log."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct

from blockchain import __version__
from blockchain.api.access import AccessLog
from blockchain.api.admin import AdminToken
from blockchain.api.body import BodyLimits, BodyMemory
from blockchain.api.direct import Direct, DirectRoutes
from blockchain.api.docs import add_docs
from blockchain.api.hosts import CheckedHost, HostRule
from blockchain.api.problems import UnexpectedErrors, answer_with_problems
from blockchain.api.rate import BURST_SECONDS, REQUESTS_PER_SECOND, ClientBuckets, RequestRate
from blockchain.api.rendered import RenderedBlocks
from blockchain.api.routes.admin import add_admin
from blockchain.api.routes.chain import chain_routes
from blockchain.api.routes.dry_run import dry_run_routes
from blockchain.api.routes.health import health_routes
from blockchain.api.routes.history import history_routes
from blockchain.api.routes.proofs import proof_routes
from blockchain.api.routes.seeing import seeing_routes
from blockchain.api.routes.state import state_routes
from blockchain.api.routes.transactions import transaction_routes
from blockchain.api.schemas import Problem
from blockchain.api.turns import Turns
from blockchain.api.url import CheckedUrl
from blockchain.api.waiting import Waits
from blockchain.node.views import NodeReader

PREFIX: Final = "/api/v1"
_DESCRIPTION: Final = (
    "A proof-of-stake validator node. Amounts are integers of the smallest unit, times milliseconds since 1970, "
    "addresses bech32m, ids and keys hex. Errors are RFC 9457 problem documents with a stable `code`."
)


class _Application(FastAPI):
    """With the schema of problem documents, to which every answer of 400 and above refers."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return document


class ApiSettings(Struct, frozen=True):
    """What may differ between nodes."""

    body_limits: BodyLimits = BodyLimits()
    hosts: HostRule = HostRule()
    requests_per_second: int = REQUESTS_PER_SECOND  # of one client
    admin_token: AdminToken | None = None  # None: no path under /api/v1/admin/


def create_app(node: NodeReader, settings: ApiSettings | None = None) -> FastAPI:
    """The API over one node. No CORS header is ever sent: pages of other origins may not read it."""
    app = _Application(
        title="Blockchain node",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,  # the framework writes the document anew for each request; docs.py serves it
        docs_url=None,  # the framework's page loads its script from a CDN
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        # Logs are this project's own; spans nobody collects would cost every request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    settings = settings or ApiSettings()
    app.state.node = node
    app.state.rendered = RenderedBlocks()
    app.state.waits = Waits()
    app.state.body_limits = settings.body_limits
    app.state.body_memory = BodyMemory(settings.body_limits.total_bytes_max)
    routers = (
        chain_routes,
        transaction_routes,
        dry_run_routes,
        state_routes,
        seeing_routes,
        proof_routes,
        history_routes,
    )
    direct = DirectRoutes()
    for prefix, router in (("", health_routes()), *((PREFIX, make()) for make in routers)):
        app.include_router(router, prefix=prefix)
        direct.add(prefix, router.routes)
    if settings.admin_token is not None:
        add_admin(app, PREFIX, settings.admin_token)
    add_docs(app, PREFIX)
    answer_with_problems(app)
    per_second = settings.requests_per_second
    app.add_middleware(Direct, routes=direct)
    app.add_middleware(Turns)  # of those that are not refused
    app.add_middleware(CheckedUrl)
    app.add_middleware(CheckedHost, rule=settings.hosts)
    app.add_middleware(RequestRate, buckets=ClientBuckets(per_second, per_second * BURST_SECONDS))
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(AccessLog)  # the last one added is the outermost: it sees the 500 as well
    return app
