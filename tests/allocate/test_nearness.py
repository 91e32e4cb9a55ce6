"""Devices of one pod end up as close as they can be, and say so where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import msgspec
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core.allocate import Catalog, Fit
from bayplan.core.allocate.nearness import NUMA, ROOT, Part, Separation
from bayplan.model.codec import from_builtins
from bayplan.model.device import AllocationResult, Device, DeviceClass, DeviceRequest, ResourceClaimSpec, ResourceSlice
from tests.allocate.worlds import NODE, classes, device, either, request, slice_of, spec
from tests.shared import shared

CLASSES = classes(
    gpu='device.driver == "gpu.test"', nic='device.driver == "nic.test"', cpu='device.driver == "cpu.test"'
)
PCIE = "resource.kubernetes.io/pcieRoot"
NUMA_NODE = "resource.kubernetes.io/numaNode"


class Board:
    """A node of `gpu.test`, `nic.test` and `cpu.test` devices: `a0 a1 b2` is a device on each of these roots, the
    first letter being the NUMA node."""

    def __init__(self, gpus: str, nics: str, cpus: Iterable[Device] = (), *, extra: Sequence[Device] = ()) -> None:
        self.slices = [
            slice_of(*_devices(gpus, "gpu"), *extra, driver="gpu.test"),
            slice_of(*_devices(nics, "nic"), driver="nic.test"),
            slice_of(*cpus, driver="cpu.test"),
        ]
        self.catalog = Catalog(self.slices, CLASSES, {"node": NODE})
        self.at = {f"{k}-{w}": w for k, text in (("gpu", gpus), ("nic", nics)) for w in text.split()}
        self.held: list[AllocationResult] = []

    def ask(self, *claims: ResourceClaimSpec) -> int:
        return self.catalog.ask(claims)

    def fit(self, *claims: ResourceClaimSpec) -> Fit | None:
        ask = self.ask(*claims)
        wide = self.catalog.start("", ())
        state = self.catalog.state("node", self.catalog.start("node", self.held), wide)
        return next(iter(self.catalog.fits(self.catalog.kind("node"), state, ask)), None)

    def take(self, *claims: ResourceClaimSpec) -> tuple[list[str], Separation | None]:
        """The names of the devices a pod with these claims gets, and how far apart they are."""
        fit = self.fit(*claims)
        assert fit is not None
        taken, wide = self.catalog.start("node", self.held), self.catalog.start("", ())
        _, _, results = self.catalog.take("node", taken, wide, fit)
        self.held += results
        return [r.device for found in results for r in found.devices.results], fit.apart

    def hold(self, *names: str) -> None:
        for name in names:
            kind = name.partition("-")[0]
            result = {"request": "r", "driver": f"{kind}.test", "pool": "pool", "device": name}
            self.held.append(from_builtins({"devices": {"results": [result]}}, AllocationResult))


def _devices(text: str, kind: str) -> list[Device]:
    return [device(f"{kind}-{w}", f"{PCIE}={w.rstrip('xyz')} {NUMA_NODE}={ord(w[0]) - 97}") for w in text.split()]


def gpu(count: int = 1) -> DeviceRequest:
    return request("gpu", of="gpu", count=count)


def nic(count: int = 1) -> DeviceRequest:
    return request("nic", of="nic", count=count)


def test_a_gpu_and_a_nic_share_a_pcie_root() -> None:
    board = Board("a0 a1 b2 b3", "b3 a1")
    assert sorted(board.take(spec(gpu(), nic()))[0]) in (["gpu-a1", "nic-a1"], ["gpu-b3", "nic-b3"])
    assert sorted(board.take(spec(gpu(), nic()))[0]) in (["gpu-a1", "nic-a1"], ["gpu-b3", "nic-b3"])


def test_over_the_claims_of_a_pod_too() -> None:
    board = Board("a0 a1 b2 b3", "b3")
    assert board.take(spec(gpu()), spec(nic())) == (["gpu-b3", "nic-b3"], None)


def test_pairs_share_roots_within_a_numa_node() -> None:
    board = Board("a0 a1 b2 b3", "a0 b2 b3 a1")
    board.hold("gpu-a0")
    names, apart = board.take(spec(gpu(2), nic(2)))
    assert sorted(names) == ["gpu-b2", "gpu-b3", "nic-b2", "nic-b3"]
    assert apart is None


def test_same_numa_node_where_no_root_has_both() -> None:
    board = Board("a0 b2", "b3")
    names, apart = board.take(spec(gpu(), nic()))
    assert names == ["gpu-b2", "nic-b3"]
    assert apart == Separation(ROOT, "b2", (Part(0, "gpu", ("b2",), 1, 1, 1), Part(0, "nic", ("b3",), 1, 0, 0)))


def test_what_is_taken_is_named() -> None:
    board = Board("a0 b1", "a0")
    board.hold("gpu-a0")
    names, apart = board.take(spec(gpu(), nic()))
    assert names == ["gpu-b1", "nic-a0"]
    assert apart == Separation(ROOT, "a0", (Part(0, "gpu", ("b1",), 1, 1, 0), Part(0, "nic", ("a0",), 1, 1, 1)))


def test_gpus_apart_on_numa_nodes_say_so() -> None:
    board = Board("a0 a1 b2 b3", "")
    board.hold("gpu-a0", "gpu-b2")
    names, apart = board.take(spec(gpu(2)))
    assert sorted(names) == ["gpu-a1", "gpu-b3"]
    assert apart == Separation(NUMA, "0", (Part(0, "gpu", ("0", "1"), 2, 2, 1),))


def test_nothing_is_said_of_devices_too_many_for_one_place() -> None:
    assert Board("a0 a1 b2 b3", "a0").take(spec(gpu(3)))[1] is None
    assert Board("a0 a1", "a0 a1").take(spec(gpu(2), nic(2)))[1] is None


def test_cores_next_to_several_roots() -> None:
    cores = [
        device("cpu-a", f"{PCIE}=a0+a1 dra.cpu/numaNodeID=0", memory="8", shared=True),
        device("cpu-b", f"{PCIE}=b2+b3 dra.cpu/numaNodeID=1", memory="8", shared=True),
    ]
    board = Board("a0 a1 b2 b3", "b3", cores)
    core = request("cpu", of="cpu", memory="2")
    assert board.take(spec(core), spec(gpu(), nic()))[0] == ["cpu-b", "gpu-b3", "nic-b3"]
    names, apart = board.take(spec(gpu(), core))
    assert (names[0][-2], apart) == (names[1][-1], None)


def test_the_first_alternative_before_closeness() -> None:
    board = Board("a0 b1", "a0", extra=[device("old", f"sort=old {PCIE}=a0")])
    new = 'device.attributes["gpu.test"].?sort.orValue("new") == "new"'
    board.hold("gpu-a0")
    wanted = either("gpu", request("new", new, of="gpu"), request("any", of="gpu"))
    assert board.take(spec(wanted, nic()))[0] == ["gpu-b1", "nic-a0"]


WORDS = [f"{n}{r}{x}" for n, rs in (("a", "01"), ("b", "23")) for r in rs for x in "xyz"]


@settings(deadline=None, max_examples=200)
@given(
    gpus=st.sets(st.sampled_from(WORDS), min_size=1),
    nics=st.sets(st.sampled_from(WORDS), min_size=1),
    many=st.sampled_from([(1, 1), (1, 2), (2, 2), (3, 2), (2, 1)]),
)
def test_no_choice_is_closer(gpus: set[str], nics: set[str], many: tuple[int, int]) -> None:
    board = Board(" ".join(sorted(gpus)), " ".join(sorted(nics)))
    fit = board.fit(spec(gpu(many[0]), nic(many[1])))
    if len(gpus) < many[0] or len(nics) < many[1]:
        assert fit is None
        return
    names, _ = board.take(spec(gpu(many[0]), nic(many[1])))
    ways = [(*g, *n) for g in combinations(sorted(gpus), many[0]) for n in combinations(sorted(nics), many[1])]
    assert _apart(board.at[n] for n in names) == min(map(_apart, ways))


def _apart(words: Iterable[str]) -> tuple[int, int]:
    places = {w[:2] for w in words}
    return len(places), len({p[0] for p in places})


def _fixture(file: str) -> list[dict[str, object]]:
    return [d for d in yaml.safe_load_all(shared(f"fixtures/{file}").read_text()) if d]


def test_an_hgx_board_with_its_nics_and_cores() -> None:
    """Slices as the drivers publish them, put on one node: eight pods get a GPU, its NIC and cores beside them."""
    slices = []
    for file in ("nvidia-h100-hgx8.yaml", "dranet-gce.yaml", "dra-cpu-grouped.yaml"):
        for found in (from_builtins(d, ResourceSlice) for d in _fixture(file) if d["kind"] == "ResourceSlice"):
            here = msgspec.structs.replace(found.spec, node_name="node")
            slices.append(msgspec.structs.replace(found, spec=here))
    known = [from_builtins(d, DeviceClass) for d in _fixture("deviceclasses.yaml")]
    catalog = Catalog(slices, {c.metadata.name: c for c in known}, {"node": NODE})
    roots = {
        (s.spec.driver, d.name): d.attributes[PCIE].strings or (d.attributes[PCIE].string,)
        for s in slices
        for d in s.spec.devices
        if PCIE in d.attributes
    }
    cores = request("cpu", of="dra.cpu")
    assert cores.exactly is not None
    cores = msgspec.structs.replace(cores, exactly=msgspec.structs.replace(cores.exactly, capacity=_cores("16")))
    claims = (spec(request("gpu", of="gpu.nvidia.com"), request("nic", of="dra.net")), spec(cores))
    ask = catalog.ask(claims)
    taken, wide = catalog.start("node", ()), catalog.start("", ())
    pods = 0
    while fits := catalog.fits(catalog.kind("node"), catalog.state("node", taken, wide), ask):
        taken, wide, results = catalog.take("node", taken, wide, fits[0])
        at = [set(roots[r.driver, r.device]) for found in results for r in found.devices.results]
        assert set.intersection(*at), at
        assert fits[0].apart is None
        pods += 1
    assert pods == 7  # gpu-6 has a health taint


def _cores(amount: str) -> object:
    from bayplan.model.device import CapacityRequirements
    from bayplan.model.quantity import Quantity

    return CapacityRequirements({"dra.cpu/cpu": Quantity.parse(amount)})
