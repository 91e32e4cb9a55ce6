"""The objects `bayplan lint` judges: of files, one YAML or JSON document each, and of a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bayplan.app.client import Client, Json, connect
from bayplan.app.errors import BadInput
from bayplan.lint import Note, lint
from bayplan.model.base import Value

CLUSTER = "cluster"
_PATHS = (
    *(f"api/v1/{plural}" for plural in ("nodes", "pods")),
    *(
        f"apis/resource.k8s.io/v1/{plural}"
        for plural in ("resourceslices", "deviceclasses", "resourceclaims", "resourceclaimtemplates")
    ),
    *(
        f"apis/kueue.x-k8s.io/v1beta2/{plural}"
        for plural in ("clusterqueues", "cohorts", "localqueues", "resourceflavors", "topologies")
    ),
    "apis/batch/v1/jobs",
    "apis/jobset.x-k8s.io/v1alpha2/jobsets",
)


class Judged(Value, frozen=True):
    """A note and where its object stands: the file (or `cluster`) and the number of the document in it, from 1."""

    source: str
    document: int
    note: Note


def judge(files: Iterable[Path], kubeconfig: Path | None, *, cluster: bool) -> tuple[int, list[Judged]]:
    """How many objects were judged, and the notes on them.

    With `cluster` the files are judged against what the cluster has; without files it is the cluster's own objects
    that are. Raises BadInput, Unreachable, Refused.
    """
    found = [(str(path), number, obj) for path in files for number, obj in read(path)]
    around: list[Json] = []
    if cluster:
        with connect(kubeconfig) as client:
            around = list(_listed(client))
    if cluster and not found:
        found, around = [(CLUSTER, number, obj) for number, obj in enumerate(around, 1)], []
    notes = lint([obj for _, _, obj in found], around)
    rows = zip(found, notes, strict=True)
    return len(found), [Judged(source, number, note) for (source, number, _), each in rows for note in each]


def read(path: Path) -> Iterator[tuple[int, Json]]:
    """The objects of a file and the numbers of their documents; a List counts as its items. Raises BadInput."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(path), "", getattr(error, "strerror", None) or "is not UTF-8 text") from error
    for number, document in enumerate(_documents(path, text), 1):
        if document is None:
            continue
        where = f"{path}:{number}"
        if not isinstance(document, dict) or not _is_text(document.get("apiVersion"), document.get("kind")):
            raise BadInput(where, "", "expected a Kubernetes object with apiVersion and kind")
        listed = document.get("items") if document["kind"].endswith("List") else [document]
        for each in listed if isinstance(listed, list) else []:
            if not isinstance(each, dict):
                raise BadInput(where, "items", "expected Kubernetes objects")
            yield number, each


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _documents(path: Path, text: str) -> list[Any]:
    try:
        if path.suffix == ".json":
            return [json.loads(text)]
        return [_plain(document) for document in yaml.load_all(text, Loader=_Loader)]
    except json.JSONDecodeError as error:
        raise BadInput(str(path), f"line {error.lineno}", f"not JSON: {error.msg}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(str(path), f"line {line}", f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(str(path), "", f"not YAML: {error}") from error


def _plain(value: Any) -> Any:
    """YAML's value as JSON has it: names are texts, and so is what JSON has no type for."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key, default=str): _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as Kubernetes reads it: a time is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _listed(client: Client) -> Iterator[Json]:
    """Every object of the kinds we have rules for; an API that is not served has none."""
    for path in _PATHS:
        page = client.get(path) or {}
        kind = str(page.get("kind") or "").removesuffix("List")
        for item in page.get("items") or ():
            yield {"apiVersion": page.get("apiVersion"), "kind": kind, **item}
