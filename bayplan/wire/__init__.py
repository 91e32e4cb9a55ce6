"""Kubernetes JSON and the model, both ways: reads only the fields a decision needs, writes only the fields we own.

`pods`, `devices`, `queues`, `workload`, `podgroups` read one family of kinds each (`kinds` lists them), `patches`
holds everything that is ever written. What does not have the shape of its kind raises `Malformed`.
"""

from bayplan.wire.errors import Malformed
from bayplan.wire.kinds import READERS, group_kind
from bayplan.wire.pods import node, pod
from bayplan.wire.read import Json, read
from bayplan.wire.workload import Context, workload

__all__ = ["READERS", "Context", "Json", "Malformed", "group_kind", "node", "pod", "read", "workload"]
