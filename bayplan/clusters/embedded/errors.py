"""Every refusal of the API is one exception that knows its Kubernetes `Status` (meta/v1 Status, StatusReason).

kubectl prints `message` for most reasons and decides by `reason` and `code` what to do next, so the wording below
follows apimachinery's `pkg/api/errors` where a client reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.runtime.objects import ApiError as ApiError


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its path, a CauseType (`FieldValueInvalid`, …) and the sentence a person reads."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    @property
    def sentence(self) -> str:
        return f"{self.field}: {self.message}"


def bad_value(field: str, value: object, why: str) -> FieldError:
    return FieldError(field, f"Invalid value: {_shown(value)}: {why}")


def missing(field: str, why: str = "") -> FieldError:
    return FieldError(field, "Required value" + (f": {why}" if why else ""), "FieldValueRequired")


def forbidden_field(field: str, why: str) -> FieldError:
    return FieldError(field, f"Forbidden: {why}", "FieldValueForbidden")


def unsupported(field: str, value: object, allowed: Sequence[object]) -> FieldError:
    options = ", ".join(_shown(option) for option in allowed)
    return FieldError(
        field, f"Unsupported value: {_shown(value)}: supported values: {options}", "FieldValueNotSupported"
    )


def too_many(field: str, count: int, most: int) -> FieldError:
    return FieldError(field, f"Too many: {count}: must have at most {most} items", "FieldValueTooMany")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "object" if isinstance(value, dict) else "array"
    return "null" if value is None else str(value)


def not_found(resource: str, name: str) -> ApiError:
    """`resource` is `plural.group` (bare plural for the core group)."""
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', _details(resource, name))


def conflict(resource: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def stale(resource: str, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def forbidden(resource: str, name: str, why: str) -> ApiError:
    message = f'{resource} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(resource, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def gone(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def unsupported_media(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)


def method_not_allowed(what: str) -> ApiError:
    return ApiError(405, "MethodNotAllowed", what)


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", message)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with one cause per field, in the order given."""
    assert errors
    sentences = [error.sentence for error in errors]
    body = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    full = f"{kind}.{group}" if group else kind
    causes = [{"reason": e.reason, "message": e.message, "field": e.field} for e in errors]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {body}', details)


def _details(resource: str, name: str) -> dict[str, Any]:
    plural, _, group = resource.partition(".")
    details = {"name": name, "kind": plural}
    return details | {"group": group} if group else details
