"""GPU, NIC and cores of one pod: the node that has them together is chosen, and who gets them apart is told."""

from __future__ import annotations

from bayplan.app.observed import Observed
from bayplan.app.views.why import why_view
from bayplan.audit import audit
from bayplan.core import decide, says_apart
from bayplan.model.device import Device, ResourceClaimSpec
from bayplan.model.node import Node
from bayplan.model.plan import Place
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, Workload
from tests.allocate.worlds import classes, device, request, slice_of, spec

CLASSES = classes(gpu='device.driver == "gpu.test"', nic='device.driver == "nic.test"')
PAIR = spec(request("gpu", of="gpu"), request("nic", of="nic"))


def world(*nodes: tuple[str, str], **asked: ResourceClaimSpec) -> Snapshot:
    """Nodes `a`, `b`, … with GPUs and NICs on these PCIe roots; a pod for every claim asked for."""
    snapshot = Snapshot(device_classes=CLASSES)
    for name, (gpus, nics) in zip("abcdef", nodes, strict=False):
        node = Node(name=name, allocatable={"pods": 110})
        slices = [
            slice_of(*_devices(kind, roots), node=name, pool=name, driver=f"{kind}.test")
            for kind, roots in (("gpu", gpus), ("nic", nics))
        ]
        snapshot = snapshot.with_nodes([node], slices) if name not in snapshot.nodes else snapshot
    for at, (name, claim) in enumerate(asked.items()):
        template = PodTemplate(requests=(("pods", 1),), claims=(PodClaim(name="fast", template=claim),))
        pods = (PodSet(name="main", count=1, template=template),)
        snapshot = snapshot.with_workload(Workload(namespace="default", name=name, pod_sets=pods, created_s=at))
    return snapshot


def _devices(kind: str, roots: str) -> list[Device]:
    return [device(f"{kind}-{root}", f"resource.kubernetes.io/pcieRoot={root}") for root in roots.split()]


def places(snapshot: Snapshot) -> dict[str, Place]:
    plan = decide(snapshot, Policy(), now_s=10)
    assert audit(snapshot, Policy(), plan) == ()
    return {d.workload.partition("/")[2]: d for d in plan.placed()}


def test_the_node_that_has_both_on_one_root_before_a_fuller_one() -> None:
    one = spec(request("gpu", of="gpu"))
    (first,) = places(world(("r1", "r1 r2"), first=one)).values()
    snapshot = world(("r1 r0", "r1 r2"), ("r1 r0", "r1 r2"), first=one, pair=PAIR).placing(first)
    pod = places(snapshot)["pair"].pods[0]
    assert (first.pods[0].node, pod.node, pod.apart) == ("a", "b", None)


def test_apart_is_said_with_numbers() -> None:
    snapshot = world(("r0 r1", "r1 r2"), pair=PAIR, second=PAIR)
    second = places(snapshot)["second"].pods[0]
    assert second.apart is not None
    assert says_apart(second.apart) == (
        "its devices share no PCIe root (gpu on r0 and nic on r2): PCIe root r1 comes closest, with "
        "0 of 1 gpu free (1 wanted), 0 of 1 nic free (1 wanted)"
    )


def test_plan_and_why_show_it() -> None:
    snapshot = world(("r0", "r1"), pair=PAIR)
    (found,) = why_view(Observed(snapshot, now_s=10), Policy(), "pair")  # type: ignore[misc]
    assert found.state == "starting"
    assert found.apart == (
        "its devices share no PCIe root (gpu on r0 and nic on r1): PCIe root r0 comes closest, with no nic (1 wanted)",
    )
