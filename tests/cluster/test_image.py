"""What the Dockerfile puts into the image, run as the pod runs it: an unprivileged user, nothing to write to.

No image is built here, for that takes base images. The layer of the build is made by its own command from the files it
copies, and runs on this machine's Python under the user, the environment and the mounts of the pod.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bayplan.app.manifests import USER_ID
from tests.cluster.process import Brain
from tests.cluster.world import World, pod, template
from tests.controlplane.run import ControlPlane

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PYTHONS = {"debian13": "3.13-slim-trixie"}  # what distroless/python3-… holds is Debian's own Python and C library
BASE = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin") or sys.executable


@pytest.fixture(scope="module")
def layer() -> Iterator[Path]:
    """/app of the image, by the Dockerfile's own command from nothing but what it copies; everybody may read it."""
    command = re.search(r"^RUN python (.*)$", DOCKERFILE, re.M)
    assert command, "the Dockerfile installs into /app"
    with tempfile.TemporaryDirectory(prefix="bayplan-image-") as folder:
        Path(folder).chmod(0o755)
        app, source = Path(folder) / "app", Path(folder) / "src"
        _copy(source)
        arguments = [str(app) if word == "/app" else word for word in shlex.split(command.group(1))]
        subprocess.run([sys.executable, *arguments, "-q"], cwd=source, check=True)
        yield app


def _copy(source: Path) -> None:
    """The working directory of the build stage: what its COPY lines name, and no more."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        *names, target = line.split()
        (source / target).mkdir(parents=True, exist_ok=True)
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / name, source / target)


def as_in_the_pod(layer: Path) -> list[str]:
    """Python as the pod runs it: its user, its environment, a root file system nobody can write to, nothing but /app.

    Without root's rights we are nobody in particular already.
    """
    environment = dict(re.findall(r"(\w+)=(\S+)", re.findall(r"^ENV (.*)$", DOCKERFILE, re.M)[0]))
    assert environment["PYTHONPATH"] == "/app"
    variables = [f"{k}={v}" for k, v in (environment | {"PYTHONPATH": str(layer)}).items()]
    python = ["env", "-i", *variables, str(Path(BASE).resolve()), "-P", "-S"]
    drop = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups", "--bounding-set=-all"]
    inner = python if os.getuid() else [*drop, "--no-new-privs", *python]
    user = ["--map-root-user"] if os.getuid() else []
    return ["unshare", *user, "--mount", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh", *inner]


def test_both_stages_have_one_debian_and_one_python() -> None:
    build = re.search(r"FROM python:(\S+) AS build", DOCKERFILE)
    final = re.search(r"FROM gcr.io/distroless/python3-(\w+):nonroot", DOCKERFILE)
    assert build and final and PYTHONS[final.group(1)] == build.group(1)


def test_nothing_but_the_layer_is_used_and_nothing_can_be_written(layer: Path) -> None:
    asked = "import os, bayplan, msgspec; print(bayplan.__file__, msgspec.__file__, os.geteuid()); open('here', 'w')"
    done = subprocess.run([*as_in_the_pod(layer), "-c", asked], cwd="/", capture_output=True, text=True)
    ours, theirs, _ = done.stdout.split()
    assert Path(ours).is_relative_to(layer) and Path(theirs).is_relative_to(layer)
    assert done.stderr.splitlines()[-1].startswith(("OSError: [Errno 30]", "PermissionError"))


def test_the_image_schedules(plane: ControlPlane, world: World, layer: Path) -> None:
    plane.folder.chmod(0o755)
    world.fleet("h100 1 h100-80gb")
    world.create(template("one", gpus=1), pod("p", claim="one"))
    program = [*as_in_the_pod(layer), "-m", "bayplan"]
    with Brain(plane, "--no-leader-elect", "--prices", program=program) as brain:
        brain.wait_ready(60)
        world.until_bound(1)
        assert brain.probe("/healthz") == 200
