"""`bayplan waste`: where the GPUs go that nobody uses, by name and to the thousandth."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bayplan.app import ask
from bayplan.app.views.waste import Cause, Row, Sums, WasteView
from bayplan.cli.common import KubeconfigOption, Output, OutputOption, note, show, show_json
from bayplan.cli.words import count, gpus

ROWS_MAX = 20
_COLUMNS = (
    ("NEEDED", "needed_milli"),
    ("QUANTISED", "quantised_milli"),
    ("OVERSIZED", "oversized_milli"),
    ("STRANDED", "stranded_milli"),
    ("IDLE", "idle_milli"),
)
_LEGEND = (
    ("quantised", "in slices larger than what was asked"),
    ("oversized", "given whole where less was asked"),
    ("stranded", "free where nothing can use them"),
    ("idle", "free for the next that comes"),
)


class By(StrEnum):
    node = "node"
    rack = "rack"
    team = "team"
    workload = "workload"


def waste(
    by: Annotated[By, typer.Option("--by", help="What the rows are.")] = By.team,
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Where GPUs go that nobody uses: slices too large, whole GPUs for a part, stranded ones, idle ones and why."""
    seen = ask.look(kubeconfig)
    view = ask.waste(seen, by.value)
    for problem in seen.problems:
        note(f"left out: {problem}")
    if output is Output.json:
        show_json("Waste", view)
        return
    show(waste_table(view), Text(), *_legend(view.totals), *_causes(view))


def waste_table(view: WasteView) -> Table:
    """A line for each row, what nobody holds and the sum last; GPUs in tenths."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(view.by.upper(), no_wrap=True)
    for head in ("GPUS", *(name for name, _ in _COLUMNS), "WASTE"):
        table.add_column(head, justify="right", no_wrap=True)
    named = [row for row in view.rows if row.name]
    for row in named[:ROWS_MAX]:
        table.add_row(row.name, f"{row.gpus:,}", *_figures(row.sums))
    for row in _rest(named[ROWS_MAX:]):
        table.add_row(row.name, f"{row.gpus:,}", *_figures(row.sums), style="dim")
    for row in view.rows:
        if not row.name:
            table.add_row(
                "nobody" if view.by in ("team", "workload") else "elsewhere", "", *_figures(row.sums), style="dim"
            )
    table.add_row(count(view.gpus, "GPU"), "", *_figures(view.totals), style="bold")
    return table


def _rest(rows: Sequence[Row]) -> list[Row]:
    """What the rows beyond the first come to, in one."""
    if not rows:
        return []
    total = Sums(**{name: sum(getattr(row.sums, name) for row in rows) for name in Sums.__struct_fields__})
    return [Row(f"{len(rows)} more", sum(row.gpus for row in rows), total)]


def _figures(sums: Sums) -> list[str]:
    figures = [getattr(sums, name) for _, name in _COLUMNS] + [sums.waste_milli]
    return [gpus(milli) if milli else "" for milli in figures]


def _legend(totals: Sums) -> list[Text]:
    named = [(word, said) for word, said in _LEGEND if getattr(totals, f"{word}_milli")]
    return [Text(f"{word}: {said}", style="dim") for word, said in named]


def _causes(view: WasteView) -> list[Text]:
    lines = [_line(gpus(cause.milli) + " stranded", cause) for cause in view.stranded]
    lines += [_line(f"{count(cause.workloads, 'workload')} waiting", cause) for cause in view.waiting]
    return [Text(), *lines] if lines else []


def _line(what: str, cause: Cause) -> Text:
    where = f" ({cause.example})" if cause.example else ""
    return Text().append(what, style="bold").append(f"  {cause.why}{where}")
