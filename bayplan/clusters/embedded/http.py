"""The store over HTTP, as stock kubectl and other clients speak to an API server.

One ASGI application: discovery, OpenAPI, health, and every verb on every served resource. Answers are JSON; a client
that asks for a Table gets one. Requests run in the event loop: the store answers in microseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from bayplan.clusters.embedded import discovery, openapi, verbs
from bayplan.clusters.embedded.errors import ApiError, internal, method_not_allowed
from bayplan.clusters.embedded.pages import Pages
from bayplan.clusters.embedded.requests import Target, parse_accept, parse_target
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.embedded.streaming import Wakeups

PodLogs = Callable[[str, str], str]


def create_app(store: Store, *, pod_logs: PodLogs | None = None, wakeups: Wakeups | None = None) -> Starlette:
    """The API of `store`; `pod_logs(namespace, name)` answers `kubectl logs`."""
    return Starlette(routes=[Mount("/", app=Api(store, pod_logs, wakeups or Wakeups(store)))])


class Api:
    """The ASGI application behind every path."""

    def __init__(self, store: Store, pod_logs: PodLogs | None, wakeups: Wakeups) -> None:
        self.store = store
        self.pod_logs = pod_logs
        self.wakeups = wakeups
        self.pages = Pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = failure(error)
        except Exception as error:
            await failure(internal(f"a defect in this server: {type(error).__name__}: {error}"))(scope, receive, send)
            raise
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        document = self._document(path, request)
        if document is not None:
            return document
        target = parse_target(self.store.kinds, path)
        return await self._verb(target, request)(self, target, request)

    def _document(self, path: str, request: Request) -> Response | None:
        """The fixed documents: health, version, discovery and OpenAPI."""
        kinds = self.store.kinds
        if path.partition("/")[2].partition("/")[0] in ("healthz", "readyz", "livez"):
            return PlainTextResponse("ok")
        if path == "/version":
            return json_response(discovery.version_info())
        if path in ("/api", "/apis") and parse_accept(request.headers.get("accept", "")).aggregated_discovery:
            return json_response(discovery.aggregated(kinds, core=path == "/api"), media=discovery.AGGREGATED_TYPE)
        if path == "/api":
            return json_response(discovery.api_versions(request.url.netloc))
        if path == "/apis":
            return json_response(discovery.group_list(kinds))
        if path == "/openapi/v2":
            return json_response(openapi.v2(kinds))
        if path == "/openapi/v3":
            return json_response(openapi.v3_index(kinds))
        return self._group_document(path.removeprefix("/").split("/"))

    def _group_document(self, parts: list[str]) -> Response | None:
        kinds, found = self.store.kinds, None
        if parts[:2] == ["openapi", "v3"]:
            group, version = (parts[3], parts[4]) if len(parts) == 5 else ("", parts[-1])
            found = openapi.v3(kinds, group, version)
        elif parts[0] == "api" and len(parts) == 2:
            found = discovery.resource_list(kinds, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.group(kinds, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = discovery.resource_list(kinds, parts[1], parts[2])
        return json_response(found) if found else None

    @staticmethod
    def _verb(target: Target, request: Request) -> Callable[[Api, Target, Request], Awaitable[Response]]:
        if target.subresource:
            found = verbs.SUBRESOURCES.get((request.method, target.subresource))
            if target.subresource not in target.kind.subresources:
                found = None
        elif target.name:
            found = verbs.OBJECTS.get(request.method)
        else:
            found = verbs.COLLECTIONS.get(request.method)
        if found is None or (target.kind.create_only and request.method != "POST"):
            raise method_not_allowed("the server does not allow this method on the requested resource")
        return found


def json_response(value: Any, status: int = 200, media: str = "application/json") -> Response:
    return Response(msgspec.json.encode(value), status, media_type=media)


def failure(error: ApiError) -> Response:
    headers = {"Retry-After": "1"} if error.status_code == 429 else None
    return Response(msgspec.json.encode(error.status()), error.status_code, headers, "application/json")
