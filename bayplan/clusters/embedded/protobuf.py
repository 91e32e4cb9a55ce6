"""The few protobuf bodies worth reading: `kubectl create namespace|configmap|serviceaccount` send them unasked.

Only what those commands fill in is read (field numbers from k8s.io/api core/v1 and apimachinery meta/v1
generated.proto, which are stable by contract). A body with anything more is not guessed at: None, and the server
answers 415 with the way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAGIC = b"k8s\0"
Fields = dict[int, list[Any]]


class _Unreadable(Exception):
    """Not protobuf, or more than is understood here."""


def decode_simple_object(body: bytes) -> dict[str, Any] | None:
    """The object in a protobuf body, or None when it is not one of the simple kinds or holds more than they need."""
    try:
        envelope = _fields(body.removeprefix(MAGIC))
        kind = _fields(_last(envelope, 1, b""))
        version, name = _text(kind, 1), _text(kind, 2)
        read = _READERS.get((version, name))
        if read is None:
            return None
        return {"apiVersion": version, "kind": name, **read(_fields(_last(envelope, 2, b"")))}
    except (_Unreadable, IndexError, UnicodeDecodeError):
        return None


def _fields(data: bytes) -> Fields:
    """Field number → values, in order; integers for varints, bytes for everything with a length."""
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise _Unreadable
            value, at = data[at : at + size], at + size
        else:
            raise _Unreadable
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[Any, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise _Unreadable


def _last(fields: Fields, number: int, default: Any) -> Any:
    value = fields.get(number, [default])[-1]
    if type(value) is not type(default):
        raise _Unreadable
    return value


def _text(fields: Fields, number: int) -> str:
    text: str = _last(fields, number, b"").decode()
    return text


def _text_map(fields: Fields, number: int) -> dict[str, str]:
    entries = [_fields(entry) for entry in fields.get(number, ()) if isinstance(entry, bytes)]
    return {_text(entry, 1): _text(entry, 2) for entry in entries}


def _metadata(fields: Fields) -> dict[str, Any]:
    """ObjectMeta: name 1, generateName 2, namespace 3, labels 11, annotations 12; the server sets 4 to 8 itself."""
    if set(fields) - {1, 2, 3, 4, 5, 6, 7, 8, 11, 12}:
        raise _Unreadable
    meta: dict[str, Any] = {"name": _text(fields, 1), "generateName": _text(fields, 2), "namespace": _text(fields, 3)}
    meta |= {"labels": _text_map(fields, 11), "annotations": _text_map(fields, 12)}
    return {key: value for key, value in meta.items() if value}


def _namespace(fields: Fields) -> dict[str, Any]:
    """metadata 1, spec 2 (its finalizers are the server's), status 3."""
    return {"metadata": _only(fields, {1, 2, 3})}


def _service_account(fields: Fields) -> dict[str, Any]:
    return {"metadata": _only(fields, {1})}


def _config_map(fields: Fields) -> dict[str, Any]:
    """metadata 1, data 2; binary data is left to JSON."""
    return {"metadata": _only(fields, {1, 2}), "data": _text_map(fields, 2)}


def _only(fields: Fields, known: set[int]) -> dict[str, Any]:
    if set(fields) - known:
        raise _Unreadable
    return _metadata(_fields(_last(fields, 1, b"")))


_READERS: dict[tuple[str, str], Callable[[Fields], dict[str, Any]]] = {
    ("v1", "Namespace"): _namespace,
    ("v1", "ConfigMap"): _config_map,
    ("v1", "ServiceAccount"): _service_account,
}
