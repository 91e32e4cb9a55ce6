"""`bayplan simulate`: what a fleet file or a trace would come to under several policies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bayplan.app.errors import BadInput
from bayplan.app.simulation import POLICIES, Filled, Simulated, Watch, fill, run_scenario
from bayplan.cli.common import Output, OutputOption, show, show_json, stderr
from bayplan.cli.words import count, duration

OURS = POLICIES[0]
_TELL_S = 0.1  # a bar that moves faster than this only costs time


def simulate(
    file: Annotated[Path, typer.Argument(help="A fleet file, an openb list of pods, or a Philly table.")],
    policy: Annotated[str, typer.Option("--policy", "-p", help=f"Policies to compare: {', '.join(POLICIES)}.")] = OURS,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Runs of each policy.")] = 1,
    hours: Annotated[int, typer.Option("--hours", min=0, help="Hours of arrivals; 0 = all a trace has.")] = 8,
    filling: Annotated[
        bool, typer.Option("--fill", help="Fill the fleet with a list of pods (openb's method).")
    ] = False,
    output: OutputOption = Output.text,
) -> None:
    """What would come of it: waiting times, GPUs in use and stranded, under each policy."""
    names = [name.strip() for name in policy.split(",") if name.strip()]
    if not names:
        raise BadInput("--policy", "", f"expected some of {', '.join(POLICIES)}")
    with _bars(names) as watch:
        if filling:
            found = fill(file, names, seeds=seeds, watch=watch)
        else:
            found = run_scenario(file, names, seeds=seeds, hours=hours, watch=watch)
    if output is Output.json:
        show_json("Simulation", found)
    else:
        show(_fill_table(found.filled) if filling else _table(found, names))
        if any(run.waste for run in found.runs):
            show(Text(), _team_table(found))


class _bars:
    """Progress by policy on standard error; nothing where that is no terminal."""

    def __init__(self, names: Sequence[str]) -> None:
        out = stderr()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._names, self._told_s = names, 0.0

    def __enter__(self) -> Watch | None:
        self._progress.start()
        for name in self._names:
            self._tasks[name] = self._progress.add_task(name, total=None)
        return None if self._progress.disable else self._tell

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _tell(self, name: str, done: int, total: int) -> None:
        if done >= total or time.monotonic() - self._told_s > _TELL_S:
            self._told_s = time.monotonic()
            self._progress.update(self._tasks[name], completed=done, total=total)


def _table(found: Simulated, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.title = f"{found.scenario}: {count(found.runs[0].jobs, 'job')} on {found.runs[0].capacity_gpus:,.0f} GPUs"
    table.title_justify, table.title_style = "left", ""
    table.add_column("POLICY", no_wrap=True)
    heads = ("FINISHED", "WAIT", "P99", "IN USE", "CARDS", "NODES", "STRANDED", "EVICTED", "LOST GPUh", "END")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for name in dict.fromkeys(names):
        runs = [r for r in found.runs if r.policy == name]
        table.add_row(
            Text(name, style="bold" if name == OURS else ""),
            f"{mean(r.finished for r in runs):,.0f}",
            duration(round(mean(r.wait.mean_s for r in runs))),
            duration(round(mean(r.wait.p99_s for r in runs))),
            f"{mean(r.utilisation for r in runs):.1f} %",
            f"{mean(r.cards for r in runs):,.0f}",
            f"{mean(r.nodes for r in runs):,.0f}",
            f"{mean(r.stranded for r in runs):.1f} %",
            f"{mean(r.evictions for r in runs):,.0f}",
            f"{mean(r.lost_gpu_hours for r in runs):,.1f}",
            duration(round(mean(r.ended_s for r in runs))),
        )
    return table


def _team_table(found: Simulated) -> Table:
    """Where work says that it needs less than it asks for: what each team held, and how much of that for nothing."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("TEAM", no_wrap=True)
    table.add_column("POLICY", no_wrap=True)
    for head in ("FINISHED", "WAIT", "GPU HOURS", "WASTE"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, policy in dict.fromkeys((team.name, run.policy) for run in found.runs for team in run.queues):
        results = [team for run in found.runs if run.policy == policy for team in run.queues if team.name == name]
        table.add_row(
            name,
            policy,
            f"{mean(r.finished for r in results):,.0f}",
            duration(round(mean(r.wait.mean_s for r in results))),
            f"{mean(r.gpu_hours for r in results):,.1f}",
            f"{mean(r.waste for r in results):.1f} %",
        )
    return table


def _fill_table(rows: Sequence[Filled]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("POLICY", no_wrap=True)
    for head in ("ALLOCATED", "±", "DROPPED", "RUNS"):
        table.add_column(head, justify="right")
    for row in rows:
        style = "bold" if row.policy == OURS else ""
        figures = (f"{row.allocation:.2f} %", f"{row.deviation:.2f}", f"{row.dropped:,.0f}", str(row.runs))
        table.add_row(Text(row.policy, style=style), *figures)
    return table
