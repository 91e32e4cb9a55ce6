"""Names as people use them: of workloads, and of what they ask for."""

from __future__ import annotations

import re

from bayplan.model.workload import Pod, Workload

# Device classes are named after their driver; people know them by what they are.
_PLAIN = (
    (re.compile(r"\bmig\.[a-z0-9-]+\.[a-z]+\b"), "MIG slice"),
    (re.compile(r"\bgpu\.[a-z0-9-]+\.[a-z]+\b|\b[a-z0-9.-]+\.[a-z]+/gpu\b"), "GPU"),
    (re.compile(r"\btpu\.[a-z0-9-]+\.[a-z]+\b"), "TPU"),
)


def plain(text: str) -> str:
    """Device classes and extended resources by their plain names: `8 GPU` for `8 gpu.nvidia.com`."""
    for pattern, word in _PLAIN:
        text = pattern.sub(word, text)
    return text


def called(workload: Workload) -> str:
    """What people call a workload: the name of the job that owns it."""
    return workload.owner.partition("/")[2] or workload.name


def kind_of(workload: Workload) -> str:
    return workload.owner.partition("/")[0] or "Workload"


def calls(workload: Workload, pods: tuple[Pod, ...] = ()) -> tuple[str, ...]:
    """Everything a person may call a workload, lower case: its job, the job with its kind, itself, its pods."""
    name = called(workload)
    own = (name, f"{kind_of(workload)}/{name}", workload.name, workload.key, f"{workload.namespace}/{name}")
    return tuple(text.lower() for text in (*own, *(p.name for p in pods)))
