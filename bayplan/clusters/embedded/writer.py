"""The write path: one object from what a client sent to what is stored.

Preconditions, what each subresource may touch, admission, generation, field ownership, version: in that order, for
every verb. The caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from bayplan.clusters.embedded import apply as server_side
from bayplan.clusters.embedded import errors
from bayplan.clusters.embedded.admission import Admission
from bayplan.clusters.embedded.conversion import to_stored
from bayplan.clusters.embedded.crds import CRD_RESOURCE, kind_of_crd, with_established_status
from bayplan.clusters.embedded.deletion import Collector, DeleteOptions
from bayplan.clusters.embedded.kinds import Kind, Kinds
from bayplan.clusters.embedded.listrules import rules_of
from bayplan.clusters.embedded.meta import kept_metadata, new_metadata, record_of, set_condition, timestamp
from bayplan.clusters.embedded.patch import json_patch, merge_patch
from bayplan.clusters.embedded.records import Record, Records
from bayplan.clusters.embedded.strategic import strategic_merge

Object = dict[str, Any]
PatchKind = Literal["merge", "json", "strategic", "apply"]

_KEEPS_STATUS_ON_CREATE = ("nodes", "persistentvolumes", CRD_RESOURCE)


class Writer:
    """Turns requests into stored records; used by `Store`, whose docstring says what holds for callers."""

    def __init__(
        self,
        records: Records,
        kinds: Kinds,
        admission: Admission,
        now: Callable[[], datetime],
        uids: Callable[[], str],
    ) -> None:
        self._records = records
        self._kinds = kinds
        self._admission = admission
        self._now = now
        self._uids = uids
        self._collector = Collector(records, kinds, self._save, self._seal, now, self._after_removal)

    def record(self, kind: Kind, namespace: str, name: str) -> Record:
        record = self._records.find(kind.resource, namespace, name)
        if record is None:
            raise errors.not_found(kind.resource, name)
        return record

    def create(self, kind: Kind, namespace: str | None, sent: Mapping[str, Any], manager: str) -> Record:
        fresh = self._own_copy(kind, sent)
        space = self._namespace_of(kind, namespace, fresh["metadata"])
        fresh["metadata"].pop("managedFields", None)
        fresh["metadata"] = new_metadata(kind, fresh["metadata"], space, self._uids, self._stamp())
        return self._insert(kind, space, fresh, manager)

    def update(
        self, kind: Kind, namespace: str | None, sent: Mapping[str, Any], subresource: str, manager: str
    ) -> Record:
        fresh = self._own_copy(kind, sent)
        space = self._namespace_of(kind, namespace, fresh["metadata"])
        record = self.record(kind, space, str(fresh["metadata"].get("name", "")))
        return self._replace(kind, record, fresh, subresource, manager)

    def patch(
        self, kind: Kind, namespace: str, name: str, change: Any, how: PatchKind, subresource: str, manager: str
    ) -> Record:
        record = self.record(kind, namespace, name)
        patched = self._own_copy(kind, self._patched(kind, record.decode(), change, how))
        return self._replace(kind, record, patched, subresource, manager)

    def apply(
        self, kind: Kind, namespace: str | None, name: str, sent: Any, subresource: str, manager: str, force: bool
    ) -> Record:
        if not manager:
            raise errors.invalid("PatchOptions", "meta.k8s.io", "", [errors.missing("fieldManager", "for apply patch")])
        if not isinstance(sent, Mapping):
            raise errors.bad_request("an apply patch is an object")
        applied = self._own_copy(kind, sent)
        space = self._namespace_of(kind, namespace, applied["metadata"])
        if applied["metadata"].setdefault("name", name) != name:
            raise errors.bad_request(f"the name in the object ({applied['metadata']['name']}) is not {name}")
        if subresource == "status":
            applied = {key: applied[key] for key in ("apiVersion", "kind", "metadata", "status") if key in applied}
        elif kind.status:
            applied.pop("status", None)
        record = self._records.find(kind.resource, space, name)
        if record is None and subresource:
            raise errors.not_found(kind.resource, name)
        now = self._stamp()
        merged = server_side.apply(
            record.decode() if record else None,
            applied,
            rules_of(kind, applied["apiVersion"]),
            manager=manager,
            subresource=subresource,
            force=force,
            now=now,
        )
        if record is not None:
            return self._replace(kind, record, merged, subresource, manager, attributed=True)
        if merged["metadata"].get("resourceVersion") or merged["metadata"].get("uid"):
            raise errors.conflict(kind.resource, name, "the object to be applied does not exist (any more)")
        merged["metadata"] = new_metadata(kind, merged["metadata"], space, self._uids, now)
        return self._insert(kind, space, merged, manager)

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Record:
        return self._collector.delete(kind, self.record(kind, namespace, name), options)

    def bind(self, kind: Kind, namespace: str, name: str, node: str, annotations: Mapping[str, str] | None) -> Record:
        record = self.record(kind, namespace, name)
        pod = record.decode()
        if pod["spec"].get("nodeName"):
            why = f"pod {name} is already assigned to node {pod['spec']['nodeName']!r}"
            raise errors.conflict("pods/binding", name, why)
        if record.deleting:
            raise errors.conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned")
        pod["spec"]["nodeName"] = node
        if annotations:
            pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | dict(annotations)
        set_condition(pod, "PodScheduled", "True", self._stamp())
        return self._save(kind, pod)

    def register_custom_kinds(self) -> None:
        """Serve exactly the kinds whose definitions are stored."""
        for kind in self._kinds:
            if kind.custom:
                self._kinds.remove(kind.resource)
        for record in self._records.rows(CRD_RESOURCE):
            self._kinds.add(kind_of_crd(record.decode()))

    # -- inside ----------------------------------------------------------------------------------------------

    def _stamp(self) -> str:
        return timestamp(self._now())

    @staticmethod
    def _own_copy(kind: Kind, obj: Mapping[str, Any]) -> Object:
        """A deep copy with apiVersion, kind and metadata in front."""
        copied: Object = msgspec.json.decode(msgspec.json.encode(obj))
        version = copied.pop("apiVersion", None) or kind.api_version()
        named = copied.pop("kind", None) or kind.kind
        meta = copied.pop("metadata", None) or {}
        if named != kind.kind or version not in [kind.api_version(each) for each in kind.versions]:
            raise errors.bad_request(
                f"the object is a {version} {named}, but {kind.resource} holds {kind.api_version()} {kind.kind}"
            )
        if not isinstance(meta, dict):
            raise errors.bad_request("metadata: expected an object")
        if not kind.custom:
            copied = _without_nulls(copied)
            meta = _without_nulls(meta)
        return to_stored(kind, {"apiVersion": version, "kind": named, "metadata": meta, **copied})

    @staticmethod
    def _namespace_of(kind: Kind, namespace: str | None, meta: Mapping[str, Any]) -> str:
        if not kind.namespaced:
            return ""
        sent = meta.get("namespace")
        if namespace and sent and sent != namespace:
            raise errors.bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request ({sent},"
                f" {namespace})"
            )
        return namespace or sent or "default"

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        record = self._records.find("namespaces", "", namespace)
        if record is None:
            raise errors.not_found("namespaces", namespace)
        if record.deleting:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(kind.resource, name, why)

    def _insert(self, kind: Kind, namespace: str, fresh: Object, manager: str) -> Record:
        """Store a new object whose metadata is complete."""
        name = str(fresh["metadata"].get("name", ""))
        self._check_namespace(kind, namespace, name)
        if self._records.find(kind.resource, namespace, name):
            raise errors.already_exists(kind.resource, name)
        if kind.status and kind.resource not in _KEEPS_STATUS_ON_CREATE:
            fresh.pop("status", None)
        fresh = self._admission.admit(kind, fresh, None)
        if "spec" in fresh:
            fresh["metadata"]["generation"] = 1
        if "managedFields" not in fresh["metadata"]:
            rules = rules_of(kind, fresh["apiVersion"])
            server_side.track(None, fresh, rules, manager, "", self._stamp())
        return self._save(kind, fresh)

    @staticmethod
    def _patched(kind: Kind, current: Object, patch: Any, how: PatchKind) -> Object:
        if how == "strategic":
            if not kind.builtin_schema:
                raise errors.unsupported_media(
                    f"strategic merge patch is not supported for {kind.resource}; use a merge patch (--type=merge)"
                )
            if not isinstance(patch, Mapping):
                raise errors.bad_request("a strategic merge patch is an object")
            patched = strategic_merge(current, patch, rules_of(kind, current["apiVersion"]))
        else:
            patched = json_patch(current, patch) if how == "json" else merge_patch(current, patch)
        if not isinstance(patched, dict):
            raise errors.bad_request("the patch does not leave an object")
        return patched

    def _replace(
        self, kind: Kind, record: Record, sent: Object, subresource: str, manager: str, *, attributed: bool = False
    ) -> Record:
        old = record.decode()
        meta = sent["metadata"]
        if meta.get("resourceVersion") not in (None, "", str(record.version)):
            raise errors.stale(kind.resource, record.name)
        if meta.get("uid") not in (None, "", record.uid):
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {record.uid}"
            raise errors.conflict(kind.resource, record.name, why)
        if subresource == "status":
            fresh = {key: value for key, value in old.items() if key != "status"}
            fresh |= {"status": sent["status"]} if "status" in sent else {}
            if attributed:
                fresh["metadata"] = old["metadata"] | {"managedFields": meta["managedFields"]}
        else:
            fresh = sent | {"metadata": kept_metadata(old["metadata"], meta)}
            if kind.status:
                fresh.pop("status", None)
                fresh |= {"status": old["status"]} if "status" in old else {}
        fresh = self._admission.admit(kind, fresh, old, subresource)
        if fresh.get("spec") != old.get("spec") and "spec" in fresh:
            fresh["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if fresh == old:
            return record
        if not attributed:
            rules = rules_of(kind, fresh["apiVersion"])
            server_side.track(old, fresh, rules, manager, subresource, self._stamp())
        saved = self._save(kind, fresh)
        return self._collector.settle(saved) if saved.deleting else saved

    def _save(self, kind: Kind, obj: Object) -> Record:
        """Encode with a new resourceVersion and store."""
        if kind.resource == CRD_RESOURCE:
            obj = with_established_status(obj, self._stamp())
            self._kinds.add(kind_of_crd(obj))
        record = self._seal(kind, obj)
        self._records.put(record)
        return record

    def _seal(self, kind: Kind, obj: Object) -> Record:
        obj["metadata"]["resourceVersion"] = str(self._records.next_version())
        return record_of(kind, obj, msgspec.json.encode(obj))

    def _after_removal(self, final: Record) -> None:
        """With a definition go its objects, finalizers or not, and the kind."""
        if final.resource == CRD_RESOURCE:
            kind = self._kinds.of(kind_of_crd(final.decode()).resource)
            if not kind.custom:
                return
            for record in self._records.rows(kind.resource):
                self._records.remove(self._seal(kind, record.decode()))
            self._kinds.remove(kind.resource)


def _without_nulls(value: Any) -> Any:
    """Null in a built-in object means that the field is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
