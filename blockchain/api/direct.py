"""Plain requests go straight to their endpoint; the framework answers all others, and documents every path.

FastAPI tries one route after the other, twice for those that were included, and works out for each request anew what an
endpoint wants: two thirds of what a small answer cost (decision 0013). A request for a path whose parts are text needs
none of that. What is not found here, or has a query that is not good, goes on to the framework, which alone says what
is wrong with a path, a method or a parameter.

A route is taken only where nothing is lost: it depends on nothing but the check of query parameters, and each argument
is the request, something taken from it (`Depends`), a part of the path as text, or a query parameter with its default.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, Final, cast, get_args, get_type_hints
from urllib.parse import parse_qsl

from fastapi import Request, Response, params
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import ASGIApp, Receive, Scope, Send

from blockchain.api.problems import EXPECTED, problem_of
from blockchain.api.routes.parameters import KnownParameters

FromRequest = Callable[[Request], Awaitable[object]]
QUERIES_MAX: Final = 64  # of each endpoint of which it is remembered what they say
QUERY_BYTES_MAX: Final = 256  # of one that is looked at here


class _Endpoint:
    """What answers, and where its arguments come from: by name from the request, and from the path in their order.

    `asked` are those of the query: by the name that it has there, the argument's and what reads its value.
    """

    def __init__(
        self,
        call: Callable[..., Awaitable[Response]],
        sources: dict[str, FromRequest],
        parts: list[str],
        asked: dict[str, tuple[str, TypeAdapter[Any]]],
    ) -> None:
        self._call = call
        self._sources = tuple(sources.items())
        self._parts = parts
        self._asked = asked
        self.asked_in = lru_cache(QUERIES_MAX)(self._asked_in)

    def _asked_in(self, query: bytes) -> dict[str, object] | None:
        """The arguments that a query gives; None where it is not good, as the framework is to tell."""
        arguments: dict[str, object] = {}
        try:
            for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
                argument, reader = self._asked[name]
                if argument in arguments or not text:
                    return None
                arguments[argument] = reader.validate_python(text)
        except (KeyError, ValueError):
            return None
        return arguments

    async def answer(self, request: Request, given: list[str], asked: dict[str, object]) -> Response:
        arguments: dict[str, object] = {**asked, **dict(zip(self._parts, given, strict=True))}
        for name, source in self._sources:
            arguments[name] = await source(request)
        return await self._call(**arguments)


class _Place:
    """Where a path has led to so far. What follows is one of some words, or anything: never both."""

    def __init__(self) -> None:
        self.words: dict[str, _Place] = {}
        self.anything: _Place | None = None
        self.endpoints: dict[str, _Endpoint] = {}  # by method, of a path that ends here

    def after(self, part: str) -> _Place | None:
        return self.anything if self.anything is not None and part else self.words.get(part)

    def add(self, part: str) -> _Place:
        """The place that follows a part of a template."""
        if not part.startswith("{"):
            assert self.anything is None or not part, f"{part!r} may be meant, or any other word"
            return self.words.setdefault(part, _Place())
        assert not any(self.words), f"{part} may be meant, or one of {sorted(self.words)}"
        if self.anything is None:
            self.anything = _Place()
        return self.anything


class DirectRoutes:
    """Paths and their endpoints. Filled before the first request, then only read."""

    def __init__(self) -> None:
        self._root = _Place()

    def add(self, prefix: str, routes: Iterable[object]) -> None:
        """Take those that may be taken."""
        for route in routes:
            endpoint = _endpoint_of(route) if isinstance(route, APIRoute) else None
            if isinstance(route, APIRoute) and endpoint is not None:
                place = self._root
                for part in f"{prefix}{route.path}".split("/"):
                    place = place.add(part)
                place.endpoints.update(dict.fromkeys(route.methods or (), endpoint))

    def find(self, method: str, path: str) -> tuple[_Endpoint, list[str]] | None:
        """The endpoint and the parts of the path that are its parameters; None where the framework is to look."""
        place, given = self._root, []
        for part in path.split("/"):
            found = place.after(part)
            if found is None:
                return None
            if found is place.anything:
                given.append(part)
            place = found
        endpoint = place.endpoints.get(method)
        return None if endpoint is None else (endpoint, given)


class Direct:
    """An ASGI layer, the innermost one. Expected errors become problem documents, as in the framework."""

    def __init__(self, app: ASGIApp, routes: DirectRoutes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_plain = scope["type"] == "http" and len(scope["query_string"]) <= QUERY_BYTES_MAX
        found = self._routes.find(scope["method"], scope["path"]) if is_plain and not scope.get("root_path") else None
        asked = None if found is None else found[0].asked_in(scope["query_string"])
        if found is None or asked is None:
            await self._app(scope, receive, send)
            return
        endpoint, given = found
        try:
            response = await endpoint.answer(Request(scope, receive), given, asked)
        except EXPECTED as error:
            response = problem_of(error)
        await response(scope, receive, send)


async def _whole(request: Request) -> Request:
    return request


def _endpoint_of(route: APIRoute) -> _Endpoint | None:
    """None for a route that wants more than a plain request has."""
    if not all(isinstance(one.dependency, KnownParameters) for one in route.dependencies):
        return None
    sources: dict[str, FromRequest] = {}
    asked: dict[str, tuple[str, TypeAdapter[Any]]] = {}
    hints = get_type_hints(route.endpoint, include_extras=True)
    in_path = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    for name, parameter in inspect.signature(route.endpoint).parameters.items():
        wanted = hints[name]
        if name in in_path and _is_text(wanted):
            continue
        source = _source_of(wanted)
        query = _query_of(wanted, parameter)
        if source is not None:
            sources[name] = source
        elif query is not None:
            asked[query.alias or name] = name, TypeAdapter(wanted)
        else:
            return None
    return _Endpoint(route.endpoint, sources, in_path, asked)


def _is_text(wanted: Any) -> bool:
    """Text of the path, of which nothing further is asked."""
    kind, *more = get_args(wanted) or (wanted,)
    return kind is str and all(isinstance(one, params.Path) and not one.metadata for one in more)


def _source_of(wanted: Any) -> FromRequest | None:
    if wanted is Request:
        return _whole
    for one in get_args(wanted)[1:]:
        if isinstance(one, params.Depends) and one.dependency is not None:
            asked = get_type_hints(one.dependency)
            asked.pop("return", None)
            return cast("FromRequest", one.dependency) if list(asked.values()) == [Request] else None
    return None


def _query_of(wanted: Any, parameter: inspect.Parameter) -> params.Query | None:
    """What is said of a parameter of the query that may be left out; None: it is none."""
    has_default = parameter.default is not inspect.Parameter.empty
    return next((one for one in get_args(wanted)[1:] if isinstance(one, params.Query)), None) if has_default else None
