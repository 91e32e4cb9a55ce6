"""`bayplan plan FILE`: would it start, where, whom would it end, and if not now, when. With `--repartition`: how GPUs
that MIG cut beforehand would better be cut for the queue. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.app import ask
from bayplan.app.client import connect
from bayplan.app.errors import BadInput
from bayplan.app.manifest import read_manifest
from bayplan.app.views.plan import PlanView
from bayplan.app.views.repartition import RepartitionView
from bayplan.cli.common import (
    Exit,
    KubeconfigOption,
    NamespaceOption,
    Output,
    OutputOption,
    console,
    end,
    show,
    show_json,
)
from bayplan.cli.why import alike, why_answer
from bayplan.cli.words import count, gpus, listed

ANSWERS_MAX = 6


def plan(
    file: Annotated[
        Path | None,
        typer.Argument(help="Kubernetes objects in YAML or JSON; - reads standard input.", show_default=False),
    ] = None,
    repartition: Annotated[
        bool, typer.Option("--repartition", help="Propose MIG layouts for the queue (and FILE, if there is one).")
    ] = False,
    namespace: NamespaceOption = "",
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Would it start now? Where, ending whom; and if not, when. Changes nothing; exit code 1 if it would wait."""
    if file is None and not repartition:
        raise BadInput("FILE", "", "expected a file of Kubernetes objects, or --repartition")
    with connect(kubeconfig) as client:
        objects = read_manifest(file, namespace or client.access.namespace or "default") if file else []
        if repartition:
            _propose(ask.repartitioned(client, str(file), objects), output)
            return
        view = ask.planned(client, str(file), objects)
    if output is Output.json:
        show_json("Plan", view)
    else:
        show_plan(view)
    if not view.starts:
        end(Exit.NO)


def _propose(view: RepartitionView, output: Output) -> None:
    if output is Output.json:
        show_json("Repartition", view)
    else:
        show(*repartition_lines(view))
    if not view.layouts:
        end(Exit.NO)


def repartition_lines(view: RepartitionView) -> list[RenderableType]:
    """The cards to cut anew and what comes of it, or why there is nothing to propose."""
    lines: list[RenderableType] = []
    if view.layouts:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
        for head in ("NODE", "GPU", "NOW", "BETTER"):
            table.add_column(head, overflow="fold")
        for layout in view.layouts:
            table.add_row(layout.node, layout.card, _profiles(layout.before), _profiles(layout.after))
        lines += [table, Text(), _gain(view)]
        if view.delayed:
            lines.append(Text().append("  delays  ", style="bold yellow").append(listed(view.delayed)))
        lines.append(Text("nothing was changed: cut the cards anew once nobody uses them", style="dim"))
    else:
        lines.append(Text(_nothing(view)))
    if view.dynamic:
        lines.append(Text(f"{count(view.dynamic, 'node')} with dynamic MIG: every plan picks partitions", style="dim"))
    return lines


def _gain(view: RepartitionView) -> Text:
    said = f"{count(len(view.starts), 'workload')} more would start now: {listed(view.starts)}"
    return Text().append(f"+{gpus(view.gain_milli)} GPUs at work", style="bold").append(f", {said}")


def _nothing(view: RepartitionView) -> str:
    if not view.static:
        return "no GPU here is cut by MIG beforehand; there is nothing to cut anew"
    if not view.waiting:
        return f"nothing waits; the {count(view.static, 'GPU')} cut beforehand can stay as they are"
    if not view.free:
        return f"all {count(view.static, 'GPU')} cut beforehand are in use, or of a model whose profiles are not known"
    return f"no layout of the {count(view.free, 'free GPU')} cut beforehand lets more workloads start"


def _profiles(names: Sequence[str]) -> str:
    """`2 × 1g.10gb, 3g.40gb`."""
    tally = Counter(names)
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in tally.items())


def show_plan(view: PlanView) -> None:
    """The answers, those that would wait first, and what the whole would mean."""
    ordered = sorted(alike(view.answers), key=lambda a: a.state == "starting")
    for i, answer in enumerate(ordered[:ANSWERS_MAX]):
        show(*([Text()] if i else []), why_answer(answer, console().width, planned=True))
    if len(ordered) > ANSWERS_MAX:
        starting = sum(1 for a in view.answers if a.state == "starting")
        show(Text(f"and more: {starting} of {len(view.answers)} workloads would start now", style="dim"))
    if view.evicted:
        victims = f"{count(len(view.evicted), 'workload')}: {listed(view.evicted)}"
        show(Text().append("  evicts ", style="bold yellow").append(victims))
