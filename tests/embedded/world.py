"""An embedded cluster in virtual time, in a line or two: `World("r1/a=8 r1/b=8", queues="team=16")`.

Nodes, devices and queues are those of `tests.make`; `job`, `pod`, … create objects as a person would, `run` lets the
scheduler and the cluster work through some seconds.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayplan.audit import audit
from bayplan.clusters.embedded.body import EmbeddedCluster
from bayplan.clusters.embedded.kubelet import Pace
from bayplan.clusters.embedded.store import Store
from bayplan.core.cycle import decide
from bayplan.core.explain import describe
from bayplan.model import codec
from bayplan.runtime import Cycle, Loop
from tests.make import claim, cluster

START_S = 1_800_000_000

JOBS = "jobs.batch"
CLAIMS = "resourceclaims.resource.k8s.io"
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
SLICES = "resourceslices.resource.k8s.io"
WORKLOADS = "workloads.kueue.x-k8s.io"
JOBSETS = "jobsets.jobset.x-k8s.io"
DEPLOYMENTS = "deployments.apps"
REPLICA_SETS = "replicasets.apps"
_KUEUE = "kueue.x-k8s.io"
_DRA = "resource.k8s.io"


class World:
    """Also the clock of its loop. Every plan is audited; a finding fails the test that made it."""

    def __init__(self, nodes: str = "", *, queues: str = "", path: str = ":memory:", pace: Pace | None = None) -> None:
        """`path` reopens a world that was left."""
        self.at_s = START_S
        serial = itertools.count(1_000_000 if Path(path).exists() else 0)
        self.store = Store(
            path,
            now=lambda: datetime.fromtimestamp(self.at_s, UTC),
            uids=lambda: f"00000000-0000-0000-0000-{next(serial):012d}",
        )
        self.cluster = EmbeddedCluster(self.store, describe=describe, pace=pace)
        self.loop = Loop(self.cluster, self, decide=decide, audit=audit)
        if nodes or queues:
            self._furnish(nodes, queues)

    def now_s(self) -> int:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += max(1, int(seconds))

    # --- making things happen ------------------------------------------------------------------------------------

    def run(self, seconds: int = 1) -> None:
        """Lets scheduler and cluster work, second by second."""
        for _ in range(seconds):
            self.cycle()
            self.at_s += 1

    def settle(self, seconds: int = 0) -> None:
        """Lets the cluster work without its scheduler."""
        self.cluster.settle()
        for _ in range(seconds):
            self.at_s += 1
            self.cluster.settle()

    def cycle(self) -> Cycle:
        """Decides until deciding changes nothing any more."""
        for _ in range(10):
            cycle = self.loop.cycle()
            assert cycle.findings == ()
            if self.cluster.observe() is cycle.snapshot:
                return cycle
        raise AssertionError("the world does not come to rest")

    # --- making things -------------------------------------------------------------------------------------------

    def job(self, name: str, ask: str = "8", *, count: int = 1, queue: str = "team", **more: Any) -> dict:
        """A Job of `count` indexed pods that each ask for `ask` (as in `tests.make`), with parts replaced by `more`."""
        spec = {"parallelism": count, "completions": count, "completionMode": "Indexed", **more.pop("spec", {})}
        spec["template"] = self.template(ask, **more)
        labels = {f"{_KUEUE}/queue-name": queue} if queue else {}
        return self.store.create(JOBS, "default", {"metadata": {"name": name, "labels": labels}, "spec": spec})

    def pod(self, name: str, ask: str = "8", *, queue: str = "", labels: dict | None = None, **more: Any) -> dict:
        template = self.template(ask, **more)
        marks = {f"{_KUEUE}/queue-name": queue} if queue else {}
        metadata = {**template["metadata"], "name": name, "labels": marks | (labels or {})}
        return self.store.create("pods", "default", {"metadata": metadata, "spec": template["spec"]})

    def template(
        self,
        ask: str,
        *,
        runtime: int | None = 10,
        exit_code: int = 0,
        priority: str = "",
        restart: str = "Never",
        **notes: str,
    ) -> dict:
        """A pod template; `notes` are annotations with `_` for `/`."""
        annotations = {f"{_KUEUE}/{k}": v for k, v in notes.items()}
        if runtime is not None:
            annotations["bayplan.dev/runtime-seconds"] = str(runtime)
        if exit_code:
            annotations["bayplan.dev/exit-code"] = str(exit_code)
        container = {"name": "main", "image": "work:1", "command": ["work"]}
        spec: dict[str, Any] = {"restartPolicy": restart, "containers": [container]}
        if ask != "0":
            spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": self.claim_template(ask)}]
        if priority:
            spec["priorityClassName"] = priority
        return {"metadata": {"annotations": annotations}, "spec": spec}

    def claim_template(self, ask: str) -> str:
        name = f"gpu-{ask.lower()}"
        if self.store.find(TEMPLATES, "default", name) is None:
            spec = codec.to_builtins(claim(ask))
            self.store.create(TEMPLATES, "default", {"metadata": {"name": name}, "spec": {"spec": spec}})
        return name

    def priority(self, name: str, value: int) -> None:
        self.store.create("priorityclasses.scheduling.k8s.io", None, {"metadata": {"name": name}, "value": value})

    # --- looking at things ---------------------------------------------------------------------------------------

    def get(self, resource: str, name: str) -> dict:
        return self.store.get(resource, "default", name)

    def all(self, resource: str) -> list[dict]:
        return self.store.list(resource, "default")[0]

    def pods(self, phase: str = "") -> list[dict]:
        return [p for p in self.all("pods") if not phase or p["status"].get("phase") == phase]

    def conditions(self, resource: str, name: str) -> dict[str, str]:
        """Type to reason, of the conditions that are true."""
        return {
            c["type"]: c["reason"]
            for c in self.get(resource, name)["status"].get("conditions", ())
            if c["status"] == "True"
        }

    def workload(self, owner: str) -> dict:
        """The Workload of a job or pod."""
        found = [w for w in self.all(WORKLOADS) if any(o["name"] == owner for o in w["metadata"]["ownerReferences"])]
        assert len(found) == 1, [w["metadata"]["name"] for w in found]
        return found[0]

    def events(self, name: str) -> list[str]:
        return [e["reason"] for e in self.all("events") if e["involvedObject"]["name"] == name]

    def devices_taken(self) -> list[str]:
        """`pool/device` of every allocation there is."""
        found = ((c.get("status") or {}).get("allocation") or {} for c in self.all(CLAIMS))
        return sorted(f"{r['pool']}/{r['device']}" for a in found for r in a.get("devices", {}).get("results", ()))

    def _furnish(self, nodes: str, queues: str) -> None:
        made = cluster(nodes, queues=queues)
        for node in made.nodes.values():
            amounts = {r: f"{n}m" if r == "cpu" else str(n) for r, n in node.allocatable.items()}
            metadata = {"name": node.name, "labels": node.labels}
            self.store.create("nodes", None, {"metadata": metadata, "status": {"allocatable": amounts}})
        for number, piece in enumerate(made.slices):
            obj = {**codec.to_builtins(piece), "metadata": {"name": f"slice-{number}"}}
            # The model leaves defaults out; the API has none here.
            obj["spec"]["pool"] = {"generation": 0, "resourceSliceCount": 1, **obj["spec"]["pool"]}
            self.store.create(f"resourceslices.{_DRA}", None, obj)
        for resource, part in (
            (f"deviceclasses.{_DRA}", made.device_classes),
            (f"clusterqueues.{_KUEUE}", made.cluster_queues),
            (f"localqueues.{_KUEUE}", made.local_queues),
            (f"resourceflavors.{_KUEUE}", made.flavors),
        ):
            for obj in part.values():
                self.store.create(resource, obj.metadata.namespace or None, codec.to_builtins(obj))
