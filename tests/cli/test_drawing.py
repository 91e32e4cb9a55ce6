"""Cards, maps and words on worlds described in one line."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bayplan.app.cards import cards
from bayplan.app.submit import runtime_seconds
from bayplan.app.views.map import map_view
from bayplan.app.words import plain
from bayplan.cli.draw import map_picture, signs_for, waste
from bayplan.cli.svg import map_svg
from bayplan.cli.words import clock, duration, folded, gpus, listed, ordinal, when
from bayplan.model.node import Node
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster

_NOON_S = 1_772_020_800  # a Wednesday


def drawn(snapshot: Snapshot, width: int = 100, *, names: bool = False) -> list[str]:
    out = Console(width=width, file=io.StringIO(), color_system=None)
    out.print(map_picture(map_view(snapshot, Policy()), width, names=names))
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def closed(snapshot: Snapshot, name: str, **changes: object) -> Snapshot:
    """The world with one node changed."""
    node = snapshot.nodes[name]
    fields = {f: getattr(node, f) for f in Node.__struct_fields__} | changes
    return snapshot.replace(nodes=snapshot.nodes | {name: Node(**fields)})


@pytest.mark.parametrize(
    ("nodes", "running", "signs"),
    [
        pytest.param("a=4", "", "····", id="an idle node is free"),
        pytest.param("a=4", "x:3@a", "■■■·", id="whole GPUs are given whole"),
        pytest.param("a=2:a100share", "x:12Gi@a", "▤·", id="a share of the memory is a slice"),
        pytest.param("a=2:a100share", "x:2@a", "▤▤", id="a shareable card taken whole stays a shareable card"),
        pytest.param("a=2:a100mig", "x:1g.10gb@a", "▤·", id="a MIG partition is a slice of its card"),
        pytest.param("a=2:h100mig", "x:7g.80gb@a", "■·", id="the partition that is the whole card is whole"),
        pytest.param("a=4:plugin", "x:3gpu@a", "■■■·", id="GPUs of a device plugin count, too"),
    ],
)
def test_a_card_shows_what_became_of_it(nodes: str, running: str, signs: str) -> None:
    assert f"  {signs} " in drawn(cluster(nodes, running=running))[2] + " "


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ready": False}, "not ready"),
        ({"unschedulable": True}, "cordoned"),
        ({"allocatable": {"cpu": 0}}, "no cpu left"),
    ],
)
def test_free_gpus_out_of_reach_are_stranded(changes: dict[str, object], why: str) -> None:
    world = closed(cluster("a=4 b=4"), "a", **changes)
    assert {c.state for c in cards(world)["a"]} == {"stranded"}
    assert all(c.blocked.startswith(why) for c in cards(world)["a"])
    assert waste(map_view(world, Policy()).totals) == "4 GPUs free where nothing can use them"


def test_every_thousandth_of_every_card_is_used_stranded_or_idle() -> None:
    world = cluster("r1/a=8 r1/b=8:a100share r2/c=8:a100mig", running="x:3@a y:12Gi@b z:20Gi@b m:3g.40gb@c n:1g.10gb@c")
    totals = map_view(world, Policy()).totals
    assert totals.gpus == totals.whole + totals.slice + totals.free + totals.stranded == 24
    assert totals.used_milli + totals.stranded_milli + totals.idle_milli == 24_000


def test_the_largest_gang_counts_wholly_free_nodes_of_one_model() -> None:
    world = cluster("b1/r1/a=8 b1/r1/b=8 b1/r2/c=8 b2/r3/d=8 b2/r3/e=4:l40s", running="x:1@a")
    best = [(g.level, g.domain, g.model, g.gpus) for g in map_view(world, Policy()).gangs if "H100" in g.model]
    assert best == [("rack", "r1", "H100 80GB", 8), ("block", "b1", "H100 80GB", 16), ("", "", "H100 80GB", 24)]


def test_racks_stand_under_their_block_with_numbers_in_order() -> None:
    world = cluster("b1/r10/a=2 b1/r9/b=2 b0/r2/c=2")
    assert [line.split()[0] for line in drawn(world)[2:6] if line] == ["r2", "r9", "r10"]


def test_a_narrow_terminal_breaks_racks_and_shortens_remarks() -> None:
    lines = drawn(cluster("n*8=8", running="x:1@n0"), width=60)
    assert max(map(len, lines[:6])) <= 60
    assert lines[2] == "r0  ■······· ········ ········ ········"
    assert lines[3].endswith("63 of 64 free")


def test_the_picture_of_a_map_is_sound_xml_with_a_square_per_gpu() -> None:
    world = cluster("r1/a=8 r1/b=4:a100share", running="q<&>/x:3@a y:12Gi@b".replace("<&>", "-1"))
    root = ElementTree.fromstring(map_svg(map_view(world, Policy())))
    assert len(root.findall(".//{*}g/{*}rect[@class='f']")) == 12
    assert {e.text for e in root.iter() if e.tag.endswith("title")} == {"a · H100 80GB", "b · A100 80GB"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (41 * 60, "41 min"),
        (2 * 3600 + 300, "2 h 05"),
        (47 * 3600 + 3599, "48 h 00"),
        (48 * 3600, "2 d"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_durations_as_people_say_them(seconds: int, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("ahead_s", "said"),
    [(300, "12:05"), (13 * 3600, "Thu 01:00"), (-86400, "Tue 12:00"), (10 * 86400, "7 Mar 12:00")],
)
def test_moments_name_the_day_where_it_is_another(ahead_s: int, said: str) -> None:
    assert clock(_NOON_S + ahead_s, _NOON_S) == said


def test_what_is_due_is_now() -> None:
    assert (when(_NOON_S, _NOON_S), when(_NOON_S + 600, _NOON_S)) == ("now", "12:10, in 10 min")


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (112, "112th")]
)
def test_ordinals(number: int, said: str) -> None:
    assert ordinal(number) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"gpu-{i}" for i in range(8)], "gpu-0…gpu-7"),
        (["gpu-0", "gpu-1"], "gpu-0, gpu-1"),
        (["gpu-3", "gpu-5"], "gpu-3, gpu-5"),
        (["gpu-0", "gpu-0"], "2 × gpu-0"),
        ([], ""),
    ],
)
def test_runs_of_devices_are_folded(names: list[str], said: str) -> None:
    assert folded(names) == said


def test_small_words() -> None:
    assert (gpus(3400), gpus(4000), gpus(1_200_000)) == ("3.4", "4", "1,200")
    assert (listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdef"), 3)) == (
        "a",
        "a, b and c",
        "a, b, c and 3 more",
    )
    assert (
        plain("2 pods × 8 gpu.nvidia.com + 1 mig.nvidia.com of nvidia.com/gpu") == "2 pods × 8 GPU + 1 MIG slice of GPU"
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("90", 90), ("90s", 90), ("30min", 1800), ("1h30m", 5400), ("2d", 172800)]
)
def test_run_times_as_people_write_them(text: str, seconds: int) -> None:
    assert runtime_seconds(text) == seconds


def test_a_terminal_without_unicode_gets_signs_it_can_show() -> None:
    assert set(signs_for("ascii").values()) == set("#=.x")
    assert signs_for("UTF-8")["whole"] == "■"
