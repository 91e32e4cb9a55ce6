"""The API objects of a cluster as controllers and the carrying out of plans see them, whichever body holds them.

`Objects` is what both a store in this process and the replica of a real API server can do: read what is known here and
now, write with the API's own semantics (versions, conflicts, subresources). What is written once against it runs on
both, so the laptop and the fleet cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Object = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
T = TypeVar("T")
R = TypeVar("R")


class ApiError(Exception):
    """The API says no: an HTTP status code, a StatusReason, a message for people and optional StatusDetails."""

    def __init__(self, status_code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})

    def status(self) -> dict[str, Any]:
        """The `Status` object a client receives."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        return body | {"code": self.status_code}


class Record(msgspec.Struct, frozen=True, gc=False):
    """One object: its key, what selectors and collectors ask about, and its JSON bytes."""

    resource: str
    namespace: str
    name: str
    uid: str
    version: int
    raw: bytes
    labels: dict[str, str]
    fields: dict[str, str]
    owners: tuple[str, ...]
    deleting: bool

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.resource, self.namespace, self.name)

    def decode(self) -> Object:
        """A fresh copy that the caller may change."""
        decoded: Object = msgspec.json.decode(self.raw)
        return decoded


class Change(msgspec.Struct, frozen=True, gc=False):
    """One committed change. `record` is the new state, or the last one (with the deletion's version) if DELETED."""

    version: int
    type: ChangeType
    record: Record
    previous: Record | None

    @property
    def object(self) -> Object:
        return self.record.decode()


class ServedKind(Protocol):
    """One kind the API serves; `resource` is `plural.group`."""

    @property
    def group(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def resource(self) -> str: ...


class ServedKinds(Protocol):
    """Everything the API serves; `revision` grows when that changes."""

    @property
    def revision(self) -> int: ...

    def __iter__(self) -> Iterator[ServedKind]: ...

    def __contains__(self, resource: str) -> bool: ...


class Following(Protocol):
    """A cursor over the changes of some resources."""

    def poll(self) -> list[Change]:
        """Everything new since the last call, oldest first; ApiError 410 when all must be looked at anew."""
        ...

    def close(self) -> None: ...


class Objects(Protocol):
    """Resources are named `plural.group`; cluster-scoped ones take namespace None. Methods raise `ApiError`."""

    @property
    def kinds(self) -> ServedKinds: ...

    @property
    def atomic(self) -> bool:
        """Whether a `transaction` that fails is undone."""
        ...

    def get(self, resource: str, namespace: str | None, name: str) -> Object:
        """A copy of the object; ApiError 404."""
        ...

    def find(self, resource: str, namespace: str | None, name: str) -> Object | None:
        """A copy of the object, or None."""
        ...

    def record(self, resource: str, namespace: str | None, name: str) -> Record:
        """The object as it is kept; ApiError 404."""
        ...

    def rows(self, resource: str, namespace: str | None = None) -> tuple[Sequence[Record], int]:
        """The records of a resource and the version they are current at."""
        ...

    def owned(self, uid: str) -> Sequence[Record]:
        """Every record with an ownerReference to `uid`."""
        ...

    def watch(self, resources: Sequence[str], since: int | None = None) -> Following: ...

    def create(self, resource: str, namespace: str | None, obj: Mapping[str, Any]) -> Object: ...

    def update(self, resource: str, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        """Replaces the object; ApiError 409 unless its resourceVersion is the current one."""
        ...

    def patch(self, resource: str, namespace: str | None, name: str, patch: Any, *, subresource: str = "") -> Record:
        """A merge patch; ApiError 409 if it names a version that is not the current one.

        What became of the object is decoded by whoever looks at it: most do not.
        """
        ...

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> Object: ...

    def bind(self, namespace: str, name: str, node: str, *, annotations: Mapping[str, str] | None = None) -> Object:
        """Gives a pod its node and returns it as it then is; ApiError 409 when it has one or is being deleted."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Where the body can: all writes inside or none. Elsewhere each write stands by itself."""
        ...

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`work` on every item, results in the order of items; a remote body works on several at once."""
        ...
