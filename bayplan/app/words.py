"""Names as people use them: of workloads, and of what they ask for."""

from __future__ import annotations

import re

import msgspec

from bayplan.core import says
from bayplan.model.reason import AnyReason, Holder
from bayplan.model.snapshot import Snapshot
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


def called_by_key(snapshot: Snapshot, key: str) -> str:
    """What people call the workload of this key; the key itself where it is nobody's."""
    workload = snapshot.workloads.get(key)
    return called(workload) if workload else key


def said(snapshot: Snapshot, reason: AnyReason) -> str:
    """A reason in plain words, workloads by the names people gave them."""
    named: dict[str, object] = {}
    for field in reason.__struct_fields__:
        value = getattr(reason, field)
        if field == "holders":
            named[field] = tuple(_named(snapshot, holder) for holder in value)
        elif field == "victims":
            named[field] = tuple(called_by_key(snapshot, key) for key in value)
        elif field == "head":
            named[field] = called_by_key(snapshot, value)
        elif field == "domain":
            named[field] = short_domain(value)
    return plain(says(msgspec.structs.replace(reason, **named)))


def short_domain(path: str) -> str:
    """A domain without the levels its own name repeats: `b0-r1` for `b0/b0-r1`, but `b0/r1` as it is."""
    above, _, name = path.rpartition("/")
    return name if name.startswith(above.rpartition("/")[2]) else path


def _named(snapshot: Snapshot, holder: Holder) -> Holder:
    return msgspec.structs.replace(holder, workload=called_by_key(snapshot, holder.workload))


def kind_of(workload: Workload) -> str:
    return workload.owner.partition("/")[0] or "Workload"


def calls(workload: Workload, pods: tuple[Pod, ...] = ()) -> tuple[str, ...]:
    """Everything a person may call a workload, lower case: its job, the job with its kind, itself, its pods."""
    name = called(workload)
    own = (name, f"{kind_of(workload)}/{name}", workload.name, workload.key, f"{workload.namespace}/{name}")
    return tuple(text.lower() for text in (*own, *(p.name for p in pods)))
