"""Who stands where: pods by node, by workload and by the claims they use, and claims by the pools of their devices.

What is audited is the plan; what runs already only counts where the plan touches it. So it is kept sorted by where
that may be, and brought from the last snapshot to the next by what differs: an unchanged pod or claim is the same
object in both. `tests/audit/test_standing.py` compares it with what one finds from nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bayplan.model.device import AllocationResult, ResourceClaim
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Groups
from bayplan.model.workload import Pod

PoolId = tuple[str, str]


def _pools(claim: ResourceClaim) -> Iterator[PoolId]:
    if claim.status.allocation is not None:
        for result in claim.status.allocation.devices.results:
            yield result.driver, result.pool


_by_node = Groups[str, Pod](lambda pod: (pod.node,) if pod.node else ())
_by_workload = Groups[str, Pod](lambda pod: (pod.workload,) if pod.workload else ())
_by_claim = Groups[str, Pod](lambda pod: [claim for _, claim in pod.claims])
_by_pool = Groups[PoolId, ResourceClaim](_pools)


class Standing:
    """One snapshot's; everything is in order of names."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._pods, self._claims = snapshot.pods, snapshot.claims

    def on(self, node: str) -> list[Pod]:
        return _named(_by_node.of(self._pods).get(node))

    def of(self, workload: str) -> list[Pod]:
        return _named(_by_workload.of(self._pods).get(workload))

    def using(self, claim: str) -> list[Pod]:
        return _named(_by_claim.of(self._pods).get(claim))

    def holding(self, pool: PoolId) -> Iterator[tuple[str, AllocationResult]]:
        """The claims that have devices of a pool, by key, and all that they have."""
        found = _by_pool.of(self._claims).get(pool, {})
        for key in sorted(found):
            allocation = found[key].status.allocation
            if allocation is not None:
                yield key, allocation


def _named(found: Mapping[str, Pod] | None) -> list[Pod]:
    return [found[key] for key in sorted(found)] if found else []
