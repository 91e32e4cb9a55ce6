"""The fleet file: a cluster that does not exist, in a page of YAML (`apiVersion: bayplan.dev/v1`, `kind: Fleet`).

It names groups of nodes, teams with quota, and the stream of work they send. Everything in it is checked before
anything is made of it: what is wrong is one Malformed with the file and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from bayplan.clusters.simulator.hardware import MODELS, Model
from bayplan.model import codec
from bayplan.model.node import Taint
from bayplan.model.quantity import Quantity
from bayplan.wire.errors import Malformed, malformed

API_VERSION = "bayplan.dev/v1"
GPUS_PER_NODE_MAX = 8
NODES_MAX = 20_000
# RFC 1123 label, short enough that names made from it stay below 63 characters
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A part of the file; a field nobody knows is an error."""


class Title(_Part, frozen=True):
    name: str


class NodeGroup(_Part, frozen=True):
    """`count` equal nodes, `gpus` cards of model `gpu` each ("" = none), in racks and blocks of racks."""

    name: str
    count: int
    cpu: Quantity
    memory: Quantity
    gpu: str = ""
    gpus: int | None = None
    rack_size: int = 8
    racks_per_block: int = 4
    pods: int = 110
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()

    @property
    def model(self) -> Model | None:
        return MODELS.get(self.gpu)

    @property
    def gpus_per_node(self) -> int:
        model = self.model
        return 0 if model is None else model.per_node if self.gpus is None else self.gpus

    def node(self, index: int) -> str:
        """The name of one of its nodes."""
        return f"{self.name}-{index:03d}"

    @property
    def units(self) -> int:
        """What quota counts: GPUs, or nodes where there are none."""
        return self.count * (self.gpus_per_node or 1)


class Team(_Part, frozen=True):
    """A team is a namespace, a ClusterQueue and a LocalQueue; `quota` is GPUs by node group."""

    name: str
    quota: dict[str, int]
    weight: int = 1


class Work(_Part, frozen=True):
    """One kind of job: `pods` of one size in a gang of a drawn size, arriving every `every_seconds` on average.

    A pod asks for `gpus` whole GPUs, or `gpu_memory` of one, or a MIG `partition`, on nodes of group `nodes` ("" =
    any). `rack` and `block` say whether the gang must (`required`) or should (`preferred`) share one. `teams` are
    drawn by weight. `uses_gpu_memory` is what a pod really needs of each GPU where it asks for more: the difference is
    waste. Run times are drawn between two bounds, short ones as often as long ones (log-uniform).
    """

    name: str
    every_seconds: int
    runtime_seconds: tuple[int, int]
    teams: dict[str, int] = {}
    pods: tuple[int, ...] = (1,)
    gpus: int = 0
    gpu_memory: Quantity | None = None
    partition: str = ""
    uses_gpu_memory: Quantity | None = None
    nodes: str = ""
    cpu: Quantity = Quantity.of(1)
    memory: Quantity = Quantity.of(1 << 30, "BinarySI")
    rack: Literal["", "required", "preferred"] = ""
    block: Literal["", "required", "preferred"] = ""
    priority: str = ""
    first: int = 0


class Failure(_Part, frozen=True):
    """A node that is gone for some `seconds`. Only `bayplan simulate` plays it."""

    node: str
    at_seconds: int
    seconds: int


class Fleet(_Part, frozen=True):
    """The whole file. `priorities` are WorkloadPriorityClasses; `objects` are Kubernetes objects, taken as they are."""

    api_version: Literal["bayplan.dev/v1"]
    kind: Literal["Fleet"]
    metadata: Title
    nodes: tuple[NodeGroup, ...]
    cohort: str = "research"
    teams: tuple[Team, ...] = ()
    priorities: dict[str, int] = {}
    work: tuple[Work, ...] = ()
    outages: tuple[Failure, ...] = ()
    objects: tuple[dict[str, Any], ...] = ()
    seed: int = 1

    def group(self, name: str) -> NodeGroup | None:
        return next((g for g in self.nodes if g.name == name), None)


def read_fleet(path: Path) -> Fleet:
    """The fleet file at `path`. Raises Malformed (naming the file and the field) or OSError."""
    return parse_fleet(path.read_text(encoding="utf-8"), str(path))


def parse_fleet(text: str, source: str = "fleet") -> Fleet:
    """The fleet in this YAML. Raises Malformed, which names `source`."""
    try:
        fleet = codec.from_builtins(load_yaml(text), Fleet)
        _check(fleet)
    except (msgspec.MsgspecError, ValueError) as error:
        raise malformed(error).of(source) from error
    return fleet


def load_yaml(text: str) -> Any:
    """One YAML document. Raises Malformed that names the line."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise Malformed(f"line {mark.line + 1}" if mark else "", str(problem)) from error


def _check(fleet: Fleet) -> None:
    _check_name("metadata.name", fleet.metadata.name)
    _check_names("nodes", [g.name for g in fleet.nodes])
    _check_names("teams", [t.name for t in fleet.teams])
    _check_names("work", [w.name for w in fleet.work])
    if not fleet.nodes:
        raise Malformed("nodes", "expected at least one group of nodes")
    for i, group in enumerate(fleet.nodes):
        _check_group(group, f"nodes[{i}]")
    for i, team in enumerate(fleet.teams):
        for name, units in team.quota.items():
            field = f"teams[{i}].quota.{name}"
            _check_known(field, name, [g.name for g in fleet.nodes], "a node group")
            _check_range(field, units, 0, 10**9)
        _check_range(f"teams[{i}].weight", team.weight, 1, 1000)
    for i, work in enumerate(fleet.work):
        _check_work(work, fleet, f"work[{i}]")
    names = {g.node(i) for g in fleet.nodes for i in range(g.count)} if fleet.outages else set()
    for i, outage in enumerate(fleet.outages):
        if outage.node not in names:
            raise Malformed(f"outages[{i}].node", f"expected a node as {min(names)}, got '{outage.node}'")
        _check_range(f"outages[{i}].atSeconds", outage.at_seconds, 0, 10**9)
        _check_range(f"outages[{i}].seconds", outage.seconds, 1, 10**9)
    for i, obj in enumerate(fleet.objects):
        if not obj.get("apiVersion") or not obj.get("kind"):
            raise Malformed(f"objects[{i}]", "expected a Kubernetes object with apiVersion and kind")


def _check_group(group: NodeGroup, field: str) -> None:
    _check_range(f"{field}.count", group.count, 1, NODES_MAX)
    _check_range(f"{field}.rackSize", group.rack_size, 1, NODES_MAX)
    _check_range(f"{field}.racksPerBlock", group.racks_per_block, 1, NODES_MAX)
    _check_range(f"{field}.pods", group.pods, 1, 10_000)
    _check_positive(f"{field}.cpu", group.cpu)
    _check_positive(f"{field}.memory", group.memory)
    if group.gpu:
        _check_known(f"{field}.gpu", group.gpu, MODELS, "a GPU model")
        _check_range(f"{field}.gpus", group.gpus_per_node, 1, GPUS_PER_NODE_MAX)
    elif group.gpus:
        raise Malformed(f"{field}.gpu", f"expected a GPU model ({', '.join(MODELS)}) for {group.gpus} GPUs")


def _check_work(work: Work, fleet: Fleet, field: str) -> None:
    _check_range(f"{field}.everySeconds", work.every_seconds, 1, 10**9)
    _check_range(f"{field}.first", work.first, 0, 10_000)
    _check_range(f"{field}.gpus", work.gpus, 0, GPUS_PER_NODE_MAX)
    low, high = work.runtime_seconds
    if not 1 <= low <= high:
        raise Malformed(f"{field}.runtimeSeconds", f"expected [shortest, longest] of at least 1 s, got [{low}, {high}]")
    if not work.pods:
        raise Malformed(f"{field}.pods", "expected at least one gang size")
    for i, pods in enumerate(work.pods):
        _check_range(f"{field}.pods[{i}]", pods, 1, 10_000)
    if not fleet.teams:
        raise Malformed("teams", "expected at least one team to send the work")
    for name, weight in work.teams.items():
        _check_known(f"{field}.teams.{name}", name, [t.name for t in fleet.teams], "a team")
        _check_range(f"{field}.teams.{name}", weight, 0, 10**6)
    if work.teams and not any(work.teams.values()):
        raise Malformed(f"{field}.teams", "expected a weight above 0")
    if work.priority:
        _check_known(f"{field}.priority", work.priority, fleet.priorities, "a priority class")
    if work.rack and work.block:
        raise Malformed(f"{field}.block", "expected one of rack and block")
    _check_positive(f"{field}.cpu", work.cpu)
    _check_positive(f"{field}.memory", work.memory)
    _check_devices(work, fleet, field)


def _check_devices(work: Work, fleet: Fleet, field: str) -> None:
    """Exactly one way to ask for GPUs, and one that the chosen nodes offer at all."""
    asked = {"gpus": bool(work.gpus), "gpuMemory": work.gpu_memory is not None, "partition": bool(work.partition)}
    given = [name for name, is_given in asked.items() if is_given]
    if len(given) > 1:
        raise Malformed(f"{field}.{given[1]}", f"expected one of {', '.join(asked)}, got {' and '.join(given)}")
    if work.nodes:
        _check_known(f"{field}.nodes", work.nodes, [g.name for g in fleet.nodes], "a node group")
    groups = [g for g in fleet.nodes if not work.nodes or g.name == work.nodes]
    where = f"nodes of '{work.nodes}'" if work.nodes else "nodes"
    if work.uses_gpu_memory is not None:
        _check_positive(f"{field}.usesGpuMemory", work.uses_gpu_memory)
    if work.gpu_memory is not None:
        _check_positive(f"{field}.gpuMemory", work.gpu_memory)
        most = max((g.model.memory_mib for g in groups if g.model and g.model.mode == "shared"), default=0)
        if work.gpu_memory.value > most << 20:
            raise Malformed(f"{field}.gpuMemory", f"the {where} share at most {most}Mi of a GPU, got {work.gpu_memory}")
    if work.partition:
        offered = [p.name for g in groups if g.model for p in g.model.profiles]
        _check_known(f"{field}.partition", work.partition, dict.fromkeys(offered), f"a MIG profile of the {where}")
    if work.gpus and not any(_whole(g) >= work.gpus for g in groups):
        most = max(map(_whole, groups))
        raise Malformed(f"{field}.gpus", f"the {where} have at most {most} whole GPUs each, got {work.gpus}")


def _whole(group: NodeGroup) -> int:
    """Whole GPUs a node of the group can give to one pod."""
    model = group.model
    return group.gpus_per_node if model and (model.mode != "mig" or model.full_beside_mig) else 0


def _check_names(field: str, names: list[str]) -> None:
    for i, name in enumerate(names):
        _check_name(f"{field}[{i}].name", name)
        if name in names[:i]:
            raise Malformed(f"{field}[{i}].name", f"'{name}' is there twice")


def _check_name(field: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Malformed(field, f"expected up to 40 of a-z, 0-9 and '-', got '{name}'")


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Malformed(field, f"expected {low} to {high}, got {value}")


def _check_positive(field: str, value: Quantity) -> None:
    if value.nano <= 0:
        raise Malformed(field, f"expected a quantity above 0, got {value}")


def _check_known(field: str, name: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if name not in names:
        raise Malformed(field, f"expected {what} ({', '.join(names) or 'there is none'}), got '{name}'")
