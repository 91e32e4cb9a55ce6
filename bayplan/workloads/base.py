"""What every job kind has in common: where its pods are described, how it is held back, how it says that it ended.

A kind is a row of data and two small functions (`JobKind`); everything else, from the Workload made of a job to the
patches that start and stop it, is the same for all of them (`bayplan.workloads.translate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.wire.errors import Malformed
from bayplan.wire.read import Json
from bayplan.wire.workload import Context

Path = tuple[str | int, ...]
"""Where something stands in an object: member names and list positions."""


@dataclass(frozen=True)
class PodSetSource:
    """One pod set of a job: `count` pods of `template`, which stands at `path` (empty: not patchable in the job).

    `width` is the number of pods per inner job where the set is a row of jobs (JobSet), else 0.
    """

    name: str
    count: int
    template: Json
    path: Path = ()
    min_count: int | None = None
    width: int = 0
    topology: str = ""


@dataclass(frozen=True)
class Outcome:
    succeeded: bool
    message: str


@dataclass(frozen=True)
class JobKind:
    """One kind of job. `suspend` is the path of its switch; empty where its pods are held back one by one.

    `gangs` gives the pod sets of each unit of admission, keyed by a suffix of its name: one gang (key "") for most
    kinds, one per replica for a LeaderWorkerSet.
    """

    group: str
    kind: str
    plural: str
    suspend: Path
    gangs: Callable[[Json, Context], Mapping[str, tuple[PodSetSource, ...]]]
    outcome: Callable[[Json], Outcome | None]

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def at(source: Any, path: Path, default: Any = None) -> Any:
    """What stands at a path; `default` where any part of it is absent or null."""
    for step in path:
        if isinstance(step, str) and isinstance(source, dict):
            source = source.get(step)
        elif isinstance(step, int) and isinstance(source, list) and step < len(source):
            source = source[step]
        else:
            return default
    return default if source is None else source


def spelled(path: Path) -> str:
    """A path as the API spells it: `spec.replicatedJobs[0].template`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def count_at(source: Json, path: Path, default: int) -> int:
    """A whole number ≥ 0 at a path. Raises Malformed."""
    value = at(source, path, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(spelled(path), f"expected a whole number, got {value!r}")
    return value


def object_at(source: Json, path: Path) -> Json:
    """A JSON object at a path, which must be there. Raises Malformed."""
    value = at(source, path)
    if not isinstance(value, Mapping):
        raise Malformed(spelled(path), "expected an object" if value is not None else "is required")
    return value


def list_at(source: Json, path: Path) -> list[Any]:
    """A JSON list at a path, empty where it is absent. Raises Malformed."""
    value = at(source, path, [])
    if not isinstance(value, list):
        raise Malformed(spelled(path), "expected a list")
    return value


def by_conditions(succeeded: tuple[str, ...], failed: tuple[str, ...]) -> Callable[[Json], Outcome | None]:
    """The outcome of kinds that say how they ended in `status.conditions`."""

    def outcome(job: Json) -> Outcome | None:
        for condition in list_at(job, ("status", "conditions")):
            type = condition.get("type")
            if condition.get("status") == "True" and type in succeeded + failed:
                done = type in succeeded
                return Outcome(done, condition.get("message") or f"Job {'finished successfully' if done else 'failed'}")
        return None

    return outcome
