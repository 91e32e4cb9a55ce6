"""The questions people ask a running cluster: each observes it once and decides on what it saw, writing nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from bayplan.app.client import Client, connect
from bayplan.app.errors import BadInput
from bayplan.app.manifest import add
from bayplan.app.observed import Observed
from bayplan.app.views.map import MapView, map_view, racks_of
from bayplan.app.views.plan import PlanView, plan_view
from bayplan.app.views.queue import QueueView, queue_view
from bayplan.app.views.repartition import RepartitionView, repartition_view
from bayplan.app.views.waste import WasteView, waste_view
from bayplan.app.views.why import Unknown, Why, why_view
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.whatif import forecast


def look(kubeconfig: Path | None) -> Observed:
    """The cluster a person means, now. Raises BadInput, Unreachable, Refused."""
    with connect(kubeconfig) as client:
        return client.observe()


def why(seen: Observed, name: str, namespace: str) -> tuple[Why, ...] | Unknown:
    """Why everything called `name` waits, or where it runs."""
    return why_view(seen, Policy(), name, namespace=namespace)


def queue(seen: Observed, namespace: str, *, everything: bool) -> QueueView:
    """Who waits, with the starts the scheduler wrote on them; where it wrote none, they are worked out here."""
    plan = decide(seen.snapshot, Policy(), now_s=seen.now_s)
    starts, held = seen.starts, plan.held()
    if held and not any(h.workload in starts for h in held):
        found = forecast(seen.snapshot, Policy(), now_s=seen.now_s)
        starts = starts | {key: start.at_s for key, start in found.items()}
    return queue_view(seen.snapshot, plan, starts, now_s=seen.now_s, namespace=namespace, everything=everything)


def planned(client: Client, source: str, objects: list[dict[str, Any]]) -> PlanView:
    """What would become of these objects, read from `source`. Raises BadInput, Unreachable, Refused."""
    seen, mirror = client.mirror()
    return plan_view(add(seen, mirror, source, copy.deepcopy(objects)), Policy())


def repartitioned(client: Client, source: str, objects: list[dict[str, Any]]) -> RepartitionView:
    """How cards would better be cut for the queue, with these objects in it. Raises BadInput, Unreachable, Refused."""
    seen, mirror = client.mirror()
    if objects:
        seen = add(seen, mirror, source, copy.deepcopy(objects)).observed
    return repartition_view(seen.snapshot, Policy(), now_s=seen.now_s)


def fleet_map(seen: Observed, rack: str = "") -> MapView:
    """The map, or the part of it called `rack`. Raises BadInput for a name no node has."""
    try:
        return map_view(seen.snapshot, Policy(), rack=rack)
    except KeyError as error:
        raise BadInput("--rack", "", f"no rack, block or node with GPUs is called {rack!r}") from error


def waste(seen: Observed, by: str) -> WasteView:
    """Where the GPUs go, by node, rack, team or workload; and why work waits beside idle ones."""
    plan = decide(seen.snapshot, Policy(), now_s=seen.now_s)
    return waste_view(seen.snapshot, plan, racks_of(seen.snapshot, Policy()), by=by)
