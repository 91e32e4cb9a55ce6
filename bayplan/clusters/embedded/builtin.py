"""The kinds served from the start: the parts of Kubernetes, Kueue and JobSet that AI workloads touch.

Versions follow Kubernetes 1.37 (scheduling.k8s.io v1beta1 beside v1alpha2, resource.k8s.io v1), Kueue v1beta2 and
JobSet v1alpha2. Events are those of the core group: clients that would rather use events.k8s.io ask first. Kinds that
Kueue and JobSet bring as CRDs are built in here, so that nothing needs installing.
"""

from __future__ import annotations

from bayplan.clusters.embedded.kinds import Kind, ScalePaths

_ALL = ("all",)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)

_CORE = [
    Kind("", ("v1",), "Namespace", "namespaces", False, ("ns",), fields=("status.phase",)),
    Kind("", ("v1",), "Node", "nodes", False, ("no",), fields=("spec.unschedulable",)),
    Kind("", ("v1",), "Pod", "pods", True, ("po",), _ALL, fields=_POD_FIELDS),
    Kind("", ("v1",), "Event", "events", True, ("ev",), status=False, fields=_EVENT_FIELDS),
    Kind("", ("v1",), "ConfigMap", "configmaps", True, ("cm",), status=False),
    Kind("", ("v1",), "Secret", "secrets", True, status=False, fields=("type",)),
    Kind("", ("v1",), "Service", "services", True, ("svc",), _ALL, fields=("spec.clusterIP", "spec.type")),
    Kind("", ("v1",), "Endpoints", "endpoints", True, ("ep",), status=False),
    Kind("", ("v1",), "ServiceAccount", "serviceaccounts", True, ("sa",), status=False),
    Kind("", ("v1",), "PersistentVolumeClaim", "persistentvolumeclaims", True, ("pvc",)),
    Kind("", ("v1",), "PersistentVolume", "persistentvolumes", False, ("pv",)),
    Kind("", ("v1",), "LimitRange", "limitranges", True, ("limits",), status=False),
    Kind("", ("v1",), "ResourceQuota", "resourcequotas", True, ("quota",)),
    Kind("", ("v1",), "ReplicationController", "replicationcontrollers", True, ("rc",), _ALL, scale=ScalePaths()),
    Kind("", ("v1",), "PodTemplate", "podtemplates", True, status=False),
]

_WORKLOADS = [
    Kind("apps", ("v1",), "Deployment", "deployments", True, ("deploy",), _ALL, scale=ScalePaths()),
    Kind("apps", ("v1",), "ReplicaSet", "replicasets", True, ("rs",), _ALL, scale=ScalePaths()),
    Kind("apps", ("v1",), "StatefulSet", "statefulsets", True, ("sts",), _ALL, scale=ScalePaths()),
    Kind("apps", ("v1",), "DaemonSet", "daemonsets", True, ("ds",), _ALL),
    Kind("apps", ("v1",), "ControllerRevision", "controllerrevisions", True, status=False),
    Kind("batch", ("v1",), "Job", "jobs", True, (), _ALL, fields=("status.successful",)),
    Kind("batch", ("v1",), "CronJob", "cronjobs", True, ("cj",), _ALL),
    Kind("jobset.x-k8s.io", ("v1alpha2",), "JobSet", "jobsets", True, builtin_schema=False),
]

_CONTROL = [
    Kind("coordination.k8s.io", ("v1",), "Lease", "leases", True, status=False),
    Kind("policy", ("v1",), "PodDisruptionBudget", "poddisruptionbudgets", True, ("pdb",)),
    Kind("storage.k8s.io", ("v1",), "StorageClass", "storageclasses", False, ("sc",), status=False),
    Kind("rbac.authorization.k8s.io", ("v1",), "Role", "roles", True, status=False),
    Kind("rbac.authorization.k8s.io", ("v1",), "RoleBinding", "rolebindings", True, status=False),
    Kind("rbac.authorization.k8s.io", ("v1",), "ClusterRole", "clusterroles", False, status=False),
    Kind("rbac.authorization.k8s.io", ("v1",), "ClusterRoleBinding", "clusterrolebindings", False, status=False),
    Kind(
        "apiextensions.k8s.io",
        ("v1",),
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        ("crd", "crds"),
        ("api-extensions",),
    ),
    Kind(
        "authorization.k8s.io",
        ("v1",),
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        False,
        status=False,
        create_only=True,
    ),
    Kind(
        "authorization.k8s.io",
        ("v1",),
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        False,
        status=False,
        create_only=True,
    ),
]

_SCHEDULING = [
    Kind("scheduling.k8s.io", ("v1",), "PriorityClass", "priorityclasses", False, ("pc",), status=False),
    Kind("scheduling.k8s.io", ("v1beta1", "v1alpha2"), "PodGroup", "podgroups", True),
    Kind("scheduling.k8s.io", ("v1beta1", "v1alpha2"), "Workload", "workloads", True),
]

_DEVICES = [
    Kind(
        "resource.k8s.io",
        ("v1",),
        "ResourceSlice",
        "resourceslices",
        False,
        status=False,
        fields=("spec.nodeName", "spec.driver"),
    ),
    Kind("resource.k8s.io", ("v1",), "ResourceClaim", "resourceclaims", True),
    Kind("resource.k8s.io", ("v1",), "ResourceClaimTemplate", "resourceclaimtemplates", True, status=False),
    Kind("resource.k8s.io", ("v1",), "DeviceClass", "deviceclasses", False, status=False),
    Kind("resource.k8s.io", ("v1", "v1beta2"), "DeviceTaintRule", "devicetaintrules", False),
]

_KUEUE_GROUP = "kueue.x-k8s.io"
_KUEUE = [
    Kind(_KUEUE_GROUP, ("v1beta2",), "ClusterQueue", "clusterqueues", False, ("cq",), builtin_schema=False),
    Kind(
        _KUEUE_GROUP,
        ("v1beta2",),
        "LocalQueue",
        "localqueues",
        True,
        ("queue", "queues", "lq"),
        builtin_schema=False,
    ),
    Kind(
        _KUEUE_GROUP,
        ("v1beta2",),
        "ResourceFlavor",
        "resourceflavors",
        False,
        ("flavor", "flavors", "rf"),
        status=False,
        builtin_schema=False,
    ),
    Kind(_KUEUE_GROUP, ("v1beta2",), "Cohort", "cohorts", False, builtin_schema=False),
    Kind(_KUEUE_GROUP, ("v1beta2",), "Topology", "topologies", False, status=False, builtin_schema=False),
    Kind(_KUEUE_GROUP, ("v1beta2",), "Workload", "workloads", True, ("wl", "kueueworkload"), builtin_schema=False),
    Kind(
        _KUEUE_GROUP,
        ("v1beta2",),
        "WorkloadPriorityClass",
        "workloadpriorityclasses",
        False,
        status=False,
        builtin_schema=False,
    ),
    Kind(_KUEUE_GROUP, ("v1beta2",), "AdmissionCheck", "admissionchecks", False, builtin_schema=False),
]

BUILTIN_KINDS: tuple[Kind, ...] = (*_CORE, *_WORKLOADS, *_CONTROL, *_KUEUE, *_SCHEDULING, *_DEVICES)
