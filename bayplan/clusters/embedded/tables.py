"""Server-side printing: meta.k8s.io/v1 Table, which is what plain `kubectl get` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bayplan.clusters.embedded.columns import AGE, COLUMNS, NAME, Column, printed
from bayplan.clusters.embedded.kinds import Kind

Object = Mapping[str, Any]


def columns_of(kind: Kind, version: str) -> list[Column]:
    if kind.custom:
        return printed(kind.printer.get(version) or ())
    return COLUMNS.get(kind.resource, [NAME, AGE])


def table(
    columns: list[Column],
    objects: Iterable[Object],
    now: datetime,
    *,
    metadata: Mapping[str, Any],
    include: str = "Metadata",
    headed: bool = True,
) -> dict[str, Any]:
    """A Table of the objects; `include` says how much of each object rides along: None, Metadata or Object."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": [column.definition() for column in columns] if headed else [],
        "rows": [_row(columns, obj, now, include) for obj in objects],
    }


def _row(columns: list[Column], obj: Object, now: datetime, include: str) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": [column.value(obj, now) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial_metadata(obj)
    return row


def partial_metadata(obj: Object) -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
