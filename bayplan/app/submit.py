"""A command and a wish for GPUs as Kubernetes objects: a Job, and the claim template its pods take their GPUs by."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from bayplan.app.errors import BadInput
from bayplan.model.base import Value
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from bayplan.wire.names import (
    PREFERRED_TOPOLOGY,
    QUEUE_NAME,
    REQUIRED_TOPOLOGY,
    RUNTIME_SECONDS,
    SCHEDULER,
    WORKLOAD_PRIORITY_CLASS,
)

Json = dict[str, Any]

GPU_CLASS = "gpu.nvidia.com"
_NAME_MAX = 52  # a Job's pods add an index and a suffix to its name
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own for generated names: no vowels, no words
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class Wish(Value, frozen=True):
    """What a person asks for. `gpus` are per pod; with `gpu_memory` each pod gets that much of one GPU instead."""

    command: tuple[str, ...]
    name: str = ""
    image: str = "python:3.12"
    nodes: int = 1
    gpus: int = 0
    gpu_memory: str = ""
    device_class: str = GPU_CLASS
    cpu: str = ""
    memory: str = ""
    priority: str = ""
    topology: str = ""
    is_required: bool = False
    runtime: str = ""


def job_objects(wish: Wish, namespace: str, queue: str, level: str) -> list[Json]:
    """The claim template (if GPUs are asked for) and the Job. Raises BadInput, naming the option.

    `level` is the node label of the topology wish, "" without one.
    """
    name = _name(wish)
    runtime_s = runtime_seconds(wish.runtime)
    notes = {RUNTIME_SECONDS: str(runtime_s)} if runtime_s else {}
    if level:
        notes[REQUIRED_TOPOLOGY if wish.is_required else PREFERRED_TOPOLOGY] = level
    labels = {QUEUE_NAME: queue} | ({WORKLOAD_PRIORITY_CLASS: wish.priority} if wish.priority else {})
    request = _request(wish)
    pod: Json = {"schedulerName": SCHEDULER, "restartPolicy": "Never", "containers": [_container(wish, request)]}
    if request:
        pod["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": name}]
    job: Json = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "suspend": True,
            "parallelism": wish.nodes,
            "completions": wish.nodes,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"metadata": {"annotations": notes}, "spec": pod},
        },
    }
    return ([_template(name, namespace, request)] if request else []) + [job]


def choose_queue(snapshot: Snapshot, queue: str, namespace: str) -> tuple[str, str]:
    """Namespace and LocalQueue meant by --queue and --namespace. Raises BadInput that lists what there is."""
    found = [
        q.metadata
        for _, q in sorted(snapshot.local_queues.items())
        if queue in ("", q.metadata.name) and namespace in ("", q.metadata.namespace)
    ]
    if len(found) == 1:
        return found[0].namespace, found[0].name
    known = ", ".join(q.metadata.key for _, q in sorted(snapshot.local_queues.items())) or "there is none"
    if not found:
        where = f" of namespace {namespace}" if namespace else ""
        wanted = f"a queue{where}, got {queue!r}" if queue else f"a queue{where}"
        raise BadInput("--queue", "", f"expected {wanted}; there are: {known}")
    if queue:
        raise BadInput("--namespace", "", f"several namespaces have a queue {queue!r}: {known}")
    raise BadInput("--queue", "", f"expected one of {known}")


def choose_level(snapshot: Snapshot, policy: Policy, topology: str) -> str:
    """The node label a topology wish means: `rack`, or the label itself. Raises BadInput that lists the levels."""
    if not topology:
        return ""
    named = [level.node_label for _, t in sorted(snapshot.topologies.items()) for level in t.spec.levels]
    levels = dict.fromkeys(named) if named else dict.fromkeys(policy.levels)
    for label in levels:
        if topology in (label, label.rpartition("/")[2]):
            return label
    known = ", ".join(label.rpartition("/")[2] for label in levels)
    raise BadInput("--topology", "", f"expected one of {known}, got {topology!r}")


def runtime_seconds(text: str) -> int:
    """`90`, `30min`, `2h`, `1h30m` as seconds; 0 for "". Raises BadInput."""
    if not text:
        return 0
    parts = re.findall(r"(\d+)\s*([a-z]*)", text)
    whole = re.fullmatch(r"\s*(\d+\s*[a-z]*\s*)+", text)
    if not whole or not all((unit or "s") in _UNITS_S for _, unit in parts):
        raise BadInput("--runtime", "", f"expected a time such as 90s, 30min, 2h or 1h30m, got {text!r}")
    return sum(int(number) * _UNITS_S[unit or "s"] for number, unit in parts)


def _name(wish: Wish) -> str:
    if wish.name:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", wish.name) or len(wish.name) > _NAME_MAX:
            raise BadInput("--name", "", f"expected up to {_NAME_MAX} of a-z, 0-9 and '-', got {wish.name!r}")
        return wish.name
    scripts = [w for w in wish.command if w.endswith((".py", ".sh"))]
    stem = PurePath(scripts[0] if scripts else wish.command[0]).stem.lower()
    stem = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[: _NAME_MAX - 6] or "job"
    return f"{stem}-{''.join(secrets.choice(_ALPHABET) for _ in range(5))}"


def _request(wish: Wish) -> Json:
    """The device request of one pod; empty if it asks for none."""
    if wish.gpu_memory:
        if wish.gpus > 1:
            raise BadInput("--gpu-memory", "", f"a share is of one GPU; expected --gpus 1 or none, got {wish.gpus}")
        _quantity("--gpu-memory", wish.gpu_memory)
        return {
            "deviceClassName": wish.device_class,
            "capacity": {"requests": {"memory": wish.gpu_memory}},
            # a card that cannot be shared would be taken whole
            "selectors": [{"cel": {"expression": "device.allowMultipleAllocations"}}],
        }
    if not wish.gpus:
        return {}
    return {"deviceClassName": wish.device_class, "allocationMode": "ExactCount", "count": wish.gpus}


def _container(wish: Wish, request: Json) -> Json:
    resources: Json = {}
    amounts = {"cpu": wish.cpu, "memory": wish.memory}
    asked = {resource: text for resource, text in amounts.items() if text and _quantity(f"--{resource}", text)}
    if asked:
        resources["requests"] = asked
    if request:
        resources["claims"] = [{"name": "gpu"}]
    return {"name": "main", "image": wish.image, "command": list(wish.command), "resources": resources}


def _quantity(option: str, text: str) -> Quantity:
    try:
        found = Quantity.parse(text)
    except ValueError as error:
        raise BadInput(option, "", f"expected a quantity such as 12Gi, got {text!r}") from error
    if found.nano <= 0:
        raise BadInput(option, "", f"expected a quantity above 0, got {text!r}")
    return found


def _template(name: str, namespace: str, request: Json) -> Json:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": request}]}}},
    }


def missing_priority(snapshot: Snapshot, name: str) -> None:
    """Raises BadInput if a priority class is named that is not there."""
    if name and name not in snapshot.workload_priority_classes:
        known = ", ".join(sorted(snapshot.workload_priority_classes)) or "there is none"
        raise BadInput("--priority", "", f"expected one of {known}, got {name!r}")


def paths(objects: Sequence[Json]) -> list[tuple[str, Json]]:
    """Where each object is created."""
    places = {
        "Job": "apis/batch/v1/namespaces/{}/jobs",
        "ResourceClaimTemplate": "apis/resource.k8s.io/v1/namespaces/{}/resourceclaimtemplates",
    }
    return [(places[obj["kind"]].format(obj["metadata"]["namespace"]), obj) for obj in objects]
