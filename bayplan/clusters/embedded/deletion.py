"""Deletion, finalizers and garbage collection (Kubernetes API conventions, `garbagecollector` and `namespace`).

An object with finalizers, a running pod with a grace period, and a namespace with content are only *marked*
(deletionTimestamp); what holds them must let go first. Removing an object deletes the dependents whose last living
owner it was. Kubernetes does that a moment later in a controller; here it happens in the same transaction, so a
world repeats exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bayplan.clusters.embedded.errors import conflict, forbidden
from bayplan.clusters.embedded.kinds import Kind, Kinds
from bayplan.clusters.embedded.meta import timestamp
from bayplan.clusters.embedded.records import Record, Records

Propagation = Literal["Background", "Foreground", "Orphan"]
FOREGROUND = "foregroundDeletion"
PERMANENT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a delete request may say; `grace_seconds` None is the pod's own grace period."""

    grace_seconds: int | None = None
    propagation: Propagation = "Background"
    uid: str | None = None
    version: str | None = None


class Collector:
    """Carries out deletions on the records; `save` encodes, versions and stores a changed object."""

    def __init__(
        self,
        records: Records,
        kinds: Kinds,
        save: Callable[[Kind, dict[str, Any]], Record],
        seal: Callable[[Kind, dict[str, Any]], Record],
        now: Callable[[], datetime],
        removed: Callable[[Record], None],
    ) -> None:
        self._records = records
        self._kinds = kinds
        self._save = save
        self._seal = seal
        self._now = now
        self._removed = removed

    def delete(self, kind: Kind, record: Record, options: DeleteOptions) -> Record:
        """Mark or remove; returns the object's last state."""
        self._check_preconditions(record, options)
        if kind.resource == "namespaces" and record.name in PERMANENT_NAMESPACES:
            raise forbidden("namespaces", record.name, "this namespace may not be deleted")
        obj = record.decode()
        grace = self._grace(kind, obj, options)
        self._mark(obj, options, grace)
        if obj["metadata"].get("finalizers") or grace or kind.resource == "namespaces":
            marked = self._save(kind, obj) if obj != record.decode() else record
            self._begin_to_empty(kind, marked, options)
            return self.settle(marked)
        return self._remove(kind, obj, options.propagation)

    def settle(self, record: Record) -> Record:
        """Remove a marked object when nothing holds it any more; returns its last state."""
        current = self._records.by_uid(record.uid)
        if current is None or not current.deleting:
            return current or record
        kind, obj = self._kinds.of(current.resource), current.decode()
        finalizers = obj["metadata"].get("finalizers") or []
        if FOREGROUND in finalizers and not self._blockers(current.uid):
            finalizers = [each for each in finalizers if each != FOREGROUND]
            obj["metadata"]["finalizers"] = finalizers
            if finalizers:
                return self._save(kind, obj)
        if finalizers or obj["metadata"].get("deletionGracePeriodSeconds", 0) > 0:
            return current
        if kind.resource == "namespaces" and self._content(current.name):
            return current
        return self._remove(kind, obj, "Background")

    @staticmethod
    def _check_preconditions(record: Record, options: DeleteOptions) -> None:
        if options.uid is not None and options.uid != record.uid:
            why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {record.uid}"
            raise conflict(record.resource, record.name, why)
        if options.version is not None and options.version != str(record.version):
            why = (
                f"Precondition failed: ResourceVersion in precondition: {options.version}, ResourceVersion in "
                f"object meta: {record.version}"
            )
            raise conflict(record.resource, record.name, why)

    @staticmethod
    def _grace(kind: Kind, obj: dict[str, Any], options: DeleteOptions) -> int:
        """Only a pod that a kubelet may still be running gets time; the kubelet deletes it again with 0."""
        if kind.resource != "pods":
            return 0
        spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        if options.grace_seconds is not None:
            return max(0, options.grace_seconds)
        return int(spec.get("terminationGracePeriodSeconds", 30))

    def _mark(self, obj: dict[str, Any], options: DeleteOptions, grace: int) -> None:
        meta = obj["metadata"]
        if "deletionTimestamp" not in meta or grace < meta.get("deletionGracePeriodSeconds", 0):
            meta["deletionTimestamp"] = timestamp(self._now() + timedelta(seconds=grace))
            meta["deletionGracePeriodSeconds"] = grace
        finalizers = list(meta.get("finalizers") or [])
        if options.propagation == "Foreground" and FOREGROUND not in finalizers:
            meta["finalizers"] = [*finalizers, FOREGROUND]
        if obj["kind"] == "Namespace" and obj["apiVersion"] == "v1":
            obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}

    def _begin_to_empty(self, kind: Kind, marked: Record, options: DeleteOptions) -> None:
        if kind.resource == "namespaces":
            for record in self._content(marked.name):
                self._delete_again(record, DeleteOptions())
        elif options.propagation == "Foreground":
            for record in self._records.owned_by(marked.uid):
                self._delete_again(record, DeleteOptions(propagation="Foreground"))
        elif options.propagation == "Orphan":
            self._orphan(marked.uid)

    def _delete_again(self, record: Record, options: DeleteOptions) -> None:
        current = self._records.by_uid(record.uid)
        if current is not None:
            self.delete(self._kinds.of(current.resource), current, options)

    def _remove(self, kind: Kind, obj: dict[str, Any], propagation: Propagation) -> Record:
        obj["metadata"].pop("finalizers", None)
        final = self._seal(kind, obj)
        self._records.remove(final)
        if propagation == "Orphan":
            self._orphan(final.uid)
        for dependent in self._records.owned_by(final.uid):
            if any(self._records.by_uid(owner) for owner in dependent.owners):
                self._disown(dependent, final.uid)
            else:
                self._delete_again(dependent, DeleteOptions())
        self._removed(final)
        for owner in final.owners:
            if waiting := self._records.by_uid(owner):
                self.settle(waiting)
        if final.namespace and (namespace := self._records.find("namespaces", "", final.namespace)):
            self.settle(namespace)
        return final

    def _orphan(self, uid: str) -> None:
        for dependent in self._records.owned_by(uid):
            self._disown(dependent, uid)

    def _disown(self, dependent: Record, uid: str) -> None:
        obj = dependent.decode()
        owners = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
        obj["metadata"]["ownerReferences"] = owners
        if not owners:
            del obj["metadata"]["ownerReferences"]
        self._save(self._kinds.of(dependent.resource), obj)

    def _blockers(self, uid: str) -> bool:
        """Whether a dependent that blocks its owner's deletion is left."""
        for dependent in self._records.owned_by(uid):
            for owner in dependent.decode()["metadata"]["ownerReferences"]:
                if owner["uid"] == uid and owner.get("blockOwnerDeletion"):
                    return True
        return False

    def _content(self, namespace: str) -> list[Record]:
        return [record for resource in self._records.resources() for record in self._records.rows(resource, namespace)]
