"""Server-side printing: meta.k8s.io/v1 Table, which is what plain `kubectl get` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bayplan.clusters.embedded.columns import AGE, COLUMNS, NAME, Column, node_gpus, printed
from bayplan.clusters.embedded.kinds import Kind
from bayplan.clusters.embedded.store import Store

Object = Mapping[str, Any]


def columns_of(kind: Kind, version: str, store: Store) -> list[Column]:
    """The columns of a kind; those of nodes count the GPUs in the store's ResourceSlices."""
    if kind.custom:
        return printed(kind.printer.get(version) or ())
    columns = COLUMNS.get(kind.resource, [NAME, AGE])
    if kind.resource != "nodes":
        return columns
    counts = gpus_by_node(store)
    gpus = Column("GPUs", lambda node, now: node_gpus(node) or str(counts.get(node["metadata"]["name"], "")))
    return [gpus if column.name == gpus.name else column for column in columns]


def gpus_by_node(store: Store) -> dict[str, int]:
    """Whole GPUs per node, from the slices of node-local pools: devices of type gpu, or of no stated type."""
    counts: dict[str, int] = {}
    for record in store.rows("resourceslices.resource.k8s.io")[0]:
        spec = record.decode().get("spec") or {}
        if node := spec.get("nodeName"):
            counts[node] = counts.get(node, 0) + sum(1 for device in spec.get("devices") or () if _is_gpu(device))
    return counts


def _is_gpu(device: Object) -> bool:
    """Drivers say `type` with or without their domain; a MIG slice or a NIC says something else."""
    for name, value in (device.get("attributes") or {}).items():
        if name.rpartition("/")[2] == "type":
            return str(value.get("string", "")).lower() in ("gpu", "accelerator")
    return True


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
    row: dict[str, Any] = {"cells": [_cell(column, obj, now) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial_metadata(obj)
    return row


def _cell(column: Column, obj: Object, now: datetime) -> Any:
    """A cell's value. Status is whatever some controller wrote: one that has lost its shape must not hide the rest."""
    try:
        return column.value(obj, now)
    except (AttributeError, KeyError, TypeError, ValueError):
        return "<invalid>"


def partial_metadata(obj: Object) -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
