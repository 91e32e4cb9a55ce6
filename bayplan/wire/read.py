"""Reading one object: JSON bytes or parsed JSON into a struct that holds only the fields we read.

Two roads, one result: an object is converted as it is; only where that fails are its nulls dropped first, because Go
clients write `null` for absent lists, maps and times. What fails then is Malformed, with the object named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from bayplan.model import codec
from bayplan.wire.errors import Malformed, malformed

T = TypeVar("T")
Json = Mapping[str, Any]

_STEP = re.compile(r"\[\.\.\.\]|\[\d+\]|[^.\[\]]+")


def read(source: bytes | Json, kind: type[T]) -> T:
    """The object as `kind`. Raises Malformed."""
    try:
        return codec.from_json(source, kind) if isinstance(source, bytes) else codec.from_builtins(source, kind)
    except (msgspec.MsgspecError, ValueError):
        return _read_without_nulls(parsed(source), kind)


def parsed(source: bytes | Json) -> Json:
    """The object as parsed JSON. Raises Malformed where it is not a JSON object."""
    if not isinstance(source, bytes):
        return source
    try:
        value = msgspec.json.decode(source)
    except (msgspec.MsgspecError, ValueError) as error:
        raise malformed(error) from error
    if not isinstance(value, dict):
        raise Malformed("", f"expected a JSON object, got {type(value).__name__}")
    return value


def title(source: Json) -> str:
    """What people call an object: `Kind namespace/name`."""
    metadata = source.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    name = "/".join(str(part) for part in (fields.get("namespace"), fields.get("name")) if part)
    return " ".join(str(part) for part in (source.get("kind"), name) if part)


def without_nulls(value: Any) -> Any:
    """Parsed JSON without the object members that are null."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(v) for v in value]
    return value


def _read_without_nulls(source: Json, kind: type[T]) -> T:
    clean = without_nulls(source)
    try:
        return codec.from_builtins(clean, kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _with_keys(clean, kind, malformed(error)).of(title(source)) from error


def _with_keys(source: Any, kind: type[Any], error: Malformed) -> Malformed:
    """The error with its map keys named: where the decoder says `[...]`, the one key that fails alone is the one."""
    path: list[str | int] = []
    for step in _STEP.findall(error.field_path):
        if step != "[...]":
            path.append(int(step[1:-1]) if step.startswith("[") else step)
            continue
        for key in _at(source, path):
            alone = _keeping(source, path, key)
            if _fails(alone, kind, error):
                source = alone
                path.append(key)
                break
        else:
            return error
    text = "".join(f"[{s}]" if isinstance(s, int) or "/" in s else f".{s}" for s in path)
    return Malformed(text.removeprefix("."), error.message)


def _at(source: Any, path: list[str | int]) -> Any:
    for step in path:
        source = source[step]
    return source


def _keeping(source: Any, path: list[str | int], key: str) -> Any:
    """The object with the map at `path` reduced to one key."""
    if not path:
        return {key: source[key]}
    inner = _keeping(source[path[0]], path[1:], key)
    if isinstance(source, dict):
        return {**source, path[0]: inner}
    return [inner if i == path[0] else item for i, item in enumerate(source)]


def _fails(source: Any, kind: type[Any], error: Malformed) -> bool:
    try:
        codec.from_builtins(source, kind)
    except (msgspec.MsgspecError, ValueError) as other:
        found = malformed(other)
        return (found.field_path, found.message) == (error.field_path, error.message)
    return False
