"""`bayplan demo`: a few hundred GPU nodes on a laptop, three teams, and what joint decisions make of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.app import demo as show_case
from bayplan.app.demo import SPEED, Demo, Report, Twin
from bayplan.app.embedded import Embedded
from bayplan.app.views.queue import QueueRow
from bayplan.cli.common import Output, OutputOption, show, show_json
from bayplan.cli.draw import waste
from bayplan.cli.live import watch
from bayplan.cli.up import greet, report_failure
from bayplan.cli.words import clock, count, duration

ONCE_MIN_S, ONCE_MAX_S = 20.0, 45.0
WAITING_SHOWN = 4


def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself with a summary, for scripts.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """A fleet of a few hundred GPU nodes at work, here, until Ctrl-C."""
    with show_case.running_demo() as (embedded, seen):
        if output is Output.text:
            greet(embedded, output)
        began = time.monotonic()

        def done() -> bool:
            passed_s = time.monotonic() - began
            is_shown = once and ((seen.is_over and passed_s > ONCE_MIN_S) or passed_s > ONCE_MAX_S)
            return embedded.wait(0) or is_shown

        with suppress(KeyboardInterrupt):
            _watch(embedded, seen, stays=not once, done=done, quiet=output is Output.json)
        report_failure(embedded)
        if seen.cycle is not None:
            report = seen.report()
            if output is Output.json:
                show_json("Demo", report)
            else:
                show(summary(report))


def _watch(embedded: Embedded, seen: Demo, *, stays: bool, done: Callable[[], bool], quiet: bool) -> None:
    title = f"Bayplan · {embedded.fleet.metadata.name} · time ×{SPEED}"
    kubeconfig = embedded.kubectl.removeprefix("kubectl ")
    hint = f"{embedded.kubectl} get workloads -A\nbayplan why {show_case.NEVER} {kubeconfig}"
    hint += "     Ctrl-C stops" if stays else ""
    if quiet:
        while not done():
            time.sleep(0.2)
        return
    watch(title, hint, lambda: seen.look(embedded), done)


def summary(report: Report) -> RenderableType:
    """What the demo showed, every number from the cluster that ran."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _points(report):
        table.add_row(label, text)
    head = Text("What ran, counted in the cluster itself", style="bold")
    return Group(Text(), head, Text(), table)


def _points(report: Report) -> Iterator[tuple[str, str]]:
    s, t = report.sharing, report.status.totals
    if s.services:
        yield (
            f"{s.most_on_a_card} to a card",
            f"{s.services} services of 12 GiB share {count(s.cards, 'A100-80GB', 'A100-80GB')}, up to "
            f"{s.most_on_a_card} on each. Whole-GPU scheduling takes {s.services} cards; kube-scheduler, even with "
            f"shares, spreads them over {s.stock_cards} cards on {s.stock_nodes} nodes.",
        )
    first, second = report.twins
    yield "no deadlock", _twins(first, second, report.rack)
    yield (
        "gangs",
        f"{report.gangs} gangs started, all their pods at once; {report.half_started} ever held a part of what they "
        "need.",
    )
    in_use = f"{t.used_milli // 1000:,} of {t.gpus:,} GPUs ({round(t.used_milli / 10 / t.gpus)} %)"
    yield "in use", f"{in_use} by {report.status.running:,} workloads of {report.status.teams} teams"
    yield "waste", waste(t)
    yield from _waiting(report.waiting)
    yield (
        "decisions",
        f"{report.cycles} cycles started {report.placed:,} workloads and ended {report.evicted} for others; every plan "
        f"was checked by a second road, with {count(report.findings, 'finding')}.",
    )


def _waiting(rows: Iterable[QueueRow]) -> Iterator[tuple[str, str]]:
    """Who waits and why, what waits for the same as one; what can never start comes first."""
    groups: dict[tuple[str, ...], list[QueueRow]] = {}
    for row in sorted(rows, key=lambda r: (r.state != "never", r.since_s)):
        if row.state != "starting":
            groups.setdefault((row.queue, row.needs, row.why), []).append(row)
    listed = list(groups.values())
    for i, group in enumerate(listed[:WAITING_SHOWN]):
        row = group[0]
        name = row.name if len(group) == 1 else f"{row.name} and {len(group) - 1} more"
        why = f"never, as it is: {row.why.removeprefix('never fits: ')}" if row.state == "never" else row.why
        yield "" if i else "waits", f"{name} ({row.queue}), {row.needs}: {why}"
    left = sum(len(group) for group in listed[WAITING_SHOWN:])
    if left:
        yield "", f"and {left} more"


def _twins(first: Twin, second: Twin, rack: str) -> str:
    """The story of the two gangs, as far as it went."""
    if not first.started_s:
        return f"{first.name} and {second.name} both want rack {rack}; neither holds a part of it."
    if second.started_s and second.started_s < first.started_s:
        first, second = second, first
    told = f"{first.name} and {second.name} both want all of rack {rack}: {first.name} got it whole"
    told += f" at {clock(first.started_s, first.started_s)}"
    if not first.ended_s:
        return f"{told} and has it; {second.name} waits and holds nothing."
    told += f" for {duration(first.ended_s - first.started_s)}"
    if not second.started_s:
        return f"{told}; {second.name} waits and holds nothing."
    return (
        f"{told}, {second.name} held nothing meanwhile and got it whole at {clock(second.started_s, second.started_s)}."
    )
