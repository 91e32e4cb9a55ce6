"""What job translation looks up in the store: priority classes and training runtimes."""

from __future__ import annotations

from typing import Final

from bayplan.runtime.objects import Objects
from bayplan.wire.queues import priority_class, workload_priority_class
from bayplan.wire.workload import Context

WORKLOADS: Final = "workloads.kueue.x-k8s.io"
_RUNTIMES = ("clustertrainingruntimes.trainer.kubeflow.org", "trainingruntimes.trainer.kubeflow.org")


def context(store: Objects) -> Context:
    """Classes and runtimes as they are now; claim templates do not matter to a translation."""
    classes = (priority_class(raw) for raw in store.list_raw("priorityclasses.scheduling.k8s.io")[0])
    workload_classes = (
        workload_priority_class(raw) for raw in store.list_raw("workloadpriorityclasses.kueue.x-k8s.io")[0]
    )
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
