"""Object metadata: what a client may say, what only the server says, and how names and times are written.

meta/v1 ObjectMeta; names follow RFC 1123 as apimachinery's `validation` package checks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from bayplan.clusters.embedded.errors import FieldError, bad_value, missing
from bayplan.clusters.embedded.kinds import Kind
from bayplan.clusters.embedded.records import Record, field_values

# What the server alone sets; an update carries them over from the stored object.
SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_KEY_HELP = "a label key is [prefix/]name, name of at most 63 of A-Z a-z 0-9 - _ ."
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character"
)
_LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character"
)


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def name_suffix(uid: str) -> str:
    """Five characters for generateName, drawn from the uid source so that a seeded world repeats."""
    number = int.from_bytes(sha256(uid.encode()).digest()[:8], "big")
    letters = []
    for _ in range(5):
        number, index = divmod(number, len(_SUFFIX_ALPHABET))
        letters.append(_SUFFIX_ALPHABET[index])
    return "".join(letters)


def new_metadata(
    kind: Kind, sent: Mapping[str, Any], namespace: str, uids: Callable[[], str], now: str
) -> dict[str, Any]:
    """The metadata of an object about to be created."""
    meta = {key: value for key, value in sent.items() if key not in (*SERVER_FIELDS, "resourceVersion")}
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = str(meta["generateName"])[:58] + name_suffix(uids())
    if kind.namespaced:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    return meta | {"uid": uids(), "creationTimestamp": now}


def kept_metadata(old: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an update: the client's, with what only the server sets carried over."""
    meta = {key: value for key, value in sent.items() if key not in SERVER_FIELDS and value not in (None, {}, [])}
    meta |= {key: old[key] for key in (*SERVER_FIELDS, "name", "namespace", "resourceVersion") if key in old}
    if "managedFields" not in sent and "managedFields" in old:
        meta["managedFields"] = old["managedFields"]
    return meta


def check_metadata(kind: Kind, meta: Mapping[str, Any]) -> list[FieldError]:
    """Names, labels and annotations that Kubernetes would refuse."""
    name = meta.get("name")
    if not name:
        return [missing("metadata.name", "name or generateName is required")]
    errors = [*_check_name(kind, name)]
    labels = meta.get("labels") or {}
    if not isinstance(labels, dict):
        return [*errors, bad_value("metadata.labels", labels, "expected a map of strings")]
    for key, value in labels.items():
        errors += check_label(f"metadata.labels.{key}" if not isinstance(value, str) else "metadata.labels", key, value)
    annotations = meta.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        return [*errors, bad_value("metadata.annotations", annotations, "expected a map of strings")]
    for key in annotations:
        if not is_qualified(key.lower()):
            errors.append(bad_value("metadata.annotations", key, _KEY_HELP.replace("label", "annotation")))
    return errors + _check_owners(meta.get("ownerReferences") or [])


def _check_name(kind: Kind, name: object) -> list[FieldError]:
    if not isinstance(name, str):
        return [bad_value("metadata.name", name, "expected a string")]
    if kind.group == "rbac.authorization.k8s.io":
        return []
    if kind.resource in ("namespaces", "services"):
        if len(name) > 63 or not _LABEL.fullmatch(name):
            return [bad_value("metadata.name", name, _LABEL_HELP)]
    elif len(name) > 253:
        return [bad_value("metadata.name", name, "must be no more than 253 characters")]
    elif not _SUBDOMAIN.fullmatch(name):
        return [bad_value("metadata.name", name, _SUBDOMAIN_HELP)]
    return []


def is_qualified(key: str) -> bool:
    prefix, _, short = key.rpartition("/")
    return len(short) <= 63 and bool(_QUALIFIED_NAME.fullmatch(short)) and (not prefix or is_subdomain(prefix))


def is_subdomain(name: str) -> bool:
    return len(name) <= 253 and bool(_SUBDOMAIN.fullmatch(name))


def check_label(field: str, key: str, value: object) -> list[FieldError]:
    """A label's key (optional DNS prefix, name of at most 63 characters) and value."""
    if not is_qualified(key):
        return [bad_value(field, key, _KEY_HELP)]
    if not isinstance(value, str):
        return [bad_value(field, value, "a label value must be a string")]
    if len(value) > 63 or (value and not _QUALIFIED_NAME.fullmatch(value)):
        return [bad_value(field, value, "a label value has at most 63 of A-Z a-z 0-9 - _ .")]
    return []


def _check_owners(owners: list[Any]) -> list[FieldError]:
    errors = []
    for index, owner in enumerate(owners):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(owner, dict) or not owner.get(part):
                errors.append(missing(f"metadata.ownerReferences[{index}].{part}"))
    if sum(1 for owner in owners if isinstance(owner, dict) and owner.get("controller")) > 1:
        errors.append(bad_value("metadata.ownerReferences", owners, "only one reference can have controller: true"))
    return errors


def record_of(kind: Kind, obj: Mapping[str, Any], raw: bytes) -> Record:
    """The record of a complete object and its encoding."""
    meta = obj["metadata"]
    return Record(
        resource=kind.resource,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        raw=raw,
        labels=meta.get("labels") or {},
        fields=field_values(obj, ("metadata.name", "metadata.namespace", *kind.fields)),
        owners=tuple(owner["uid"] for owner in meta.get("ownerReferences") or ()),
        deleting="deletionTimestamp" in meta,
    )


def set_condition(obj: dict[str, Any], kind: str, status: str, now: str, reason: str = "", message: str = "") -> None:
    """Set one status condition; its lastTransitionTime moves only when the status does."""
    conditions: list[dict[str, Any]] = obj.setdefault("status", {}).setdefault("conditions", [])
    found = next((each for each in conditions if each.get("type") == kind), None)
    if found is None:
        found = {"type": kind, "lastTransitionTime": now}
        conditions.append(found)
    elif found.get("status") != status:
        found["lastTransitionTime"] = now
    found["status"] = status
    for key, text in (("reason", reason), ("message", message)):
        if text:
            found[key] = text
        else:
            found.pop(key, None)
