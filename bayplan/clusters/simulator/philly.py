"""The Philly trace: submit time, run time and GPUs of deep-learning jobs at Microsoft in 2017 (CC-BY-4.0).

The trace names GPUs, not nodes: the pool is made of eight-GPU nodes whose GPUs are a device plugin's, and a job of more
than eight GPUs is a gang of equal pods. The virtual cluster a job was sent to becomes its namespace.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bayplan.clusters.simulator.table import Row, rows
from bayplan.clusters.simulator.world import Job, Scenario
from bayplan.model.base import Metadata
from bayplan.model.node import Node
from bayplan.model.queue import Namespace
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodSet, PodTemplate, Workload

GPU = "nvidia.com/gpu"
GPUS_PER_NODE = 8
COLUMNS = ("timestamp", "duration", "num_gpus", "cluster")


def read_philly(path: Path, *, gpus: int = 512, start: str = "", end: str = "") -> Scenario:
    """Jobs submitted from day `start` to before day `end` ("2017-10-09") to a pool of `gpus` GPUs.

    Raises Malformed or OSError.
    """
    chosen = sorted(
        (_submitted_s(row), i, row) for i, row in enumerate(rows(path, COLUMNS)) if _within(row, start, end)
    )
    first_s = chosen[0][0] if chosen else 0
    jobs = tuple(_job(row, i, at_s - first_s) for at_s, i, row in chosen)
    return Scenario(f"philly {start or 'all'}", _pool(gpus, jobs), jobs)


def _within(row: Row, start: str, end: str) -> bool:
    day = row.text("timestamp")[:10]
    return (not start or day >= start) and (not end or day < end)


def _submitted_s(row: Row) -> int:
    text = row.text("timestamp")
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise row.wrong("timestamp", f"expected a date and time, got '{text}'") from None


def _job(row: Row, index: int, at_s: int) -> Job:
    gpus = row.whole("num_gpus", 1)
    per_pod = next(n for n in (gpus, 8, 4, 2, 1) if n <= GPUS_PER_NODE and gpus % n == 0)
    template = PodTemplate(requests=(("cpu", 1000 * per_pod), (GPU, per_pod), ("pods", 1)))
    runtime_s = max(1, row.whole("duration"))
    namespace = f"vc-{row.text('cluster')}"
    workload = Workload(
        namespace=namespace,
        name=f"job-{index:06d}",
        pod_sets=(PodSet("main", gpus // per_pod, template),),
        owner=f"Job/job-{index:06d}",
        created_s=at_s,
        runtime_s=runtime_s,
    )
    return Job(at_s, workload, runtime_s)


def _pool(gpus: int, jobs: tuple[Job, ...]) -> Snapshot:
    names = [f"node-{i:04d}" for i in range(-(-gpus // GPUS_PER_NODE))]
    amounts = {"cpu": 1000 * 96, GPU: GPUS_PER_NODE, "pods": 110}
    namespaces = sorted({j.workload.namespace for j in jobs})
    return Snapshot(
        nodes={n: Node(name=n, labels={"kubernetes.io/hostname": n}, allocatable=amounts) for n in names},
        namespaces={n: Namespace(metadata=Metadata(name=n)) for n in namespaces},
    )
