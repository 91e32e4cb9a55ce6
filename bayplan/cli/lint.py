"""`bayplan lint`: what the API would refuse, and what would not work as meant."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from bayplan.app.errors import BadInput
from bayplan.app.lint import Judged, judge
from bayplan.cli.common import Exit, KubeconfigOption, Output, OutputOption, end, note, plain, show_json
from bayplan.cli.words import count


def lint(
    files: Annotated[list[Path] | None, typer.Argument(help="YAML or JSON files, with any number of objects.")] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Judge the files against a cluster; without files, its own objects.")
    ] = False,
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """What the API would refuse (exit 1), and what would not work as meant (advice, exit 0)."""
    if not files and not cluster:
        raise BadInput("lint", "", "name files, or --cluster")
    objects, judged = judge(files or (), kubeconfig, cluster=cluster)
    errors = sum(each.note.severity == "error" for each in judged)
    if output is Output.json:
        findings = [{"source": j.source, "document": j.document, **plain(j.note)} for j in judged]
        show_json("LintReport", {"objects": objects, "errors": errors, "findings": findings})
    else:
        for each in judged:
            sys.stdout.write(f"{line(each)}\n")
        note(_summary(objects, judged))
    if errors:
        end(Exit.NO)


def line(judged: Judged) -> str:
    """`file:doc Kind/name field.path: message; how to mend it`, with the severity of advice in front of its message."""
    found = judged.note
    severity = "" if found.severity == "error" else f"{found.severity}: "
    said = "; ".join(part for part in (found.message, found.mend) if part)
    text = f"{judged.source}:{judged.document} {found.object} {found.path}: {severity}{said}"
    return " ".join(text.split())


def _summary(objects: int, judged: list[Judged]) -> str:
    counts = Counter(each.note.severity for each in judged)
    parts = [count(counts[severity], severity) for severity in ("error", "warning", "hint") if counts[severity]]
    return f"{count(objects, 'object')}: {', '.join(parts) or 'nothing to say'}"
