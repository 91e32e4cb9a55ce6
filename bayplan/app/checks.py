"""Checks that need our CEL: selectors of device classes and claims must compile before anything rests on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.cel import CompileError, compile_selector

_GROUP = "resource.k8s.io/"
_CLAIMS = {"ResourceClaim": "spec.devices", "ResourceClaimTemplate": "spec.spec.devices"}


def selector_errors(obj: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field path, what is wrong) of every CEL selector in the object that does not compile."""
    for path, expression in _selectors(obj):
        try:
            compile_selector(expression)
        except CompileError as error:
            yield path, " ".join(str(error).split())


def _selectors(obj: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not str(obj.get("apiVersion", "")).startswith(_GROUP):
        return
    kind = str(obj.get("kind", ""))
    if kind == "DeviceClass":
        yield from _expressions(_at(obj, "spec"), "spec")
    path = _CLAIMS.get(kind)
    if path is None:
        return
    for i, request in enumerate(_list(_at(obj, *path.split(".")), "requests")):
        where = f"{path}.requests[{i}]"
        yield from _expressions(request, where)
        yield from _expressions(_at(request, "exactly"), f"{where}.exactly")
        for j, choice in enumerate(_list(request, "firstAvailable")):
            yield from _expressions(choice, f"{where}.firstAvailable[{j}]")


def _expressions(part: Any, path: str) -> Iterator[tuple[str, str]]:
    for i, selector in enumerate(_list(part, "selectors")):
        expression = _at(selector, "cel", "expression")
        if isinstance(expression, str):
            yield f"{path}.selectors[{i}].cel.expression", expression


def _list(part: Any, name: str) -> list[Any]:
    found = part.get(name) if isinstance(part, Mapping) else None
    return found if isinstance(found, list) else []


def _at(part: Any, *names: str) -> Any:
    for name in names:
        part = part.get(name) if isinstance(part, Mapping) else None
    return part
