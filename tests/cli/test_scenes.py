"""Golden scenes: what a person types and what they read, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from xml.etree import ElementTree

import pytest

from tests.cli.scene import Scene, playing

LLAMA = "run --gpus 8 --nodes 2 --topology rack --required -q team-a --runtime 2h --name train-llama -- python train.py"
SWEEP = "run --gpus 8 -q team-b --runtime 30min --name sweep-17 -- python sweep.py"
CHAT = "run --gpu-memory 12Gi -q team-b --priority production --runtime 8h --name chat -- python serve.py"
SECOND = "run --gpus 8 --nodes 2 --topology rack --required -q team-a --runtime 1h --name train-two -- python train.py"


def played(scene: Scene) -> Scene:
    """Eleven past twelve: two racks half full, a service on a slice, and a second gang that found no quota."""
    for line in (LLAMA, SWEEP, CHAT):
        assert scene.bayplan(line).code == 0
        scene.settle()
    scene.pass_time(600)
    assert scene.bayplan(SECOND).code == 0
    scene.pass_time(60)
    return scene


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with playing(tmp_path_factory.mktemp("still")) as scene:
        yield played(scene)


@pytest.fixture
def busy(still: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene, to be looked at and left as it is."""
    monkeypatch.chdir(still.folder)
    return still


@pytest.fixture
def moving(scene: Scene) -> Scene:
    """The same scene, to be changed."""
    return played(scene)


def says(scene: Scene, line: str, code: int = 0) -> str:
    ran = scene.bayplan(line)
    assert (ran.code, ran.err) == (code, ""), ran
    return ran.out


def expected(text: str) -> str:
    return dedent(text).lstrip("\n")


def test_run_creates_a_job_with_its_claim_and_says_where_it_starts(scene: Scene) -> None:
    assert says(scene, LLAMA) == expected("""
        created Job team-a/train-llama and ResourceClaimTemplate team-a/train-llama
        train-llama starts now in team-a
          needs  2 pods × 8 GPU in one rack
          where  1 pod on h100-000 in h100-b0-r0
                 1 pod on h100-001
        """)
    scene.settle()
    job = scene.store.get("jobs.batch", "team-a", "train-llama")
    assert job["spec"]["suspend"] is False


def test_why_names_need_best_holders_start_and_remedies_in_this_order(busy: Scene) -> None:
    assert says(busy, "why train-two") == expected("""
        train-two waits in team-a, for 60 s                                           WaitingForQuota · now, not never
          needs    2 pods × 8 GPU in one rack
          best     queue team-a has 8 of 24 GPU (h100) free, 16 asked
          or       queue team-a can never have 16 GPU (a100): at most 8
          held by  train-llama (team-a): 16 GPU, until about 14:00
                   sweep-17 (team-b): 8 GPU, until about 12:30
          starts   12:30, in 19 min, after sweep-17
          sooner   now  with 1 of 2 pods, in h100-b0-r1
                   now  with priority 1001 (now 0): evicts train-llama, 11 min of work
        """)


def test_why_of_a_running_gang_tells_nodes_devices_and_its_end(busy: Scene) -> None:
    assert says(busy, "why job/train-llama") == expected("""
        train-llama runs in team-a, for 11 min
          needs  2 pods × 8 GPU in one rack
          where  1 pod on h100-000: gpu-0…gpu-7
                 1 pod on h100-001: gpu-0…gpu-7
          ends   about 14:00, in 1 h 49
        """)


def test_why_of_a_service_tells_its_share_of_the_card(busy: Scene) -> None:
    assert "where  1 pod on a100-000: gpu-0 (12Gi memory)" in says(busy, "why chat")


def test_why_of_something_over_tells_how_it_ended(moving: Scene) -> None:
    moving.pass_time(3600)
    assert says(moving, "why sweep-17").startswith("sweep-17 succeeded at 12:30, 41 min ago")


def test_why_of_nobody_offers_the_names_that_come_near(busy: Scene) -> None:
    ran = busy.bayplan("why trian-two")
    assert ran == (1, "", "nothing is called 'trian-two'; did you mean train-two and train-llama?\n")


def test_queue_shows_who_waits_and_until_when(busy: Scene) -> None:
    assert says(busy, "queue") == expected("""
        #  WORKLOAD   QUEUE   NEEDS                       SINCE  START  WHY
        1  train-two  team-a  2 pods × 8 GPU in one rack   60 s  12:30  queue team-a has 8 of 24 GPU (h100) free, 16
                                                                        asked; held by train-llama (16), sweep-17 (8)

        1 workload waiting, 3 running
        """)


def test_queue_all_shows_what_runs_first(busy: Scene) -> None:
    rows = [line.split()[0:2] for line in says(busy, "queue --all").splitlines() if "team-" in line[:30]]
    assert rows == [["train-llama", "team-a"], ["chat", "team-b"], ["sweep-17", "team-b"], ["1", "train-two"]]


def test_map_is_one_line_per_rack(busy: Scene) -> None:
    assert says(busy, "map") == expected("""
        ■ whole  ▤ slice  · free  × stranded    ■ team-a  ■ team-b

        a100-b0-r0  ▤···               3 of 4 free, 0 on whole nodes

        h100-b0-r0  ■■■■■■■■ ■■■■■■■■  0 of 16 free
        h100-b0-r1  ■■■■■■■■ ········  8 of 16 free

        36 GPUs       24 whole · 1 cut in slices · 11 free (3 on nodes in use)
        waste         none
        largest gang  H100 80GB: 8 in rack h100-b0-r1
        """)


def test_map_of_one_rack_names_its_nodes(busy: Scene) -> None:
    picture = says(busy, "map --rack h100-b0-r1").splitlines()
    assert picture[2:4] == [
        "h100-b0-r1  h100-002 ■■■■■■■■  h100-003 ········",
        "            8 of 16 free",
    ]


def test_map_draws_an_svg_that_stands_alone(busy: Scene) -> None:
    ran = busy.bayplan("map --svg fleet.svg")
    assert (ran.code, ran.out, ran.err) == (0, "", "wrote fleet.svg\n")
    root = ElementTree.parse(busy.folder / "fleet.svg").getroot()
    assert root.tag.endswith("svg")
    words = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("text"))
    assert "h100-b0-r0" in words and "team-b" in words
    assert len(root.findall(".//{*}g/{*}rect[@class='f']")) == 36


def test_plan_tells_what_a_file_would_come_to_and_changes_nothing(busy: Scene) -> None:
    (busy.folder / "job.yaml").write_text(busy.bayplan("run --gpus 8 -q team-b --dry-run --name eval -- x").out)
    before = busy.store.version
    assert says(busy, "plan job.yaml") == expected("""
        eval would start now in team-b
          needs  8 GPU
          where  1 pod on h100-003
        """)
    assert busy.store.version == before


def test_plan_of_what_must_wait_answers_no(busy: Scene) -> None:
    line = "run --gpus 8 -N 2 --topology rack --required -q team-a --dry-run --name more -- x"
    (busy.folder / "job.yaml").write_text(busy.bayplan(line).out)
    told = says(busy, "plan job.yaml", code=1)
    assert told.startswith("more would wait in team-a, 2nd of 2 ")


def test_plan_tells_whom_it_would_end(busy: Scene) -> None:
    line = "run --gpus 8 -N 2 --topology rack --required -q team-a --priority production --dry-run --name urgent -- x"
    (busy.folder / "job.yaml").write_text(busy.bayplan(line).out)
    told = says(busy, "plan job.yaml")
    assert "waits for train-llama to leave" in told
    assert told.splitlines()[-1] == "  evicts 1 workload: train-llama"


def test_run_waits_for_the_end_and_follows_the_log(moving: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this scene moves whenever somebody waits."""
    monkeypatch.setattr("threading.Event.wait", lambda self, seconds=None: moving.pass_time(30))
    ran = moving.bayplan("run --gpus 1 -q team-b --runtime 1min --name quick --logs -- python -V")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("exit code 0")
    assert ran.err.splitlines() == ["quick waits", "quick runs, 1 of 1 pods", "quick has finished"]


@pytest.mark.parametrize(
    ("line", "kind", "keys"),
    [
        ("queue", "Queue", {"now_s", "rows", "waiting", "running"}),
        ("why train-two", "WhyList", {"items"}),
        ("map", "Map", {"levels", "racks", "gangs", "totals", "teams"}),
        ("plan one.yaml", "Plan", {"starts", "answers", "evicted"}),
        ("run --gpus 1 -q team-b --name one --dry-run -- x", "List", {"items"}),
    ],
)
def test_json_has_a_kind_and_every_field(busy: Scene, line: str, kind: str, keys: set[str]) -> None:
    (busy.folder / "one.yaml").write_text(busy.bayplan("run --gpus 1 -q team-b --name one --dry-run -- x").out)
    verb, _, rest = line.partition(" ")
    told = busy.bayplan(f"{verb} -o json {rest}").json
    assert told.keys() == keys | {"apiVersion", "kind"}
    assert (told["apiVersion"], told["kind"]) == ("bayplan.dev/v1", kind)


def test_a_narrow_terminal_shows_the_reasons_below(busy: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert says(busy, "queue") == expected("""
        #  WORKLOAD   QUEUE   NEEDS                       SINCE  START
        1  train-two  team-a  2 pods × 8 GPU in one rack   60 s  12:30

        train-two  queue team-a has 8 of 24 GPU (h100) free, 16 asked; held by
                   train-llama (16), sweep-17 (8)

        1 workload waiting, 3 running
        """)
