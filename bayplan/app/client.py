"""A cluster over HTTP: what the answers need is listed, what a person submits is created. Nothing else is written.

The cluster's own clock counts (the Date of its answers), so that a laptop with a wrong clock, or a simulated cluster
whose time runs faster, is told the right waiting times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from bayplan.app.errors import Refused, Unreachable
from bayplan.app.kubeconfig import Access, find_kubeconfig, read_access
from bayplan.app.observed import Observed, mirrored, observed, raw_items
from bayplan.runtime.mirror import KINDS, WORKLOAD, GroupKind, Mirror

Json = dict[str, Any]

PAGE_ITEMS = 2000
CONNECTIONS = 6  # lists are read side by side; more only queue up at the API server
TIMEOUT_S = 30.0
_KUEUE, _DRA = "apis/kueue.x-k8s.io/v1beta2", "apis/resource.k8s.io/v1"
_PLACES: dict[GroupKind, str] = {
    ("", "Node"): "api/v1/nodes",
    ("", "Pod"): "api/v1/pods",
    ("", "Namespace"): "api/v1/namespaces",
    ("scheduling.k8s.io", "PriorityClass"): "apis/scheduling.k8s.io/v1/priorityclasses",
    ("scheduling.k8s.io", "PodGroup"): "apis/scheduling.k8s.io/v1beta1/podgroups",
    ("resource.k8s.io", "ResourceSlice"): f"{_DRA}/resourceslices",
    ("resource.k8s.io", "DeviceClass"): f"{_DRA}/deviceclasses",
    ("resource.k8s.io", "ResourceClaim"): f"{_DRA}/resourceclaims",
    ("resource.k8s.io", "ResourceClaimTemplate"): f"{_DRA}/resourceclaimtemplates",
    ("resource.k8s.io", "DeviceTaintRule"): f"{_DRA}/devicetaintrules",
    ("kueue.x-k8s.io", "ClusterQueue"): f"{_KUEUE}/clusterqueues",
    ("kueue.x-k8s.io", "Cohort"): f"{_KUEUE}/cohorts",
    ("kueue.x-k8s.io", "LocalQueue"): f"{_KUEUE}/localqueues",
    ("kueue.x-k8s.io", "ResourceFlavor"): f"{_KUEUE}/resourceflavors",
    ("kueue.x-k8s.io", "Topology"): f"{_KUEUE}/topologies",
    ("kueue.x-k8s.io", "WorkloadPriorityClass"): f"{_KUEUE}/workloadpriorityclasses",
    ("kueue.x-k8s.io", "Workload"): f"{_KUEUE}/workloads",
    ("trainer.kubeflow.org", "ClusterTrainingRuntime"): "apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes",
    ("trainer.kubeflow.org", "TrainingRuntime"): "apis/trainer.kubeflow.org/v1alpha1/trainingruntimes",
}
"""Where each kind is listed."""
_BEFORE = {
    f"{_DRA}/devicetaintrules": "apis/resource.k8s.io/v1beta2/devicetaintrules",
    "apis/scheduling.k8s.io/v1beta1/podgroups": "apis/scheduling.k8s.io/v1alpha2/podgroups",
}
"""Where it is listed by a server that does not have that yet: before Kubernetes 1.37."""


class Client:
    """A connection to one cluster; close it, or use it in a `with`."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = httpx2.Client(
            base_url=access.server + "/",
            headers={"Accept": "application/json", "User-Agent": "bayplan"} | access.headers,
            verify=access.verify,
            timeout=TIMEOUT_S,
            trust_env=not _is_local(access.server),  # a proxy of the environment is no way to one's own machine
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def observe(self) -> Observed:
        """The cluster now. Raises Unreachable, Refused."""
        return self.mirror()[0]

    def mirror(self) -> tuple[Observed, Mirror]:
        """The cluster now, and the mirror it was read by; APIs it does not serve count as empty.

        Raises Unreachable, Refused.
        """
        now_s = self.now_s()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = list(pool.map(lambda kind: list(self._items(_PLACES[kind])), KINDS))
        listed = dict(zip(KINDS, found, strict=True))
        mirror = mirrored(listed)
        return observed(mirror, listed[WORKLOAD], now_s), mirror

    def now_s(self) -> int:
        """The cluster's time. Raises Unreachable, Refused."""
        answer = self._send("GET", "version")
        if self.access.clock is not None:
            return self.access.clock.now_s()
        return int(parsedate_to_datetime(answer.headers["date"]).timestamp())

    def text(self, path: str) -> str:
        """A text such as a log. Raises Unreachable, Refused."""
        return str(self._send("GET", path).text)

    def get(self, path: str) -> Json | None:
        """One object, None where there is none. Raises Unreachable, Refused."""
        try:
            return self._object(self._send("GET", path))
        except Refused as error:
            if error.status_code == 404:
                return None
            raise

    def select(self, path: str, labels: str) -> list[Json]:
        """The objects of a collection that a label selector picks. Raises Unreachable, Refused."""
        found = self._object(self._send("GET", path, params={"labelSelector": labels}))
        return list(found.get("items") or ())

    def create(self, path: str, obj: Mapping[str, Any]) -> Json:
        """Creates an object at a collection's path and returns it. Raises Unreachable, Refused."""
        return self._object(self._send("POST", path, dict(obj)))

    def delete(self, path: str) -> None:
        """Deletes an object, if it is there. Raises Unreachable, Refused."""
        try:
            self._send("DELETE", path)
        except Refused as error:
            if error.status_code != 404:
                raise

    def _items(self, path: str) -> Iterator[bytes]:
        token = ""
        while True:
            try:
                answer = self._send("GET", path, params={"limit": PAGE_ITEMS} | ({"continue": token} if token else {}))
            except Refused as error:
                if error.status_code != 404:
                    raise
                if path in _BEFORE:
                    yield from self._items(_BEFORE[path])
                return  # the API is not served here
            items, token = raw_items(answer.content)
            yield from items
            if not token:
                return

    def _send(
        self, method: str, path: str, body: Json | None = None, params: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, json=body, params=params)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self.access.server} does not answer ({error})") from error
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _message(answer))
        return answer

    @staticmethod
    def _object(answer: httpx2.Response) -> Json:
        found = answer.json()
        assert isinstance(found, dict), "the API answers with objects"
        return found


def connect(kubeconfig: Path | None) -> Client:
    """A client of the cluster a person means. Raises BadInput, Unreachable."""
    return Client(read_access(find_kubeconfig(kubeconfig)))


def _is_local(server: str) -> bool:
    return httpx2.URL(server).host in ("127.0.0.1", "localhost", "::1")


def _message(answer: httpx2.Response) -> str:
    """What the API's Status says, else the HTTP reason."""
    try:
        return str(answer.json()["message"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
