"""Job kinds into units of admission and back: pure translation, one module per family of kinds.

A new kind is a `JobKind` in a module of its own and a name in `KINDS`.
"""

from __future__ import annotations

from bayplan.workloads import job, jobset, kubeflow, lws, ray
from bayplan.workloads.base import JobKind, Outcome, PodSetSource

KINDS: tuple[JobKind, ...] = (
    job.KIND,
    jobset.KIND,
    lws.KIND,
    ray.RAY_JOB,
    ray.RAY_CLUSTER,
    ray.RAY_SERVICE,
    kubeflow.TRAIN_JOB,
    kubeflow.PYTORCH_JOB,
    kubeflow.TF_JOB,
    kubeflow.MPI_JOB,
)

_BY_GROUP_KIND = {(k.group, k.kind): k for k in KINDS}


def kind_of(group: str, kind: str) -> JobKind | None:
    """The job kind of an API group and kind, None if it is not one we translate."""
    return _BY_GROUP_KIND.get((group, kind))


__all__ = ["KINDS", "JobKind", "Outcome", "PodSetSource", "kind_of"]
