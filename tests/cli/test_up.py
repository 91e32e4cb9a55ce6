"""A whole cluster in this process: it starts, decides, keeps what it acknowledged, and is found again."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bayplan.app.clock import Clock
from bayplan.app.demo import demo_fleet
from bayplan.app.embedded import Embedded, running
from bayplan.app.errors import BadInput
from bayplan.app.fleets import example_fleet, load_fleet
from bayplan.app.home import Home
from bayplan.app.journal import BoundedJournal
from bayplan.app.replaying import replay_journal
from bayplan.app.running import Watcher
from bayplan.cli import main
from bayplan.cli.live import Frame, frame_picture, status_line
from bayplan.core import decide
from bayplan.model.policy import Policy
from tests.cli.scene import FLEET
from tests.make import cluster

WORK = """
work:
- {name: train, pods: [2], gpus: 8, nodes: h100, rack: required, first: 3, everySeconds: 100000,
   runtimeSeconds: [3600, 3600], teams: {team-a: 1}}
- {name: chat, gpuMemory: 12Gi, nodes: a100, priority: production, first: 6, everySeconds: 100000,
   runtimeSeconds: [7200, 7200], teams: {team-b: 1}}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET + WORK)
    return path


def until(embedded: Embedded, watcher: Watcher, workloads: int) -> None:
    """Waits until so many workloads have been seen and what fits runs."""
    for _ in range(400):
        assert not embedded.wait(0.05), embedded.failure
        cycle = watcher.cycle
        if cycle is not None and len(cycle.snapshot.workloads) == workloads and not cycle.plan.placed():
            return
    raise AssertionError(f"not within 20 s: {cycle}")


def test_a_cluster_runs_its_stream_and_is_found_again_as_it_was(fleet: Path, tmp_path: Path) -> None:
    home, chosen = Home(tmp_path / "data"), load_fleet(fleet)
    watcher = Watcher()
    with running(Embedded(home, chosen, watcher=watcher)) as embedded:
        assert embedded.is_new
        until(embedded, watcher, 9)
        seen = watcher.look(embedded)
        assert seen is not None
        assert (seen.status.running, seen.status.waiting) == (8, 1)
        assert seen.status.totals.slice == 1, "six services of 12 GiB share one card"
        assert [h.what for h in seen.news] == ["started"] * 8
        line = status_line(seen.status)
        version = embedded.store.version
    assert "8 running, 1 waiting" in line and "of 36 GPUs in use" in line

    again = Watcher()
    with running(Embedded(home, watcher=again)) as embedded:
        assert not embedded.is_new
        assert embedded.fleet == chosen
        assert embedded.store.version >= version
        until(embedded, again, 9)

    told = replay_journal(home.journal)
    assert told.cycles >= 2 and told.different == 0
    assert main(["replay", str(home.journal)]) == 0


def test_a_home_is_of_one_fleet_and_one_process(fleet: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    with running(Embedded(home, load_fleet(fleet))) as embedded:
        with pytest.raises(BadInput, match="is `bayplan up` running there already"):
            Embedded(home, load_fleet(fleet))
        with pytest.raises(BadInput, match=r"--port: .* cannot listen there"):
            Embedded(Home(tmp_path / "other"), load_fleet(fleet), port=embedded.server.port)
    fleet.write_text((FLEET + WORK).replace("name: small", "name: other"))
    with pytest.raises(BadInput, match="holds the fleet 'small'; name another directory with --data"):
        Embedded(home, load_fleet(fleet))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "termination"])
def test_up_tells_where_it_is_and_stops_cleanly(number: int, fleet: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "bayplan", "up", "--fleet", str(fleet), "--data", "data", "--speed", "50"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None
        first = [process.stdout.readline() for _ in range(5)]
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert first[0].startswith("5 nodes, new, at http://127.0.0.1:")
    assert first[1] == "kubectl --kubeconfig data/kubeconfig get workloads -A\n"
    assert first[3] == "Bayplan · small · time ×50\n"
    assert process.returncode == 0
    assert err == "stopped; `bayplan up` finds this cluster again in data\n"


def test_the_picture_of_a_running_cluster_fits_any_width(fleet: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    with running(Embedded(Home(tmp_path / "data"), load_fleet(fleet), watcher=watcher)) as embedded:
        until(embedded, watcher, 9)
        seen = watcher.look(embedded)
    assert seen is not None
    for width in (80, 140):
        out = Console(width=width, file=io.StringIO(), color_system=None)
        out.print(frame_picture(Frame("Bayplan · small", seen.status, seen.queue, seen.news, "hint"), width))
        assert isinstance(out.file, io.StringIO)
        text = out.file.getvalue()
        assert all(len(text_line) <= width for text_line in text.splitlines())
        assert "a100" in text and "started" in text and "hint" in text


def test_time_runs_at_its_speed_and_never_back(tmp_path: Path) -> None:
    wall = [1000.0]
    clock = Clock(tmp_path / "clock", speed=20, wall=lambda: wall[0])
    wall[0] += 30
    assert clock.now_s() == 1600
    clock.save()
    wall[0] += 5
    assert Clock(tmp_path / "clock", wall=lambda: wall[0]).now_s() == 1600, "it continues where it was"
    (tmp_path / "clock").write_text("")
    assert Clock(tmp_path / "clock", wall=lambda: wall[0]).now_s() == 1035, "a torn file is the wall's time"


def test_the_demo_adds_two_gangs_for_one_rack_and_one_for_none() -> None:
    fleet, rack = demo_fleet(example_fleet())
    jobs = {o["metadata"]["name"]: o for o in fleet.objects if o["kind"] == "Job"}
    assert list(jobs) == ["twin-a", "twin-b", "moonshot"]
    assert rack == "h100-b3-r3"
    for name in ("twin-a", "twin-b"):
        assert jobs[name]["spec"]["parallelism"] == 8
        assert rack in jobs[name]["spec"]["template"]["spec"]["nodeSelector"].values()


def test_simulate_compares_policies_in_one_table(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(fleet), "--policy", "stranding,kube-scheduler", "--hours", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("small: ") and "jobs on 36 GPUs" in rows[0]
    assert [row.split()[0] for row in rows[1:]] == ["POLICY", "stranding", "kube-scheduler"]


def test_a_journal_that_has_grown_enough_begins_anew_and_both_parts_replay(tmp_path: Path) -> None:
    world, policy = cluster("a=8", "x:1"), Policy()
    with BoundedJournal(tmp_path / "journal.gz", tmp_path / "journal.1.gz", max_bytes=1) as journal:
        for now_s in (1, 2):
            seen = world.replace(revision=str(now_s))
            assert journal.append(seen, policy, now_s, decide(seen, policy, now_s=now_s))
    for part in ("journal.gz", "journal.1.gz"):
        told = replay_journal(tmp_path / part)
        assert (told.cycles, told.different) == (1, 0)
