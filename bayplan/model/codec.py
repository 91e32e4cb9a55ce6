"""JSON of the model: how a Quantity crosses, and nothing else. Journals and the wire both use it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from bayplan.model.quantity import Quantity

T = TypeVar("T")


def dec_hook(kind: type, value: Any) -> Any:
    """Reads a Quantity from JSON text or number. Raises ValueError, which msgspec turns into an error with a path."""
    if kind is Quantity:
        return Quantity.of_json(value)
    raise NotImplementedError(kind)


def enc_hook(value: Any) -> Any:
    if isinstance(value, Quantity):
        return str(value)
    raise NotImplementedError(type(value))


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=dec_hook)


_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, order="deterministic")


def from_json(data: bytes | str, kind: type[T]) -> T:
    """Decodes JSON into `kind`. Raises `msgspec.ValidationError` naming the path."""
    return _decoder(kind).decode(data)  # type: ignore[no-any-return, arg-type]


def from_builtins(value: Any, kind: type[T]) -> T:
    """The same from parsed JSON (dicts and lists)."""
    return msgspec.convert(value, kind, dec_hook=dec_hook)


def to_json(value: Any) -> bytes:
    """Deterministic JSON: equal values give equal bytes."""
    return _ENCODER.encode(value)


def to_builtins(value: Any) -> Any:
    """Parsed JSON (dicts and lists) of a model value."""
    return msgspec.to_builtins(value, enc_hook=enc_hook, order="deterministic")
