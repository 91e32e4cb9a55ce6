"""Kueue's topologyAssignment: pods per node in rank order, in both spellings.

v1beta2 packs domains by columns: `slices[].valuesPerLevel[]` holds one value for all domains (`universal`) or a
prefix, a suffix and the differing parts (`individual`), and `podCounts` likewise; v1beta1 lists `domains[]`. Only
assignments down to hosts name nodes.
"""

from __future__ import annotations

from typing import Any

from bayplan.model.base import Noun
from bayplan.wire.errors import Malformed
from bayplan.wire.names import HOSTNAME

PodsPerNode = tuple[tuple[str, int], ...]


class IndividualValues(Noun, frozen=True):
    roots: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""


class LevelValues(Noun, frozen=True):
    universal: str | None = None
    individual: IndividualValues | None = None

    def spread(self, domains: int) -> tuple[str, ...]:
        if self.individual is None:
            return (self.universal or "",) * domains
        return tuple(self.individual.prefix + root + self.individual.suffix for root in self.individual.roots)


class PodCounts(Noun, frozen=True):
    universal: int | None = None
    individual: tuple[int, ...] = ()

    def spread(self, domains: int) -> tuple[int, ...]:
        return self.individual if self.universal is None else (self.universal,) * domains


class AssignmentSlice(Noun, frozen=True):
    domain_count: int = 0
    values_per_level: tuple[LevelValues, ...] = ()
    pod_counts: PodCounts = PodCounts()


class AssignmentDomain(Noun, frozen=True):
    """v1beta1."""

    values: tuple[str, ...] = ()
    count: int = 0


class TopologyAssignment(Noun, frozen=True):
    levels: tuple[str, ...] = ()
    slices: tuple[AssignmentSlice, ...] = ()
    domains: tuple[AssignmentDomain, ...] = ()


def pods_per_node(assignment: TopologyAssignment | None) -> PodsPerNode:
    """Nodes with their pod counts; empty where the assignment does not reach down to hosts. Raises Malformed."""
    if assignment is None or not assignment.levels or assignment.levels[-1] != HOSTNAME:
        return ()
    listed = tuple((d.values[-1], d.count) for d in assignment.domains if d.values)
    return listed + tuple(pair for i, s in enumerate(assignment.slices) for pair in _spread(s, i))


def topology_assignment(nodes: PodsPerNode) -> dict[str, Any]:
    """The v1beta2 JSON of pods per node."""
    return {
        "levels": [HOSTNAME],
        "slices": [
            {
                "domainCount": len(nodes),
                "valuesPerLevel": [_values([name for name, _ in nodes])],
                "podCounts": _counts([count for _, count in nodes]),
            }
        ],
    }


def _spread(part: AssignmentSlice, index: int) -> PodsPerNode:
    names = part.values_per_level[-1].spread(part.domain_count) if part.values_per_level else ()
    counts = part.pod_counts.spread(part.domain_count)
    if not len(names) == len(counts) == part.domain_count:
        raise Malformed(
            f"topologyAssignment.slices[{index}]",
            f"expected {part.domain_count} domains, got {len(names)} names and {len(counts)} pod counts",
        )
    return tuple(zip(names, counts, strict=True))


def _values(names: list[str]) -> dict[str, Any]:
    if len(names) == 1:
        return {"universal": names[0]}
    prefix = _common_prefix(names)
    individual: dict[str, Any] = {"roots": [name[len(prefix) :] for name in names]}
    return {"individual": ({"prefix": prefix} if prefix else {}) | individual}


def _counts(counts: list[int]) -> dict[str, Any]:
    if len(frozenset(counts)) == 1:
        return {"universal": counts[0]}
    return {"individual": counts}


def _common_prefix(names: list[str]) -> str:
    """The longest prefix that leaves every name a root."""
    first, last = min(names), max(names)
    longest = min(len(name) for name in names) - 1
    length = 0
    while length < longest and first[length] == last[length]:
        length += 1
    return first[:length]
