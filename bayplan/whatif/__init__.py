"""Questions about other worlds, each answered by `decide` on a changed snapshot: when a workload starts, and what
would let it start sooner."""

from bayplan.whatif.forecast import Start, forecast
from bayplan.whatif.remedy import Remedy, remedies

__all__ = ["Remedy", "Start", "forecast", "remedies"]
