"""The objects that put Bayplan into a cluster: who it is, what it may do, how it runs.

`bayplan install` applies them and the Helm chart in `deploy/` renders the same; a test compares the two. The rules
below are exactly the requests the body makes (`bayplan.clusters.kubernetes`), and a test tries others.
"""

from __future__ import annotations

from typing import Any

from bayplan.app.scheduler import LEASE, NAMESPACE, RECOVERY_TIMEOUT_S
from bayplan.model.base import Value
from bayplan.workloads import KINDS as JOB_KINDS

Json = dict[str, Any]

NAME = "bayplan-scheduler"
IMAGE = "ghcr.io/bayplan/bayplan:0.1.0"
PORT = 8080
USER_ID = 65532  # "nonroot" of distroless images
_LABELS = {"app.kubernetes.io/name": "bayplan", "app.kubernetes.io/component": "scheduler"}
_READ = ["list", "watch"]


class Options(Value, frozen=True):
    """What differs between installations. `crds` are Kueue's kinds, for clusters without a Kueue.

    The last three are the scheduler's options of those names.
    """

    namespace: str = NAMESPACE
    image: str = IMAGE
    replicas: int = 2
    queues: str = "bayplan"
    crds: bool = True
    prices: bool = False
    recovery_timeout_s: int = RECOVERY_TIMEOUT_S
    reserve_after_s: int = 0


def manifests(options: Options) -> list[Json]:
    """Every object, in the order in which it is applied."""
    made = list(kueue_crds()) if options.crds and options.queues == "bayplan" else []
    made += [_namespace(options), _account(options), _cluster_role(options), _cluster_binding(options)]
    return [*made, _role(options), _binding(options), _deployment(options), _disruption_budget(options)]


def rules(queues: str = "bayplan") -> list[Json]:
    """The ClusterRole's rules: every (group, resource, verb) that is used, and no other.

    Where Kueue admits, jobs and Workloads are only read.
    """
    admits = queues == "bayplan"
    found = [
        _rule("", ["nodes", "namespaces"], _READ),
        _rule("", ["pods"], ["get", *_READ, "patch", "delete"]),
        _rule("", ["pods/binding"], ["create"]),
        _rule("", ["pods/status"], ["patch"]),
        _rule("", ["events"], ["create", "patch"]),
        _rule(
            "resource.k8s.io", ["resourceslices", "deviceclasses", "resourceclaimtemplates", "devicetaintrules"], _READ
        ),
        _rule("resource.k8s.io", ["resourceclaims"], [*_READ, "create", "patch"]),
        _rule("resource.k8s.io", ["resourceclaims/status", "resourceclaims/binding"], ["patch"]),
        _rule("scheduling.k8s.io", ["priorityclasses", "podgroups", "workloads"], _READ),
        _rule("scheduling.k8s.io", ["podgroups/status"], ["patch"]),
        _rule("kueue.x-k8s.io", _QUEUE_KINDS, _READ),
        _rule("kueue.x-k8s.io", ["workloads"], [*_READ, *(["create", "update", "patch", "delete"] if admits else [])]),
        _rule("trainer.kubeflow.org", ["clustertrainingruntimes", "trainingruntimes"], _READ),
    ]
    groups: dict[str, list[str]] = {}
    for kind in JOB_KINDS:
        groups.setdefault(kind.group, []).append(kind.plural)
    verbs = [*_READ, "patch"] if admits else _READ
    found += [_rule(group, sorted(plurals), verbs) for group, plurals in sorted(groups.items())]
    if admits:
        found += [_rule("batch", ["jobs/status"], ["patch"]), _rule("kueue.x-k8s.io", ["workloads/status"], ["patch"])]
    return found


_QUEUE_KINDS = ["clusterqueues", "cohorts", "localqueues", "resourceflavors", "topologies", "workloadpriorityclasses"]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Json:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _meta(options: Options, name: str = NAME, *, cluster: bool = False) -> Json:
    meta: Json = {"name": name, "labels": dict(_LABELS)}
    return meta if cluster else meta | {"namespace": options.namespace}


def _namespace(options: Options) -> Json:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": options.namespace, "labels": _LABELS | enforced},
    }


def _account(options: Options) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(options)}


def _cluster_role(options: Options) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": _meta(options, cluster=True),
        "rules": rules(options.queues),
    }


def _cluster_binding(options: Options) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _meta(options, cluster=True),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [_subject(options)],
    }


def _role(options: Options) -> Json:
    """The lease, and nothing else of its namespace; RBAC cannot name an object that is yet to be created."""
    lease = _rule("coordination.k8s.io", ["leases"], ["get", "update"]) | {"resourceNames": [LEASE]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _meta(options),
        "rules": [_rule("coordination.k8s.io", ["leases"], ["create"]), lease],
    }


def _binding(options: Options) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _meta(options),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": [_subject(options)],
    }


def _subject(options: Options) -> Json:
    return {"kind": "ServiceAccount", "name": NAME, "namespace": options.namespace}


def _deployment(options: Options) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(options),
        "spec": {
            "replicas": options.replicas,
            "selector": {"matchLabels": dict(_LABELS)},
            "template": {"metadata": {"labels": dict(_LABELS)}, "spec": _pod(options)},
        },
    }


def _pod(options: Options) -> Json:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(_LABELS)},
    }
    return {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "containers": [_container(options)],
    }


def _container(options: Options) -> Json:
    return {
        "name": "scheduler",
        "image": options.image,
        "args": [
            "scheduler",
            f"--listen=0.0.0.0:{PORT}",
            f"--queues={options.queues}",
            f"--namespace={options.namespace}",
            f"--recovery-timeout={options.recovery_timeout_s}",
            f"--reserve-after={options.reserve_after_s}",
            *(["--prices"] if options.prices else []),
        ],
        "ports": [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "metrics"}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _disruption_budget(options: Options) -> Json:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(options),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(_LABELS)}},
    }


# --- Kueue's kinds, where there is no Kueue ------------------------------------------------------------------------

_CRDS = (
    ("ClusterQueue", "clusterqueues", "Cluster", ("cq",)),
    ("Cohort", "cohorts", "Cluster", ()),
    ("LocalQueue", "localqueues", "Namespaced", ("queue", "queues", "lq")),
    ("ResourceFlavor", "resourceflavors", "Cluster", ("flavor", "flavors", "rf")),
    ("Topology", "topologies", "Cluster", ()),
    ("Workload", "workloads", "Namespaced", ("wl",)),
    ("WorkloadPriorityClass", "workloadpriorityclasses", "Cluster", ()),
)
_COLUMNS = {
    "Workload": [
        ("Queue", "string", ".spec.queueName"),
        ("Admitted", "string", ".status.conditions[?(@.type=='Admitted')].status"),
        ("Start", "string", ".metadata.annotations.bayplan\\.dev/start"),
        ("Why", "string", ".metadata.annotations.bayplan\\.dev/why"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ]
}


def kueue_crds() -> list[Json]:
    """CustomResourceDefinitions of the Kueue kinds Bayplan reads, open in their fields: a Kueue's own may follow."""
    return [_crd(*row) for row in _CRDS]


def _crd(kind: str, plural: str, scope: str, short: tuple[str, ...]) -> Json:
    version: Json = {
        "name": "v1beta2",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    columns = [{"name": n, "type": t, "jsonPath": p} for n, t, p in _COLUMNS.get(kind, ())]
    if columns:
        version["additionalPrinterColumns"] = columns
    names: Json = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    if short:
        names["shortNames"] = list(short)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.kueue.x-k8s.io", "labels": dict(_LABELS)},
        "spec": {"group": "kueue.x-k8s.io", "scope": scope, "names": names, "versions": [version]},
    }
