"""`bayplan install`: puts the scheduler into a cluster, shows what that would change, or prints the manifests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bayplan.app.install import install as apply
from bayplan.app.install import rendered
from bayplan.app.manifests import IMAGE, Options
from bayplan.app.scheduler import NAMESPACE, RECOVERY_TIMEOUT_S
from bayplan.cli.common import Exit, Output, OutputOption, PricesOption, end, show_json
from bayplan.cli.scheduler import Queues, RecoveryOption, ReserveOption

KubeconfigOption = Annotated[Path | None, typer.Option("--kubeconfig", help="The cluster. Default: as kubectl.")]


def install(
    kubeconfig: KubeconfigOption = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where it runs.")] = NAMESPACE,
    image: Annotated[str, typer.Option("--image", help="The container image.")] = IMAGE,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="One leads, the others stand by.")] = 2,
    queues: Annotated[Queues, typer.Option("--queues", help="Who admits Workloads.")] = Queues.bayplan,
    crds: Annotated[bool, typer.Option("--crds/--no-crds", help="Kueue's kinds where they are absent.")] = True,
    prices: PricesOption = False,
    recovery_timeout: RecoveryOption = RECOVERY_TIMEOUT_S,
    reserve_after: ReserveOption = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifests; ask no cluster.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change; exit code 1 if anything.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Install the scheduler in a cluster (server-side apply; doing it again changes nothing)."""
    options = Options(
        namespace=namespace,
        image=image,
        replicas=replicas,
        queues=queues.value,
        crds=crds,
        prices=prices,
        recovery_timeout_s=recovery_timeout,
        reserve_after_s=reserve_after,
    )
    if dry_run:
        sys.stdout.write(rendered(options))
        return
    changes = list(apply(kubeconfig, options, dry_run=diff))
    if output is Output.json:
        show_json("Installation", {"changes": changes})
    else:
        for change in changes:
            sys.stdout.write(change.diff if diff else f"{change.kind} {change.name} {change.what}\n")
    if diff and any(c.what != "unchanged" for c in changes):
        end(Exit.NO)
