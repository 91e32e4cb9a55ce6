"""`bayplan plan FILE`: would it start, where, whom would it end, and if not now, when. Nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bayplan.app import ask
from bayplan.app.client import connect
from bayplan.app.manifest import read_manifest
from bayplan.app.views.plan import PlanView
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
from bayplan.cli.words import count, listed

ANSWERS_MAX = 6


def plan(
    file: Annotated[Path, typer.Argument(help="Kubernetes objects in YAML or JSON; - reads standard input.")],
    namespace: NamespaceOption = "",
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Would it start now? Where, ending whom; and if not, when. Changes nothing; exit code 1 if it would wait."""
    with connect(kubeconfig) as client:
        objects = read_manifest(file, namespace or client.access.namespace or "default")
        view = ask.planned(client, str(file), objects)
    if output is Output.json:
        show_json("Plan", view)
    else:
        show_plan(view)
    if not view.starts:
        end(Exit.NO)


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
