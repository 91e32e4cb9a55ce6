"""Malformed: the one error of reading Kubernetes JSON. It names the object, the field and what was expected."""

from __future__ import annotations

import re

# msgspec ends its messages with the JSON path: "Expected `str`, got `int` - at `$.spec.devices[0].name`".
_WITH_PATH = re.compile(r"(?P<message>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)


class Malformed(ValueError):
    """An object that does not have the shape its kind demands.

    `object` is `Kind namespace/name` as far as it can be told, `field_path` as the API spells it
    (`spec.containers[0].resources`), `message` what was expected.
    """

    def __init__(self, field_path: str, message: str, object: str = "") -> None:
        self.field_path = field_path
        self.message = message
        self.object = object
        super().__init__(": ".join(part for part in (object, field_path, message) if part))

    def of(self, object: str) -> Malformed:
        """The same error, naming its object."""
        return Malformed(self.field_path, self.message, object)

    def within(self, prefix: str) -> Malformed:
        """The same error, its path below `prefix`."""
        joined = f"{prefix}.{self.field_path}" if self.field_path else prefix
        return Malformed(joined.replace(".[", "["), self.message, self.object)


def malformed(error: Exception) -> Malformed:
    """The Malformed that says what a msgspec error or a ValueError said."""
    if isinstance(error, Malformed):
        return error
    shape = _WITH_PATH.fullmatch(str(error))
    assert shape is not None
    message = shape["message"].replace("`", "'")
    return Malformed(shape["path"] or "", message[:1].lower() + message[1:])
