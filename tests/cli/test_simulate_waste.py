"""`bayplan simulate` where work needs less than it asks for: one table says which way of asking wastes how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.cli import main

FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: small}
nodes:
- {name: a100, count: 1, gpu: a100-80gb, cpu: "64", memory: 512Gi}
- {name: a100-mig, count: 1, gpu: a100-80gb-mig, cpu: "64", memory: 512Gi}
- {name: a100-shared, count: 1, gpu: a100-80gb-shared, cpu: "64", memory: 512Gi}
teams:
- {name: whole, quota: {a100: 8}}
- {name: mig, quota: {a100-mig: 8}}
- {name: memory, quota: {a100-shared: 8}}
work:
- {name: w, gpus: 1, usesGpuMemory: WANT, nodes: a100, teams: {whole: 1}, everySeconds: 900, runtimeSeconds: [600, 600]}
- {name: p, partition: 1g.20gb, usesGpuMemory: WANT, nodes: a100-mig, teams: {mig: 1}, everySeconds: 900,
   runtimeSeconds: [600, 600]}
- {name: m, gpuMemory: 12Gi, nodes: a100-shared, teams: {memory: 1}, everySeconds: 900, runtimeSeconds: [600, 600]}
"""


def simulated(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / "fleet.yaml").write_text(text)
    assert main(["simulate", str(folder / "fleet.yaml"), "--hours", "1"]) == 0
    return capsys.readouterr().out


def test_teams_show_what_part_of_what_they_hold_is_wasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = simulated(tmp_path, FLEET.replace("WANT", "12Gi"), capsys)
    wasted = {words[0]: words[-2:] for line in told.splitlines() if len(words := line.split()) > 4}
    assert wasted["whole"] == ["85.0", "%"]
    assert wasted["mig"] == ["38.6", "%"]
    assert wasted["memory"] == ["0.0", "%"]


def test_work_that_needs_all_it_asks_for_has_no_second_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "TEAM" not in simulated(tmp_path, FLEET.replace(" usesGpuMemory: WANT,", ""), capsys)
