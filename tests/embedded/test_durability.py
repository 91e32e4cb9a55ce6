"""SIGKILL at any moment loses no acknowledged write: a process writes and reports, is killed, and is checked."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.clusters.embedded import Store

WRITER = """
import sys
from bayplan.clusters.embedded import Store
store = Store(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    name = f"c{number % 50}"
    obj = {"metadata": {"name": name}, "data": {"n": str(number)}}
    if store.find("configmaps", "default", name) is None:
        written = store.create("configmaps", "default", obj)
    elif number % 7 == 0:
        store.delete("configmaps", "default", name)
        written = None
    else:
        written = store.update("configmaps", "default", obj)
    print(number, name, "gone" if written is None else written["metadata"]["resourceVersion"], flush=True)
    number += 1
"""


@pytest.mark.parametrize("seed", range(4))
def test_every_acknowledged_write_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "cluster.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    lines = [writer.stdout.readline() for _ in range(random.Random(seed).randrange(1, 400))]
    writer.send_signal(signal.SIGKILL)
    lines += [line for line in writer.stdout.readlines() if line.endswith("\n")]
    writer.wait()

    last = {name: (int(number), version) for number, name, version in (line.split() for line in lines)}
    store = Store(str(path))
    acknowledged = int(lines[-1].split()[0])
    for name, (number, version) in last.items():
        found = store.find("configmaps", "default", name)
        unacknowledged = (acknowledged + 1) % 50 == int(name[1:])
        if unacknowledged:
            # One write may be committed and not yet reported: its object may be newer than the last report.
            assert found is None or int(found["data"]["n"]) in (number, acknowledged + 1)
        elif version == "gone":
            assert found is None
        else:
            assert found is not None
            assert (found["data"]["n"], found["metadata"]["resourceVersion"]) == (str(number), version)
    newest = max((int(version) for _, version in last.values() if version != "gone"), default=0)
    assert store.version >= newest
    made = store.create(
        "pods", "default", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    assert int(made["metadata"]["resourceVersion"]) > newest
    store.close()
