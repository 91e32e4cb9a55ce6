"""Questions about other worlds, each answered by `decide` on a changed snapshot: when a workload starts, what would
let it start sooner, and how GPUs would better be cut."""

from bayplan.whatif.forecast import Start, forecast
from bayplan.whatif.remedy import Remedy, remedies
from bayplan.whatif.repartition import Relayout, Repartition, repartition

__all__ = ["Relayout", "Remedy", "Repartition", "Start", "forecast", "remedies", "repartition"]
