"""The questions people ask a running cluster: each observes it once and decides on what it saw, writing nothing."""

from __future__ import annotations

from pathlib import Path

from bayplan.app.client import connect
from bayplan.app.errors import BadInput
from bayplan.app.observed import Observed
from bayplan.app.views.map import MapView, map_view
from bayplan.app.views.queue import QueueView, queue_view
from bayplan.app.views.why import Unknown, Why, why_view
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.wire.times import seconds


def look(kubeconfig: Path | None) -> Observed:
    """The cluster a person means, now. Raises BadInput, Unreachable, Refused."""
    with connect(kubeconfig) as client:
        return client.observe()


def why(seen: Observed, name: str, namespace: str) -> tuple[Why, ...] | Unknown:
    """Why everything called `name` waits, or where it runs."""
    return why_view(seen, Policy(), name, namespace=namespace)


def queue(seen: Observed, namespace: str, *, everything: bool) -> QueueView:
    """Who waits, with the starts the scheduler wrote on them."""
    plan = decide(seen.snapshot, Policy(), now_s=seen.now_s)
    starts = {key: _seconds(text) for key, text in seen.forecast.items()}
    return queue_view(seen.snapshot, plan, starts, now_s=seen.now_s, namespace=namespace, everything=everything)


def fleet_map(seen: Observed, rack: str = "") -> MapView:
    """The map, or the part of it called `rack`. Raises BadInput for a name no node has."""
    try:
        return map_view(seen.snapshot, Policy(), rack=rack)
    except KeyError as error:
        raise BadInput("--rack", "", f"no rack, block or node with GPUs is called {rack!r}") from error


def _seconds(text: str) -> int:
    """A START annotation's moment; 0 where it holds none."""
    try:
        return seconds(text)
    except ValueError:
        return 0
