"""`bayplan lint` as people run it: files, lines, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import pytest

from bayplan.cli import main
from tests.lint.objects import DRIVER, Json, ask, claim, device, device_class, resource_slice

BAD = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: good}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu}}]}}
---
# nothing here
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: bad}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu, count: -1}}]}}
"""
REFUSED = "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"


def _file(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_each_finding_is_one_line_with_file_document_object_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _file(tmp_path, "claims.yaml", BAD)
    assert main(["lint", file]) == 1
    assert capsys.readouterr().out == f"{file}:3 ResourceClaim/bad {REFUSED}\n"


def test_advice_alone_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = "apiVersion: kueue.x-k8s.io/v1beta2\nkind: ClusterQueue\nmetadata: {name: q}\nspec: {}\n"
    file = _file(tmp_path, "queue.yaml", queue)
    assert main(["lint", file]) == 0
    line = "spec.namespaceSelector: warning: no namespaceSelector admits no namespace at all; "
    assert capsys.readouterr().out == f"{file}:1 ClusterQueue/q {line}for all of them: namespaceSelector: {{}}\n"


def test_json_has_every_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(
        tmp_path, "list.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": [claim(ask(count=0))]})
    )
    assert main(["lint", file, "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["kind"], report["objects"], report["errors"]) == ("LintReport", 1, 1)
    assert report["findings"] == [
        {
            "source": file,
            "document": 1,
            "severity": "error",
            "object": "ResourceClaim/claim",
            "path": "spec.devices.requests[0].exactly.count",
            "message": "Invalid value: 0: must be greater than zero",
            "mend": "",
        }
    ]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.yaml", "a: b: c", ": line 1: not YAML: "),
        ("a.json", "{", ": line 1: not JSON: "),
        ("a.yaml", "hello", ":1: expected a Kubernetes object with apiVersion and kind"),
        ("a.yaml", "a: &a [*a]", "not YAML: "),
        ("a.yaml", "{apiVersion: v1, kind: List, items: [1]}", ":1: items: expected Kubernetes objects"),
    ],
    ids=["broken YAML", "broken JSON", "a word", "a list within itself", "a list of numbers"],
)
def test_unreadable_input_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, complaint: str
) -> None:
    file = _file(tmp_path, name, text)
    assert main(["lint", file]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.startswith(f"bayplan: {file}") and said.count("\n") == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file or directory" in capsys.readouterr().err


def test_nothing_to_lint_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 2
    assert "name files, or --cluster" in capsys.readouterr().err


class FakeCluster:
    """A cluster that holds some objects, listed as an API server lists them: the items without their kind."""

    def __init__(self, *objects: Json) -> None:
        self.objects = objects

    def __enter__(self) -> FakeCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def get(self, path: str) -> Json | None:
        kinds = {"resourceslices": "ResourceSlice", "deviceclasses": "DeviceClass", "resourceclaims": "ResourceClaim"}
        kind = kinds.get(path.rpartition("/")[2])
        items = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in self._of(kind)]
        return {"kind": f"{kind}List", "apiVersion": "resource.k8s.io/v1", "items": items} if kind else None

    def _of(self, kind: str | None) -> list[Json]:
        return [obj for obj in self.objects if obj["kind"] == kind]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = resource_slice("n", device("g", type="gpu"))
    odd = claim(ask(cls="gpx"), name="odd")
    fake = FakeCluster(slices, device_class("gpu", f"device.driver == '{DRIVER}'"), odd)
    monkeypatch.setattr("bayplan.app.lint.connect", lambda kubeconfig: fake)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_s_own_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--cluster"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cluster:3 ResourceClaim/odd spec.devices.requests[0].exactly.deviceClassName: warning: ")
    assert out.endswith("did you mean 'gpu'?\n") and out.count("\n") == 1


@pytest.mark.usefixtures("cluster")
def test_files_against_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, "claim.json", json.dumps(claim(ask(count=2))))
    assert main(["lint", file, "--cluster"]) == 0
    assert "asks 2 devices of one node, and no node has more than 1" in capsys.readouterr().out
