"""`bayplan scheduler`: Bayplan as the scheduler and queue controller of a real cluster, until it is told to stop."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bayplan.app.scheduler import LEASE, NAMESPACE, RECOVERY_TIMEOUT_S, Permanent, Scheduler, Settings, log_json
from bayplan.cli.common import Exit, PricesOption, end, stderr


class Queues(StrEnum):
    bayplan = "bayplan"
    kueue = "kueue"


KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="The cluster to serve. Default: the one this pod runs in, else as kubectl."),
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help=f"Of the Lease. Default: this pod's, else {NAMESPACE}.")
]
LeaseOption = Annotated[str, typer.Option("--lease", help="The Lease that makes one replica the leader.")]
ElectOption = Annotated[
    bool, typer.Option("--leader-elect/--no-leader-elect", help="Lead only while holding the Lease.")
]
QueuesOption = Annotated[
    Queues, typer.Option("--queues", help="Who admits Workloads: bayplan, or a Kueue that runs beside it.")
]
ListenOption = Annotated[str, typer.Option("--listen", help="HOST:PORT for /healthz, /readyz and /metrics.")]
RecoveryOption = Annotated[
    int,
    typer.Option(
        "--recovery-timeout", min=0, help="Seconds after which a gang that cannot be completed is evicted; 0 = never."
    ),
]
ReserveOption = Annotated[
    int,
    typer.Option(
        "--reserve-after", min=0, help="Seconds of waiting after which room is kept for a workload; 0 = never."
    ),
]
JournalOption = Annotated[Path | None, typer.Option("--journal", help="Write every cycle here, for `bayplan replay`.")]


def scheduler(
    kubeconfig: KubeconfigOption = None,
    namespace: NamespaceOption = "",
    lease: LeaseOption = LEASE,
    leader_elect: ElectOption = True,
    queues: QueuesOption = Queues.bayplan,
    listen: ListenOption = "127.0.0.1:8080",
    recovery_timeout: RecoveryOption = RECOVERY_TIMEOUT_S,
    reserve_after: ReserveOption = 0,
    journal: JournalOption = None,
    prices: PricesOption = False,
) -> None:
    """Schedule a real cluster: pods that say `schedulerName: bayplan`, and jobs in its queues."""
    log_json()
    settings = Settings(
        namespace=namespace,
        lease=lease,
        elect=leader_elect,
        queues=queues.value,
        listen=listen,
        journal=str(journal) if journal else "",
        prices=prices,
        recovery_timeout_s=recovery_timeout,
        reserve_after_s=reserve_after,
    )
    serving = Scheduler(kubeconfig, settings)

    def stop(number: int, frame: FrameType | None) -> None:
        serving.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        led = serving.run()
    except Permanent as error:
        stderr().print(f"bayplan: {error}", markup=False)
        end(Exit.UNREACHABLE)
        return
    if not led:
        end(Exit.NO)
