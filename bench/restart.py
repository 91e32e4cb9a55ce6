"""How long a cluster is without a scheduler that is killed in the middle of its bindings, on a real control plane.

`python -m bench restart` prints, from the start of the next process: until it is ready, until its first binding, and
until everything is bound. The time Kubernetes takes to start a container comes on top.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.cluster.history import History
from tests.cluster.process import installed
from tests.cluster.restart import furnish, kill_and_restart
from tests.cluster.world import World
from tests.controlplane.run import ControlPlane


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench restart", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    print(f"{'pods':>6} {'bound before':>13} {'ready s':>8} {'first s':>8} {'all s':>7}")
    with ControlPlane(kueue=True) as plane:
        installed(plane)
        for _ in range(chosen.rounds):
            world = World(plane)
            furnish(world, chosen.pods)
            with History(plane) as history:
                found = kill_and_restart(plane, history, chosen.pods, at=chosen.pods // 3)
                assert history.problems == [], history.problems
            print(
                f"{chosen.pods:6} {found.bound_before:13} {found.ready_s:8.1f} {found.first_s:8.1f} {found.last_s:7.1f}"
            )
            world.clear()
            world.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
