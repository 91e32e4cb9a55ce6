"""The second road: every plan is checked by other means than it was found by before it is carried out.

`audit(snapshot, policy, plan)` knows none of the ways by which a plan is found and shares no code with
`bayplan.core`; it only knows what must be true of any plan, and says in Findings where one is not. An empty answer
means the plan may be applied; `without` leaves out of a plan what findings are about. The cost grows with the plan,
what runs where the plan touches it, and what changed since the last one.
"""

from __future__ import annotations

from bayplan.audit import findings
from bayplan.audit.aftermath import aftermath
from bayplan.audit.binding import audit_binding
from bayplan.audit.blame import without
from bayplan.audit.claims import audit_claims
from bayplan.audit.devices import audit_devices
from bayplan.audit.findings import Finding
from bayplan.audit.gangs import audit_gangs
from bayplan.audit.isolation import audit_isolation
from bayplan.audit.nodes import audit_nodes
from bayplan.audit.plan import audit_plan
from bayplan.audit.pools import pools_of
from bayplan.audit.quota import audit_quota
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot

__all__ = ["Finding", "audit", "findings", "without"]


def audit(snapshot: Snapshot, policy: Policy, plan: Plan) -> tuple[Finding, ...]:
    """What is wrong with the plan: decisions, gangs, nodes, devices, isolation, claims, binding, quota; or ()."""
    pools = pools_of(snapshot, policy)
    after = aftermath(snapshot, policy, plan, pools)
    return (
        *audit_plan(after),
        *audit_gangs(after),
        *audit_nodes(after, pools),
        *audit_devices(after, pools),
        *audit_isolation(after),
        *audit_claims(after, pools),
        *audit_binding(after),
        *audit_quota(after),
    )
