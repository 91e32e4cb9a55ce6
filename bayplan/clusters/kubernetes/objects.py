"""`Objects` over a real API server: reads from the replica, writes over HTTP, several at once.

A write's answer goes into the replica at once, so that the next decision already sees it. A write that fails for a
passing reason is tried again here: patches are idempotent or carry the version they rest on, so a write that did take
place is at worst answered with a conflict. Who may not write any more (a deposed leader) writes nothing.

The Workload of a pod that is alone and in no queue is *local*: it exists in this replica only. Such a pod costs the API
server what a pod costs under kube-scheduler and nothing more; after a restart its Workload is made again from the pod.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import msgspec

from bayplan.clusters.kubernetes.cache import LOCAL, Cache, Cursor, is_local, record_of
from bayplan.clusters.kubernetes.fibers import Turn, each, pause
from bayplan.clusters.kubernetes.http import Http, Unreachable
from bayplan.clusters.kubernetes.served import Catalogue, Served
from bayplan.runtime.objects import ApiError, Object, R, Record, T
from bayplan.runtime.ports import Temporary
from bayplan.wire import patches
from bayplan.wire.assignment import topology_assignment
from bayplan.wire.names import NO_QUEUE
from bayplan.wire.times import rfc3339
from bayplan.workloads.translate import merged

IN_FLIGHT = 32  # writes at a time: twice what saturates a small API server, well below its priority-level limits
TRIES = 3
PAUSE_S = 0.1
WRITE_TIMEOUT_S = 4.0  # less than a lease lasts beyond its renewal deadline: no write outlives its leader
LOST_MAX = 8  # unanswered writes in a row after which the API server counts as away
EVENTS_MAX = 4096
EVENTS_AT_ONCE = 64
EVENTS_IN_FLIGHT = 8
EVENT_LATE_S = 5.0  # Events are written while there is nothing to decide, or when they have waited for this long

PODS = "pods"
WORKLOADS = "workloads.kueue.x-k8s.io"
EVENTS = "events"
MERGE = "application/merge-patch+json"
_PASSING = frozenset({429, 500, 502, 503, 504})


class Counts:
    """Writes by (verb, resource, code), for whoever measures."""

    def __init__(self) -> None:
        self.by_kind: dict[tuple[str, str, str], int] = {}

    def add(self, verb: str, resource: str, code: str) -> None:
        key = verb, resource, code
        self.by_kind[key] = self.by_kind.get(key, 0) + 1


class Replica:
    """The API objects of a real cluster, for one thread. `may_write` is asked before every write."""

    atomic = False

    def __init__(
        self,
        http: Http,
        cache: Cache,
        kinds: Catalogue,
        *,
        may_write: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.kinds = kinds
        self.counts = Counts()
        self._http, self._cache, self._may_write, self._now = http, cache, may_write, now
        self._events: dict[tuple[str, str], Object] = {}
        self._untold: deque[tuple[float, Callable[[], None]]] = deque()
        self._lost = 0
        self._serial = itertools.count(1)

    # --- reading -------------------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str | None, name: str) -> Object:
        return self.record(resource, namespace, name).decode()

    def find(self, resource: str, namespace: str | None, name: str) -> Object | None:
        if resource == EVENTS:
            return self._events.get((namespace or "", name))
        record = self._cache.find(resource, (namespace or "", name))
        return record.decode() if record else None

    def record(self, resource: str, namespace: str | None, name: str) -> Record:
        found = self._cache.find(resource, (namespace or "", name))
        if found is None:
            raise ApiError(404, "NotFound", f'{resource} "{name}" not found')
        return found

    def rows(self, resource: str, namespace: str | None = None) -> tuple[Sequence[Record], int]:
        return self._cache.rows(resource, namespace)

    def owned(self, uid: str) -> Sequence[Record]:
        return self._cache.owned(uid)

    def watch(self, resources: Sequence[str], since: int | None = None) -> Cursor:
        return self._cache.follow(resources)

    # --- writing -------------------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        if resource == EVENTS:
            return self._tell(namespace or "", dict(obj))
        if resource == WORKLOADS and self._is_local(obj):
            return self._create_local(obj)
        served = self.kinds.of(resource)
        body = {"apiVersion": served.api_version, "kind": served.kind} | dict(obj)
        body["apiVersion"] = served.api_version
        return self._written(served, "POST", served.path(namespace), body).decode()

    def update(self, resource: str, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        name = obj["metadata"]["name"]
        local = self._local(resource, namespace, name)
        if local is not None:
            return local.decode() if obj == local.decode() else self._place_local(dict(obj)).decode()
        served = self.kinds.of(resource)
        return self._written(served, "PUT", served.path(namespace, name), obj).decode()

    def patch(self, resource: str, namespace: str | None, name: str, patch: Any, *, subresource: str = "") -> Record:
        if resource == EVENTS:
            return self._tell_again(namespace or "", name, patch)
        local = self._local(resource, namespace, name)
        if local is not None:
            return self._patch_local(local, patch)
        served = self.kinds.of(resource)
        return self._written(served, "PATCH", served.path(namespace, name, subresource), patch, MERGE)

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> Object:
        record = self._cache.find(resource, (namespace or "", name))
        if record is not None and is_local(record):
            self._cache.drop(record)
            return record.decode()
        served = self.kinds.of(resource)
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        answer = self._send(served, "DELETE", served.path(namespace, name), options)
        decoded: Object = msgspec.json.decode(answer)
        if decoded.get("kind") == served.kind and decoded["metadata"].get("deletionTimestamp"):
            self._cache.put(record_of(resource, answer, served.api_version, served.kind))
        return decoded

    def bind(self, namespace: str, name: str, node: str, *, annotations: Mapping[str, str] | None = None) -> Object:
        served = self.kinds.of(PODS)
        record = self.record(PODS, namespace, name)
        body = patches.binding(namespace, name, node, uid=record.uid, annotations=annotations)
        try:
            self._send(served, "POST", served.path(namespace, name, "binding"), body)
        except ApiError as error:
            if error.status_code != 409 or not self._has_node(served, namespace, name, node):
                raise
        pod = record.decode()
        pod["spec"]["nodeName"] = node
        if annotations:
            pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | dict(annotations)
        # Known to be so before the watch says so; whatever the watch says next is later and counts.
        current = self._cache.find(PODS, (namespace, name))
        if current is not None and current.version == record.version:
            assumed = msgspec.structs.replace(record, raw=msgspec.json.encode(pod))
            self._cache.put(assumed, force=True)
        return pod

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Several items at a time: decisions, and within a decision its pods."""
        return iter(each(work, items, IN_FLIGHT, IN_FLIGHT))

    # --- over HTTP -----------------------------------------------------------------------------------------------

    def _written(self, served: Served, verb: str, path: str, body: Any, kind: str = "application/json") -> Record:
        answer = self._send(served, verb, path, body, kind)
        record = record_of(served.resource, answer, served.api_version, served.kind)
        self._cache.put(record)
        return record

    def _send(self, served: Served, verb: str, path: str, body: Any, kind: str = "application/json") -> bytes:
        """One write, tried again where that can help. Raises ApiError; Temporary when the server is away."""
        encoded = msgspec.json.encode(body)
        for attempt in itertools.count(1):
            try:
                with Turn():
                    if not self._may_write():
                        raise Temporary("not the leader: nothing is written")
                    answer = self._http.request(
                        verb, f"{path}?fieldManager=bayplan", encoded, kind=kind, timeout_s=WRITE_TIMEOUT_S
                    )
            except ApiError as error:
                self._lost = 0
                self.counts.add(verb, served.resource, str(error.status_code))
                if error.status_code not in _PASSING or attempt >= TRIES:
                    raise
                pause_s = min(2.0, float(error.details.get("retryAfterSeconds") or 0))
            except Unreachable as error:
                self.counts.add(verb, served.resource, "unreachable")
                self._lost += 1
                if self._lost >= LOST_MAX:
                    raise Temporary(f"the API server does not answer: {error}") from error
                if attempt >= TRIES:
                    raise ApiError(503, "Unreachable", str(error)) from error
                pause_s = 0.0
            else:
                self._lost = 0
                self.counts.add(verb, served.resource, str(answer.status))
                return answer.body
            pause(max(pause_s, PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)))
        raise AssertionError("the loop ends by returning or raising")

    def _has_node(self, served: Served, namespace: str, name: str, node: str) -> bool:
        """Whether a binding that was refused is the very one we had already made."""
        try:
            body = self._http.request("GET", served.path(namespace, name), timeout_s=WRITE_TIMEOUT_S).body
        except (ApiError, Unreachable):
            return False
        self._cache.put(record_of(PODS, body, served.api_version, served.kind))
        return bool(msgspec.json.decode(body)["spec"].get("nodeName") == node)

    # --- Workloads that live here --------------------------------------------------------------------------------

    def _is_local(self, workload: Mapping[str, Any]) -> bool:
        """One pod alone, in no queue."""
        owners = workload["metadata"].get("ownerReferences") or []
        alone = len(owners) == 1 and owners[0]["kind"] == "Pod" and bool(owners[0].get("controller"))
        return alone and not workload["spec"].get("queueName")

    def _create_local(self, obj: Mapping[str, Any]) -> Object:
        meta = dict(obj["metadata"])
        pod = self.find(PODS, meta["namespace"], meta["ownerReferences"][0]["name"])
        if pod is None:
            raise ApiError(404, "NotFound", "the pod is gone")
        meta |= {"uid": f"{LOCAL}{next(self._serial)}", "creationTimestamp": pod["metadata"]["creationTimestamp"]}
        made: Object = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload"} | dict(obj) | {"metadata": meta}
        node = pod["spec"].get("nodeName")
        if node:
            made["status"] = _admitted_on(made, node, int(self._now()))
        self._place_local(made)
        return made

    def _local(self, resource: str, namespace: str | None, name: str) -> Record | None:
        record = self._cache.find(resource, (namespace or "", name)) if resource == WORKLOADS else None
        return record if record is not None and is_local(record) else None

    def _patch_local(self, record: Record, patch: Any) -> Record:
        if patch.keys() == {"metadata"}:
            return record  # a remark for people, who cannot look at it
        known = record.decode()
        wanted = (patch.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != known["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"Workload {record.name} has been modified")
        fresh: Object = merged(known, patch)
        return record if fresh == known else self._place_local(fresh)

    def _place_local(self, obj: Object) -> Record:
        meta, version = obj["metadata"], next(self._serial)
        meta["resourceVersion"] = str(version)
        owners = tuple(o["uid"] for o in meta["ownerReferences"])
        raw = msgspec.json.encode(obj)
        record = Record(WORKLOADS, meta["namespace"], meta["name"], meta["uid"], version, raw, {}, {}, owners, False)
        self._cache.put(record, force=True)
        return record

    # --- Events --------------------------------------------------------------------------------------------------

    def _tell(self, namespace: str, event: Object) -> Object:
        """Written when there is time: an Event is a help to people and holds nothing up."""
        involved = event["involvedObject"]
        if involved.get("kind") == "Workload" and str(involved.get("uid", "")).startswith(LOCAL):
            return event  # nobody can look at it; its pod is told by itself
        name = event["metadata"]["name"]
        self._remember((namespace, name), event)
        self._soon(lambda: self._create_event(namespace, name, event))
        return event

    def _tell_again(self, namespace: str, name: str, patch: Object) -> Record:
        known = self._events[namespace, name]
        fresh: Object = merged(known, patch)
        self._remember((namespace, name), fresh)
        self._soon(lambda: self._patch_event(namespace, name, patch))
        return Record(EVENTS, namespace, name, "", 0, msgspec.json.encode(fresh), {}, {}, (), False)

    def _create_event(self, namespace: str, name: str, event: Object) -> None:
        served = self.kinds.of(EVENTS)
        try:
            self._send(served, "POST", served.path(namespace), {"apiVersion": "v1", "kind": "Event"} | event)
        except ApiError as error:
            if error.status_code != 409:
                raise
            again = {k: event[k] for k in ("count", "lastTimestamp", "message")}
            self._send(served, "PATCH", served.path(namespace, name), again, MERGE)

    def _patch_event(self, namespace: str, name: str, patch: Object) -> None:
        served = self.kinds.of(EVENTS)
        self._send(served, "PATCH", served.path(namespace, name), patch, MERGE)

    def _remember(self, key: tuple[str, str], event: Object) -> None:
        self._events[key] = event
        while len(self._events) > EVENTS_MAX:
            del self._events[next(iter(self._events))]

    def _soon(self, write: Callable[[], None]) -> None:
        if len(self._untold) < EVENTS_MAX:
            self._untold.append((time.monotonic(), write))

    def tell(self, overdue: bool = False) -> bool:
        """Writes some of the Events that nobody has been told yet, or of those alone that are `overdue`; whether any.

        One that fails is lost, as Events may be: it is counted, and told again with the next decision.
        """
        before_s = time.monotonic() - (EVENT_LATE_S if overdue else 0)
        batch: list[Callable[[], None]] = []
        while self._untold and self._untold[0][0] <= before_s and len(batch) < EVENTS_AT_ONCE:
            batch.append(self._untold.popleft()[1])
        each(_told, batch, EVENTS_IN_FLIGHT, EVENTS_IN_FLIGHT)
        return bool(batch)


def _told(write: Callable[[], None]) -> None:
    with suppress(ApiError, Temporary):
        write()


def _admitted_on(workload: Object, node: str, now_s: int) -> Object:
    """The status of a Workload whose pod runs already."""
    since = rfc3339(now_s)
    condition = {"type": "Admitted", "status": "True", "reason": "Admitted", "message": "", "lastTransitionTime": since}
    name = workload["spec"]["podSets"][0]["name"]
    assignment = {"name": name, "count": 1, "topologyAssignment": topology_assignment(((node, 1),))}
    return {"admission": {"clusterQueue": NO_QUEUE, "podSetAssignments": [assignment]}, "conditions": [condition]}
