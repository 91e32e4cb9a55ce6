"""Nodes, and the label algebra that selects them (core/v1)."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.model.base import Noun, Value


class Taint(Noun, frozen=True):
    key: str
    effect: str
    value: str = ""


class Toleration(Noun, frozen=True):
    """Matches every taint when `key` is empty and the operator is Exists."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


class NodeSelectorRequirement(Noun, frozen=True):
    """`operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compares(value)
        return False

    def _compares(self, value: str | None) -> bool:
        try:
            have, bound = int(value or ""), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return have > bound if self.operator == "Gt" else have < bound


class NodeSelectorTerm(Noun, frozen=True):
    """All requirements hold; a term without any matches nothing."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        for requirement in self.match_expressions:
            if not requirement.matches(labels):
                return False
        for requirement in self.match_fields:
            if not requirement.matches({"metadata.name": name}):
                return False
        return bool(self.match_expressions or self.match_fields)


class NodeSelector(Noun, frozen=True):
    """Any term holds."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return any(term.matches(name, labels) for term in self.node_selector_terms)


class Node(Value, frozen=True):
    """A node as the scheduler reads it.

    `allocatable` holds integers: `cpu` in millicores, `memory` and other byte resources in bytes, everything else
    (pods, extended resources) in whole units.
    """

    name: str
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    allocatable: dict[str, int] = {}
    unschedulable: bool = False
    ready: bool = True
    resource_version: str = ""

    def admits(self, tolerations: tuple[Toleration, ...]) -> bool:
        """Whether every NoSchedule and NoExecute taint, and a cordon, is tolerated."""
        if self.unschedulable and not any(t.tolerates(_CORDON) for t in tolerations):
            return False
        return all(
            taint.effect == "PreferNoSchedule" or any(t.tolerates(taint) for t in tolerations) for taint in self.taints
        )


_CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
