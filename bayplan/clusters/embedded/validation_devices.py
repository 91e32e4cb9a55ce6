"""The linter's rules of resource.k8s.io, so that the server and `bayplan lint` refuse the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded.errors import FieldError
from bayplan.clusters.embedded.kinds import Kind
from bayplan.lint import Finding, validate

_CAUSES = {
    "Required value": "FieldValueRequired",
    "Unsupported value": "FieldValueNotSupported",
    "Duplicate value": "FieldValueDuplicate",
    "Forbidden": "FieldValueForbidden",
    "Not found": "FieldValueNotFound",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
    "Wrong type": "FieldValueTypeInvalid",
}


def check_devices(kind: Kind, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """What is wrong with an object of resource.k8s.io; metadata the server judges itself."""
    if kind.group != "resource.k8s.io":
        return []
    found = validate(dict(obj), None if old is None else dict(old))
    return [_error(each) for each in found if not each.path.startswith("metadata")]


def _error(found: Finding) -> FieldError:
    sentence = str(Finding("", found.type, found.value, found.message))
    return FieldError(found.path, sentence, _CAUSES.get(found.type, "FieldValueInvalid"))
