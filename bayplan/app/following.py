"""A job from its creation to its end, as somebody who waits for it sees it. Whoever iterates sets the pace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.app.client import Client
from bayplan.app.errors import Refused
from bayplan.model.base import Value
from bayplan.wire.names import COMPLETION_INDEX, JOB_NAME


class Step(Value, frozen=True):
    """One look: `news` in a line if something changed, `log` what was printed since, `ended` with success or not."""

    news: str = ""
    log: str = ""
    ended: bool | None = None


def follow(client: Client, namespace: str, name: str, *, logs: bool) -> Iterator[Step]:
    """Looks at the job until it has ended. Raises Unreachable, Refused."""
    told, printed = "", 0
    while True:
        job = client.get(f"apis/batch/v1/namespaces/{namespace}/jobs/{name}")
        if job is None:
            yield Step(news=f"{name} is gone", ended=False)
            return
        log = _log(client, namespace, name) if logs else ""
        new, printed = log[printed:], max(printed, len(log))
        state, ended = _state(job)
        yield Step(news=f"{name} {state}" if state != told else "", log=new, ended=ended)
        told = state
        if ended is not None:
            return


def _state(job: dict[str, Any]) -> tuple[str, bool | None]:
    status = job.get("status") or {}
    true = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    if "Complete" in true:
        return "has finished", True
    if "Failed" in true:
        return f"has failed: {true['Failed'].get('message', '')}".rstrip(": "), False
    if (job.get("spec") or {}).get("suspend"):
        return "waits", None
    return f"runs, {status.get('active', 0)} of {job['spec'].get('parallelism', 1)} pods", None


def _log(client: Client, namespace: str, name: str) -> str:
    """The log of the job's first pod, "" before it has one."""
    pods = client.select(f"api/v1/namespaces/{namespace}/pods", f"{JOB_NAME}={name}")
    items = sorted(pods, key=lambda p: int(p["metadata"]["labels"].get(COMPLETION_INDEX, 0)))
    if not items or (items[0].get("status") or {}).get("phase", "Pending") == "Pending":
        return ""
    try:
        return client.text(f"api/v1/namespaces/{namespace}/pods/{items[0]['metadata']['name']}/log")
    except Refused:
        return ""  # not started yet, or already taken away
