"""The service account can do what its manifest lists, and nothing beyond: the API server itself is asked."""

from __future__ import annotations

from itertools import product

import pytest

from bayplan.app.install import install
from bayplan.app.manifests import NAME, Options, rules
from bayplan.app.scheduler import LEASE, NAMESPACE
from bayplan.clusters.kubernetes.http import Http
from bayplan.runtime.objects import ApiError
from tests.cluster.process import Brain
from tests.cluster.world import World, access, job, pod, template
from tests.controlplane.run import ControlPlane

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
OTHERS = ("secrets", "configmaps", "serviceaccounts", "nodes/status", "pods/exec", "pods/eviction", "pods/status")


def allowed(world: World, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
    resource, _, sub = resource.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": sub,
        "namespace": namespace,
        "name": name,
    }
    user = f"system:serviceaccount:{NAMESPACE}:{NAME}"
    review = {"spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": asked}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(world.plane.request("POST", path, review)["status"]["allowed"])


def test_the_account_may_do_exactly_what_the_manifest_lists(world: World) -> None:
    listed = {
        (g, r, v) for rule in rules() for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }
    resources = sorted({(g, r) for g, r, _ in listed} | {("", r) for r in OTHERS})
    may = {(g, r, v) for (g, r), v in product(resources, VERBS) if allowed(world, v, g, r, "team-a")}
    assert may == listed


@pytest.mark.parametrize(
    ("verb", "namespace", "name", "may"),
    [
        ("update", NAMESPACE, LEASE, True),
        ("update", NAMESPACE, "another", False),
        ("get", "kube-system", "kube-scheduler", False),
        ("create", "team-a", "", False),
    ],
)
def test_of_leases_only_its_own_is_its_business(world: World, verb: str, namespace: str, name: str, may: bool) -> None:
    assert allowed(world, verb, "coordination.k8s.io", "leases", namespace, name) is may


def test_what_is_not_listed_is_refused_in_fact(plane: ControlPlane) -> None:
    http = Http(access(plane, plane.service_account(NAMESPACE, NAME)))
    for path in ("api/v1/secrets", "api/v1/configmaps", "apis/rbac.authorization.k8s.io/v1/clusterroles"):
        with pytest.raises(ApiError) as refused:
            http.request("GET", path)
        assert refused.value.status_code == 403
    http.close()


def test_no_write_of_a_working_scheduler_is_refused(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(template("four", gpus=4), job("low", pods=2, claim="four", priority="low"))
    world.until_bound(2)
    world.create(pod("waits", claim="four"), job("high", pods=2, claim="four", priority="high"))
    world.eventually(lambda: [n for n in world.bound() if n.startswith("high")])
    refused = [name for name in brain.metrics() if 'code="403"' in name]
    assert refused == []


def test_installing_again_changes_nothing(plane: ControlPlane) -> None:
    admin = plane.kubeconfig(plane.token, "admin.kubeconfig")
    assert {c.what for c in install(admin, Options(replicas=0))} == {"unchanged"}
    changed = {c.kind: c.what for c in install(admin, Options(replicas=1), dry_run=True)}
    assert changed.pop("Deployment") == "configured" and set(changed.values()) == {"unchanged"}
