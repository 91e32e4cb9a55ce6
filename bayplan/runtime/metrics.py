"""Numbers for Prometheus, in its text format 0.0.4: counters end in `_total`, times are seconds, sizes are bytes.

Names follow what schedulers of the field export (kube-scheduler's `scheduler_*`, Kueue's `kueue_*`), under `bayplan_`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping

BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number per set of labels that only grows."""

    kind = "counter"

    def __init__(self, name: str, help: str) -> None:
        self.name, self.help = name, help
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {}

    def add(self, amount: float = 1, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def lines(self) -> Iterable[str]:
        with self._lock:
            values = dict(self._values)
        for labels, value in sorted(values.items()):
            yield f"{self.name}{_labels(labels)} {_number(value)}"


class Gauge(Counter):
    """A number that may go either way."""

    kind = "gauge"

    def set(self, value: float, **labels: str) -> None:
        with self._lock:
            self._values[tuple(sorted(labels.items()))] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """All values at once: what is not among them is gone."""
        with self._lock:
            self._values = dict(values)


class Histogram:
    """How long something took."""

    kind = "histogram"

    def __init__(self, name: str, help: str, buckets: tuple[float, ...] = BUCKETS_S) -> None:
        self.name, self.help, self._buckets = name, help, buckets
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, seconds: float, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self._buckets) + 1))
            counts[bisect_left(self._buckets, seconds)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def lines(self) -> Iterable[str]:
        with self._lock:
            taken = [(k, list(c), self._sums[k]) for k, c in sorted(self._counts.items())]
        for labels, counts, total in taken:
            below = 0
            for bound, count in zip((*map(str, self._buckets), "+Inf"), counts, strict=True):
                below += count
                yield f"{self.name}_bucket{_labels((*labels, ('le', bound)))} {below}"
            yield f"{self.name}_sum{_labels(labels)} {_number(total)}"
            yield f"{self.name}_count{_labels(labels)} {below}"


def exposition(metrics: Iterable[Counter | Histogram]) -> str:
    """The text a scrape gets."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{k}="{_escaped(v)}"' for k, v in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
