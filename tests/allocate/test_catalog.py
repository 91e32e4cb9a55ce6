"""Equal situations are one, whatever the devices are called; each choice strands as little as it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from bayplan.core.allocate import Catalog, Fit, Taken
from bayplan.model.device import AllocationResult, Device, DeviceClass, ResourceClaimSpec, ResourceSlice
from bayplan.model.node import Node
from tests.allocate.worlds import classes, device, either, holding, is_, match, names, request, slice_of, spec

ONE = (spec(request()),)
SHARE = (spec(request(memory="12Gi")),)


def catalog(
    *slices: ResourceSlice, nodes: str = "node", known: Mapping[str, DeviceClass] | None = None, **options: str
) -> Catalog:
    return Catalog(slices, known or classes(), {n: Node(name=n) for n in nodes.split()}, **options)  # type: ignore[arg-type]


def gpus(node: str, count: int, more: str = "", **fields: object) -> ResourceSlice:
    """A pool per node, with ids that no two devices share."""
    own = [device(f"gpu-{i}", f"uuid={node}-{i} {more}", **fields) for i in range(count)]  # type: ignore[arg-type]
    return slice_of(*own, node=node, pool=node)


def mig(name: str, *, slots: int = 4, node: str = "node") -> list[Device]:
    """A GPU of 4 memory slots, as a whole, in halves and in quarters, by counters."""
    made = []
    for sort, size in (("whole", slots), ("half", slots // 2), ("quarter", slots // 4)):
        for start in range(0, slots, size):
            uses = {"memory": size} | {f"slot-{i}": 1 for i in range(start, start + size)}
            made.append(device(f"{name}-{sort}-{start}", f"size={sort}", uses=uses, of=name))
    return made


def mig_counters(slots: int = 4) -> dict[str, int | str]:
    return {"memory": slots} | {f"slot-{i}": 1 for i in range(slots)}


def mig_node(count: int = 2, node: str = "node") -> ResourceSlice:
    own = [d for i in range(count) for d in mig(f"g{i}")]
    return slice_of(*own, node=node, pool=node, counters={f"g{i}": mig_counters() for i in range(count)})


def part(sort: str) -> tuple[ResourceClaimSpec, ...]:
    return (spec(request("r", is_("size", sort))),)


class Desk:
    """One node being filled."""

    def __init__(self, known: Catalog, node: str = "node", held: Sequence[AllocationResult] = ()) -> None:
        self.known, self.node = known, node
        self.taken: Taken = known.start(node, held)
        self.shared: Taken = known.start("", held)

    @property
    def state(self) -> int:
        return self.known.state(self.node, self.taken, self.shared)

    @property
    def free(self) -> tuple[int, ...]:
        return self.known.free_milli(self.known.kind(self.node), self.state)

    def put(self, claims: tuple[ResourceClaimSpec, ...]) -> str:
        """Takes the best fit; what was given, "" if nothing fits."""
        fits = self.fits(claims)
        if not fits:
            return ""
        self.taken, self.shared, given = self.known.take(self.node, self.taken, self.shared, fits[0])
        assert self.state == fits[0].after
        return names(given)

    def fits(self, claims: tuple[ResourceClaimSpec, ...]) -> tuple[Fit, ...]:
        ask = self.known.ask(claims)
        return self.known.fits(self.known.kind(self.node), self.state, ask)

    def fill(self, claims: tuple[ResourceClaimSpec, ...]) -> int:
        count = 0
        while self.put(claims):
            count += 1
        return count


# --- kinds and states ------------------------------------------------------------------------------------------------


def test_nodes_alike_but_for_names_and_unread_ids_share_a_kind() -> None:
    known = catalog(gpus("a", 8), gpus("b", 8), gpus("c", 4), nodes="a b c d")
    known.ask(ONE)
    assert known.kind("a") == known.kind("b") != known.kind("c")
    assert known.kind("d") == 0


def test_which_of_equal_gpus_is_taken_makes_no_difference() -> None:
    known = catalog(gpus("node", 3))
    one = Desk(known, held=[holding("gpu-0", pool="node")])
    other = Desk(known, held=[holding("gpu-2", pool="node")])
    assert one.taken != other.taken
    assert one.state == other.state
    assert one.put(ONE) == "gpu-1"
    assert other.put(ONE) == "gpu-0"


def test_a_few_states_for_many_nodes() -> None:
    nodes = [f"n{i}" for i in range(20)]
    known = catalog(*(gpus(n, 8) for n in nodes), nodes=" ".join(nodes))
    states = set()
    for node in nodes:
        desk = Desk(known, node)
        states.add(desk.state)
        while desk.put(ONE):
            states.add(desk.state)
    assert len(states) == 9


def test_a_question_about_ids_tells_nodes_apart_from_then_on() -> None:
    known = catalog(gpus("a", 2), gpus("b", 2), nodes="a b")
    known.ask(ONE)
    before, taken = known.epoch, known.start("a", [holding("gpu-0", pool="a")])
    assert known.kind("a") == known.kind("b")
    ask = known.ask((spec(request("r", is_("uuid", "b-1"))),))
    assert known.epoch > before
    assert known.kind("a") != known.kind("b")
    nothing = known.start("", ())
    assert known.fits(known.kind("a"), known.state("a", taken, nothing), ask) == ()
    assert Desk(known, "b").put((spec(request("r", is_("uuid", "b-1"))),)) == "gpu-1"
    assert Desk(known, "a", [holding("gpu-0", pool="a")]).put(ONE) == "gpu-1"


def test_a_later_question_reads_what_earlier_ones_passed_over() -> None:
    known = catalog(slice_of(device("d", "root=a"), "e", pool="node"))
    assert Desk(known).put(ONE)
    assert Desk(known).put((spec(request(), match("root")),)) == "d"
    assert Desk(known).put((spec(request(admin=True), match("root")),)) == "d"


def test_asking_again_is_the_same_question() -> None:
    known = catalog(gpus("node", 1))
    assert known.ask(ONE) == known.ask((spec(request()),)) != known.ask(SHARE)
    assert known.ask(()) == 0


def test_no_claims_always_fit() -> None:
    known = catalog(gpus("node", 1))
    (fit,) = known.fits(known.kind("node"), Desk(known).state, 0)
    assert fit.choices == ()


def test_a_claim_of_nothing_fits_on_a_node_without_devices() -> None:
    known = catalog(gpus("node", 1), nodes="node bare")
    assert len(Desk(known, "bare").fits((spec(),))) == 1
    assert known.kind("bare") == 0
    assert Desk(known, "bare").fits(ONE) == ()


def test_given_back_is_as_before() -> None:
    known = catalog(mig_node())
    desk = Desk(known)
    before = desk.taken
    ask = known.ask(part("quarter"))
    fit = known.fits(known.kind("node"), desk.state, ask)[0]
    taken, _, given = known.take("node", before, desk.shared, fit)
    assert taken != before
    assert known.give_back("node", taken, given) == before
    assert known.give_back("node", before, given) == before


def test_devices_that_several_nodes_reach_are_taken_once() -> None:
    anywhere = slice_of("nic-0", "nic-1", node="", pool="net", all_nodes=True)
    known = catalog(anywhere, nodes="a b")
    assert known.kind("a") == known.kind("b") != 0
    one = Desk(known, "a")
    assert one.put(ONE) == "nic-0"
    other = Desk(known, "b")
    other.shared = one.shared
    assert other.put(ONE) == "nic-1"
    assert other.put(ONE) == ""


def test_local_and_wide_devices_together() -> None:
    known = catalog(gpus("a", 1), slice_of("nic", node="", pool="net", all_nodes=True), nodes="a b")
    both = (spec(request("r", 'device.attributes["gpu.test"].?uuid.hasValue()'), request("n", count=1)),)
    assert Desk(known, "a").put(both) == "gpu-0 n:nic"
    assert Desk(known, "b").put(both) == ""


def test_live_shares_never_have_the_same_id() -> None:
    known = catalog(gpus("node", 1, memory="80Gi", shared=True))
    ask, kind = known.ask(SHARE), known.kind("node")
    taken, shared = known.start("node", ()), known.start("", ())
    given: list[AllocationResult] = []
    for _ in range(6):
        fit = known.fits(kind, known.state("node", taken, shared), ask)[0]
        taken, shared, results = known.take("node", taken, shared, fit)
        given += results
    taken = known.give_back("node", taken, [given[2]])
    fit = known.fits(kind, known.state("node", taken, shared), ask)[0]
    _, _, results = known.take("node", taken, shared, fit)
    live = [*given[:2], *given[3:], *results]
    assert len({r.share_id for a in live for r in a.devices.results}) == 6


def test_watching_shares_have_ids_of_their_own_too() -> None:
    known = catalog(gpus("node", 1, memory="80Gi", shared=True))
    desk = Desk(known)
    watchers = (spec(request("a", admin=True)), spec(request("b", admin=True)))
    _, _, given = known.take("node", desk.taken, desk.shared, desk.fits(watchers)[0])
    assert len({r.share_id for a in given for r in a.devices.results}) == 2


# --- packing ---------------------------------------------------------------------------------------------------------


def test_six_shares_of_12Gi_fill_one_80Gi_gpu_before_the_next_is_opened() -> None:
    desk = Desk(catalog(gpus("node", 2, memory="80Gi", shared=True)))
    assert [desk.put(SHARE) for _ in range(7)] == ["gpu-0"] * 6 + ["gpu-1"]
    assert desk.free == (850, 100)


def test_a_share_goes_where_it_fits_tightest() -> None:
    known = catalog(gpus("node", 3, memory="80Gi", shared=True))
    held = [holding("gpu-0", pool="node", memory="20Gi"), holding("gpu-1", pool="node", memory="60Gi")]
    assert Desk(known, held=held).put(SHARE) == "gpu-1"


def test_parts_go_to_the_gpu_that_is_cut_already() -> None:
    desk = Desk(catalog(mig_node()))
    first = desk.put(part("quarter")).split("-")[0]
    assert [desk.put(part("quarter")).split("-")[0] for _ in range(3)] == [first] * 3
    assert desk.put(part("whole"))


def test_a_part_leaves_the_larger_parts_possible() -> None:
    desk = Desk(catalog(mig_node(count=1)))
    assert [bool(desk.put(part(p))) for p in ("quarter", "quarter", "half")] == [True, True, True]


@pytest.mark.parametrize(("sort", "count"), [("quarter", 8), ("half", 4), ("whole", 2)])
def test_as_many_parts_as_there_are(sort: str, count: int) -> None:
    known = catalog(mig_node())
    desk = Desk(known)
    ask = known.ask(part(sort))
    assert known.count(known.kind("node"), desk.state, ask) == count
    assert desk.fill(part(sort)) == count
    assert known.count(known.kind("node"), desk.state, ask) == 0


def test_several_gpus_stay_on_one_numa_node_where_they_can() -> None:
    own = [device(f"gpu-{i}", f"resource.kubernetes.io/numaNode={i % 2}") for i in range(8)]
    desk = Desk(catalog(slice_of(*own, pool="node")))
    four = (spec(request(count=4)),)
    assert desk.put(four) in ("gpu-0 gpu-2 gpu-4 gpu-6", "gpu-1 gpu-3 gpu-5 gpu-7")
    two = (spec(request("a"), request("b")),)
    left = desk.put(two)
    assert len({int(word[-1]) % 2 for word in left.split()}) == 1
    assert desk.put((spec(request(count=2)),)) != ""
    assert desk.put(ONE) == ""


def test_the_fuller_numa_node_is_used_up_first() -> None:
    own = [device(f"gpu-{i}", f"dra.net/numaNode={i // 4}") for i in range(8)]
    desk = Desk(catalog(slice_of(*own, pool="node")), held=[holding("gpu-4", "gpu-5", pool="node")])
    assert desk.put((spec(request(count=2)),)) == "gpu-6 gpu-7"


def test_the_first_alternative_that_can_be_had() -> None:
    known = catalog(mig_node(count=1))
    asked = (spec(either("r", request("q", is_("size", "quarter")), request("w", is_("size", "whole")))),)
    ask, desk = known.ask(asked), Desk(known)
    assert {f.preference for f in known.fits(known.kind("node"), desk.state, ask)} == {0}
    swapped = (spec(either("r", request("none", is_("size", "none")), request("w", is_("size", "whole")))),)
    assert desk.put(swapped) == "r/w:g0-whole-0"


def test_gpu_and_nic_under_one_root() -> None:
    own = [device(f"gpu-{i}", f"kind=gpu root=r{i}") for i in range(4)]
    own += [device(f"nic-{i}", f"kind=nic root=r{i}") for i in (1, 3)]
    desk = Desk(catalog(slice_of(*own, pool="node")))
    pair = (spec(request("g", is_("kind", "gpu")), request("n", is_("kind", "nic")), match("root")),)
    assert sorted([desk.put(pair), desk.put(pair)]) == ["g:gpu-1 n:nic-1", "g:gpu-3 n:nic-3"]
    assert desk.put(pair) == ""
    assert desk.put((spec(request("g", is_("kind", "gpu"), count=2)),)) == "g:gpu-0 g:gpu-2"


def test_stranding_says_what_a_choice_costs() -> None:
    own = [
        device("left", "size=side", uses={"memory": 3, "left": 1}),
        device("middle", "size=mid", uses={"memory": 2, "left": 1, "right": 1}),
        device("right", "size=side", uses={"memory": 3, "right": 1}),
    ]
    known = catalog(slice_of(*own, pool="node", counters={"gpu": {"memory": 6, "left": 1, "right": 1}}))
    (fit,) = Desk(known).fits(part("mid"))
    assert fit.stranding == 666
    assert {f.stranding for f in Desk(known).fits(part("side"))} == {0}


# --- figures and problems --------------------------------------------------------------------------------------------


def test_free_and_usable_thousandths() -> None:
    known = catalog(gpus("node", 2, memory="80Gi", shared=True), slice_of("nic", driver="net.test", pool="nics"))
    desk = Desk(known, held=[holding("gpu-0", pool="node", memory="72Gi")])
    kind, ask = known.kind("node"), known.ask((spec(request(memory="20Gi")),))
    assert desk.free == (1000, 100)
    assert known.usable_milli(kind, desk.state, ask) == 1000
    (worth,) = known.worths(kind, desk.state, [ask])
    assert (worth.usable_milli, worth.pods) == (1000, 4)


@pytest.mark.parametrize(
    ("asked", "held", "expected"),
    [
        (request(count=3), ["gpu-0"], ("r", 3, 2, 1, False)),
        (request(count=2), ["gpu-0"], ("r", 2, 2, 1, True)),
        (request("x", everything=True), ["gpu-1"], ("x", 2, 2, 1, True)),
        (either("r", request("a", count=3), request("b", count=2)), ["gpu-0"], ("r", 2, 2, 1, True)),
    ],
    ids=["more than there are", "more than are free", "all, one is taken", "the better alternative speaks"],
)
def test_misfit(asked: object, held: list[str], expected: tuple[object, ...]) -> None:
    known = catalog(gpus("node", 2))
    desk = Desk(known, held=[holding(*held, pool="node")])
    ask = known.ask((spec(asked),))  # type: ignore[arg-type]
    assert known.fits(known.kind("node"), desk.state, ask) == ()
    assert known.misfit(known.kind("node"), desk.state, ask)[:5] == expected


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        (request(of="none"), "could not retrieve device class none"),
        (request("r", "nonsense("), "CEL compile error"),
        (request("r", is_("size", "huge")), "no such key: size"),
        (request("r", 'device.driver == "x"'), "no device matches class any"),
        (request(count=33), "asks for 33 devices; a claim holds at most 32"),
        (request(memory="1Gi"), "no device that matches is large enough"),
    ],
    ids=["no class", "nonsense", "an attribute nobody has", "nothing matches", "too many", "too large"],
)
def test_what_can_never_be_served_is_a_problem(asked: object, detail: str) -> None:
    known = catalog(gpus("node", 1))
    ask = known.ask((spec(asked),))  # type: ignore[arg-type]
    problem = known.problem(ask)
    assert problem is not None
    assert detail in problem.detail
    assert problem.request == "r"
    assert known.fits(known.kind("node"), Desk(known).state, ask) == ()


def test_what_is_only_taken_is_no_problem() -> None:
    known = catalog(gpus("node", 1, taints="bad:NoSchedule"))
    assert known.problem(known.ask(ONE)) is None
    assert Desk(known).put(ONE) == ""


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"policy\.allocate: expected one of packed, upstream, got 'best'"):
        catalog(order="best")


def test_upstream_order_takes_the_first_device_that_does() -> None:
    known = catalog(gpus("node", 3, memory="80Gi", shared=True), order="upstream")
    held = [holding("gpu-0", pool="node", memory="20Gi"), holding("gpu-1", pool="node", memory="60Gi")]
    assert Desk(known, held=held).put(SHARE) == "gpu-0"
