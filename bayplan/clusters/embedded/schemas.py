"""Structural schemas of custom resources: prune unknown fields, fill defaults, check values.

The part of OpenAPI v3 that apiextensions' structural schemas use: type, properties, required, items,
additionalProperties, enum, bounds, lengths, pattern, nullable, int-or-string, preserve-unknown-fields.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bayplan.clusters.embedded.errors import FieldError, bad_value, missing, unsupported

Schema = Mapping[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_TOP_FIELDS = ("apiVersion", "kind", "metadata")


def with_schema(schema: Schema, obj: dict[str, Any]) -> dict[str, Any]:
    """The object pruned and defaulted; apiVersion, kind and metadata are left alone."""
    top = {key: obj[key] for key in _TOP_FIELDS}
    rest = {key: value for key, value in obj.items() if key not in _TOP_FIELDS}
    shaped = _shape(schema, rest)
    return top | {key: value for key, value in shaped.items() if key not in _TOP_FIELDS}


def check_schema(schema: Schema, obj: Mapping[str, Any]) -> list[FieldError]:
    """Everything in the object that its schema does not allow."""
    rest = {key: value for key, value in obj.items() if key not in _TOP_FIELDS}
    required = [name for name in schema.get("required") or () if name not in _TOP_FIELDS]
    return _check({**schema, "required": required}, rest, "")


def _shape(schema: Schema, value: Any) -> Any:
    if isinstance(value, dict):
        return _shape_map(schema, value)
    if isinstance(value, list) and "items" in schema:
        return [_shape(schema["items"], item) for item in value]
    return value


def _shape_map(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    keep = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True or schema.get("type") != "object"
    shaped: dict[str, Any] = {}
    for key, item in value.items():
        if key in properties:
            if item is None and not properties[key].get("nullable"):
                continue
            shaped[key] = _shape(properties[key], item)
        elif isinstance(extra, Mapping):
            shaped[key] = _shape(extra, item)
        elif keep or schema.get("x-kubernetes-embedded-resource"):
            shaped[key] = item
    for key, rule in properties.items():
        if key not in shaped and "default" in rule:
            shaped[key] = _shape(rule, copy.deepcopy(rule["default"]))
    return shaped


def _check(schema: Schema, value: Any, path: str) -> list[FieldError]:
    if value is None and schema.get("nullable"):
        return []
    if problem := _check_type(schema, value, path):
        return [problem]
    if "enum" in schema and value not in schema["enum"]:
        return [unsupported(path, value, schema["enum"])]
    if isinstance(value, dict):
        return _check_map(schema, value, path)
    if isinstance(value, list):
        return _check_list(schema, value, path)
    if isinstance(value, str):
        return _check_string(schema, value, path)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _check_number(schema, value, path)
    return []


def _check_type(schema: Schema, value: Any, path: str) -> FieldError | None:
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
        return None if fits else bad_value(path, value, "must be an integer or a string")
    wanted = schema.get("type")
    if not wanted or wanted not in _TYPES:
        return None
    fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        fits = True
    return None if fits else bad_value(path or "<root>", value, f"must be of type {wanted}")


def _check_map(schema: Schema, value: dict[str, Any], path: str) -> list[FieldError]:
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    at = path + "." if path else ""
    problems = [missing(at + name) for name in schema.get("required") or () if name not in value]
    for key, item in value.items():
        if key in properties:
            problems += _check(properties[key], item, at + key)
        elif isinstance(extra, Mapping):
            problems += _check(extra, item, at + key)
    if len(value) > schema.get("maxProperties", len(value)):
        problems.append(bad_value(path, value, f"must have at most {schema['maxProperties']} properties"))
    if len(value) < schema.get("minProperties", 0):
        problems.append(bad_value(path, value, f"must have at least {schema['minProperties']} properties"))
    return problems


def _check_list(schema: Schema, value: list[Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    if len(value) > schema.get("maxItems", len(value)):
        problems.append(bad_value(path, value, f"must have at most {schema['maxItems']} items"))
    if len(value) < schema.get("minItems", 0):
        problems.append(bad_value(path, value, f"must have at least {schema['minItems']} items"))
    for index, item in enumerate(value):
        problems += _check(schema.get("items") or {}, item, f"{path}[{index}]")
    return problems


def _check_string(schema: Schema, value: str, path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    if len(value) > schema.get("maxLength", len(value)):
        problems.append(bad_value(path, value, f"may not be longer than {schema['maxLength']}"))
    if len(value) < schema.get("minLength", 0):
        problems.append(bad_value(path, value, f"should be at least {schema['minLength']} chars long"))
    pattern = _pattern(schema["pattern"]) if "pattern" in schema else None
    if pattern and not pattern.search(value):
        problems.append(bad_value(path, value, f"should match '{schema['pattern']}'"))
    return problems


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str] | None:
    """The compiled pattern, or None for RE2 syntax that Python does not have: then the value is let through."""
    try:
        return re.compile(text)
    except re.error:
        return None


def _check_number(schema: Schema, value: float, path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        problems.append(bad_value(path, value, f"should be greater than or equal to {low}"))
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        problems.append(bad_value(path, value, f"should be less than or equal to {high}"))
    if schema.get("multipleOf") and value % schema["multipleOf"]:
        problems.append(bad_value(path, value, f"should be a multiple of {schema['multipleOf']}"))
    return problems
