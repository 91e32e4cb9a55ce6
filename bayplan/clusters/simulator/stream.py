"""The stream of work of a fleet file: which job arrives when, as its user would have submitted it.

Every kind of work draws from its own random stream (seeded by the fleet's seed and the work's name), so that one more
kind leaves the others as they were.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bayplan.clusters.simulator.fleetfile import Fleet, Work
from bayplan.clusters.simulator.objects import BLOCK, POOL, RACK, claim_template
from bayplan.model.device import ResourceClaimTemplate
from bayplan.model.workload import PodSet, Workload
from bayplan.wire.devices import resource_claim_template
from bayplan.wire.names import (
    PREFERRED_TOPOLOGY,
    QUEUE_NAME,
    REQUIRED_TOPOLOGY,
    RUNTIME_SECONDS,
    SCHEDULER,
    WORKLOAD_PRIORITY_CLASS,
)
from bayplan.wire.pods import PodSpec
from bayplan.wire.read import read
from bayplan.wire.workload import Context, pod_template, topology_request

Json = dict[str, Any]


class Arrival(NamedTuple):
    """A job that `team` submits `at_s` seconds after the start: `pods` pods that run for `runtime_s` seconds."""

    at_s: int
    name: str
    team: str
    work: Work
    pods: int
    runtime_s: int
    priority: int

    def job(self) -> Json:
        """The batch/v1 Job, suspended until it is admitted. It names the claim template `fleet_objects` made."""
        work = self.work
        labels = {QUEUE_NAME: self.team}
        if work.priority:
            labels[WORKLOAD_PRIORITY_CLASS] = work.priority
        runtime = {RUNTIME_SECONDS: str(self.runtime_s)}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.team, "labels": labels, "annotations": runtime},
            "spec": {
                "suspend": True,
                "parallelism": self.pods,
                "completions": self.pods,
                "completionMode": "Indexed",
                "backoffLimit": 0,
                "template": {
                    "metadata": {"annotations": runtime | _topology(work)},
                    "spec": _pod_spec(work) | {"schedulerName": SCHEDULER, "restartPolicy": "Never"},
                },
            },
        }

    def workload(self, start_s: int = 0) -> Workload:
        """The same job as the unit of admission, created `start_s` + `at_s`."""
        made = claim_template(self.work, self.team)
        named: Mapping[str, ResourceClaimTemplate] = (
            {} if made is None else {f"{self.team}/{self.work.name}": resource_claim_template(made)}
        )
        template = pod_template(read(_pod_spec(self.work), PodSpec), self.team, Context(claim_templates=named))
        return Workload(
            namespace=self.team,
            name=self.name,
            pod_sets=(PodSet("main", self.pods, template, topology_request(_topology(self.work))),),
            owner=f"Job/{self.name}",
            queue_name=self.team,
            priority=self.priority,
            created_s=start_s + self.at_s,
            runtime_s=self.runtime_s,
        )


def arrivals(fleet: Fleet) -> Iterator[Arrival]:
    """Every job of the fleet's work in order of arrival, without end (the caller stops where it likes)."""
    streams = [_stream(fleet, work) for work in fleet.work]
    yield from heapq.merge(*streams, key=lambda a: (a.at_s, a.name))


def _stream(fleet: Fleet, work: Work) -> Iterator[Arrival]:
    """`first` jobs at the start, then exponential gaps."""
    rng = random.Random(f"{fleet.seed}/{work.name}")
    teams = work.teams or {t.name: t.weight for t in fleet.teams}
    names, weights = [*teams], [*teams.values()]
    at, count = 0.0, 0
    while True:
        if count >= work.first:
            at += rng.expovariate(1 / work.every_seconds)
        low, high = work.runtime_seconds
        yield Arrival(
            at_s=int(at),
            name=f"{work.name}-{count:04d}",
            team=rng.choices(names, weights)[0],
            work=work,
            pods=rng.choice(work.pods),
            runtime_s=round(math.exp(rng.uniform(math.log(low), math.log(high)))),
            priority=fleet.priorities.get(work.priority, 0),
        )
        count += 1


def _pod_spec(work: Work) -> Json:
    container: Json = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": str(work.cpu), "memory": str(work.memory)}},
    }
    spec: Json = {"containers": [container]}
    if work.gpus or work.partition or work.gpu_memory is not None:
        container["resources"]["claims"] = [{"name": "gpu"}]
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": work.name}]
    if work.nodes:
        spec["nodeSelector"] = {POOL: work.nodes}
    return spec


def _topology(work: Work) -> dict[str, str]:
    """The topology annotation of the pod template."""
    wish, level = (work.rack, RACK) if work.rack else (work.block, BLOCK)
    keys = {"required": REQUIRED_TOPOLOGY, "preferred": PREFERRED_TOPOLOGY}
    return {keys[wish]: level} if wish else {}
