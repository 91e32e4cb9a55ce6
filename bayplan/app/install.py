"""Putting Bayplan into a cluster by server-side apply: the same call shows what it would change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bayplan.app.errors import Refused, Unreachable
from bayplan.app.identity import access
from bayplan.app.manifests import Options, manifests
from bayplan.clusters.kubernetes.http import Http
from bayplan.clusters.kubernetes.http import Unreachable as NoAnswer
from bayplan.model.base import Value
from bayplan.runtime.objects import ApiError

Json = dict[str, Any]

MANAGER = "bayplan-install"
_PATHS = {
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "api/v1/namespaces",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}


class Change(Value, frozen=True):
    """What applying one object did, or would do: created, configured or unchanged. `diff` as `diff -u` writes it."""

    kind: str
    name: str
    what: str
    diff: str = ""


def rendered(options: Options) -> str:
    """The manifests as YAML documents."""
    return yaml.safe_dump_all(manifests(options), sort_keys=False)


def install(kubeconfig: Path | None, options: Options, *, dry_run: bool = False) -> Iterator[Change]:
    """Applies every object in turn; with `dry_run` the server only says what it would do.

    Kueue's kinds are left alone where they are served by somebody else's definitions. Raises BadInput, Unreachable,
    Refused.
    """
    http = Http(access(kubeconfig))
    try:
        for obj in manifests(options):
            change = _applied(http, obj, dry_run)
            if change is not None:
                yield change
    except ApiError as error:
        raise Refused(error.status_code, error.message) from error
    except NoAnswer as error:
        raise Unreachable(str(error)) from error
    finally:
        http.close()


def _applied(http: Http, obj: Json, dry_run: bool) -> Change | None:
    path = _path(obj)
    before = _find(http, path)
    if obj["kind"] == "CustomResourceDefinition" and before is not None and not _is_ours(before):
        return None
    query = f"?fieldManager={MANAGER}&force=true" + ("&dryRun=All" if dry_run else "")
    body = json.dumps(obj).encode()
    try:
        answer = http.request("PATCH", path + query, body, kind="application/apply-patch+yaml")
    except ApiError as error:
        if not (dry_run and error.status_code == 404):
            raise
        after: Json = obj  # its namespace is only about to be made
    else:
        after = msgspec.json.decode(answer.body)
    return _change(obj, before, after)


def _change(obj: Json, before: Json | None, after: Json) -> Change:
    old, new = _text(before), _text(after)
    diff = "".join(unified_diff(old, new, "now", "then")) if old != new else ""
    what = "created" if before is None else "configured" if diff else "unchanged"
    return Change(obj["kind"], obj["metadata"]["name"], what, diff)


def _text(obj: Json | None) -> list[str]:
    """An object as people write it: without what the server keeps for itself."""
    if obj is None:
        return []
    kept = {k: v for k, v in obj.items() if k != "status"}
    noise = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation")
    kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in noise}
    return yaml.safe_dump(kept, sort_keys=True).splitlines(keepends=True)


def _find(http: Http, path: str) -> Json | None:
    try:
        found: Json = msgspec.json.decode(http.request("GET", path).body)
    except ApiError as error:
        if error.status_code == 404:
            return None
        raise
    return found


def _is_ours(obj: Json) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "bayplan")


def _path(obj: Json) -> str:
    meta = obj["metadata"]
    return _PATHS[obj["kind"]].format(meta.get("namespace", "")) + "/" + str(meta["name"])
