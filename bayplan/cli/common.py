"""What every verb shares: where text goes, JSON, the options of all, and how a failure ends.

Exit codes: 0 it is so · 1 the answer is no · 2 bad input · 3 the cluster cannot be reached or refuses · 130 Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType

PIPE_COLUMNS = 200  # a pipe has no width; lines are cut for grep and awk nowhere near their end
API_VERSION = "bayplan.dev/v1"


class Exit(IntEnum):
    OK = 0
    NO = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    OUR_FAULT = 70
    INTERRUPTED = 130


class Output(StrEnum):
    text = "text"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Text for people, or JSON with a stable schema.")]
PricesOption = Annotated[bool, typer.Option("--prices", help="Place at prices: denser, needs the solver extra.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace; without it, all of them.")]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        help="The cluster to ask. Default: $BAYPLAN_KUBECONFIG, the cluster of `bayplan up` here, $KUBECONFIG, "
        "~/.kube/config.",
        show_default=False,
    ),
]


def console() -> Console:
    """Where answers go: as wide as the terminal, without colours where nobody sees them."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Where notes and progress go."""
    return _console(sys.stderr)


def _console(file: Any) -> Console:
    is_terminal = file.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = None if is_terminal else int(columns) if columns.isdigit() and int(columns) > 0 else PIPE_COLUMNS
    return Console(file=file, width=width, highlight=False, emoji=False, soft_wrap=False, legacy_windows=False)


def show(*parts: RenderableType) -> None:
    """Prints an answer, without the blanks a table leaves at the ends of its lines."""
    out = console()
    if out.is_terminal:
        for part in parts:
            out.print(part)
        return
    with out.capture() as captured:
        for part in parts:
            out.print(part)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def note(text: str) -> None:
    """One line beside the answer."""
    stderr().print(text, style="dim", markup=False)


def show_json(kind: str, value: Any) -> None:
    """One JSON object: `apiVersion`, `kind` and every field of the value, defaults included."""
    body = {"apiVersion": API_VERSION, "kind": kind} | plain(value)
    print(json.dumps(body, indent=2, ensure_ascii=False), flush=True)


def plain(value: Any) -> Any:
    """A struct as dicts and lists, fields at their default included: a schema does not come and go."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def end(code: Exit) -> None:
    """Ends the verb with this exit code."""
    raise typer.Exit(int(code))
