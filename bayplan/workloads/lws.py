"""LeaderWorkerSet (leaderworkerset.x-k8s.io): every replica is a gang of its own, a leader and `size` − 1 workers.

The whole set never waits for all its replicas: each serves alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.wire.read import Json
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Path, PodSetSource, at, by_conditions, count_at, object_at

_TEMPLATE: Path = ("spec", "leaderWorkerTemplate")


def _gangs(lws: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
    size = count_at(lws, (*_TEMPLATE, "size"), 1)
    worker_path: Path = (*_TEMPLATE, "workerTemplate")
    has_leader = at(lws, (*_TEMPLATE, "leaderTemplate")) is not None
    leader_path: Path = (*_TEMPLATE, "leaderTemplate") if has_leader else worker_path
    leader = PodSetSource("leader", 1, object_at(lws, leader_path), leader_path)
    worker = PodSetSource("worker", size - 1, object_at(lws, worker_path), worker_path)
    gang = (leader, worker) if size > 1 else (leader,)
    return {str(i): gang for i in range(count_at(lws, ("spec", "replicas"), 1))}


KIND = JobKind("leaderworkerset.x-k8s.io", "LeaderWorkerSet", "leaderworkersets", (), _gangs, by_conditions((), ()))
