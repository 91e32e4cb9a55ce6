"""Advice on jobs and pods: what keeps them out of their queue, and what their pods share without meaning to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bayplan.lint.rules import Json, items, mapping, words
from bayplan.lint.world import (
    Note,
    World,
    claim_spec_of,
    classes_asked,
    group_of,
    kind_of,
    namespace_of,
    title_of,
)
from bayplan.model.quantity import Quantity, QuantityError
from bayplan.wire.errors import Malformed
from bayplan.wire.names import (
    HOSTNAME,
    PREFERRED_TOPOLOGY,
    QUEUE_NAME,
    REQUIRED_TOPOLOGY,
    SCHEDULER,
    SLICE_SIZE,
    SLICE_TOPOLOGY,
)
from bayplan.wire.workload import Context
from bayplan.workloads import PodSetSource
from bayplan.workloads import kind_of as job_kind
from bayplan.workloads.base import spelled

_NEVER_CHARGED = ("pods",)


def job_advice(obj: Json, world: World) -> Iterator[Note]:
    """Advice on a pod or on a job of a kind we translate; nothing for other kinds, or for one that cannot be read."""
    title, namespace = title_of(obj), namespace_of(obj)
    queue = str(_labels(obj).get(QUEUE_NAME) or "")
    sets = _pod_sets(obj)
    if sets:
        yield from _queue_notes(title, namespace, queue, sets, world)
    for pods in sets:
        at = spelled(pods.path)
        yield from _container_notes(title, at, pods)
        yield from _extended_notes(title, at, pods, world)
        yield from _claim_notes(title, at, pods, namespace, queue, world)
        yield from _topology_notes(title, at, pods, world)


def _pod_sets(obj: Json) -> list[PodSetSource]:
    if kind_of(obj) == "Pod" and not group_of(obj):
        return [PodSetSource("main", 1, obj)]
    kind = job_kind(group_of(obj), kind_of(obj))
    if kind is None:
        return []
    try:
        return [pods for gang in kind.gangs(obj, Context()).values() for pods in gang]
    except Malformed:
        return []


def _labels(obj: Json) -> Json:
    return mapping(mapping(obj.get("metadata")).get("labels"))


def _below(at: str, path: str) -> str:
    return f"{at}.{path}" if at else path


# -- the queue


def _queue_notes(title: str, namespace: str, queue: str, sets: list[PodSetSource], world: World) -> Iterator[Note]:
    at = f"metadata.labels[{QUEUE_NAME}]"
    here = sorted(key.partition("/")[2] for key in world.all("LocalQueue") if key.startswith(f"{namespace}/"))
    ours = any(_spec(pods).get("schedulerName") == SCHEDULER for pods in sets)
    if not queue:
        if here and not ours:
            message = f"names no queue, so it simply runs, outside any quota of {namespace}"
            yield Note("hint", title, at, message, f"label it {QUEUE_NAME}: {here[0]}")
        return
    if not world.all("LocalQueue"):
        return
    if queue not in here:
        message = f"there is no LocalQueue '{queue}' in namespace {namespace}: it is never admitted"
        yield Note(
            "warning", title, at, message, f"queues here: {', '.join(here[:6])}" if here else "make the LocalQueue"
        )
        return
    found = mapping(world.find("LocalQueue", queue, namespace))
    cluster_queue = world.find("ClusterQueue", str(mapping(found.get("spec")).get("clusterQueue")))
    if cluster_queue is not None:
        yield from _coverage_notes(title, at, namespace, sets, cluster_queue, world)


def _coverage_notes(
    title: str, at: str, namespace: str, sets: list[PodSetSource], queue: Json, world: World
) -> Iterator[Note]:
    """A resource outside every coveredResources: the job waits for ever."""
    groups = items(mapping(queue.get("spec")).get("resourceGroups"))
    covered = [name for group in groups for name in words(group.get("coveredResources"))]
    name = mapping(queue.get("metadata")).get("name")
    asked = sorted({resource for pods in sets for resource in _resources(pods, namespace, world)})
    for resource in asked:
        if resource not in covered and resource not in _NEVER_CHARGED:
            message = f"asks {resource}, which ClusterQueue {name} has no quota of: it is never admitted"
            yield Note(
                "warning", title, at, message, f"add it to coveredResources ({', '.join(covered) or 'none yet'})"
            )
    if not asked:
        message = "asks nothing, so it gets no flavor and none of the flavor's node labels"
        yield Note("hint", title, at, message, "give the containers requests of cpu and memory")


def _resources(pods: PodSetSource, namespace: str, world: World) -> Iterator[str]:
    for _, container in _containers(pods):
        resources = mapping(container.get("resources"))
        yield from [*mapping(resources.get("requests")), *mapping(resources.get("limits"))]
    for claim in items(_spec(pods).get("resourceClaims")):
        template = world.find("ResourceClaimTemplate", str(claim.get("resourceClaimTemplateName") or ""), namespace)
        read = claim_spec_of(template) if template else None
        yield from [world.charged_as(name) for name in classes_asked(read[0])] if read else []


def _spec(pods: PodSetSource) -> Json:
    return mapping(mapping(dict(pods.template)).get("spec"))


def _containers(pods: PodSetSource) -> Iterator[tuple[str, Json]]:
    for field in ("initContainers", "containers"):
        for index, container in enumerate(items(_spec(pods).get(field))):
            yield f"spec.{field}[{index}]", container


# -- containers and claims


def _container_notes(title: str, at: str, pods: PodSetSource) -> Iterator[Note]:
    for path, container in _containers(pods):
        resources = mapping(container.get("resources"))
        limits = mapping(resources.get("limits"))
        for name, value in mapping(resources.get("requests")).items():
            asked, limit = _amount(value), _amount(limits.get(name))
            here = _below(at, f"{path}.resources.requests[{name}]")
            if asked is not None and limit is not None and asked > limit:
                message = f"asks {asked} {name} and is limited to {limit}: the API refuses the pod"
                yield Note("warning", title, here, message, "a request is at most its limit")
            elif asked is not None and "/" in name and limit != asked:
                message = f"{name} is not shared, so its request and its limit must be the same"
                yield Note("warning", title, here, message, f"set limits[{name}] to {asked}")


def _extended_notes(title: str, at: str, pods: PodSetSource, world: World) -> Iterator[Note]:
    """Extended resources that DRA serves (KEP-5004): like a claim, they come from one node."""
    asked: Counter[str] = Counter()
    where: dict[str, str] = {}
    for path, container in _containers(pods):
        for name, value in mapping(mapping(container.get("resources")).get("limits")).items():
            amount = _amount(value)
            if amount is not None and ".initContainers" not in f".{path}":
                asked[name] += amount.value
                where.setdefault(name, _below(at, f"{path}.resources.limits[{name}]"))
    for name, count in asked.items():
        behind = world.class_behind(name)
        offers = world.chosen(behind.metadata.name).offers if behind and world.fleet.offers else ()
        if behind and world.fleet.offers and not offers:
            message = f"{name} is served by class '{behind.metadata.name}', which matches no device of this fleet"
            yield Note("warning", title, where[name], message, f"drivers here: {world.fleet.drivers()}")
        elif offers and all(offer.node for offer in offers):
            best = max(Counter(offer.node for offer in offers).values())
            if count > best:
                message = f"asks {count} {name} of one node, and no node has more than {best}"
                yield Note("warning", title, where[name], message, f"run more pods of at most {best} each")


def _amount(value: object) -> Quantity | None:
    try:
        return Quantity.of_json(value)
    except QuantityError:
        return None


def _claim_notes(title: str, at: str, pods: PodSetSource, namespace: str, queue: str, world: World) -> Iterator[Note]:
    for index, claim in enumerate(items(_spec(pods).get("resourceClaims"))):
        here = _below(at, f"spec.resourceClaims[{index}]")
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if direct and pods.count > 1:
            message = f"all {pods.count} pods share claim '{direct}', so they share its devices and run on one node"
            mend = "for devices of its own for each pod use resourceClaimTemplateName"
            yield Note("warning", title, f"{here}.resourceClaimName", message, mend)
        elif direct and queue:
            message = "Kueue counts no devices of a claim that is named directly, and does not admit the job"
            yield Note("hint", title, f"{here}.resourceClaimName", message, "use resourceClaimTemplateName")
        known = sorted(k.partition("/")[2] for k in world.all("ResourceClaimTemplate") if k.startswith(f"{namespace}/"))
        if template and known and template not in known:
            message = f"there is no ResourceClaimTemplate '{template}' in namespace {namespace}"
            mend = f"templates here: {', '.join(known[:6])}"
            yield Note("warning", title, f"{here}.resourceClaimTemplateName", message, mend)


# -- topology


def _topology_notes(title: str, at: str, pods: PodSetSource, world: World) -> Iterator[Note]:
    notes = mapping(mapping(mapping(dict(pods.template)).get("metadata")).get("annotations"))
    here = _below(at, "metadata.annotations")
    levels = {
        str(level.get("nodeLabel"))
        for topology in world.all("Topology").values()
        for level in items(mapping(topology.get("spec")).get("levels"))
    }
    for name in (REQUIRED_TOPOLOGY, PREFERRED_TOPOLOGY, SLICE_TOPOLOGY):
        level = notes.get(name)
        if level and levels and level not in levels:
            message = f"no Topology has a level {level}"
            yield Note("warning", title, f"{here}[{name}]", message, f"levels here: {', '.join(sorted(levels))}")
    if notes.get(PREFERRED_TOPOLOGY) == HOSTNAME:
        message = "preferring one host does not keep each pod on a host that fits it, only the set together"
        yield Note("hint", title, f"{here}[{PREFERRED_TOPOLOGY}]", message, "prefer a rack or a block")
    size = str(notes.get(SLICE_SIZE) or "")
    if size.isdigit() and int(size) > 0 and pods.count % int(size):
        message = f"{pods.count} pods do not divide into slices of {size}: {pods.count % int(size)} are left over"
        up = pods.count + int(size) - pods.count % int(size)
        yield Note("warning", title, f"{here}[{SLICE_SIZE}]", message, f"run {up} pods, or change the slice size")
