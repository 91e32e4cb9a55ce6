"""Simulated kubelets: bound pods start, run as long as they say, end, and are stopped when they are deleted.

What a pod does next, and when, follows from the pod alone (`next_step`), so nothing is lost when the process dies, and
a simulator may run the same heap in virtual time. A pod runs for `bayplan.dev/runtime-seconds`; without it, a pod that
restarts always is a service and runs until it is deleted, any other runs for a default time.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bayplan.clusters.embedded.errors import ApiError
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.embedded.watch import Watch
from bayplan.wire.conditions import with_condition
from bayplan.wire.names import EXIT_CODE, RUNTIME_SECONDS
from bayplan.wire.times import rfc3339, seconds

Object = dict[str, Any]
Key = tuple[str, str]

CLAIMS = "resourceclaims.resource.k8s.io"


@dataclass(frozen=True)
class Pace:
    """Seconds a pod needs to start and to stop, and how long one runs that declares nothing and is no service."""

    start_s: int = 1
    stop_s: int = 1
    runtime_s: int = 60


@dataclass(frozen=True)
class Step:
    """What happens to a pod at `due_s`."""

    do: Literal["start", "end", "stop"]
    due_s: int


def next_step(pod: Mapping[str, Any], pace: Pace) -> Step | None:
    """What its kubelet does with a pod next; None for one that is unbound, over, or a service that runs."""
    meta, status = pod["metadata"], pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if not pod["spec"].get("nodeName"):
        return None
    if "deletionTimestamp" in meta:
        grace_s = int(meta.get("deletionGracePeriodSeconds", 0))
        asked_s = seconds(meta["deletionTimestamp"]) - grace_s
        return Step("stop", asked_s + min(grace_s, pace.stop_s))
    if phase == "Pending":
        return Step("start", _bound_s(pod) + pace.start_s)
    runtime_s = run_time(pod, pace)
    if phase == "Running" and runtime_s is not None:
        return Step("end", seconds(status.get("startTime") or "") + runtime_s)
    return None


def run_time(pod: Mapping[str, Any], pace: Pace) -> int | None:
    """Seconds a pod runs; None for a service."""
    for field in ("annotations", "labels"):
        declared = (pod["metadata"].get(field) or {}).get(RUNTIME_SECONDS, "")
        if declared.isdigit():
            return int(declared)
    return None if pod["spec"].get("restartPolicy", "Always") == "Always" else pace.runtime_s


class Kubelets:
    """The kubelets of every node of a store. Not thread-safe: one caller steps them."""

    def __init__(self, store: Store, pace: Pace | None = None) -> None:
        self._store = store
        self._pace = pace or Pace()
        self._heap: list[tuple[int, int, Key]] = []
        self._serial = 0
        self._watch: Watch | None = None

    def step(self, now_s: int) -> bool:
        """Does everything that is due at this second; whether anything was done."""
        self._take_changes()
        worked = False
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, key = heapq.heappop(self._heap)
            worked |= self._act(key, due_s, now_s)
        return worked

    def due_s(self) -> int | None:
        """The next second at which something happens even if nothing changes."""
        return self._heap[0][0] if self._heap else None

    def logs(self, namespace: str, name: str) -> str:
        """What the pod's container would have printed so far; "" before it starts or if there is no such pod."""
        pod = self._store.find("pods", namespace, name)
        return "" if pod is None else "".join(f"{line}\n" for line in _log(self._store, pod, self._pace))

    # --- which pods ----------------------------------------------------------------------------------------------

    def _take_changes(self) -> None:
        if self._watch is None:
            self._start()
            return
        try:
            changes = self._watch.poll()
        except ApiError:
            # Too far behind the store's history: every pod is looked at anew.
            self._start()
            return
        for change in changes:
            if change.type != "DELETED" and change.record.fields.get("spec.nodeName"):
                self._plan(change.object)

    def _start(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = self._store.watch(("pods",))
        for record in self._store.rows("pods")[0]:
            if record.fields.get("spec.nodeName"):
                self._plan(record.decode())

    def _plan(self, pod: Object) -> None:
        step = next_step(pod, self._pace)
        if step is not None:
            meta = pod["metadata"]
            self._serial += 1
            heapq.heappush(self._heap, (step.due_s, self._serial, (meta["namespace"], meta["name"])))

    # --- what is done --------------------------------------------------------------------------------------------

    def _act(self, key: Key, due_s: int, now_s: int) -> bool:
        """Takes the pod's next step, if this is still the time for it."""
        pod = self._store.find("pods", *key)
        step = next_step(pod, self._pace) if pod else None
        if pod is None or step is None or step.due_s != due_s:
            return False
        try:
            if step.do == "stop":
                self._store.delete("pods", *key, grace_seconds=0, uid=pod["metadata"]["uid"])
            else:
                status = _started(pod, now_s) if step.do == "start" else _ended(pod, now_s)
                self._store.patch("pods", *key, {"status": status}, subresource="status")
        except ApiError as error:
            # Somebody else deleted or replaced the pod between the two calls: its change will bring it back here.
            assert error.status_code in (404, 409), error
            return False
        return True


# --- statuses ----------------------------------------------------------------------------------------------------


def _started(pod: Object, now_s: int) -> Object:
    conditions: Any = (pod.get("status") or {}).get("conditions")
    for type in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"):
        conditions = with_condition(conditions, type, True, "", "", now_s)
    running = {"running": {"startedAt": rfc3339(now_s)}}
    return {
        "phase": "Running",
        "startTime": rfc3339(now_s),
        "conditions": [{k: v for k, v in c.items() if v != ""} for c in conditions],
        "containerStatuses": [_container(c, running, ready=True) for c in pod["spec"].get("containers") or ()],
        **_addresses(pod),
    }


def _ended(pod: Object, now_s: int) -> Object:
    code = exit_code(pod)
    conditions: Any = pod["status"].get("conditions")
    reason = "PodCompleted" if code == 0 else "PodFailed"
    for type in ("ContainersReady", "Ready"):
        conditions = with_condition(conditions, type, False, reason, "", now_s)
    terminated = {
        "terminated": {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": pod["status"].get("startTime"),
            "finishedAt": rfc3339(now_s),
        }
    }
    return {
        "phase": "Succeeded" if code == 0 else "Failed",
        "conditions": conditions,
        "containerStatuses": [_container(c, terminated, ready=False) for c in pod["spec"].get("containers") or ()],
    }


def exit_code(pod: Mapping[str, Any]) -> int:
    """What the pod will end with, by its annotation; 0 without one."""
    text = (pod["metadata"].get("annotations") or {}).get(EXIT_CODE, "")
    return int(text) if text.isdigit() else 0


def _container(container: Object, state: Object, *, ready: bool) -> Object:
    image = container.get("image", "")
    digest = hashlib.sha256(image.encode()).hexdigest()
    return {
        "name": container["name"],
        "image": image,
        "imageID": f"{image.partition(':')[0]}@sha256:{digest}",
        "containerID": f"simulated://{digest[:12]}",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }


def _addresses(pod: Object) -> Object:
    """Addresses that look right and stay the same; nobody answers there."""
    at = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()
    host = hashlib.sha256(pod["spec"]["nodeName"].encode()).digest()
    pod_ip = f"10.{at[0]}.{at[1]}.{at[2] % 254 + 1}"
    host_ip = f"172.16.{host[0]}.{host[1] % 254 + 1}"
    return {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}], "hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}


def _bound_s(pod: Mapping[str, Any]) -> int:
    """When the pod got its node; its creation if it was born with one."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return seconds(condition.get("lastTransitionTime") or "")
    return seconds(pod["metadata"].get("creationTimestamp") or "")


# --- logs --------------------------------------------------------------------------------------------------------


def _log(store: Store, pod: Object, pace: Pace) -> list[str]:
    status = pod.get("status") or {}
    if not status.get("startTime"):
        return []
    since = status["startTime"]
    command = next((c.get("command") or c.get("args") or [] for c in pod["spec"].get("containers") or ()), [])
    # A pod that has ended has given its claims back: what it ran on is no longer known.
    devices = ", ".join(_devices(store, pod))
    lines = [f"{since} running on {pod['spec']['nodeName']}" + (f" with {devices}" if devices else "")]
    if command:
        lines.append(f"{since} $ {' '.join(map(str, command))}")
    lines += _progress(pod, pace, int(store.now().timestamp()))
    for state in (s.get("state", {}).get("terminated") for s in status.get("containerStatuses") or ()):
        if state:
            lines.append(f"{state['finishedAt']} exit code {state['exitCode']}")
    return lines


def _progress(pod: Object, pace: Pace, now_s: int) -> list[str]:
    """A line at every tenth of the run time that has passed."""
    runtime_s = run_time(pod, pace)
    started_s = seconds(pod["status"]["startTime"])
    if not runtime_s:
        return []
    passed = min(10, max(0, now_s - started_s) * 10 // runtime_s)
    return [f"{rfc3339(started_s + runtime_s * tenth // 10)} {tenth * 10} % done" for tenth in range(1, passed + 1)]


def _devices(store: Store, pod: Object) -> list[str]:
    made = {s["name"]: s.get("resourceClaimName") for s in pod["status"].get("resourceClaimStatuses") or ()}
    found: list[str] = []
    names = [e.get("resourceClaimName") or made.get(e["name"]) for e in pod["spec"].get("resourceClaims") or ()]
    for name in (*names, (pod["status"].get("extendedResourceClaimStatus") or {}).get("resourceClaimName")):
        claim = store.find(CLAIMS, pod["metadata"]["namespace"], name) if name else None
        allocation = ((claim or {}).get("status") or {}).get("allocation") or {}
        found += [r["device"] for r in (allocation.get("devices") or {}).get("results") or ()]
    return found
