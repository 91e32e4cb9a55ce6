"""The pods of a gang over the domain that holds them: few narrower domains, the widest first, the last by best fit.

Kueue's BestFit (KEP-2724), with the last domain chosen for the smallest leftover.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from bayplan.core.topology import HOSTNAME, Domain, Tree

T = TypeVar("T")


def spread(tree: Tree, domain: Domain, counts: dict[str, int], pods: int) -> Iterator[tuple[str, int]]:
    """(node, pods) for a domain that holds them: few narrow domains, the last one by best fit."""
    level = tree.below(domain.level) if domain.level in tree.levels or not domain.level else ""
    if not level or level == HOSTNAME:
        yield from _cover([(n, counts[n]) for n in domain.nodes], pods)
        return
    children = tree.within(domain, level)
    sized = [(child, sum(counts[n] for n in child.nodes)) for child in children]
    if sum(size for _, size in sized) < pods:
        yield from _cover([(n, counts[n]) for n in domain.nodes], pods)
        return
    for child, share in _cover(sized, pods):
        yield from spread(tree, child, counts, share)


def _cover(sized: list[tuple[T, int]], pods: int) -> list[tuple[T, int]]:
    """The widest parts first; the last part is the smallest that holds the rest."""
    left = sorted((s for s in sized if s[1]), key=lambda s: -s[1])
    chosen: list[tuple[T, int]] = []
    while pods and left:
        if left[0][1] >= pods:
            chosen.append((min((s for s in left if s[1] >= pods), key=lambda s: s[1])[0], pods))
            return chosen
        part, size = left.pop(0)
        chosen.append((part, size))
        pods -= size
    return chosen
