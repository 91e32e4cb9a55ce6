"""How long jobs of Microsoft's Philly trace wait on one pool of 512 GPUs, beside what simple policies come to.

The four weeks from 2017-10-09 are 38,489 jobs at 111 % load; published figures for them are hours of completion (mean
and 99th percentile) and of waiting (mean). They count GPUs; here they lie in nodes of eight, and gangs need whole ones.
The data is ../shared/traces/philly/philly.csv, or what --data says. The whole of it takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from bayplan.clusters.simulator.philly import read_philly
from bayplan.clusters.simulator.world import Progress, World
from bayplan.model.policy import Policy

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "traces" / "philly" / "philly.csv"
START, END = "2017-10-09", "2017-11-06"
HOUR_S = 3600
PUBLISHED = (
    ("FIFO", 21.5, 124.9, 18.1),
    ("EASY backfill, true run times", 18.8, 123.9, 15.4),
    ("FIFO that skips", 9.4, 94.2, 6.0),
    ("max-min fair over virtual clusters", 6.2, 95.0, 2.8),
    ("least attained service, preempting", 3.88, 75.5, 0.49),
)


def main() -> int:
    args = _arguments()
    if not args.data.exists():
        print(f"bench philly: no file {args.data}", file=sys.stderr)
        return 2
    scenario = read_philly(args.data, start=args.start, end=args.end)
    started = time.process_time()
    with Bar(transient=True) as bar:
        task = bar.add_task("jobs", total=len(scenario.jobs))

        def tell(seen: Progress) -> None:
            bar.update(task, completed=seen.finished)

        result = World(scenario, Policy(order=args.order), cycle_s=args.cycle).run(progress=tell)
    table = Table(title=f"{result.jobs} jobs from {args.start} to {args.end}, 512 GPUs", title_justify="left")
    table.add_column("policy")
    for head in ("completion h", "p99 h", "wait h", "in use %", "CPU s"):
        table.add_column(head, justify="right")
    figures = (result.completion.mean_s, result.completion.p99_s, result.wait.mean_s)
    table.add_row(
        f"bayplan, order {args.order}",
        *(f"{seconds / HOUR_S:.2f}" for seconds in figures),
        f"{result.utilisation:.1f}",
        f"{time.process_time() - started:.0f}",
    )
    if (args.start, args.end) == (START, END):
        for name, *published in PUBLISHED:
            table.add_row(name, *(f"{hours:.2f}" for hours in published), "", "")
    Console().print(table)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--start", default=START, help="first day (default: %(default)s)")
    parser.add_argument("--end", default=END, help="day after the last (default: %(default)s)")
    parser.add_argument("--order", default="fifo", help="order of the queue (default: %(default)s)")
    parser.add_argument("--cycle", type=int, default=60, help="seconds between decisions (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="the trace")
    return parser.parse_args()
