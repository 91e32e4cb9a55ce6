"""Every finding: a correct plan, one change that spoils it, and exactly the finding that says so."""

from __future__ import annotations

import pytest

from bayplan.audit import Finding, audit, without
from bayplan.audit import findings as f
from bayplan.core import decide
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    CapacityRequirements,
    CELDeviceSelector,
    DeviceAllocationConfiguration,
    DeviceConstraint,
    DeviceRequest,
    DeviceSelector,
    DeviceSubRequest,
    DeviceTaint,
    DeviceTaintRule,
    DeviceTaintRuleSpec,
    DeviceTaintSelector,
    OpaqueDeviceConfiguration,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceSlice,
)
from bayplan.model.isolation import Isolation
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint
from bayplan.model.plan import Deallocate, Evict, Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.queue import Cohort, CohortSpec, FlavorQuotas, ResourceGroup, ResourceQuota
from bayplan.model.reason import PendingEvaluation
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodClaim, PodSet, PodTemplate, Workload
from bayplan.runtime.loop import ROUNDS_MAX
from tests.audit.plans import (
    Spoil,
    allocation,
    also,
    asked,
    both,
    change,
    claim,
    decisions,
    device,
    devices,
    evict,
    moved,
    node,
    of,
    plan,
    pod,
    pool,
    queue,
    request,
    results,
    template,
    workload,
    world,
)
from tests.make import DRIVER, GPU, LEVELS, MIG, Shelf, cluster, place, with_pods
from tests.make import claim as make_claim

Correct = tuple[Snapshot, Plan]


def _world(snapshot: Snapshot, *evictions: Evict, **places: str) -> Correct:
    return snapshot, plan(snapshot, *evictions, **places)


TEAM = _world(cluster("r1/a=8 r1/b=8 r2/c=8", "job:8 gang:2x8@rack late:4", queues="team=24"), job="c", gang="a,b")
TEAMS = _world(cluster("a=8 b=8", "big:8", running="mine:4@b", queues="team=8@org rest=8@org"), big="a")
WAR = _world(cluster("a=8 b=8", "high:8!9", running="low:8!1@a", queues="team=16"), evict("low", "high"), high="a")
ONE = _world(cluster("r1/a=8 r2/b=8", "one:4"), one="a")
TWO = _world(cluster("a=8", "one:4 two:4"), one="a", two="a")
NEW = _world(cluster("a=2", "new:1", running="old:1@a"), new="a")
SERVICE = _world(cluster("a=1:a100share", "svc:4x12Gi", running="old:2x12Gi@a"), svc="a")
SERVICES = _world(cluster("a=1:a100share", "one:12Gi two:12Gi"), one="a", two="a")
QUEUED = _world(cluster("a=1:a100share", "svc:12Gi", queues="team=8"), svc="a")
SMALL = _world(cluster("a=2:a100mig", "small:1g.10gb", running="old:3g.40gb@a"), small="a")
BIG = _world(cluster("a=2:a100mig", "big:2x3g.40gb"), big="a")
PLAIN = _world(cluster("a=4:plugin b=4:plugin", "job:2x2gpu"), job="a")
RACK = _world(cluster("r1/a=4:plugin r2/b=4:plugin", "job:2x2gpu@rack"), job="a")
MADE = _world(with_pods(cluster("a=8", "one:4"), "default/one"), one="a")
CORES = _world(cluster("a=0", "cores:4cpu"), cores="a")
ENGINES = "gpu-0-mig-1g10gb-me-20-{}"
SELECTOR = DeviceSelector(cel=CELDeviceSelector(expression=f"device.attributes['{DRIVER}'].type == 'mig'"))
ANY_PROFILE = claim("big", selectors=())
BROKEN = DeviceSelector(cel=CELDeviceSelector(expression="device.driver =="))
NUMA = "resource.kubernetes.io/numaNode"
TAINT = DeviceTaint(key="gpu.nvidia.com/xid", value="79", effect="NoSchedule")
RACK_9 = NodeSelector(
    node_selector_terms=(
        NodeSelectorTerm(
            match_expressions=(NodeSelectorRequirement(key=LEVELS["rack"], operator="In", values=("r9",)),)
        ),
    )
)


def _sharing(*names: str) -> Snapshot:
    """Gangs of two pods whose group has one claim for all of them (KEP-5729)."""
    snapshot = cluster("a=8 b=1")
    shared = ResourceClaim(metadata=Metadata(name="g-gpu", namespace="default"), spec=make_claim("2"))
    claims = (PodClaim(name="gpu", template=shared.spec, claim="default/g-gpu"),)
    sets = (PodSet(name="main", count=2, template=PodTemplate(requests=(("pods", 1),), claims=claims)),)
    gangs = {f"default/{name}": Workload("default", name, sets, uid=f"uid-{name}") for name in names}
    return snapshot.replace(claims={"default/g-gpu": shared}, workloads=gangs)


def _following() -> Correct:
    """One gang runs; two more pods of the group are to join it."""
    before = _sharing("gang", "late")
    (gang, _) = decide(before, Policy(), now_s=1).placed()
    after = before.placing(gang)
    keys = ("default/gang-main-0", "default/gang-main-1")
    claim = after.claims["default/g-gpu"]
    group = ResourceClaimConsumerReference("podgroups", "g", "uid-g", api_group="scheduling.k8s.io")
    reserved = change(claim, status=change(claim.status, reserved_for=(group,)))
    pods = {k: change(after.pods[k], claims=(("gpu", "default/g-gpu"),)) for k in keys}
    late = after.workloads["default/late"]
    asks = change(late.pod_sets[0].template, claims=(PodClaim(name="gpu", claim="default/g-gpu"),))
    late = change(late, pod_sets=(change(late.pod_sets[0], template=asks),))
    snapshot = after.replace(claims={"default/g-gpu": reserved}, pods=after.pods | pods).with_workload(late)
    return snapshot, decide(snapshot, Policy(), now_s=2)


def _elsewhere(snapshot: Snapshot) -> Snapshot:
    """Somebody has bound a pod of the group to a node of his choice (kubernetes#140087)."""
    stray = Pod(namespace="default", name="stray", node="b", claims=(("gpu", "default/g-gpu"),))
    return snapshot.replace(pods=dict(snapshot.pods) | {stray.key: stray})


def _freed() -> Deallocate:
    return Deallocate("default/gang", ("default/g-gpu",))


def _alternatives(*classes: str) -> DeviceRequest:
    subs = tuple(DeviceSubRequest(name=f"s{i}", device_class_name=c) for i, c in enumerate(classes))
    return DeviceRequest(name="gpu", first_available=subs)


def _renewed(snapshot: Snapshot, name: str) -> ResourceSlice:
    """A newer, empty generation of the node's pool."""
    spec = next(s.spec for s in snapshot.slices if s.spec.node_name == name)
    return ResourceSlice(spec=change(spec, pool=change(spec.pool, generation=2), devices=()))


def _ruled(snapshot: Snapshot, **selected: str) -> Snapshot:
    rule = DeviceTaintRuleSpec(taint=TAINT, device_selector=DeviceTaintSelector(**selected))
    return snapshot.replace(taint_rules=(DeviceTaintRule(metadata=Metadata(name="repair"), spec=rule),))


def _flavor(snapshot: Snapshot, **changes: object) -> Snapshot:
    flavor = snapshot.flavors["default"]
    return snapshot.replace(flavors={"default": change(flavor, spec=change(flavor.spec, **changes))})


def _allocated_otherwise(snapshot: Snapshot) -> Snapshot:
    ((key, claim),) = snapshot.claims.items()
    shelf = Shelf(snapshot)
    first, second = shelf.take("a", claim.spec), shelf.take("a", claim.spec)
    assert first != second
    return snapshot.replace(claims={key: change(claim, status=change(claim.status, allocation=second))})


def _extra_claim(placed: Place) -> Place:
    first = placed.pods[0]
    extra = change(first.claims[0], name="extra", allocation=AllocationResult())
    return change(placed, pods=(change(first, claims=(*first.claims, extra)),))


def _quota(gpus: int, flavor: str = "default") -> tuple[ResourceGroup, ...]:
    quotas = tuple(ResourceQuota(name=name, nominal_quota=Quantity.of(gpus)) for name in (GPU, MIG))
    return (ResourceGroup(covered_resources=(GPU, MIG), flavors=(FlavorQuotas(name=flavor, resources=quotas),)),)


def _nominal(snapshot: Snapshot, *, rest: int = 8, borrow: int | None = None, lend: int | None = None) -> Snapshot:
    """Other quotas of GPUs for the two teams of TEAMS; `team` has 8."""
    limits = {"team": (8, borrow, None), "rest": (rest, None, lend)}
    queues = {}
    for name, old in snapshot.cluster_queues.items():
        nominal, borrowing, lending = (None if x is None else Quantity.of(x) for x in limits[name])
        assert nominal is not None
        quota = ResourceQuota(name=GPU, nominal_quota=nominal, borrowing_limit=borrowing, lending_limit=lending)
        group = ResourceGroup(covered_resources=(GPU,), flavors=(FlavorQuotas(name="default", resources=(quota,)),))
        queues[name] = change(old, spec=change(old.spec, resource_groups=(group,)))
    return snapshot.replace(cluster_queues=queues)


def _local_stopped(snapshot: Snapshot) -> Snapshot:
    local = snapshot.local_queues["default/team"]
    return snapshot.replace(local_queues={"default/team": change(local, spec=change(local.spec, stop_policy="Hold"))})


def _cycle(snapshot: Snapshot) -> Snapshot:
    ring = {"org": "all", "all": "org"}
    cohorts = {k: Cohort(metadata=Metadata(name=k), spec=CohortSpec(parent_name=v)) for k, v in ring.items()}
    return snapshot.replace(cohorts=cohorts)


def _held_by_rival(snapshot: Snapshot) -> Snapshot:
    """Running work belongs to another namespace."""
    claims = {k.replace("default/", "rival/"): c for k, c in snapshot.claims.items()}
    pods = {
        k: change(p, claims=tuple((n, c.replace("default/", "rival/")) for n, c in p.claims))
        for k, p in snapshot.pods.items()
    }
    return snapshot.replace(claims=claims, pods=pods)


def _of_rival(name: str) -> Spoil:
    """A workload, and the decision about it, belong to another namespace."""

    def spoil(snapshot: Snapshot, made: Plan) -> tuple[Snapshot, Plan]:
        theirs = change(snapshot.workloads[f"default/{name}"], namespace="rival")
        workloads = {k: w for k, w in snapshot.workloads.items() if w.name != name} | {theirs.key: theirs}
        return of(name, lambda d: change(d, workload=theirs.key))(snapshot.replace(workloads=workloads), made)

    return spoil


def _strict_queue(snapshot: Snapshot) -> Snapshot:
    queues = {k: change(q, isolation=Isolation.HARDWARE) for k, q in snapshot.cluster_queues.items()}
    return snapshot.replace(cluster_queues=queues)


def _time_sliced(given: AllocationResult) -> AllocationResult:
    opaque = OpaqueDeviceConfiguration(driver=DRIVER, parameters={"sharing": {"strategy": "TimeSlicing"}})
    entry = DeviceAllocationConfiguration(source="FromClaim", opaque=opaque)
    sliced: AllocationResult = change(given, devices=change(given.devices, config=(entry,)))
    return sliced


SHARED = _sharing("gang"), decide(_sharing("gang"), Policy(), now_s=1)
FOLLOWING = _following()

CASES: list[tuple[str, Snapshot, Plan, Spoil, type[Finding]]] = [
    # The plan
    ("a pending workload is in no decision", *TEAM, decisions(lambda d: d[:-1]), f.WorkloadForgotten),
    (
        "an inactive workload is forgotten like any other",
        *TEAM,
        both(workload("late", active=False), decisions(lambda d: d[:-1])),
        f.WorkloadForgotten,
    ),
    (
        "a workload is both placed and held",
        *TEAM,
        also(Hold("default/job", reasons=(PendingEvaluation(),))),
        f.WorkloadDecidedTwice,
    ),
    (
        "a workload that does not exist is held",
        *TEAM,
        also(Hold("default/ghost", reasons=(PendingEvaluation(),))),
        f.WorkloadUnknown,
    ),
    ("a hold has no reason", *TEAM, of("late", lambda d: change(d, reasons=())), f.HoldUnexplained),
    ("an inactive workload is placed", *TEAM, workload("job", active=False), f.WorkloadInactive),
    ("the plan is for another revision", *TEAM, lambda s, p: (s, change(p, revision="7")), f.PlanStale),
    (
        "a decision rests on an older version",
        *TEAM,
        both(of("job", lambda d: change(d, resource_version="1")), workload("job", resource_version="2")),
        f.PlanStale,
    ),
    ("the victim matters as much", *WAR, workload("low", priority=9), f.EvictionUnfounded),
    (
        "the preemptor may not preempt",
        *WAR,
        workload("high", preemption_policy="Never"),
        f.EvictionUnfounded,
    ),
    (
        "the preemptor does not exist",
        *WAR,
        of("low", lambda d: change(d, preemptor="default/ghost")),
        f.EvictionUnfounded,
    ),
    (
        "a workload is evicted for nobody",
        *WAR,
        of("low", lambda d: change(d, preemptor="")),
        f.EvictionUnfounded,
    ),
    ("a pending workload is evicted", *TEAM, also(evict("late", "job")), f.EvictionUnfounded),
    (
        "an evicted workload is placed",
        *WAR,
        also(place(WAR[0].replace(pods={}), "default/low", "b")),
        f.EvictedAndPlaced,
    ),
    # Gangs
    ("one pod of a gang is missing", *TEAM, of("gang", lambda d: change(d, pods=d.pods[:1])), f.GangTorn),
    ("a gang is admitted without pods", *TEAM, of("gang", lambda d: change(d, pods=())), f.GangTorn),
    ("two pods have one rank", *PLAIN, pod("job", 1, index=0), f.PodPlacedTwice),
    ("a pod's rank is beyond the gang", *TEAM, pod("gang", 1, index=2), f.PodUnknown),
    ("a placed pod does not exist", *PLAIN, pod("job", 1, pod="default/ghost"), f.PodUnknown),
    ("a required rack is split over two", *RACK, moved("job", 1, "b"), f.TopologyBroken),
    ("a node has no rack", *TEAM, node("b", labels={LEVELS["block"]: "b0"}), f.TopologyBroken),
    (
        "racks of one name stand in two blocks",
        *TEAM,
        node("b", labels=TEAM[0].nodes["b"].labels | {LEVELS["block"]: "b7"}),
        f.TopologyBroken,
    ),
    (
        "the admission names other nodes",
        *TEAM,
        of("gang", lambda d: change(d, pod_sets=(change(d.pod_sets[0], nodes=(("a", 2),)),))),
        f.AssignmentUntrue,
    ),
    # Nodes
    (
        "the cores of a node are given twice",
        *CORES,
        node("a", allocatable={"cpu": 3999, "pods": 9}),
        f.NodeOverfull,
    ),
    (
        "extended resources run out",
        *PLAIN,
        template("job", requests=((GPU, 3),)),
        f.NodeOverfull,
    ),
    (
        "a node takes no more pods",
        *PLAIN,
        node("a", allocatable={GPU: 8, "pods": 1}),
        f.NodeOverfull,
    ),
    ("the node does not exist", *PLAIN, moved("job", 0, "ghost"), f.NodeRefusesPod),
    ("the node is not ready", *PLAIN, node("a", ready=False), f.NodeRefusesPod),
    ("the node is cordoned", *PLAIN, node("a", unschedulable=True), f.NodeRefusesPod),
    (
        "the node has a taint",
        *PLAIN,
        node("a", taints=(Taint(key="repair", effect="NoSchedule"),)),
        f.NodeRefusesPod,
    ),
    (
        "the node lacks a selected label",
        *PLAIN,
        template("job", node_selector=((LEVELS["rack"], "r9"),)),
        f.NodeRefusesPod,
    ),
    (
        "the affinity is for another rack",
        *PLAIN,
        template("job", node_affinity=RACK_9),
        f.NodeRefusesPod,
    ),
    (
        "the flavor is for other nodes",
        *TEAM,
        world(lambda s: _flavor(s, node_labels={"gpu": "b200"})),
        f.NodeRefusesPod,
    ),
    # Devices
    ("two claims hold one GPU", *TWO, device("two", device="gpu-0"), f.DeviceGivenTwice),
    ("a running claim holds the GPU", *NEW, device("new", device="gpu-0"), f.DeviceGivenTwice),
    ("a claim holds one GPU twice", *ONE, device("one", device="gpu-3"), f.DeviceGivenTwice),
    ("the device does not exist", *ONE, device("one", device="gpu-9"), f.DeviceMissing),
    ("the device's pool does not exist", *ONE, device("one", pool="z"), f.DeviceMissing),
    ("the device is on another node", *ONE, device("one", pool="b"), f.DeviceMissing),
    (
        "the pool has a newer generation without the device",
        *ONE,
        world(lambda s: s.replace(slices=(*s.slices, _renewed(s, "a")))),
        f.DeviceMissing,
    ),
    (
        "the pool is incomplete",
        *ONE,
        lambda s, p: pool("a", pool=change(s.slices[0].spec.pool, resource_slice_count=2))(s, p),
        f.DeviceMissing,
    ),
    (
        "the GPU is tainted",
        *ONE,
        devices("a", lambda d: change(d, taints=(TAINT,))),
        f.DeviceTainted,
    ),
    (
        "a rule taints the GPU",
        *ONE,
        world(lambda s: _ruled(s, pool="a", device="gpu-1")),
        f.DeviceTainted,
    ),
    (
        "two partitions overlap",
        *SMALL,
        device("small", device="gpu-0-mig-1g10gb-19-2"),
        f.CounterOverdrawn,
    ),
    (
        "a profile exists once per GPU",
        *BIG,
        both(device("big", 0, device=ENGINES.format(0)), device("big", 1, device=ENGINES.format(1)), ANY_PROFILE),
        f.CounterOverdrawn,
    ),
    (
        "more memory is shared than there is",
        *SERVICE,
        both(
            claim("svc", capacity=CapacityRequirements(requests={"memory": Quantity.parse("20Gi")})),
            *(device("svc", i, consumed_capacity={"memory": Quantity.parse("20Gi")}) for i in range(4)),
        ),
        f.CapacityOverdrawn,
    ),
    (
        "two shares have one id",
        *SERVICE,
        both(device("svc", 0, share_id="x"), device("svc", 1, share_id="x")),
        f.DeviceGivenTwice,
    ),
    (
        "another tenant has a share of the card",
        *SERVICE,
        world(_held_by_rival),
        f.TenantsMixed,
    ),
    (
        "two tenants get shares of a card",
        *SERVICES,
        _of_rival("two"),
        f.TenantsMixed,
    ),
    (
        "a pod accepts no share",
        *SERVICE,
        template("svc", isolation=Isolation.HARDWARE),
        f.IsolationTooWeak,
    ),
    (
        "a pod accepts no time slicing",
        *ONE,
        both(template("one", isolation=Isolation.MEMORY_LIMIT), allocation("one", _time_sliced)),
        f.IsolationTooWeak,
    ),
    (
        "the queue demands isolation by hardware",
        *QUEUED,
        world(_strict_queue),
        f.IsolationTooWeak,
    ),
    # Claims
    ("a pod's claim is not served", *ONE, pod("one", 0, claims=()), f.ClaimUnserved),
    (
        "a claim of another pod is served",
        *ONE,
        of("one", _extra_claim),
        f.ClaimUnknown,
    ),
    ("a claim holds other GPUs already", *MADE, world(_allocated_otherwise), f.ClaimGivenTwice),
    (
        "the allocation selects another node",
        *ONE,
        allocation("one", lambda a: change(a, node_selector=RACK_9)),
        f.ClaimOutOfReach,
    ),
    ("a pod of the gang is not where its shared claim is", *SHARED, moved("gang", 1, "b"), f.ClaimOutOfReach),
    ("a pod is bound where the claim it shares is not given", *SHARED, world(_elsewhere), f.ClaimOutOfReach),
    ("it is not where the claim that it shares is", *FOLLOWING, moved("late", 0, "b"), f.ClaimOutOfReach),
    ("a claim is taken from a group that uses it", *FOLLOWING, also(_freed()), f.DeallocationUnfounded),
    ("one GPU too few", *ONE, results("one", lambda r: r[1:]), f.RequestMiscounted),
    ("the claim has fewer devices than asked", *ONE, claim("one", count=5), f.RequestMiscounted),
    (
        "all GPUs are asked, some are given",
        *ONE,
        claim("one", allocation_mode="All"),
        f.RequestMiscounted,
    ),
    (
        "devices are for an unknown request",
        *ONE,
        results("one", lambda r: (*r, change(r[0], request="nic", device="gpu-7"))),
        f.RequestUnknown,
    ),
    ("the device class is missing", *ONE, claim("one", device_class_name="tpu"), f.ClassMissing),
    (
        "a request says nothing of what it asks",
        *ONE,
        both(request("one", lambda r: DeviceRequest(name="gpu")), results("one", lambda r: ())),
        f.ClassMissing,
    ),
    ("the class selects partitions", *ONE, claim("one", device_class_name=MIG), f.SelectorUnmet),
    ("the request selects partitions", *ONE, claim("one", selectors=(SELECTOR,)), f.SelectorUnmet),
    ("the selector does not compile", *ONE, claim("one", selectors=(BROKEN,)), f.SelectorUnmet),
    (
        "another profile is given",
        *SMALL,
        device("small", device="gpu-1-mig-1g20gb-15-0"),
        f.SelectorUnmet,
    ),
    (
        "two alternatives are mixed",
        *ONE,
        both(
            request("one", lambda r: _alternatives(DRIVER, DRIVER)),
            results("one", lambda r: (change(r[0], request="gpu/s0"), change(r[1], request="gpu/s1"))),
        ),
        f.AlternativesMixed,
    ),
    (
        "GPUs of two NUMA nodes break matchAttribute",
        *ONE,
        both(
            asked("one", lambda d: change(d, constraints=(DeviceConstraint(match_attribute=NUMA),))),
            device("one", device="gpu-4"),
        ),
        f.ConstraintBroken,
    ),
    (
        "GPUs of one NUMA node break distinctAttribute",
        *ONE,
        asked("one", lambda d: change(d, constraints=(DeviceConstraint(distinct_attribute=NUMA),))),
        f.ConstraintBroken,
    ),
    (
        "administration is asked and not given",
        *ONE,
        claim("one", admin_access=True),
        f.AdminAccessWrong,
    ),
    (
        "administration is given and not asked",
        *ONE,
        results("one", lambda r: tuple(change(x, admin_access=True) for x in r)),
        f.AdminAccessWrong,
    ),
    (
        "more memory is asked than a GPU has",
        *ONE,
        claim("one", capacity=CapacityRequirements(requests={"memory": Quantity.parse("81Gi")})),
        f.CapacityLacking,
    ),
    (
        "a capacity is asked that the GPU lacks",
        *ONE,
        claim("one", capacity=CapacityRequirements(requests={"bandwidth": Quantity.parse("1")})),
        f.CapacityLacking,
    ),
    (
        "a share is smaller than asked",
        *SERVICE,
        device("svc", consumed_capacity={"memory": Quantity.parse("10Gi")}),
        f.CapacityMiscounted,
    ),
    (
        "a share ignores the policy's step",
        *SERVICE,
        both(
            claim("svc", capacity=CapacityRequirements(requests={"memory": Quantity.parse("1500Ki")})),
            *(device("svc", i, consumed_capacity={"memory": Quantity.parse("1500Ki")}) for i in range(4)),
        ),
        f.CapacityMiscounted,
    ),
    ("a device is yet to be made ready", *ONE, device("one", binding_conditions=("ready",)), f.DeviceNotReady),
    (
        "a running pod loses its devices",
        *NEW,
        also(Deallocate("default/old", ("default/old-main-0-gpu",))),
        f.DeallocationUnfounded,
    ),
    # Quota
    ("a team uses more than its quota", *TEAM, queue("team", resource_groups=_quota(23)), f.QuotaExceeded),
    ("a running workload has used the quota", *TEAMS, world(lambda s: _nominal(s, rest=0)), f.QuotaExceeded),
    ("the cohort has lent all it has", *TEAMS, world(lambda s: _nominal(s, rest=3)), f.QuotaExceeded),
    ("a team borrows beyond its limit", *TEAMS, world(lambda s: _nominal(s, borrow=3)), f.QuotaExceeded),
    ("the other team lends less", *TEAMS, world(lambda s: _nominal(s, lend=3)), f.QuotaExceeded),
    ("the queue is stopped", *TEAM, queue("team", stop_policy="Hold"), f.QueueClosed),
    ("the queue does not exist", *TEAM, world(lambda s: s.replace(cluster_queues={})), f.QueueClosed),
    ("the local queue does not exist", *TEAM, world(lambda s: s.replace(local_queues={})), f.QueueClosed),
    ("the local queue is stopped", *TEAM, world(_local_stopped), f.QueueClosed),
    ("the queue takes no namespace", *TEAM, queue("team", namespace_selector=None), f.QueueClosed),
    ("it is admitted through another queue", *TEAMS, workload("big", queue_name="rest"), f.QueueClosed),
    ("a workload without queue is given one", *TEAMS, workload("big", queue_name=""), f.QueueClosed),
    ("the cohorts are their own ancestors", *TEAMS, world(_cycle), f.QueueClosed),
    (
        "the queue has no such flavor",
        *TEAM,
        queue("team", resource_groups=_quota(24, flavor="b200")),
        f.FlavorWrong,
    ),
    ("the queue does not cover the resource", *TEAM, queue("team", resource_groups=()), f.FlavorWrong),
    ("the flavor does not exist", *TEAM, world(lambda s: s.replace(flavors={})), f.FlavorWrong),
]


@pytest.mark.parametrize(
    ("snapshot", "correct", "spoil", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_finds(snapshot: Snapshot, correct: Plan, spoil: Spoil, expected: type[Finding]) -> None:
    assert audit(snapshot, Policy(), correct) == ()
    found = audit(*_spoilt(spoil, snapshot, correct))
    assert {type(finding) for finding in found} == {expected}
    assert all(str(finding) and "\n" not in str(finding) for finding in found)


@pytest.mark.parametrize(
    ("snapshot", "correct", "spoil", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_found_can_be_left_out(
    snapshot: Snapshot, correct: Plan, spoil: Spoil, expected: type[Finding]
) -> None:
    """Where a finding is about a decision, the rest is sound; where it is about the plan, nothing is left out."""
    world, policy, rest = _spoilt(spoil, snapshot, correct)
    if expected is f.PlanStale and rest.revision:
        assert without(world, rest, audit(world, policy, rest)) is rest
        return
    for _ in range(ROUNDS_MAX):
        rest = without(world, rest, audit(world, policy, rest))
    assert audit(world, policy, rest) == ()


def _spoilt(spoil: Spoil, snapshot: Snapshot, correct: Plan) -> tuple[Snapshot, Policy, Plan]:
    world, wrong = spoil(snapshot, correct)
    return world, Policy(), wrong


def test_every_finding_has_a_case() -> None:
    assert {case[4] for case in CASES} == set(Finding.__subclasses__())
