"""What several kinds hold: metadata, node selectors, conditions, selectors in CEL, opaque parameters, taints.

Sources: apimachinery `pkg/api/validation` (ObjectMeta), core `ValidateNodeSelector`, meta/v1 `ValidateConditions`,
resource.k8s.io/v1 `types.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bayplan import cel
from bayplan.lint.formats import (
    annotation_key,
    at_most,
    condition_reason,
    dns_subdomain,
    driver_name,
    label_value,
    qualified_name,
    size,
)
from bayplan.lint.rules import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    Finding,
    Format,
    Json,
    Problem,
    Rule,
    always,
    anything,
    child,
    choice,
    finding,
    flag,
    immutable,
    items,
    listed,
    mapped,
    mapping,
    obj,
    problems,
    required,
    text,
    whole,
    words,
)
from bayplan.model.base import Value

ANNOTATIONS_BYTES_MAX = 256 * 1024
SELECTORS_MAX = 32
CONFIGS_MAX = 32
PARAMETERS_BYTES_MAX = 10 * 1024
CONDITIONS_MAX = 8
CONDITION_MESSAGE_MAX = 32 * 1024
BINDING_CONDITIONS_MAX = 4
TOLERATIONS_MAX = 16
EFFECTS = ("NoExecute", "NoSchedule", "None")


class Gates(Value, frozen=True):
    """The feature gates that change a verdict. On by default, as everything Bayplan allocates."""

    consumable_capacity: bool = True
    list_attributes: bool = True


ALL_ON = Gates()


# -- metadata


def metadata(namespaced: bool) -> Rule:
    """ObjectMeta of a new object. A name may be left to `generateName`."""

    def named(value: Json, path: str) -> Iterator[Finding]:
        if not value.get("name") and not value.get("generateName"):
            yield finding(child(path, "name"), REQUIRED, None, "name or generateName is required")
        if namespaced and not value.get("namespace"):
            yield finding(child(path, "namespace"), REQUIRED)
        elif not namespaced and value.get("namespace"):
            yield finding(child(path, "namespace"), FORBIDDEN, None, "not allowed on this kind, it is cluster-wide")

    return always(obj({**_LABELLED, **_IDENTITY}, named, _annotations_fit), {})


def metadata_update(old: Json) -> Rule:
    """ObjectMeta of a changed object: who it is cannot change."""
    was = mapping(old.get("metadata"))
    kept = {name: immutable(was.get(name)) for name in ("name", "namespace", "uid")}
    return always(obj({**_LABELLED, **dict.fromkeys(_IDENTITY, anything), **kept}, _annotations_fit), {})


def _annotations_fit(value: Json, path: str) -> Iterator[Finding]:
    held = sum(size(str(key)) + size(str(each)) for key, each in mapping(value.get("annotations")).items())
    if held > ANNOTATIONS_BYTES_MAX:
        yield finding(child(path, "annotations"), TOO_LONG, None, f"may not be more than {ANNOTATIONS_BYTES_MAX} bytes")


def _label(value: Any, path: str) -> Iterator[Finding]:
    """A wrong label value is a finding of the labels, as a wrong key is."""
    yield from text(label_value)(value, path.rpartition("[")[0])


def _generated(prefix: str) -> Iterator[Problem]:
    """A prefix that some suffix makes a subdomain."""
    yield from dns_subdomain(prefix.removesuffix("-") or "-")


_LABELLED: dict[str, Rule] = {
    "labels": mapped(qualified_name, _label),
    "annotations": mapped(annotation_key, text()),
}
_OWNER = obj(
    {
        "apiVersion": required(text()),
        "kind": required(text()),
        "name": required(text()),
        "uid": required(text()),
        "controller": flag,
        "blockOwnerDeletion": flag,
    }
)
_IDENTITY: dict[str, Rule] = {
    "name": lambda value, path: text(dns_subdomain)(value or None, path),
    "generateName": lambda value, path: text(_generated)(value or None, path),
    "namespace": text(),
    "uid": text(),
    "resourceVersion": text(),
    "generation": whole(least=0),
    "creationTimestamp": text(),
    "deletionTimestamp": text(),
    "deletionGracePeriodSeconds": whole(),
    "ownerReferences": listed(_OWNER),
    "finalizers": listed(text(qualified_name)),
    "managedFields": anything,
    "selfLink": text(),
}

template_metadata: Rule = always(obj({**_LABELLED, **dict.fromkeys(_IDENTITY, anything)}, _annotations_fit), {})


# -- node selectors


def _operands(value: Json, path: str) -> Iterator[Finding]:
    operator, given = value.get("operator"), words(value.get("values"))
    at = child(path, "values")
    if operator in ("In", "NotIn"):
        if not given:
            yield finding(at, REQUIRED, None, f"must be specified when the operator is {operator}")
    elif operator in ("Exists", "DoesNotExist"):
        if given:
            yield finding(at, FORBIDDEN, None, f"may not be specified when the operator is {operator}")
    elif operator in ("Gt", "Lt"):
        if len(given) != 1:
            yield finding(at, REQUIRED, None, f"must be a single value when the operator is {operator}")
    else:
        yield finding(child(path, "operator"), INVALID, operator, "not a valid selector operator")


def _field_operands(value: Json, path: str) -> Iterator[Finding]:
    if value.get("operator") not in ("In", "NotIn"):
        yield finding(child(path, "operator"), INVALID, value.get("operator"), "not a valid selector operator")
    elif len(words(value.get("values"))) != 1:
        yield finding(child(path, "values"), REQUIRED, None, "must be exactly one value for a field")
    if value.get("key") != "metadata.name":
        yield finding(child(path, "key"), INVALID, value.get("key"), "the only field to select by is metadata.name")


def _requirement(key: Format, value: Format, together: Rule) -> Rule:
    fields: dict[str, Rule] = {
        "key": always(text(key), ""),
        "operator": text(),
        "values": listed(text(value)),
    }
    return obj(fields, together)


def _any_text(value: str) -> Iterator[Problem]:
    yield from ()


_TERM = obj(
    {
        "matchExpressions": listed(_requirement(qualified_name, label_value, _operands)),
        "matchFields": listed(_requirement(_any_text, dns_subdomain, _field_operands)),
    }
)


def _terms(value: Json, path: str) -> Iterator[Finding]:
    if not value.get("nodeSelectorTerms"):
        yield finding(child(path, "nodeSelectorTerms"), REQUIRED, None, "must have at least one node selector term")


node_selector: Rule = obj({"nodeSelectorTerms": listed(_TERM)}, _terms)


# -- conditions

_CONDITION = obj(
    {
        "type": always(text(qualified_name), ""),
        "status": always(choice("False", "True", "Unknown"), ""),
        "observedGeneration": whole(least=0),
        "lastTransitionTime": required(text()),
        "reason": required(text(condition_reason)),
        "message": text(at_most(CONDITION_MESSAGE_MAX)),
    }
)


def conditions(most: int = CONDITIONS_MAX) -> Rule:
    """One of each type. A list that is too long is looked into all the same."""

    def check(value: Any, path: str) -> Iterator[Finding]:
        if isinstance(value, list) and len(value) > most:
            yield finding(path, TOO_MANY, len(value), f"must have at most {most} items")
        yield from listed(_CONDITION)(value, path)
        seen: set[str] = set()
        for index, each in enumerate(items(value)):
            kind = str(each.get("type") or "")
            if kind in seen:
                yield finding(f"{path}[{index}].type", DUPLICATE, kind)
            seen.add(kind)

    return check


# -- CEL and opaque configuration


def _expression(gates: Gates) -> Format:
    def form(expression: str) -> Iterator[Problem]:
        if size(expression) > cel.MAX_EXPRESSION_BYTES:
            yield TOO_LONG, f"may not be more than {cel.MAX_EXPRESSION_BYTES} bytes"
            return
        try:
            selector = cel.compile_selector(
                expression,
                consumable_capacity=gates.consumable_capacity,
                list_attributes=gates.list_attributes,
            )
        except cel.CompileError as error:
            yield INVALID, str(error)
            return
        if selector.max_cost > cel.MAX_COST:
            yield FORBIDDEN, f"too complex: its estimated cost is {selector.max_cost}, the limit {cel.MAX_COST}"

    return form


def selectors(gates: Gates) -> Rule:
    """Selectors in CEL, within the limits of length and estimated cost."""
    expression = obj({"expression": always(text(_expression(gates)), "")})
    return listed(obj({"cel": required(expression)}), SELECTORS_MAX)


def parameters(stored: bool = False, required: bool = True) -> Rule:
    """A JSON object for a driver, at most 10 KiB unless it was stored before there was a limit."""

    def check(value: Any, path: str) -> Iterator[Finding]:
        if value is None:
            if required:
                yield finding(path, REQUIRED)
        elif not stored and len(msgspec.json.encode(value)) > PARAMETERS_BYTES_MAX:
            yield finding(path, TOO_LONG, None, f"may not be more than {PARAMETERS_BYTES_MAX} bytes")
        elif not isinstance(value, dict):
            yield finding(path, INVALID, value, "must be a JSON object")

    return check


def configuration(more: Mapping[str, Rule], stored: bool = False) -> Rule:
    """An entry of a `config` list; `more` are its fields beside `opaque`."""
    opaque = obj({"driver": always(text(driver_name), ""), "parameters": parameters(stored)})
    return obj({**more, "opaque": required(opaque)})


# -- taints, tolerations, binding conditions


def taint(old: Any = None) -> Rule:
    """A device taint; an effect that was stored before may stay, even one nobody knows."""
    effect = required(choice(*EFFECTS))
    stored = mapping(old).get("effect")
    fields: dict[str, Rule] = {
        "key": always(text(qualified_name), ""),
        "value": text(label_value),
        "effect": (lambda value, path: iter(()) if value == stored else effect(value, path)) if stored else effect,
        "timeAdded": text(),
    }
    return obj(fields)


def _operator(value: Json, path: str) -> Iterator[Finding]:
    operator, operand, at = value.get("operator"), value.get("value") or "", child(path, "value")
    if operator == "Exists" and operand:
        yield finding(at, INVALID, operand, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from problems(label_value, operand, at)


toleration: Rule = obj(
    {
        "key": lambda value, path: text(qualified_name)(value or None, path),
        "operator": required(choice("Equal", "Exists")),
        "value": text(),
        "effect": lambda value, path: choice(*EFFECTS)(value or None, path),
        "tolerationSeconds": whole(),
    },
    _operator,
)


def binding_conditions(value: Json, path: str) -> Iterator[Finding]:
    """`bindingConditions` and `bindingFailureConditions`: both or none, no name twice (KEP-5007)."""
    names = ("bindingConditions", "bindingFailureConditions")
    ready, failed = (words(value.get(name)) for name in names)
    for name, given in zip(names, (ready, failed), strict=True):
        for index, each in enumerate(given):
            if each in given[:index]:
                yield finding(f"{child(path, name)}[{index}]", DUPLICATE, each)
    for index, each in enumerate(failed):
        if each in ready:
            at = f"{child(path, names[1])}[{index}]"
            yield finding(at, INVALID, each, "must not be among the bindingConditions too")
    for mine, given, other, others in ((names[0], ready, names[1], failed), (names[1], failed, names[0], ready)):
        if others and not given:
            yield finding(child(path, mine), INVALID, None, f"is required beside {other}")


binding_fields: dict[str, Rule] = {
    "bindingConditions": listed(text(qualified_name), BINDING_CONDITIONS_MAX),
    "bindingFailureConditions": listed(text(qualified_name), BINDING_CONDITIONS_MAX),
}
