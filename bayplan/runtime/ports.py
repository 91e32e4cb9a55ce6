"""The two ports of the control plane: the cluster it serves and the clock it lives by.

A body (embedded, Kubernetes, simulated) implements `Cluster`; nothing above a body knows which one it is. What the
outside does wrong is one of two exceptions, so that the loop needs to know only whether trying again can help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from bayplan.model.base import Value
from bayplan.model.plan import Hold, Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot


class Temporary(Exception):
    """The outside failed in a way that may pass: try again after `retry_s` seconds. The cause is chained."""

    def __init__(self, message: str, *, retry_s: int = 2) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class Permanent(Exception):
    """The outside failed in a way that trying again cannot mend (no such API, no permission). The cause is chained."""


class Conflict(Value, frozen=True):
    """A decision that was not carried out because the world had moved on; it is decided again next cycle."""

    workload: str
    object: str
    message: str


class Applied(Value, frozen=True):
    """What carrying out a plan did: workloads admitted, pods bound, workloads evicted, and what was refused."""

    admitted: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
    evicted: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class Cluster(Protocol):
    """One cluster, whatever it is made of."""

    def observe(self) -> Snapshot:
        """The cluster now. Returns the same instance while nothing a decision rests on has changed.

        Raises Temporary or Permanent.
        """
        ...

    def apply(self, plan: Plan) -> Applied:
        """Carries out a plan made from the last observed snapshot. Doing it twice equals doing it once.

        Raises Temporary or Permanent; a refused part is a Conflict, not an exception.
        """
        ...

    def wait(self, seconds: float) -> bool:
        """Returns True as soon as something may have changed since the last `observe`, False after `seconds`."""
        ...


class Clock(Protocol):
    def now_s(self) -> int:
        """Whole seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Finding(Protocol):
    """What an audit reports; anything that prints as one line."""

    def __str__(self) -> str: ...


class Decide(Protocol):
    def __call__(self, snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan: ...


Audit = Callable[[Snapshot, Policy, Plan], tuple[Finding, ...]]
Without = Callable[[Snapshot, Plan, tuple[Any, ...]], Plan]
"""The plan without what findings of the audit are about."""
Describe = Callable[[Hold, Snapshot], str]
"""The sentence people read for a hold."""


def text_of(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(_one_line(f) for f in findings)


def _one_line(finding: Finding) -> str:
    return " ".join(str(finding).split())
