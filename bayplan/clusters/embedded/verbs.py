"""The verbs of the API over HTTP: each reads its request, makes one call on the store and renders the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from bayplan.clusters.embedded.conversion import to_version
from bayplan.clusters.embedded.errors import ApiError, bad_request, not_found, unsupported_media
from bayplan.clusters.embedded.fieldnames import refuse_unknown_fields, unknown_fields
from bayplan.clusters.embedded.pages import Page
from bayplan.clusters.embedded.records import Record
from bayplan.clusters.embedded.requests import (
    Target,
    decode_body,
    decode_object,
    dry_run,
    flag,
    integer,
    parse_accept,
)
from bayplan.clusters.embedded.selectors import field_selector, label_selector
from bayplan.clusters.embedded.store import Object
from bayplan.clusters.embedded.streaming import WatchRequest, watch_lines
from bayplan.clusters.embedded.subresources import bind, evict, scale_of, set_scale
from bayplan.clusters.embedded.tables import columns_of, partial_metadata, table
from bayplan.clusters.embedded.writer import PatchKind

if TYPE_CHECKING:
    from bayplan.clusters.embedded.http import Api

_PATCH_KINDS: dict[str, PatchKind] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


# -- rendering ------------------------------------------------------------------------------------------------


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _versioned(target: Target, record: Record) -> bytes:
    """The object's bytes in the version that was asked for."""
    if len(target.kind.versions) == 1:
        return record.raw
    return msgspec.json.encode(to_version(target.kind, target.version, record.decode()))


def _shown(api: Api, target: Target, request: Request, obj: Object, status: int = 200) -> Response:
    """One object in the form the client asked for."""
    form = parse_accept(request.headers.get("accept", "")).form
    obj = to_version(target.kind, target.version, obj)
    if form == "Table":
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        include = request.query_params.get("includeObject", "Metadata")
        columns = columns_of(target.kind, target.version, api.store)
        return _json(table(columns, [obj], api.store.now(), metadata=meta, include=include), status)
    return _json(partial_metadata(obj) if form == "PartialObjectMetadata" else obj, status)


def _shown_list(api: Api, target: Target, request: Request, page: Page, selected: bool) -> Response:
    form = parse_accept(request.headers.get("accept", "")).form
    meta: dict[str, Any] = {"resourceVersion": str(page.version)}
    if page.token:
        meta["continue"] = page.token
        meta |= {} if selected else {"remainingItemCount": page.left}
    if form == "Table":
        include = request.query_params.get("includeObject", "Metadata")
        columns = columns_of(target.kind, target.version, api.store)
        objects = (record.decode() for record in page.records)
        return _json(table(columns, objects, api.store.now(), metadata=meta, include=include))
    if form == "PartialObjectMetadataList":
        items = [partial_metadata(record.decode()) for record in page.records]
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return _json(kind | {"metadata": meta, "items": items})
    head = {"kind": target.kind.list_kind, "apiVersion": target.api_version, "metadata": meta}
    body = b",".join(_versioned(target, record) for record in page.records)
    return Response(msgspec.json.encode(head)[:-1] + b',"items":[' + body + b"]}", media_type="application/json")


# -- collections ----------------------------------------------------------------------------------------------


async def list_or_watch(api: Api, target: Target, request: Request) -> Response:
    query = request.query_params
    if flag(query, "watch"):
        return _watch(api, target, request)
    selectors = {"label_selector": query.get("labelSelector", ""), "field_selector": query.get("fieldSelector", "")}
    limit = integer(query, "limit")
    if token := query.get("continue"):
        page = api.pages.more(token, limit)
    else:
        found, version = api.store.rows(target.kind.resource, target.namespace, **selectors)
        page = api.pages.first(found, version, limit)
    return _shown_list(api, target, request, page, any(selectors.values()))


def _watch(api: Api, target: Target, request: Request, name: str = "") -> Response:
    query = request.query_params
    version = query.get("resourceVersion", "")
    if version and not version.isdigit():
        raise bad_request(f"resourceVersion: {version!r} is not a number")
    wants_initial = flag(query, "sendInitialEvents")
    since = int(version) if version not in ("", "0") else None
    timeout = integer(query, "timeoutSeconds")
    watch = WatchRequest(
        resource=target.kind.resource,
        api_version=target.api_version,
        kind=target.kind.kind,
        since=since,
        initial=wants_initial or (since is None and "sendInitialEvents" not in query),
        bookmarks=flag(query, "allowWatchBookmarks"),
        initial_end=wants_initial and flag(query, "allowWatchBookmarks"),
        timeout_seconds=float(timeout) if timeout else None,
        matches=_matcher(target, query, name),
        render=_renderer(api, target, request),
    )
    return StreamingResponse(watch_lines(api.store, api.wakeups, watch), media_type="application/json")


def _matcher(target: Target, query: Mapping[str, str], name: str) -> Callable[[Record], bool]:
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), target.kind.fields, target.kind.kind)
    namespace = target.namespace
    return lambda record: (
        (not namespace or record.namespace == namespace)
        and (not name or record.name == name)
        and labels(record.labels)
        and fields(record.fields)
    )


def _renderer(api: Api, target: Target, request: Request) -> Callable[[Record], bytes]:
    form = parse_accept(request.headers.get("accept", "")).form
    if form == "PartialObjectMetadata":
        return lambda record: msgspec.json.encode(partial_metadata(record.decode()))
    if form != "Table":
        return lambda record: _versioned(target, record)
    columns = columns_of(target.kind, target.version, api.store)
    include = request.query_params.get("includeObject", "Metadata")
    headed = [True]

    def render(record: Record) -> bytes:
        """A table of one row; only the first carries the column definitions."""
        obj = record.decode()
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        made = table(columns, [obj], api.store.now(), metadata=meta, include=include, headed=headed[0])
        headed[0] = False
        return msgspec.json.encode(made)

    return render


async def create(api: Api, target: Target, request: Request) -> Response:
    if target.kind.create_only:
        return _json(_reviewed(target), 201)
    obj = await _object(request)
    _check_version(target, obj)
    warnings = _unknown_fields(target, request, obj)
    created = api.store.create(
        target.kind.resource,
        target.namespace,
        obj,
        manager=_manager(request),
        dry_run=dry_run(request.query_params),
    )
    return _with_warnings(_shown(api, target, request, created, 201), warnings)


def _reviewed(target: Target) -> Object:
    """Everyone may do everything here, whatever is asked: there is one user, and he is at his own machine."""
    review: Object = {"apiVersion": target.api_version, "kind": target.kind.kind, "metadata": {}, "spec": {}}
    if target.kind.kind == "SelfSubjectRulesReview":
        every = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        return review | {"status": {"resourceRules": every, "nonResourceRules": [], "incomplete": False}}
    return review | {"status": {"allowed": True, "reason": "this cluster has one user"}}


async def delete_collection(api: Api, target: Target, request: Request) -> Response:
    options = await _delete_options(request)
    query = request.query_params
    dry = options.pop("dry_run")
    with api.store.transaction(dry_run=dry):
        found, version = api.store.rows(
            target.kind.resource,
            target.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
        )
        for record in found:
            if api.store.find(target.kind.resource, record.namespace, record.name):
                api.store.delete(target.kind.resource, record.namespace, record.name, **options)
    return _shown_list(api, target, request, Page(found, version, "", 0), True)


# -- objects --------------------------------------------------------------------------------------------------


async def read(api: Api, target: Target, request: Request) -> Response:
    if flag(request.query_params, "watch"):
        return _watch(api, target, request, target.name)
    record = api.store.record(target.kind.resource, target.namespace, target.name)
    if not request.headers.get("accept", "").count("as="):
        return Response(_versioned(target, record), media_type="application/json")
    return _shown(api, target, request, record.decode())


async def replace(api: Api, target: Target, request: Request) -> Response:
    obj = await _object(request)
    _check_version(target, obj)
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict) or meta.setdefault("name", target.name) != target.name:
        raise bad_request(f"the name in the object does not match the name on the URL ({target.name})")
    warnings = _unknown_fields(target, request, obj)
    written = api.store.update(
        target.kind.resource,
        target.namespace,
        obj,
        subresource=target.subresource,
        manager=_manager(request),
        dry_run=dry_run(request.query_params),
    )
    return _with_warnings(_shown(api, target, request, written), warnings)


async def patch(api: Api, target: Target, request: Request) -> Response:
    how = _patch_kind(request)
    body = decode_body(request.headers.get("content-type", ""), await request.body())
    warnings: list[str] = []
    if isinstance(body, dict):
        _check_version(target, body)
        warnings = _unknown_fields(target, request, body) if how != "json" else []
    query = request.query_params
    known = api.store.find(target.kind.resource, target.namespace, target.name) is not None
    written = api.store.patch(
        target.kind.resource,
        target.namespace,
        target.name,
        body,
        how,
        subresource=target.subresource,
        manager=_manager(request),
        force=flag(query, "force"),
        dry_run=dry_run(query),
    )
    return _with_warnings(_shown(api, target, request, written.decode(), 200 if known else 201), warnings)


async def delete(api: Api, target: Target, request: Request) -> Response:
    options = await _delete_options(request)
    resource, kind = target.kind.resource, target.kind
    removed = api.store.delete(resource, target.namespace, target.name, **options)
    left = api.store.find(resource, target.namespace, target.name)
    if left is not None and left["metadata"]["uid"] == removed["metadata"]["uid"] and not options["dry_run"]:
        return _shown(api, target, request, removed)
    details = {"name": target.name, "kind": kind.plural, "uid": removed["metadata"]["uid"]}
    details |= {"group": kind.group} if kind.group else {}
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


# -- subresources ---------------------------------------------------------------------------------------------


async def read_scale(api: Api, target: Target, request: Request) -> Response:
    return _json(scale_of(target.kind, api.store.get(target.kind.resource, target.namespace, target.name)))


async def write_scale(api: Api, target: Target, request: Request) -> Response:
    how = _patch_kind(request) if request.method == "PATCH" else None
    if how == "apply":
        raise unsupported_media("a Scale cannot be applied: patch or replace it")
    body = decode_body(request.headers.get("content-type", ""), await request.body())
    written = set_scale(
        api.store,
        target.kind,
        target.namespace,
        target.name,
        body,
        how,
        manager=_manager(request),
        dry_run=dry_run(request.query_params),
    )
    return _json(written)


async def create_binding(api: Api, target: Target, request: Request) -> Response:
    bind(api.store, target.namespace or "", target.name, await _object(request))
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


async def create_eviction(api: Api, target: Target, request: Request) -> Response:
    eviction = await _object(request)
    evict(api.store, target.namespace or "", target.name, eviction, dry_run=dry_run(request.query_params))
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


async def read_log(api: Api, target: Target, request: Request) -> Response:
    namespace = target.namespace or ""
    if api.store.find("pods", namespace, target.name) is None:
        raise not_found("pods", target.name)
    text = api.pod_logs(namespace, target.name) if api.pod_logs else ""
    lines = text.splitlines(keepends=True)
    tail = integer(request.query_params, "tailLines")
    return PlainTextResponse("".join(lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]))


# -- reading requests -----------------------------------------------------------------------------------------


async def _object(request: Request) -> Object:
    return decode_object(request.headers.get("content-type", ""), await request.body())


def _manager(request: Request) -> str:
    return request.query_params.get("fieldManager", "")


def _patch_kind(request: Request) -> PatchKind:
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    found = _PATCH_KINDS.get(media)
    if found is None:
        raise unsupported_media(f"{media!r} is not a kind of patch; use one of {', '.join(_PATCH_KINDS)}")
    return found


def _check_version(target: Target, obj: Mapping[str, Any]) -> None:
    said = obj.get("apiVersion") or target.api_version
    if said != target.api_version:
        raise bad_request(
            f"the API version in the data ({said}) does not match the expected API version ({target.api_version})"
        )


def _unknown_fields(target: Target, request: Request, obj: Mapping[str, Any]) -> list[str]:
    """What `fieldValidation` asks: refuse unknown fields (Strict), name them (Warn), or say nothing."""
    asked = request.query_params.get("fieldValidation", "")
    if asked == "Strict":
        refuse_unknown_fields(target.kind, {"apiVersion": target.api_version} | dict(obj))
    return unknown_fields(target.kind, obj) if asked == "Warn" else []


def _with_warnings(response: Response, unknown: list[str]) -> Response:
    """RFC 7234 warning headers, which kubectl prints."""
    for path in unknown:
        response.headers.append("Warning", f'299 - "unknown field \\"{path}\\""')
    return response


async def _delete_options(request: Request) -> dict[str, Any]:
    """The arguments of `Store.delete` from the query and the DeleteOptions in the body."""
    raw = await request.body()
    body = decode_object(request.headers.get("content-type", ""), raw) if raw else {}
    query = request.query_params
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
    if body.get("orphanDependents") is True:
        propagation = "Orphan"
    if propagation not in ("Background", "Foreground", "Orphan"):
        raise bad_request(f"propagationPolicy: {propagation!r} is not Background, Foreground or Orphan")
    grace = body.get("gracePeriodSeconds", integer(query, "gracePeriodSeconds"))
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise ApiError(422, "Invalid", f"gracePeriodSeconds: {grace!r} is not a whole number from 0")
    wanted = body.get("preconditions") or {}
    return {
        "grace_seconds": grace,
        "propagation": propagation,
        "uid": wanted.get("uid"),
        "version": wanted.get("resourceVersion"),
        "dry_run": dry_run(query, body),
    }


Verb = Callable[["Api", Target, Request], Awaitable[Response]]

COLLECTIONS: dict[str, Verb] = {"GET": list_or_watch, "POST": create, "DELETE": delete_collection}
OBJECTS: dict[str, Verb] = {"GET": read, "PUT": replace, "PATCH": patch, "DELETE": delete}
SUBRESOURCES: dict[tuple[str, str], Verb] = {
    ("GET", "status"): read,
    ("PUT", "status"): replace,
    ("PATCH", "status"): patch,
    ("GET", "scale"): read_scale,
    ("PUT", "scale"): write_scale,
    ("PATCH", "scale"): write_scale,
    ("POST", "binding"): create_binding,
    ("POST", "eviction"): create_eviction,
    ("GET", "log"): read_log,
}
