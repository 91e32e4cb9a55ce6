"""The pods of each workload, brought from the last cycle's to this one's by what differs.

A memo of a pure function: a snapshot never changes, so the pods of one are known by their identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bayplan.model.table import differences
from bayplan.model.workload import Pod


class Team(NamedTuple):
    """The pods of one workload that stay, in order of rank, and those of them that have a node."""

    pods: tuple[Pod, ...]
    bound: tuple[Pod, ...]


NOBODY = Team((), ())

_last: list[tuple[Mapping[str, Pod], dict[str, Team]]] = [({}, {})]


def teams(pods: Mapping[str, Pod]) -> Mapping[str, Team]:
    """By workload; whoever has no pods is not in it."""
    before, known = _last[0]
    if before is pods:
        return known
    changed: dict[str, dict[str, Pod]] = {}
    for key, old, new in differences(before, pods):
        for pod, is_new in ((old, False), (new, True)):
            if pod is not None and pod.workload and not pod.terminating:
                members = changed.get(pod.workload)
                if members is None:
                    members = changed[pod.workload] = {p.key: p for p in known.get(pod.workload, NOBODY).pods}
                if is_new:
                    members[key] = pod
                else:
                    members.pop(key, None)
    fresh = {workload: team for workload, team in known.items() if workload not in changed}
    fresh |= {workload: _team(members) for workload, members in changed.items() if members}
    _last[0] = pods, fresh
    return fresh


def _team(members: Mapping[str, Pod]) -> Team:
    ordered = tuple(sorted(members.values(), key=lambda p: (p.pod_set, p.index, p.name)))
    return Team(ordered, tuple(p for p in ordered if p.node))
