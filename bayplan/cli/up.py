"""`bayplan up`: a whole cluster in this process, for kubectl and everything else, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bayplan.app.embedded import Embedded, running
from bayplan.app.fleets import load_fleet
from bayplan.app.home import home
from bayplan.app.pricing import pricer
from bayplan.app.running import Watcher
from bayplan.cli.common import Exit, Output, OutputOption, PricesOption, end, show, show_json, stderr
from bayplan.cli.live import watch
from bayplan.cli.words import count

LOOK_S = 0.5  # between looks whether the cluster has failed; Ctrl-C is heard at once

FleetOption = Annotated[
    Path | None,
    typer.Option(
        "--fleet",
        help="Fleet file: nodes, teams, work. Default: the one that is there; else the example, without work.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Where the cluster is kept. Default: $BAYPLAN_DATA or .bayplan.", show_default=False),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]
SpeedOption = Annotated[int, typer.Option("--speed", min=1, max=1000, help="Seconds of the cluster per second.")]


def up(
    fleet: FleetOption = None,
    port: PortOption = 0,
    data: DataOption = None,
    speed: SpeedOption = 1,
    prices: PricesOption = False,
    output: OutputOption = Output.text,
) -> None:
    """Start a cluster here (API server, kubelets, scheduler) until Ctrl-C; the next start finds it again."""
    watcher, priced = Watcher(), pricer() if prices else None
    embedded = Embedded(
        home(data),
        load_fleet(fleet) if fleet else None,
        port=port,
        speed=speed,
        watcher=watcher,
        pricer=priced,
    )
    with running(embedded):
        greet(embedded, output)
        title = f"Bayplan · {embedded.fleet.metadata.name}" + (f" · time ×{speed}" if speed > 1 else "")
        hint = f"{embedded.kubectl} get workloads -A     bayplan queue · why NAME · map     Ctrl-C stops"
        try:
            if output is Output.json:
                while not embedded.wait(LOOK_S):
                    pass
            else:
                watch(title, hint, lambda: watcher.look(embedded), lambda: embedded.wait(0))
        except KeyboardInterrupt:
            stderr().print(f"stopped; `bayplan up` finds this cluster again in {embedded.home.path}", style="dim")
            return
        report_failure(embedded)


def greet(embedded: Embedded, output: Output) -> None:
    """Says where the cluster is: for people, or as one JSON object for scripts."""
    nodes = len(embedded.store.rows("nodes")[0])
    if output is Output.json:
        show_json(
            "Cluster",
            {
                "server": embedded.server.url,
                "kubeconfig": str(embedded.home.kubeconfig.resolve()),
                "data": str(embedded.home.path.resolve()),
                "nodes": nodes,
                "new": embedded.is_new,
            },
        )
        return
    found = "new" if embedded.is_new else "found again"
    show(Text().append(f"{count(nodes, 'node')}, {found}, at {embedded.server.url}", style="dim"))
    show(Text().append(embedded.kubectl, style="bold cyan").append(" get workloads -A"), Text())


def report_failure(embedded: Embedded) -> None:
    """A loop that ended by itself has failed: one line, and an exit code."""
    if embedded.failure is not None:
        stderr().print(f"bayplan: the scheduler stopped: {embedded.failure}", markup=False)
        end(Exit.OUR_FAULT)
