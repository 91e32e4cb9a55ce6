"""Simulations for people: a fleet file or a trace under several policies and seeds, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import TypeVar

from bayplan.app.errors import BadInput
from bayplan.app.pricing import pricer
from bayplan.clusters.simulator import Progress, Result, read_scenario, simulate
from bayplan.clusters.simulator.openb import capacity_milli, read_nodes, read_pods
from bayplan.clusters.simulator.packing import arrivals, pack, pack_at_prices, pack_at_random
from bayplan.clusters.simulator.scenario import OPENB_NODES
from bayplan.clusters.simulator.simulate import POLICIES, PRICES, score_of
from bayplan.model.base import Value
from bayplan.model.policy import Policy
from bayplan.wire.errors import Malformed

RANDOM = "random"
FULL_PERCENT = 100  # where the openb benchmark reads allocation: as much requested as there is

__all__ = ["POLICIES", "Filled", "Simulated", "Watch", "fill", "run_scenario"]

_T = TypeVar("_T")

Watch = Callable[[str, int, int], None]
"""(policy, done, of all): how far the run of a policy is."""


class Filled(Value, frozen=True):
    """One policy's runs of the filling benchmark: GPU allocation in percent when requests equal the fleet."""

    policy: str
    runs: int
    allocation: float
    deviation: float
    dropped: float


class Simulated(Value, frozen=True):
    """`runs` of a scenario by policy and seed, or `filled` for the filling benchmark."""

    scenario: str
    runs: tuple[Result, ...] = ()
    filled: tuple[Filled, ...] = ()


def run_scenario(path: Path, policies: Sequence[str], *, seeds: int, hours: int, watch: Watch | None) -> Simulated:
    """The scenario of a file under each policy and seed. Raises BadInput."""
    _check(policies)
    scenario = _read(path, lambda: read_scenario(path, hours))
    results: list[Result] = []
    for seed in range(seeds):
        report = _reporter(watch, seed, seeds)
        results += simulate(scenario, policies, policy=Policy(seed=seed), progress=report)
    return Simulated(scenario.name, runs=tuple(results))


def fill(path: Path, policies: Sequence[str], *, seeds: int, watch: Watch | None) -> Simulated:
    """The openb benchmark on a list of pods: each policy fills the fleet beside it, once a seed. Raises BadInput."""
    _check(policies)
    fleet = _read(path, lambda: read_nodes(path.with_name(OPENB_NODES)))
    pods = _read(path, lambda: read_pods(path))
    capacity = capacity_milli(fleet)
    rows = []
    for name in policies:
        shares, dropped = [], []
        for seed in range(1, seeds + 1):
            queue = arrivals(pods, capacity, seed)
            policy = Policy(score=score_of(name), seed=seed)
            if name == RANDOM:
                packed = pack_at_random(fleet, queue, policy, seed)
            else:
                packed = (pack_at_prices if name == PRICES else pack)(fleet, queue, policy)
            shares.append(packed.allocation[FULL_PERCENT])
            dropped.append(packed.dropped)
            if watch is not None:
                watch(name, seed, seeds)
        rows.append(Filled(name, seeds, round(mean(shares), 2), round(pstdev(shares), 2), round(mean(dropped), 1)))
    return Simulated(path.stem, filled=tuple(rows))


def _reporter(watch: Watch | None, seed: int, seeds: int) -> Callable[[str, Progress], None] | None:
    if watch is None:
        return None

    def report(policy: str, progress: Progress) -> None:
        watch(policy, seed * progress.jobs + progress.finished, seeds * progress.jobs)

    return report


def _check(policies: Sequence[str]) -> None:
    for name in policies:
        if name not in POLICIES:
            raise BadInput("--policy", "", f"expected some of {', '.join(POLICIES)}, got {name!r}")
    if PRICES in policies:
        pricer("--policy")


def _read(path: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except Malformed as error:
        raise BadInput("" if error.object.startswith(path.name) else str(path), "", str(error)) from error
    except UnicodeDecodeError as error:
        raise BadInput(str(path), f"byte {error.start}", "expected UTF-8 text") from error
    except OSError as error:
        raise BadInput(str(error.filename or path), "", error.strerror or "cannot be read") from error
