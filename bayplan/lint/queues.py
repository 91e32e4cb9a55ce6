"""Advice on Kueue's objects (kueue.x-k8s.io/v1beta2): what users get wrong, and what its webhooks refuse.

Each rule is one of Kueue's own questions and bug reports: a namespaceSelector left out (none, not all), a flavor that
does not exist, a lending queue that never takes back, limits without a cohort, spellings of v1beta1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from bayplan.lint.rules import Json, items, mapping, words
from bayplan.lint.world import KUEUE, Note, World, flavors_of, group_of, title_of
from bayplan.model.quantity import Quantity, QuantityError
from bayplan.wire.names import HOSTNAME

_V1BETA2 = "v1beta2"
_FUNGIBILITY = {"Borrow": "MayStopSearch", "Preempt": "MayStopSearch"}


def queue_advice(obj: Json, world: World) -> Iterator[Note]:
    """Advice on one object of Kueue's group; nothing for other kinds."""
    if group_of(obj) != KUEUE:
        return
    for rule in _RULES.get(str(obj.get("kind")), ()):
        yield from rule(obj, world)


# -- ClusterQueue and Cohort


def _namespaces(obj: Json, world: World) -> Iterator[Note]:
    if mapping(obj.get("spec")).get("namespaceSelector") is None:
        message = "no namespaceSelector admits no namespace at all"
        yield Note(
            "warning", title_of(obj), "spec.namespaceSelector", message, "for all of them: namespaceSelector: {}"
        )


def _older_spellings(obj: Json, world: World) -> Iterator[Note]:
    """v1beta1's words in an object that says v1beta2."""
    spec, title = mapping(obj.get("spec")), title_of(obj)
    if not str(obj.get("apiVersion")).endswith(_V1BETA2):
        return
    renamed = {"ClusterQueue": ("cohort", "cohortName"), "Cohort": ("parent", "parentName")}
    old, new = renamed[str(obj.get("kind"))]
    if old in spec:
        yield Note("warning", title, f"spec.{old}", f"{old} is v1beta1's name; v1beta2 drops it", f"write {new}")
    for field in ("whenCanBorrow", "whenCanPreempt"):
        word = mapping(spec.get("flavorFungibility")).get(field)
        if word in _FUNGIBILITY:
            at = f"spec.flavorFungibility.{field}"
            yield Note("warning", title, at, f"{word} is v1beta1's word", f"write {_FUNGIBILITY[word]}")


def _flavors_exist(obj: Json, world: World) -> Iterator[Note]:
    known = world.all("ResourceFlavor")
    if not known:
        return
    for at, flavor in _flavor_paths(obj):
        name = str(flavor.get("name"))
        if name not in known:
            message = f"there is no ResourceFlavor '{name}': the queue stays inactive and everything in it waits"
            yield Note("warning", title_of(obj), f"{at}.name", message, f"flavors here: {', '.join(sorted(known)[:6])}")


def _flavor_paths(obj: Json) -> Iterator[tuple[str, Json]]:
    for g, group in enumerate(items(mapping(obj.get("spec")).get("resourceGroups"))):
        for f, flavor in enumerate(items(group.get("flavors"))):
            yield f"spec.resourceGroups[{g}].flavors[{f}]", flavor


def _groups(obj: Json, world: World) -> Iterator[Note]:
    """A resource and a flavor belong to one group; a flavor has the group's resources, in its order."""
    groups = items(mapping(obj.get("spec")).get("resourceGroups"))
    covered = Counter(name for group in groups for name in words(group.get("coveredResources")))
    used = Counter(str(flavor.get("name")) for flavor in flavors_of(obj))
    for what, counts in (("resource", covered), ("flavor", used)):
        for name, count in counts.items():
            if count > 1:
                message = f"{what} '{name}' is in {count} places, and may be in one"
                yield Note("warning", title_of(obj), "spec.resourceGroups", message, "join the groups")
    for g, group in enumerate(groups):
        expected = words(group.get("coveredResources"))
        for f, flavor in enumerate(items(group.get("flavors"))):
            given = [str(resource.get("name")) for resource in items(flavor.get("resources"))]
            if given != expected:
                at = f"spec.resourceGroups[{g}].flavors[{f}].resources"
                message = f"must be the group's coveredResources in their order: {', '.join(expected)}"
                yield Note("warning", title_of(obj), at, message, f"it lists {', '.join(given) or 'none'}")


def _limits(obj: Json, world: World) -> Iterator[Note]:
    """borrowingLimit and lendingLimit speak of a cohort; no more can be lent than there is."""
    spec = mapping(obj.get("spec"))
    in_cohort = spec.get("cohortName") or spec.get("cohort") or spec.get("parentName") or spec.get("parent")
    for at, flavor in _flavor_paths(obj):
        for r, quota in enumerate(items(flavor.get("resources"))):
            here = f"{at}.resources[{r}]"
            for limit in ("borrowingLimit", "lendingLimit"):
                if quota.get(limit) is not None and not in_cohort:
                    mend = "name a cohort, or drop the limit"
                    yield Note(
                        "warning", title_of(obj), f"{here}.{limit}", f"{limit} without a cohort is refused", mend
                    )
            lent, nominal = _amount(quota.get("lendingLimit")), _amount(quota.get("nominalQuota"))
            if lent is not None and nominal is not None and lent > nominal:
                message = f"lends up to {lent} of a nominal {nominal}"
                yield Note("warning", title_of(obj), f"{here}.lendingLimit", message, f"at most {nominal}")


def _amount(value: object) -> Quantity | None:
    try:
        return Quantity.of_json(value)
    except QuantityError:
        return None


def _preemption(obj: Json, world: World) -> Iterator[Note]:
    spec = mapping(obj.get("spec"))
    preemption = mapping(spec.get("preemption"))
    reclaim = preemption.get("reclaimWithinCohort") or "Never"
    borrow = mapping(preemption.get("borrowWithinCohort")).get("policy") or "Never"
    if borrow != "Never" and reclaim == "Never":
        message = f"borrowWithinCohort {borrow} with reclaimWithinCohort Never is refused"
        mend = "set reclaimWithinCohort to LowerPriority or Any"
        yield Note("warning", title_of(obj), "spec.preemption.borrowWithinCohort", message, mend)
    lends = any(
        (held := _amount(quota.get("nominalQuota"))) is not None and held.nano > 0
        for flavor in flavors_of(obj)
        for quota in items(flavor.get("resources"))
        if quota.get("lendingLimit") is None or (_amount(quota.get("lendingLimit")) or Quantity(0)).nano > 0
    )
    if lends and (spec.get("cohortName") or spec.get("cohort")) and reclaim == "Never":
        message = "lends its quota to the cohort and cannot take it back before the borrower ends"
        mend = "set reclaimWithinCohort: Any, or lendingLimit 0"
        yield Note("hint", title_of(obj), "spec.preemption.reclaimWithinCohort", message, mend)


def _strategy(obj: Json, world: World) -> Iterator[Note]:
    spec = mapping(obj.get("spec"))
    flavors = sorted({str(flavor.get("name")) for flavor in flavors_of(obj)})
    if spec.get("queueingStrategy") == "StrictFIFO" and len(flavors) > 1:
        message = f"with StrictFIFO one head that waits blocks all {len(flavors)} flavors ({', '.join(flavors)})"
        yield Note("hint", title_of(obj), "spec.queueingStrategy", message, "use BestEffortFIFO, or a queue per flavor")


def _weight(obj: Json, world: World) -> Iterator[Note]:
    weight = _amount(mapping(mapping(obj.get("spec")).get("fairSharing")).get("weight", "1"))
    if weight is not None and weight.nano == 0:
        message = "weight 0 makes any borrowing an infinite share: it comes last and is preempted first"
        yield Note("hint", title_of(obj), "spec.fairSharing.weight", message, "1 is an ordinary weight")


def _parents(obj: Json, world: World) -> Iterator[Note]:
    """A circle of cohorts stops every queue below it."""
    seen = [str(mapping(obj.get("metadata")).get("name"))]
    while True:
        cohort = obj if len(seen) == 1 else world.find("Cohort", seen[-1])
        parent = str(mapping(mapping(cohort).get("spec")).get("parentName") or "")
        if not parent or (parent in seen and parent != seen[0]):
            return
        seen.append(parent)
        if parent == seen[0]:
            message = f"cohorts in a circle admit nothing: {' -> '.join(seen)}"
            yield Note("warning", title_of(obj), "spec.parentName", message, "make one of them the root")
            return


# -- LocalQueue, ResourceFlavor, Topology


def _cluster_queue_exists(obj: Json, world: World) -> Iterator[Note]:
    name, known = str(mapping(obj.get("spec")).get("clusterQueue")), world.all("ClusterQueue")
    if known and name not in known:
        message = f"there is no ClusterQueue '{name}': nothing in this queue is admitted"
        mend = f"queues here: {', '.join(sorted(known)[:6])}"
        yield Note("warning", title_of(obj), "spec.clusterQueue", message, mend)


def _topology_exists(obj: Json, world: World) -> Iterator[Note]:
    spec, known = mapping(obj.get("spec")), world.all("Topology")
    name = spec.get("topologyName")
    if name and not spec.get("nodeLabels"):
        message = "a flavor with a topology needs nodeLabels, and Kueue refuses it without"
        yield Note("warning", title_of(obj), "spec.nodeLabels", message, "label the nodes that belong to it")
    if name and known and name not in known:
        message, mend = f"there is no Topology '{name}'", f"topologies here: {', '.join(sorted(known)[:6])}"
        yield Note("warning", title_of(obj), "spec.topologyName", message, mend)


def _levels(obj: Json, world: World) -> Iterator[Note]:
    labels = [str(level.get("nodeLabel")) for level in items(mapping(obj.get("spec")).get("levels"))]
    at = "spec.levels"
    if HOSTNAME in labels[:-1]:
        yield Note("warning", title_of(obj), at, f"{HOSTNAME} can only be the last level", "list levels widest first")
    elif labels and HOSTNAME not in labels:
        message = f"without a level {HOSTNAME} capacity is summed per {labels[-1]}, and a pod may fit no single node"
        yield Note("hint", title_of(obj), at, message, f"add {HOSTNAME} as the last level")
    nodes = world.all("Node")
    for index, label in enumerate(labels):
        without = [name for name, node in sorted(nodes.items()) if label not in _labels(node)]
        if without:
            message = f"{len(without)} of {len(nodes)} nodes lack label {label} and are left out in silence"
            yield Note("hint", title_of(obj), f"{at}[{index}].nodeLabel", message, f"label them, {without[0]} for one")


def _labels(node: Json) -> Json:
    return mapping(mapping(node.get("metadata")).get("labels"))


_Rule = Callable[[Json, World], Iterator[Note]]
_QUOTA: tuple[_Rule, ...] = (_older_spellings, _flavors_exist, _groups, _limits, _weight)
_RULES: dict[str, tuple[_Rule, ...]] = {
    "ClusterQueue": (_namespaces, *_QUOTA, _preemption, _strategy),
    "Cohort": (*_QUOTA, _parents),
    "LocalQueue": (_cluster_queue_exists,),
    "ResourceFlavor": (_topology_exists,),
    "Topology": (_levels,),
}
