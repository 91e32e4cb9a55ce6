"""`bayplan queue`: who waits, for what, since when, until when, and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bayplan.app import ask
from bayplan.app.views.queue import QueueRow, QueueView
from bayplan.cli.common import KubeconfigOption, NamespaceOption, Output, OutputOption, console, note, show, show_json
from bayplan.cli.words import clock, count, duration

NARROW_COLUMNS = 110  # below this a reason gets lines of its own
_STATE_STYLES = {"never": "bold red", "starting": "green", "running": "green"}


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
        show(queue_table(view, console().width), Text())
    show(Text(f"{count(view.waiting, 'workload')} waiting, {view.running:,} running", style="dim"))


def queue_table(view: QueueView, width: int) -> Table:
    """The rows; where the terminal is narrow, the reason takes the place of the table's right side."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("WORKLOAD", no_wrap=True)
    table.add_column("QUEUE", no_wrap=True)
    table.add_column("NEEDS", overflow="fold", max_width=34 if width >= NARROW_COLUMNS else 22)
    table.add_column("SINCE", justify="right", no_wrap=True)
    table.add_column("START", no_wrap=True)
    table.add_column("WHY", overflow="fold", min_width=20)
    for row in view.rows:
        table.add_row(
            str(row.position) if row.position else "",
            row.name,
            row.queue,
            row.needs,
            duration(view.now_s - row.since_s) if row.since_s else "",
            _start(row, view.now_s),
            _why(row, view.now_s),
        )
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
