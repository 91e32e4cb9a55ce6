"""What `kubectl get` shows for each kind: the columns of kubectl's own printers, with WHY and START beside them.

WHY and START are short texts that the scheduler writes into annotations of pods, jobs and workloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bayplan.clusters.embedded import jsonpath
from bayplan.clusters.embedded.meta import parse_timestamp
from bayplan.clusters.embedded.selectors import selector_text

WHY_ANNOTATION = "bayplan.dev/why"
START_ANNOTATION = "bayplan.dev/start"

Object = Mapping[str, Any]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `wide` ones appear with -o wide. `value` gets the object and the time now."""

    name: str
    value: Callable[[Object, datetime], Any]
    type: str = "string"
    wide: bool = False
    format: str = ""
    description: str = ""

    def definition(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": int(self.wide),
        }


def human_duration(seconds: int) -> str:
    """A duration with the precision that matters, as kubectl's HumanDuration: 119s, 5m10s, 3h, 2d4h, 1y20d."""
    if seconds < 0:
        return "0s" if seconds >= -2 else "<invalid>"
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 2920 else f"{days // 365}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def since(text: str | None, now: datetime) -> str:
    return human_duration(int((now - parse_timestamp(text)).total_seconds())) if text else "<unknown>"


def at(path: str, missing: Any = "") -> Callable[[Object, datetime], Any]:
    """The values at a JSONPath, joined by commas."""

    def value(obj: Object, now: datetime) -> Any:
        found = [each for each in jsonpath.find(path, obj) if each is not None]
        if len(found) == 1 and not isinstance(found[0], (dict, list)):
            return found[0]
        return ",".join(str(each) for each in found) if found else missing

    return value


def annotation(name: str) -> Callable[[Object, datetime], Any]:
    return lambda obj, now: (obj["metadata"].get("annotations") or {}).get(name, "")


def count_of(*fields: str) -> Callable[[Object, datetime], Any]:
    return lambda obj, now: sum(len(obj.get(field) or ()) for field in fields)


NAME = Column("Name", lambda obj, now: obj["metadata"]["name"], format="name", description="Name must be unique")
AGE = Column("Age", lambda obj, now: since(obj["metadata"].get("creationTimestamp"), now))
WHY = Column("Why", annotation(WHY_ANNOTATION), description="Why it waits, in a few words")
START = Column("Start", annotation(START_ANNOTATION), description="When it is expected to start")


def number(name: str, path: str, *, wide: bool = False) -> Column:
    return Column(name, at(path, 0), "integer", wide)


def text(name: str, path: str, missing: Any = NONE, *, wide: bool = False) -> Column:
    return Column(name, at(path, missing), wide=wide)


def printed(spec: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns of a CRD's additionalPrinterColumns, with the name in front and an age if there are none."""
    return [NAME, *(_printed(column) for column in spec)] if spec else [NAME, AGE]


def _printed(column: Mapping[str, Any]) -> Column:
    path, kind = column["jsonPath"], column.get("type", "string")
    value = at(path)
    if kind == "date":
        value = lambda obj, now: since(str(at(path)(obj, now)), now) if at(path)(obj, now) else ""  # noqa: E731
    shown = "string" if kind == "date" else kind
    about = column.get("description", "")
    return Column(column["name"], value, shown, column.get("priority", 0) > 0, column.get("format", ""), about)


# -- pods and what makes them ---------------------------------------------------------------------------------


def _containers(pod: Object) -> list[Mapping[str, Any]]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _ready(pod: Object, now: datetime) -> str:
    total = len((pod.get("spec") or {}).get("containers") or ())
    return f"{sum(1 for each in _containers(pod) if each.get('ready'))}/{total}"


def _restarts(pod: Object, now: datetime) -> int:
    return sum(each.get("restartCount", 0) for each in _containers(pod))


def pod_status(pod: Object, now: datetime) -> str:
    """The word kubectl shows: the phase, unless a reason, a container's state or a deletion says more."""
    status = pod.get("status") or {}
    word = status.get("reason") or status.get("phase") or "Unknown"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    for each in reversed(_containers(pod)):
        state = each.get("state") or {}
        said = (state.get("waiting") or state.get("terminated") or {}).get("reason")
        word = said or word
    if "deletionTimestamp" in pod["metadata"]:
        return word if status.get("phase") in ("Succeeded", "Failed") else "Terminating"
    return str(word)


def _selector(path: str) -> Callable[[Object, datetime], str]:
    def value(obj: Object, now: datetime) -> str:
        found = jsonpath.find(path, obj)
        return (selector_text(found[0]) if found and found[0] else "") or NONE

    return value


_POD = [
    NAME,
    Column("Ready", _ready),
    Column("Status", pod_status),
    Column("Restarts", _restarts, "integer"),
    AGE,
    WHY,
    START,
    text("IP", ".status.podIP", wide=True),
    text("Node", ".spec.nodeName", wide=True),
    text("Nominated Node", ".status.nominatedNodeName", wide=True),
    Column("Readiness Gates", lambda obj, now: NONE, wide=True),
]
_TEMPLATE = [
    text("Containers", ".spec.template.spec.containers[*].name", wide=True),
    text("Images", ".spec.template.spec.containers[*].image", wide=True),
]
_SELECTED = [*_TEMPLATE, Column("Selector", _selector(".spec.selector"), wide=True)]


def _fraction(have: str, want: str) -> Callable[[Object, datetime], str]:
    return lambda obj, now: f"{at(have, 0)(obj, now)}/{at(want, 0)(obj, now)}"


def _job_status(job: Object, now: datetime) -> str:
    conditions = (job.get("status") or {}).get("conditions") or ()
    true = [each["type"] for each in conditions if each.get("status") == "True"]
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if kind in true:
            return word
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _job_completions(job: Object, now: datetime) -> str:
    done, spec = at(".status.succeeded", 0)(job, now), job.get("spec") or {}
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism", 1)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(job: Object, now: datetime) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
    return human_duration(int((end - parse_timestamp(status["startTime"])).total_seconds()))


_JOB = [
    NAME,
    Column("Status", _job_status),
    Column("Completions", _job_completions),
    Column("Duration", _job_duration),
    AGE,
    WHY,
    START,
    *_SELECTED,
]

# -- nodes and devices ----------------------------------------------------------------------------------------


def _node_status(node: Object, now: datetime) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((each.get("status") for each in conditions if each.get("type") == "Ready"), None)
    word = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    return word + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


def _node_roles(node: Object, now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def node_gpus(node: Object) -> str:
    """What the scheduler says, else what the device plugin does; the devices of DRA are in ResourceSlices."""
    if said := (node["metadata"].get("annotations") or {}).get("bayplan.dev/gpus"):
        return str(said)
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    counts = [str(value) for name, value in sorted(allocatable.items()) if name.endswith("/gpu")]
    return "+".join(counts)


_NODE = [
    NAME,
    Column("Status", _node_status),
    Column("Roles", _node_roles),
    AGE,
    text("Version", ".status.nodeInfo.kubeletVersion", ""),
    Column("GPUs", lambda node, now: node_gpus(node)),
    text("Internal-IP", '.status.addresses[?(@.type=="InternalIP")].address', wide=True),
    text("OS-Image", ".status.nodeInfo.osImage", wide=True),
    text("Kernel-Version", ".status.nodeInfo.kernelVersion", wide=True),
]


def _claim_state(claim: Object, now: datetime) -> str:
    status = claim.get("status") or {}
    states = ["deleted"] if "deletionTimestamp" in claim["metadata"] else []
    states += ["allocated"] if status.get("allocation") else []
    states += ["reserved"] if status.get("reservedFor") else []
    return ",".join(states) or "pending"


_DEVICES = {
    "resourceclaims.resource.k8s.io": [
        NAME,
        Column("State", _claim_state),
        AGE,
        text("Devices", ".status.allocation.devices.results[*].device", "", wide=True),
    ],
    "resourceclaimtemplates.resource.k8s.io": [NAME, AGE],
    "resourceslices.resource.k8s.io": [
        NAME,
        text("Node", ".spec.nodeName", ""),
        text("Driver", ".spec.driver", ""),
        text("Pool", ".spec.pool.name", ""),
        AGE,
        Column("Devices", lambda obj, now: len(obj["spec"].get("devices") or ()), "integer", wide=True),
    ],
}

# -- queues ---------------------------------------------------------------------------------------------------

_WORKLOAD = [
    NAME,
    text("Queue", ".spec.queueName", ""),
    text("Reserved in", ".status.admission.clusterQueue", ""),
    text("Admitted", '.status.conditions[?(@.type=="Admitted")].status', ""),
    text("Finished", '.status.conditions[?(@.type=="Finished")].status', "", wide=True),
    AGE,
    WHY,
    START,
]
_QUEUES = {
    "workloads.kueue.x-k8s.io": _WORKLOAD,
    "clusterqueues.kueue.x-k8s.io": [
        NAME,
        text("Cohort", ".spec.cohortName", ""),
        text("Strategy", ".spec.queueingStrategy", "", wide=True),
        number("Pending workloads", ".status.pendingWorkloads"),
        number("Admitted workloads", ".status.admittedWorkloads"),
        AGE,
    ],
    "localqueues.kueue.x-k8s.io": [
        NAME,
        text("ClusterQueue", ".spec.clusterQueue", ""),
        number("Pending workloads", ".status.pendingWorkloads"),
        number("Admitted workloads", ".status.admittedWorkloads"),
        AGE,
    ],
    "cohorts.kueue.x-k8s.io": [NAME, text("Parent", ".spec.parentName", ""), AGE],
    "workloadpriorityclasses.kueue.x-k8s.io": [NAME, number("Value", ".value"), AGE],
    "jobsets.jobset.x-k8s.io": [
        NAME,
        text("TerminalState", ".status.terminalState", ""),
        number("Restarts", ".status.restarts"),
        text("Completed", '.status.conditions[?(@.type=="Completed")].status', ""),
        text("Suspended", ".spec.suspend", ""),
        AGE,
        WHY,
        START,
    ],
    "podgroups.scheduling.k8s.io": [
        NAME,
        number("Min count", ".spec.schedulingPolicy.gang.minCount"),
        text("Scheduled", '.status.conditions[?(@.type=="PodGroupInitiallyScheduled")].status', ""),
        AGE,
        WHY,
        START,
    ],
}

# -- the rest -------------------------------------------------------------------------------------------------


def _last_seen(event: Object, now: datetime) -> str:
    seen = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    return since(seen or event["metadata"].get("creationTimestamp"), now)


def _involved(event: Object, now: datetime) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _ports(service: Object, now: datetime) -> str:
    ports = (service.get("spec") or {}).get("ports") or ()
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in ports) or NONE


def _true_or_false(path: str) -> Callable[[Object, datetime], str]:
    return lambda obj, now: str(bool(at(path)(obj, now))).lower()


COLUMNS: dict[str, list[Column]] = {
    "pods": _POD,
    "jobs.batch": _JOB,
    "nodes": _NODE,
    **_DEVICES,
    **_QUEUES,
    "namespaces": [NAME, text("Status", ".status.phase", ""), AGE],
    "configmaps": [NAME, Column("Data", count_of("data", "binaryData"), "integer"), AGE],
    "secrets": [NAME, text("Type", ".type", ""), Column("Data", count_of("data"), "integer"), AGE],
    "serviceaccounts": [NAME, Column("Secrets", count_of("secrets"), "integer"), AGE],
    "services": [
        NAME,
        text("Type", ".spec.type"),
        text("Cluster-IP", ".spec.clusterIP"),
        Column("External-IP", lambda obj, now: NONE),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", _selector(".spec.selector"), wide=True),
    ],
    "events": [
        Column("Last Seen", _last_seen),
        text("Type", ".type", ""),
        text("Reason", ".reason", ""),
        Column("Object", _involved),
        text("Source", ".source.component", "", wide=True),
        text("Message", ".message", ""),
        number("Count", ".count", wide=True),
        Column("Name", lambda obj, now: obj["metadata"]["name"], wide=True, format="name"),
    ],
    "persistentvolumeclaims": [
        NAME,
        text("Status", ".status.phase", ""),
        text("Volume", ".spec.volumeName", ""),
        text("Capacity", ".status.capacity.storage", ""),
        text("Access Modes", ".status.accessModes[*]", ""),
        text("StorageClass", ".spec.storageClassName", ""),
        AGE,
    ],
    "deployments.apps": [
        NAME,
        Column("Ready", _fraction(".status.readyReplicas", ".spec.replicas")),
        number("Up-to-date", ".status.updatedReplicas"),
        number("Available", ".status.availableReplicas"),
        AGE,
        *_SELECTED,
    ],
    "replicasets.apps": [
        NAME,
        number("Desired", ".spec.replicas"),
        number("Current", ".status.replicas"),
        number("Ready", ".status.readyReplicas"),
        AGE,
        *_SELECTED,
    ],
    "statefulsets.apps": [
        NAME,
        Column("Ready", _fraction(".status.readyReplicas", ".spec.replicas")),
        AGE,
        *_TEMPLATE,
    ],
    "daemonsets.apps": [
        NAME,
        number("Desired", ".status.desiredNumberScheduled"),
        number("Current", ".status.currentNumberScheduled"),
        number("Ready", ".status.numberReady"),
        AGE,
        *_SELECTED,
    ],
    "leases.coordination.k8s.io": [NAME, text("Holder", ".spec.holderIdentity", ""), AGE],
    "poddisruptionbudgets.policy": [
        NAME,
        text("Min Available", ".spec.minAvailable", "N/A"),
        text("Max Unavailable", ".spec.maxUnavailable", "N/A"),
        number("Allowed Disruptions", ".status.disruptionsAllowed"),
        AGE,
    ],
    "priorityclasses.scheduling.k8s.io": [
        NAME,
        number("Value", ".value"),
        Column("Global-Default", _true_or_false(".globalDefault")),
        AGE,
        text("PreemptionPolicy", ".preemptionPolicy", ""),
    ],
    "customresourcedefinitions.apiextensions.k8s.io": [NAME, text("Created At", ".metadata.creationTimestamp", "")],
}
