"""The pages of the documentation. Every asset is served by the node, and the page may load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC_FOLDER: Final = Path(__file__).parent / "static"
# The bundle draws its icons from data: URLs and sets styles in attributes; all else comes from this node.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def add_docs(app: FastAPI, prefix: str) -> None:
    """`<prefix>/docs`, with its assets under `<prefix>/static`."""
    for path in (f"{prefix}/docs/", f"{prefix}/docs"):
        app.add_api_route(path, _docs_page, methods=["GET"], include_in_schema=False)
    app.mount(f"{prefix}/static", StaticFiles(directory=STATIC_FOLDER))


async def _docs_page() -> FileResponse:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC_FOLDER / "docs.html", headers=headers, media_type="text/html")
