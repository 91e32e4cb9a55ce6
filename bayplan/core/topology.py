"""The topology tree: which nodes share a rack, a block, a zone, by node labels (Kueue's Topology, KEP-2724).

A domain is named by the label values from the widest level down to its own, so racks that carry the same name in two
blocks are two racks. Levels that no node carries do not exist; a node without a level's label is in none of that
level's domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bayplan.model.node import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from bayplan.model.policy import Policy
from bayplan.model.queue import Topology

HOSTNAME = "kubernetes.io/hostname"


class Domain(NamedTuple):
    """`path` holds one value per level down to `level`; `nodes` are in rank order."""

    level: str
    path: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def name(self) -> str:
        return "/".join(v for v in self.path if v)


class Tree:
    """One ordered list of levels over the nodes."""

    def __init__(self, levels: Iterable[str], nodes: Mapping[str, Node], rank: Mapping[str, int]) -> None:
        labels = {name: _labels(node) for name, node in nodes.items()}
        self.levels = tuple(k for k in levels if any(k in found for found in labels.values()))
        self._domains: dict[str, tuple[Domain, ...]] = {}
        ordered = sorted(nodes, key=rank.__getitem__)
        for depth, level in enumerate(self.levels):
            members: dict[tuple[str, ...], list[str]] = {}
            for name in ordered:
                if level in labels[name]:
                    path = tuple(labels[name].get(k, "") for k in self.levels[: depth + 1])
                    members.setdefault(path, []).append(name)
            self._domains[level] = tuple(Domain(level, path, tuple(found)) for path, found in sorted(members.items()))
        self.root = Domain("", (), tuple(ordered))

    def domains(self, level: str) -> tuple[Domain, ...]:
        """The domains of a level, by path; `""` is the whole fleet."""
        return self._domains.get(level, ()) if level else (self.root,)

    def within(self, parent: Domain, level: str) -> tuple[Domain, ...]:
        """The domains of a narrower level inside `parent`."""
        return tuple(d for d in self.domains(level) if d.path[: len(parent.path)] == parent.path)

    def below(self, level: str) -> str:
        """The next narrower level, `""` under the narrowest."""
        depth = self.levels.index(level) + 1 if level else 0
        return self.levels[depth] if depth < len(self.levels) else ""

    def upwards(self, level: str) -> tuple[str, ...]:
        """`level` and every wider one, ending with the whole fleet (`""`)."""
        depth = self.levels.index(level) + 1
        return (*reversed(self.levels[:depth]), "")


def _labels(node: Node) -> Mapping[str, str]:
    return node.labels if HOSTNAME in node.labels else {**node.labels, HOSTNAME: node.name}


class Forest:
    """The trees of a cluster: one per Kueue Topology, then the policy's own levels."""

    def __init__(
        self, topologies: Mapping[str, Topology], policy: Policy, nodes: Mapping[str, Node], rank: Mapping[str, int]
    ) -> None:
        named = [tuple(lv.node_label for lv in t.spec.levels) for _, t in sorted(topologies.items())]
        self._levels = (*named, policy.levels)
        self.nodes, self._rank = nodes, rank
        self._trees: dict[tuple[str, ...], Tree] = {}

    def tree(self, level: str) -> Tree:
        """The first tree with this level; any other label key makes a tree of its own over the hosts."""
        levels = next((known for known in self._levels if level in known), (level, HOSTNAME))
        return self._tree(levels)

    def home(self, level: str, nodes: Sequence[str]) -> tuple[NodeSelector, ...]:
        """What selects the first domain of the level that one of these nodes is in; () where there is none."""
        tree = self.tree(level)
        domain = next((d for d in tree.domains(level) if any(node in d.nodes for node in nodes)), None)
        if domain is None:
            return ()
        if level == HOSTNAME:
            host = NodeSelectorRequirement("metadata.name", "In", domain.nodes)
            return (NodeSelector((NodeSelectorTerm(match_fields=(host,)),)),)
        labels = [(key, value) for key, value in zip(tree.levels, domain.path, strict=False) if value]
        expressions = tuple(NodeSelectorRequirement(key, "In", (value,)) for key, value in labels)
        return (NodeSelector((NodeSelectorTerm(match_expressions=expressions),)),)

    @property
    def default(self) -> Tree:
        return self._tree(self._levels[0])

    def _tree(self, levels: tuple[str, ...]) -> Tree:
        if levels not in self._trees:
            self._trees[levels] = Tree(levels, self.nodes, self._rank)
        return self._trees[levels]
