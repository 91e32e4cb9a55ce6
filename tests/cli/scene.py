"""A small cluster that stands still: the real store, server, controllers and brain, on a clock the test holds.

`Scene.bayplan("why train")` runs a command line as a user would and returns what came of it; time passes only in
`Scene.pass_time`, so output is the same to the letter every time.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import yaml

from bayplan.app.fleets import load_fleet
from bayplan.app.kubeconfig import CLOCK_EXTENSION
from bayplan.audit import audit
from bayplan.cli import main
from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.body import EmbeddedCluster
from bayplan.clusters.embedded.server import Server
from bayplan.clusters.simulator import fleet_objects
from bayplan.core import decide, describe
from bayplan.model.policy import Policy
from bayplan.wire.kinds import group_kind

NOON_S = 1_772_020_800  # 2026-02-25 12:00:00 UTC
FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: small}
nodes:
- {name: h100, count: 4, gpu: h100-80gb, cpu: "192", memory: 2Ti, rackSize: 2, racksPerBlock: 2}
- {name: a100, count: 1, gpu: a100-80gb-shared, gpus: 4, cpu: "128", memory: 1Ti}
teams:
- {name: team-a, quota: {h100: 24, a100: 4}}
- {name: team-b, quota: {h100: 8, a100: 4}}
priorities: {production: 1000, batch: 0}
"""


class Ran(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Scene:
    def __init__(self, folder: Path, fleet: str = FLEET) -> None:
        self.now_s, self.folder, self.url = NOON_S, folder, ""
        numbers = itertools.count(1)
        self.store = Store(now=lambda: datetime.fromtimestamp(self.now_s, UTC), uids=lambda: f"uid-{next(numbers):04d}")
        path = folder / "fleet.yaml"
        path.write_text(fleet)
        resources = {(k.group, k.kind): k.resource for k in self.store.kinds}
        with self.store.transaction():
            for obj in fleet_objects(load_fleet(path)):
                self.store.create(resources[group_kind(obj)], obj["metadata"].get("namespace"), obj)
        self.body = EmbeddedCluster(self.store, describe=describe)
        self.kubeconfig = folder / "kubeconfig"

    def bayplan(self, line: str) -> Ran:
        """Runs `bayplan LINE` against this cluster."""
        self._write_kubeconfig()
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, BAYPLAN_KUBECONFIG=str(self.kubeconfig)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main(shlex.split(line))
        return Ran(code, out.getvalue(), err.getvalue())

    def settle(self) -> None:
        """Cycles until nothing changes, with the audit looking on."""
        seen = None
        while seen is not (seen := self.body.observe()):
            plan = decide(seen, Policy(), now_s=self.now_s)
            assert audit(seen, Policy(), plan) == ()
            self.body.apply(plan)

    def pass_time(self, seconds: int) -> None:
        """Time passes, second by second where something is due."""
        until_s = self.now_s + seconds
        self.settle()
        while (due_s := self.body.due_s()) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.settle()
        self.now_s = until_s
        self.settle()

    def _write_kubeconfig(self) -> None:
        """Points at the server, with a clock that stands at this moment."""
        still = {"began": 0, "start": self.now_s, "speed": 0}
        cluster = {"server": self.url, "extensions": [{"name": CLOCK_EXTENSION, "extension": still}]}
        config = {
            "current-context": "scene",
            "contexts": [{"name": "scene", "context": {"cluster": "scene"}}],
            "clusters": [{"name": "scene", "cluster": cluster}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))


@contextmanager
def playing(folder: Path, fleet: str = FLEET) -> Iterator[Scene]:
    """A scene with its server running."""
    scene = Scene(folder, fleet)
    with Server(scene.store, pod_logs=scene.body.kubelets.logs) as server:
        scene.url = server.url
        yield scene
    scene.body.close()
    scene.store.close()
