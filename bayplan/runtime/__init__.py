"""What runs the one brain over any body: the ports, the loop, the journal and its replay."""

from bayplan.runtime.journal import Entry, Journal, JournalError, read
from bayplan.runtime.loop import Cycle, Loop
from bayplan.runtime.ports import Applied, Clock, Cluster, Conflict, Permanent, Temporary
from bayplan.runtime.prices import Pricer
from bayplan.runtime.replay import Replayed, replay

__all__ = [
    "Applied",
    "Clock",
    "Cluster",
    "Conflict",
    "Cycle",
    "Entry",
    "Journal",
    "JournalError",
    "Loop",
    "Permanent",
    "Pricer",
    "Replayed",
    "Temporary",
    "read",
    "replay",
]
