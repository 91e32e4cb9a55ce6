"""How full each node score packs Alibaba's openb fleet, beside the figures published for it (USENIX ATC 2023).

GPU allocation in percent where the requests reach 80, 100 and 130 % of the fleet, mean over the seeds of arrival order
and the orders of nodes; CPU seconds of a run, and CPU of an arrival without the refreshes of prices. The data lies in
../shared/traces/openb, or where --data says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from bayplan.clusters.simulator.openb import OpenbPod, capacity_milli, read_nodes, read_pods
from bayplan.clusters.simulator.packing import (
    Packed,
    arrivals,
    pack,
    pack_at_prices,
    pack_at_random,
    upper_bound,
)
from bayplan.clusters.simulator.simulate import POLICIES, PRICES, score_of
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.prices import Market, market

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "traces" / "openb"
NODES = "openb_node_list_gpu_node.csv"
SEEDS = tuple(range(42, 52))
AT = (80, 100, 130)
TRACES = ("default", "multigpu20", "multigpu50", "gpushare40", "gpushare100", "gpuspec10", "gpuspec33")
# published allocation at 100 % of arrivals, mean of ten seeds, in the order of TRACES
PUBLISHED = {
    "random": (86.30, 86.92, 81.28, 84.86, 78.90, 86.26, 83.87),
    "dot-product": (90.62, 91.85, 94.73, 89.30, 81.98, 90.17, 79.82),
    "gpu-clustering": (91.65, 93.34, 95.69, 89.76, 82.22, 91.96, 81.09),
    "gpu-packing": (91.78, 93.50, 96.06, 89.77, 82.13, 92.24, 82.22),
    "best-fit": (92.86, 93.73, 95.62, 91.44, 84.62, 93.10, 80.40),
    "fgd": (95.23, 95.53, 97.09, 93.96, 86.64, 94.66, 87.84),
    "upper bound": (96.91, 97.35, 98.34, 95.63, 89.19, 96.87, 96.37),
}
ORDER = ("random", "first-fit", "kube-scheduler", "dot-product", "gpu-clustering", "gpu-packing", "best-fit", "fgd")


PRICED = (PRICES,) if find_spec("highspy") else ()  # prices need the solver extra


class Cell(NamedTuple):
    """One score on one trace, over all runs: seed by seed, and for each seed one for each of the `orders` of nodes."""

    runs: tuple[Packed, ...]
    orders: int
    cpu_s: float
    refreshes_s: float

    def arrival_ms(self) -> float:
        """CPU of placing one pod, or finding no place for it."""
        return 1000 * (self.cpu_s - self.refreshes_s) / mean(r.placed + r.dropped for r in self.runs)

    def at(self, percent: int) -> float:
        """Mean allocation where the requests reach `percent`."""
        return mean(r.allocation[percent] for r in self.runs)

    def spread(self) -> str:
        """The means at 100 % of the worst and the best order of nodes."""
        means = [mean(r.allocation[100] for r in self.runs[i :: self.orders]) for i in range(self.orders)]
        return f"{min(means):.2f}…{max(means):.2f}"


def main() -> int:
    args = _arguments()
    unknown = [s for s in args.scores if s not in POLICIES]
    if unknown or not (args.data / NODES).exists():
        what = f"unknown score {unknown[0]!r}" if unknown else f"no {NODES} in {args.data}"
        print(f"bench openb: {what}", file=sys.stderr)
        return 2
    fleet, console = read_nodes(args.data / NODES), Console()
    for trace in args.traces:
        pods = read_pods(args.data / f"openb_pod_list_{trace}.csv")
        cells: dict[str, Cell] = {}
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for score in args.scores:
                cells[score] = _measure(fleet, pods, score, args.seeds, args.node_orders)
                if console.is_terminal:
                    live.update(_table(trace, cells), refresh=True)
        console.print(_table(trace, cells, _bound(fleet, pods, args.seeds)))
    return 0


def _bound(fleet: Snapshot, pods: Sequence[OpenbPod], seeds: Sequence[int]) -> float | None:
    """The LP's upper bound at 100 %, mean over the seeds; None without the solver."""
    if find_spec("highspy") is None:
        return None
    capacity = capacity_milli(fleet)
    return mean(upper_bound(fleet, arrivals(pods, capacity, seed), Policy()) for seed in seeds)


def _measure(
    fleet: Snapshot, pods: Sequence[OpenbPod], score: str, seeds: Sequence[int], node_orders: Sequence[int]
) -> Cell:
    capacity, started, refreshing = capacity_milli(fleet), time.process_time(), _Timed(market)
    runs = tuple(
        _packer(score, seed, refreshing)(
            fleet, arrivals(pods, capacity, seed), Policy(score=score_of(score), seed=order)
        )
        for seed in seeds
        for order in node_orders
    )
    spent = time.process_time() - started
    return Cell(runs, len(node_orders), spent / len(runs), refreshing.cpu_s / len(runs))


def _packer(
    score: str, seed: int, make: Callable[..., Market]
) -> Callable[[Snapshot, Sequence[OpenbPod], Policy], Packed]:
    if score == "random":
        return lambda fleet, queue, policy: pack_at_random(fleet, queue, policy, seed)
    return partial(pack_at_prices, make=make) if score == PRICES else pack


class _Timed:
    """A function, and the CPU seconds spent in it."""

    def __init__(self, function: Callable[..., Market]) -> None:
        self._function, self.cpu_s = function, 0.0

    def __call__(self, *args: object) -> Market:
        started = time.process_time()
        try:
            return self._function(*args)
        finally:
            self.cpu_s += time.process_time() - started


def _table(trace: str, cells: dict[str, Cell], bound: float | None = None) -> Table:
    table = Table(title=f"openb {trace}: GPU allocation in %", title_justify="left")
    table.add_column("score")
    for at in AT:
        table.add_column(f"at {at} %", justify="right")
    for name in ("by node order", "published", "off by", "placed", "CPU s", "ms/pod"):
        table.add_column(name, justify="right")
    for score, cell in cells.items():
        published = _published(score, trace)
        off = "" if published is None else f"{cell.at(100) - published:+.2f}"
        placed = f"{mean(r.placed for r in cell.runs):.0f}"
        shown = "" if published is None else f"{published:.2f}"
        spent = f"{cell.cpu_s:.1f}", f"{cell.arrival_ms():.2f}"
        table.add_row(score, *(f"{cell.at(at):.2f}" for at in AT), cell.spread(), shown, off, placed, *spent)
    shown = "" if bound is None else f"{bound:.2f}"
    table.add_row("upper bound (LP)", "", shown, "", "", f"{_published('upper bound', trace):.2f}", *[""] * 4)
    return table


def _published(score: str, trace: str) -> float | None:
    return PUBLISHED[score][TRACES.index(trace)] if score in PUBLISHED else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--traces", nargs="+", default=["default"], choices=TRACES, help="pod lists (default: default)")
    parser.add_argument(
        "--scores", nargs="+", default=[*ORDER, "stranding", *PRICED], help="node scores (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="orders of arrival (default: 42…51)")
    parser.add_argument("--node-orders", nargs="+", type=int, default=[1], help="seeds of the node order (default: 1)")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the trace")
    return parser.parse_args()
