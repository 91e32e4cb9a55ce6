"""Clusters that do not exist, in virtual time: fleet files, traces, and the decisions they lead to.

`fleetfile` and `hardware` describe a cluster, `objects` and `stream` make it and its work; `openb` and `philly` read
traces, `scenario` any of them; `world` runs a scenario, `packing` fills a fleet.
"""

from bayplan.clusters.simulator.fleetfile import Fleet, parse_fleet, read_fleet
from bayplan.clusters.simulator.objects import fleet_objects, snapshot_of
from bayplan.clusters.simulator.result import Result
from bayplan.clusters.simulator.scenario import of_fleet, read_scenario
from bayplan.clusters.simulator.simulate import simulate
from bayplan.clusters.simulator.stream import Arrival, arrivals
from bayplan.clusters.simulator.world import Job, Progress, Scenario, World

__all__ = [
    "Arrival",
    "Fleet",
    "Job",
    "Progress",
    "Result",
    "Scenario",
    "World",
    "arrivals",
    "fleet_objects",
    "of_fleet",
    "parse_fleet",
    "read_fleet",
    "read_scenario",
    "simulate",
    "snapshot_of",
]
