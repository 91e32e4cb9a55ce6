"""Reading one object: JSON bytes or parsed JSON into a struct that holds only the fields we read.

Two roads, one result: an object is converted as it is; only where that fails are its nulls dropped first, because Go
clients write `null` for absent lists, maps and times. What fails then is Malformed, with the object named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from bayplan.model import codec
from bayplan.wire.errors import Malformed, malformed

T = TypeVar("T")
Json = Mapping[str, Any]


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
    try:
        return codec.from_builtins(without_nulls(source), kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise malformed(error).of(title(source)) from error
