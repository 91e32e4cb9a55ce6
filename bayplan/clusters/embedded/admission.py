"""What happens to an object between the client and the store: defaults, then every reason to refuse it at once.

What a caller knows beyond the kinds we serve it hands in as `validators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bayplan.clusters.embedded.defaults import with_defaults
from bayplan.clusters.embedded.errors import FieldError, invalid
from bayplan.clusters.embedded.immutable import check_immutable
from bayplan.clusters.embedded.kinds import Kind
from bayplan.clusters.embedded.meta import check_metadata
from bayplan.clusters.embedded.records import Records
from bayplan.clusters.embedded.schemas import check_schema, with_schema
from bayplan.clusters.embedded.shapes import check_shape, shape_of
from bayplan.clusters.embedded.validation import check_object
from bayplan.clusters.embedded.validation_devices import check_devices

# (kind, new object, stored object or None) -> what is wrong with it.
Validator = Callable[[Kind, Mapping[str, Any], Mapping[str, Any] | None], Sequence[FieldError]]


class Admission:
    """Completes and checks objects on their way into the store."""

    def __init__(self, records: Records, validators: Sequence[Validator]) -> None:
        self._records = records
        self._validators = tuple(validators)

    def admit(
        self, kind: Kind, obj: dict[str, Any], old: Mapping[str, Any] | None, subresource: str = ""
    ) -> dict[str, Any]:
        """The object as it will be stored; ApiError 422 naming every wrong field."""
        if misshapen := check_shape(shape_of(kind), obj, ""):
            raise invalid(kind.kind, kind.group, _name(obj), misshapen)
        version = str(obj["apiVersion"]).rpartition("/")[2]
        schema = kind.schemas.get(version)
        if schema:
            obj = with_schema(schema, obj)
        if not subresource:
            obj = with_defaults(kind, obj, old, self._priority_class)
        problems = [*check_metadata(kind, obj["metadata"])]
        if schema:
            problems += check_schema(schema, obj)
        if not subresource and (old is None or _content(obj) != _content(old)):
            problems += check_object(kind, obj)
        if old is not None and not subresource:
            problems += check_immutable(kind, obj, old)
        problems += check_devices(kind, obj, old)
        for validator in self._validators:
            problems += validator(kind, obj, old)
        if problems:
            raise invalid(kind.kind, kind.group, _name(obj), problems)
        return obj

    def _priority_class(self, name: str) -> dict[str, Any] | None:
        """The named class, or for "" the global default if there is one."""
        if name:
            record = self._records.find("priorityclasses.scheduling.k8s.io", "", name)
            return record.decode() if record else None
        classes = [record.decode() for record in self._records.rows("priorityclasses.scheduling.k8s.io")]
        return next((each for each in classes if each.get("globalDefault")), None)


def _name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("name", ""))


def _content(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
