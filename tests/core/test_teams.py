"""The pods of each workload, however one got from one snapshot to the next."""

from __future__ import annotations

import random

import msgspec

from bayplan.core.teams import NOBODY, teams
from bayplan.model.workload import Pod


def from_nothing(pods: dict[str, Pod]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pod in sorted(pods.values(), key=lambda p: (p.pod_set, p.index, p.name)):
        if pod.workload and not pod.terminating:
            found.setdefault(pod.workload, []).append(pod.name)
    return found


def test_what_differs_leads_to_what_one_finds_from_nothing() -> None:
    chance = random.Random(7)
    pods: dict[str, Pod] = {}
    for _ in range(300):
        pods = dict(pods)  # a snapshot never changes
        for _ in range(chance.randrange(4)):
            name = f"p{chance.randrange(12)}"
            known = pods.get(f"ns/{name}") or Pod(namespace="ns", name=name)
            match chance.randrange(5):
                case 0:
                    pods.pop(f"ns/{name}", None)
                case 1:
                    pods[f"ns/{name}"] = msgspec.structs.replace(known, terminating=not known.terminating)
                case 2:
                    pods[f"ns/{name}"] = msgspec.structs.replace(known, node=chance.choice(("", "a", "b")))
                case _:
                    owner = chance.choice(("", "ns/w1", "ns/w2"))
                    pods[f"ns/{name}"] = msgspec.structs.replace(known, workload=owner, index=chance.randrange(3))
        found = teams(pods)
        assert {k: [p.name for p in t.pods] for k, t in found.items()} == from_nothing(pods)
        assert all(t.bound == tuple(p for p in t.pods if p.node) for t in found.values())
        assert teams(pods) is found


def test_whoever_has_no_pods_has_an_empty_team() -> None:
    assert teams({}).get("ns/w", NOBODY) == NOBODY
