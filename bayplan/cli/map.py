"""`bayplan map`: the fleet as a picture, in the terminal or as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayplan.app import ask
from bayplan.app.errors import BadInput
from bayplan.cli.common import KubeconfigOption, Output, OutputOption, console, note, show, show_json
from bayplan.cli.draw import map_picture, signs_for
from bayplan.cli.svg import map_svg


def map_(
    rack: Annotated[str, typer.Option("--rack", help="Only this rack, block or node; nodes are named.")] = "",
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Write the map to this file as SVG.", show_default=False)
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Name every node.")] = False,
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Where everything stands: blocks, racks, nodes and GPUs, what is free and what is wasted."""
    view = ask.fleet_map(ask.look(kubeconfig), rack)
    if svg is not None:
        try:
            svg.write_text(map_svg(view), encoding="utf-8")
        except OSError as error:
            raise BadInput("--svg", str(svg), error.strerror or "cannot be written") from error
        note(f"wrote {svg}")
    if output is Output.json:
        show_json("Map", view)
    elif svg is None:
        out = console()
        show(map_picture(view, out.width, names=names or bool(rack), signs=signs_for(out.encoding)))
