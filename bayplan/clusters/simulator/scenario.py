"""Scenarios from files: a fleet file, an openb pod list, a Philly table. What a file is, its first line tells."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from bayplan.clusters.simulator import openb, philly
from bayplan.clusters.simulator.fleetfile import Fleet, parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects, snapshot_of
from bayplan.clusters.simulator.stream import Arrival, arrivals
from bayplan.clusters.simulator.world import Job, Outage, Scenario
from bayplan.wire.errors import Malformed

HOURS = 8
OPENB_NODES = "openb_node_list_gpu_node.csv"


def read_scenario(path: Path, hours: int = HOURS) -> Scenario:
    """The scenario in `path`, its first `hours` of arrivals (0 = all a trace has). Raises Malformed or OSError."""
    with path.open(encoding="utf-8") as lines:
        header = lines.readline()
    columns = header.strip().split(",")
    if set(philly.COLUMNS) <= set(columns):
        return _first(philly.read_philly(path), hours)
    if "gpu_milli" in columns:
        return _first(_openb(path), hours)
    return of_fleet(parse_fleet(path.read_text(encoding="utf-8"), path.name), hours or HOURS)


def of_fleet(fleet: Fleet, hours: int = HOURS) -> Scenario:
    """The fleet with the work that arrives in its first `hours`."""
    jobs = tuple(_job(a) for a in takewhile(lambda a: a.at_s < 3600 * hours, arrivals(fleet)))
    outages = tuple(Outage(o.at_seconds, o.node, o.seconds) for o in fleet.outages)
    return Scenario(fleet.metadata.name, snapshot_of(fleet_objects(fleet)), jobs, outages)


def _job(arrival: Arrival) -> Job:
    used = arrival.work.uses_gpu_memory
    return Job(arrival.at_s, arrival.workload(), arrival.runtime_s, used.value if used else 0)


def _openb(path: Path) -> Scenario:
    """The pods at the times of the trace. The list of nodes lies beside it."""
    nodes = path.with_name(OPENB_NODES)
    if not nodes.exists():
        raise Malformed("", f"expected the trace's nodes beside it, in {OPENB_NODES}", path.name)
    pods = sorted((p for p in openb.read_pods(path) if p.created_s >= 0), key=lambda p: (p.created_s, p.name))
    if not pods:
        raise Malformed("creation_time", "expected arrival times; this list has none", path.name)
    start_s = pods[0].created_s
    jobs = []
    for pod in pods:
        runtime_s = max(1, pod.deleted_s - pod.created_s)
        at_s = pod.created_s - start_s
        jobs.append(Job(at_s, openb.workload_of(pod, created_s=at_s, runtime_s=runtime_s), runtime_s))
    return Scenario(path.stem, openb.read_nodes(nodes), tuple(jobs))


def _first(scenario: Scenario, hours: int) -> Scenario:
    if not hours:
        return scenario
    return scenario._replace(jobs=tuple(j for j in scenario.jobs if j.at_s < 3600 * hours))
