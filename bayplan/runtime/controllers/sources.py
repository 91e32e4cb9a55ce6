"""What job translation looks up in the store: priority classes and training runtimes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from bayplan.runtime.objects import Objects
from bayplan.wire.queues import priority_class, workload_priority_class
from bayplan.wire.workload import Context

WORKLOADS: Final = "workloads.kueue.x-k8s.io"
FLAVORS: Final = "resourceflavors.kueue.x-k8s.io"
_READ = (
    "priorityclasses.scheduling.k8s.io",
    "workloadpriorityclasses.kueue.x-k8s.io",
    "clustertrainingruntimes.trainer.kubeflow.org",
    "trainingruntimes.trainer.kubeflow.org",
)
_Rows = tuple[tuple[str, bytes], ...]


def context(store: Objects) -> Context:
    """Classes and runtimes as they are now; claim templates do not matter to a translation."""
    classes, workload_classes, *runtimes = (_raw(store, resource) for resource in _READ)
    return _context(classes, workload_classes, runtimes[0] + runtimes[1])


@lru_cache(maxsize=4)
def _context(classes: _Rows, workload_classes: _Rows, runtimes: _Rows) -> Context:
    """They hardly ever change, and every pod asks."""
    return Context(
        priority_classes={name: priority_class(raw) for name, raw in classes},
        workload_priority_classes={name: workload_priority_class(raw) for name, raw in workload_classes},
        training_runtimes={name: msgspec.json.decode(raw) for name, raw in runtimes},
    )


def _raw(store: Objects, resource: str) -> _Rows:
    """The objects of a resource by their keys; none where it is not served."""
    if resource not in store.kinds:
        return ()
    return tuple((r.namespace + "/" * bool(r.namespace) + r.name, r.raw) for r in store.rows(resource)[0])
