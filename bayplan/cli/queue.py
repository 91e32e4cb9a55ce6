"""`bayplan queue`: who waits, for what, since when, until when, and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.app import ask
from bayplan.app.views.queue import QueueRow, QueueView
from bayplan.cli.common import KubeconfigOption, NamespaceOption, Output, OutputOption, console, note, show, show_json
from bayplan.cli.words import clock, count, duration

NARROW_COLUMNS = 100  # below this the reasons stand under the table


def queue(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show what runs, too.")] = False,
    namespace: NamespaceOption = "",
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Who waits, for what, since when, until when, and why."""
    seen = ask.look(kubeconfig)
    view = ask.queue(seen, namespace, everything=everything)
    if output is Output.json:
        show_json("Queue", view)
        return
    for problem in seen.problems:
        note(f"left out: {problem}")
    if view.rows:
        show(queue_picture(view, console().width), Text())
    show(Text(f"{count(view.waiting, 'workload')} waiting, {view.running:,} running", style="dim"))


def queue_picture(view: QueueView, width: int) -> RenderableType:
    """The rows as a table; on a narrow terminal the reasons stand below it."""
    if width >= NARROW_COLUMNS:
        return _table(view, with_reasons=True)
    reasons = Table.grid(padding=(0, 2, 0, 0))
    reasons.add_column(no_wrap=True, style="dim")
    reasons.add_column(overflow="fold")
    for row in view.rows:
        if row.why:
            reasons.add_row(row.name, row.why)
    table = _table(view, with_reasons=False)
    return Group(table, Text(), reasons) if reasons.row_count else table


def _table(view: QueueView, *, with_reasons: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("WORKLOAD", no_wrap=True)
    table.add_column("QUEUE", no_wrap=True)
    table.add_column("NEEDS", overflow="fold", max_width=34)
    table.add_column("SINCE", justify="right", no_wrap=True)
    table.add_column("START", no_wrap=True)
    if with_reasons:
        table.add_column("WHY", overflow="fold")
    for row in view.rows:
        cells = (
            str(row.position) if row.position else "",
            row.name,
            row.queue,
            row.needs,
            duration(view.now_s - row.since_s) if row.since_s else "",
            _start(row, view.now_s),
        )
        table.add_row(*cells, *([_why(row, view.now_s)] if with_reasons else []))
    return table


def _start(row: QueueRow, now_s: int) -> Text:
    if row.state == "running":
        return Text("running", style="green")
    if row.state == "starting":
        return Text("now", style="green")
    if row.state == "never":
        return Text("never", style="bold red")
    return Text(clock(row.start_s, now_s) if row.start_s else "not known", style="" if row.start_s else "dim")


def _why(row: QueueRow, now_s: int) -> Text:
    if row.why:
        return Text(row.why)
    if row.state == "running" and row.ends_s:
        return Text(f"ends about {clock(row.ends_s, now_s)}", style="dim")
    return Text("")
