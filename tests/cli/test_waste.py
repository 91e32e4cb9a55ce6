"""Where the silicon goes: what is needed, given beyond need, out of reach or idle, and that it all adds up."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bayplan.app.cards import cards
from bayplan.app.views.map import map_view, racks_of
from bayplan.app.views.waste import BY, Sums, WasteView, waste_view
from bayplan.core import decide
from bayplan.model import codec
from bayplan.model.base import Metadata
from bayplan.model.device import CapacityRequirements, ResourceClaim, ResourceClaimSpec, ResourceSlice
from bayplan.model.node import Node
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from bayplan.wire.names import GPU_MEMORY
from tests.cli.scene import Scene
from tests.make import DRIVER, claim, cluster, selector, workload
from tests.shared import shared

POLICY = Policy()
AT_LEAST = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('12Gi')) >= 0"
PROFILE = f"device.attributes['{DRIVER}'].profile == '1g.20gb'"


def wasted(snapshot: Snapshot, by: str = "team") -> WasteView:
    plan = decide(snapshot, POLICY, now_s=99)
    return waste_view(snapshot, plan, racks_of(snapshot, POLICY), by=by)


def started(snapshot: Snapshot) -> Snapshot:
    """The world once what can start has started."""
    for place in decide(snapshot, POLICY, now_s=99).placed():
        snapshot = snapshot.placing(place, now_s=99)
    return snapshot


def asking(snapshot: Snapshot, spec: ResourceClaimSpec, name: str = "chat") -> Snapshot:
    """With a workload of one pod whose claim is this."""
    made = workload(f"{name}:1")
    [pods] = made.pod_sets
    [wanted] = pods.template.claims
    template = msgspec.structs.replace(pods.template, claims=(msgspec.structs.replace(wanted, template=spec),))
    return snapshot.with_workload(
        msgspec.structs.replace(made, pod_sets=(msgspec.structs.replace(pods, template=template),))
    )


def exactly(spec: ResourceClaimSpec, **changes: object) -> ResourceClaimSpec:
    """A claim with its only request changed."""
    [request] = spec.devices.requests
    assert request.exactly is not None
    changed = msgspec.structs.replace(request, exactly=msgspec.structs.replace(request.exactly, **changes))
    return ResourceClaimSpec(devices=msgspec.structs.replace(spec.devices, requests=(changed,)))


TWELVE = CapacityRequirements(requests={"memory": Quantity.parse("12Gi")})


@pytest.mark.parametrize(
    ("gpu", "spec", "lost"),
    [
        pytest.param("a100share", claim("12Gi"), {}, id="a share as large as asked wastes nothing"),
        pytest.param("a100", claim("1"), {}, id="a whole GPU that was asked for wastes nothing"),
        pytest.param(
            "a100", exactly(claim("1"), capacity=TWELVE), {"oversized_milli": 850}, id="12Gi asked, a whole card got"
        ),
        pytest.param(
            "a100mig",
            exactly(claim("1g.20gb"), capacity=TWELVE),
            {"quantised_milli": 95},
            id="12Gi asked, a slice of 19.5Gi got",
        ),
        pytest.param(
            "a100mig",
            exactly(claim("1g.20gb"), selectors=(selector(f"{PROFILE} && {AT_LEAST}"),)),
            {"quantised_milli": 95},
            id="a lower bound in CEL says what is asked",
        ),
        pytest.param(
            "a100mig",
            exactly(claim("1g.20gb"), selectors=(selector(f"{PROFILE} && ({AT_LEAST} || true)"),)),
            {},
            id="a bound that is one of two alternatives says nothing",
        ),
    ],
)
def test_what_is_given_beyond_need_is_named(gpu: str, spec: ResourceClaimSpec, lost: dict[str, int]) -> None:
    view = wasted(started(asking(cluster("a=1", gpu=gpu), spec)), "workload")
    [row] = [r for r in view.rows if r.name]
    assert row.name == "chat"
    beyond = {"quantised_milli": row.sums.quantised_milli, "oversized_milli": row.sums.oversized_milli}
    assert {name: milli for name, milli in beyond.items() if milli} == lost
    assert view.totals.all_milli == 1000


def test_an_annotation_on_the_claim_says_what_is_needed_of_a_whole_gpu() -> None:
    snapshot = started(cluster("a=1", "chat:1", gpu="a100"))
    [key] = snapshot.claims
    noted = annotated(snapshot.claims[key], "20Gi")
    assert wasted(snapshot.replace(claims={key: noted})).totals == Sums(needed_milli=250, oversized_milli=750)


@pytest.mark.parametrize("said", ["much", "", "-1Gi", "0"])
def test_an_annotation_that_is_no_amount_is_passed_over(said: str) -> None:
    snapshot = started(cluster("a=1", "chat:1", gpu="a100"))
    [key] = snapshot.claims
    noted = annotated(snapshot.claims[key], said)
    assert wasted(snapshot.replace(claims={key: noted})).totals == Sums(needed_milli=1000)


def annotated(held: ResourceClaim, memory: str) -> ResourceClaim:
    metadata = Metadata(name=held.metadata.name, namespace=held.metadata.namespace, annotations={GPU_MEMORY: memory})
    return msgspec.structs.replace(held, metadata=metadata)


@pytest.mark.parametrize(
    ("world", "stranded", "idle"),
    [
        pytest.param(cluster("a=1:a100share", running="x:60Gi@a"), 250, 0, id="no request known fits the rest"),
        pytest.param(cluster("a=1:a100share", "y:12Gi!-1", running="x:60Gi@a"), 0, 250, id="one that waits fits"),
        pytest.param(cluster("a=1:a100share"), 0, 1000, id="an untouched card is idle, whoever asks"),
        pytest.param(
            cluster("a=1:a100mig", running="x:3g.40gb@a y:3g.40gb@a"), 6, 0, id="memory that no partition has"
        ),
        pytest.param(cluster("a=1:a100mig", running="x:3g.40gb@a"), 7, 496, id="the other half is idle"),
    ],
)
def test_what_is_free_is_idle_only_where_something_can_use_it(world: Snapshot, stranded: int, idle: int) -> None:
    totals = wasted(world).totals
    assert (totals.stranded_milli, totals.idle_milli) == (stranded, idle)


def test_stranded_gpus_have_a_cause_and_a_place() -> None:
    world = cluster("a=4 b=4")
    cordoned = msgspec.structs.replace(world.nodes["b"], unschedulable=True)
    [cause] = wasted(world.replace(nodes=world.nodes | {"b": cordoned})).stranded
    assert (cause.why, cause.milli, cause.example) == ("cordoned", 4000, "b")


def test_idle_gpus_beside_waiting_work_are_explained() -> None:
    [cause] = wasted(cluster("a=8", "gang:2x8")).waiting
    assert (cause.workloads, cause.example) == (1, "gang")
    assert "1 of 2" in cause.why


def test_nothing_waits_where_nothing_is_idle() -> None:
    assert wasted(cluster("a=8", "x:8", running="old:8@a")).waiting == ()


def static_mig(*taken: str) -> Snapshot:
    """The card of the fixture, cut into 3g, 2g and two 1g before its driver started."""
    documents: Iterable[object] = yaml.safe_load_all(shared("fixtures/nvidia-a100-static-mig.yaml").read_text())
    slices = tuple(codec.from_builtins(d, ResourceSlice) for d in documents)
    node = Node(name="a100-static-0", allocatable={"cpu": 96_000, "memory": 1 << 40, "pods": 110})
    world = cluster("", " ".join(f"w{i}:{ask}" for i, ask in enumerate(taken)))
    return started(world.replace(nodes={node.name: node}, slices=slices))


@pytest.mark.parametrize(
    ("taken", "sums"),
    [
        pytest.param((), Sums(idle_milli=1000), id="four pieces are one idle GPU"),
        pytest.param(("1g.10gb",), Sums(needed_milli=125, stranded_milli=750, idle_milli=125), id="only 1g is asked"),
        pytest.param(("3g.40gb", "2g.20gb"), Sums(needed_milli=750, stranded_milli=250), id="nobody asks for 1g"),
    ],
)
def test_pieces_cut_beforehand_are_one_card(taken: tuple[str, ...], sums: Sums) -> None:
    world = static_mig(*taken)
    assert [c.name for c in cards(world)["a100-static-0"]] == ["gpu-0"]
    assert wasted(world).totals == sums


ASKS = {
    "h100": st.sampled_from(["1", "3", "8"]),
    "a100share": st.sampled_from(["12Gi", "13Gi", "27Gi", "1", "79Gi"]),
    "a100mig": st.sampled_from(["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "7g.80gb"]),
    "h100mig": st.sampled_from(["1", "1g.10gb", "2g.20gb", "4g.40gb"]),
}


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    """Some nodes of each sort, and work of which some has started; some of it needs less than it asks."""
    models = draw(st.lists(st.sampled_from(sorted(ASKS)), min_size=1, max_size=3))
    nodes = " ".join(f"r{i % 2}/n{i}={draw(st.integers(1, 4))}:{model}" for i, model in enumerate(models))
    asks = [draw(ASKS[draw(st.sampled_from(models))]) for _ in range(draw(st.integers(0, 8)))]
    world = started(cluster(nodes, " ".join(f"w{i}:{ask}" for i, ask in enumerate(asks))))
    claims = {k: annotated(c, draw(st.sampled_from(["", "5Gi", "12Gi", "80Gi"]))) for k, c in world.claims.items()}
    more = draw(st.sampled_from(["", "late:8", "late:12Gi", "late:1g.10gb"]))
    world = world.replace(claims=claims)
    return world.with_workload(workload(more)) if more else world


@given(worlds())
def test_every_way_to_add_it_up_gives_all_the_silicon(world: Snapshot) -> None:
    views = [wasted(world, by) for by in BY]
    silicon = 1000 * sum(len(listed) for listed in cards(world).values())
    for view in views:
        assert view.totals == views[0].totals
        assert view.totals.all_milli == silicon == 1000 * view.gpus
        assert all(milli >= 0 for row in view.rows for milli in msgspec.structs.astuple(row.sums))
        for name in Sums.__struct_fields__:
            assert sum(getattr(row.sums, name) for row in view.rows) == getattr(view.totals, name)
    drawn = map_view(world, POLICY).totals
    assert (drawn.waste_milli, drawn.used_milli) == (views[0].totals.waste_milli, views[0].totals.held_milli)
    assert sum(cause.milli for cause in views[0].stranded) == views[0].totals.stranded_milli


def test_the_verb_shows_rows_legend_and_causes(scene: Scene) -> None:
    told = "run --gpu-memory 60Gi -q team-b --runtime 8h --name chat -- python serve.py"
    assert scene.bayplan(told).code == 0
    scene.settle()
    ran = scene.bayplan("waste")
    assert (ran.code, ran.err) == (0, "")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines == [
        "TEAM GPUS NEEDED QUANTISED OVERSIZED STRANDED IDLE WASTE",
        "team-b 1 0.8",
        "nobody 0.2 35 0.2",
        "36 GPUs 0.8 0.2 35 0.2",
        "",
        "stranded: free where nothing can use them",
        "idle: free for the next that comes",
        "",
        "0.2 stranded no partition or request fits what is left (a100-000)",
    ]
    assert scene.bayplan("waste --by workload -o json").json["rows"][0]["name"] == "chat"
    assert scene.bayplan("waste --by rack").out.splitlines()[1].startswith("a100-b0-r0")
    refused = scene.bayplan("waste --by moon")
    assert refused.code == 2 and "'moon' is not one of" in refused.err
