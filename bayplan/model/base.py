"""The two shapes every noun of the model has: `Noun` for API objects and their parts, `Value` for our own.

API nouns keep Kubernetes' names letter for letter (snake_case here, camelCase on the wire) and hold only the fields
Bayplan reads; what an object holds beside them never passes through the model, because only patches of owned fields
are ever written back.
"""

from __future__ import annotations

import msgspec


class Noun(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Kubernetes object, or a part of one, as the API spells it."""


class Value(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A value of Bayplan's own."""


class Metadata(Noun, frozen=True):
    """`metadata` of an API object, as far as it is read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
