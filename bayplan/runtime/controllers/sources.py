"""What job translation looks up in the store: priority classes and training runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bayplan.runtime.objects import Objects
from bayplan.wire.queues import priority_class, workload_priority_class
from bayplan.wire.workload import Context

WORKLOADS: Final = "workloads.kueue.x-k8s.io"
FLAVORS: Final = "resourceflavors.kueue.x-k8s.io"
_RUNTIMES = ("clustertrainingruntimes.trainer.kubeflow.org", "trainingruntimes.trainer.kubeflow.org")


def context(store: Objects) -> Context:
    """Classes and runtimes as they are now; claim templates do not matter to a translation."""
    classes = (priority_class(raw) for raw in _raw(store, "priorityclasses.scheduling.k8s.io"))
    workload_classes = (workload_priority_class(raw) for raw in _raw(store, "workloadpriorityclasses.kueue.x-k8s.io"))
    return Context(
        priority_classes={c.metadata.name: c for c in classes},
        workload_priority_classes={c.metadata.name: c for c in workload_classes},
        training_runtimes={
            r.namespace + "/" * bool(r.namespace) + r.name: r.decode()
            for resource in _RUNTIMES
            if resource in store.kinds
            for r in store.rows(resource)[0]
        },
    )


def _raw(store: Objects, resource: str) -> Iterator[bytes]:
    """The objects of a resource; none where it is not served."""
    return (r.raw for r in store.rows(resource)[0]) if resource in store.kinds else iter(())
