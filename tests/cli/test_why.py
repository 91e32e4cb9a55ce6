"""Who is meant by a name, and what is said of work that can never start."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.app.observed import Observed
from bayplan.app.views.why import Unknown, Why, why_view
from bayplan.cli.why import alike
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster


def world() -> Snapshot:
    """A running job, two pods of a Deployment on one card, and a gang no rack could ever hold."""
    made = cluster("r1/a=8 r1/b=2:a100share", "moon:4x8@rack", running="train:8@a chat-1:12Gi@b chat-2:12Gi@b")
    renamed = {"default/chat-1": "Pod/chat-7d9f-1", "default/chat-2": "Pod/chat-7d9f-2"}
    workloads = {key: msgspec.structs.replace(w, owner=renamed.get(key, w.owner)) for key, w in made.workloads.items()}
    return made.replace(workloads=workloads)


def asked(name: str, namespace: str = "") -> tuple[Why, ...] | Unknown:
    return why_view(Observed(world(), now_s=100), Policy(), name, namespace=namespace)


@pytest.mark.parametrize("name", ["train", "TRAIN", "job/train", "default/train", "train-main-0"])
def test_a_workload_answers_to_its_job_its_kind_its_namespace_and_its_pods(name: str) -> None:
    found = asked(name)
    assert isinstance(found, tuple)
    assert [(w.name, w.state) for w in found] == [("train", "running")]


def test_a_deployment_means_its_pods_and_equal_ones_are_said_once() -> None:
    found = asked("chat-7d9f")
    assert isinstance(found, tuple) and len(found) == 2
    (one,) = alike(msgspec.structs.replace(w, since_s=1) for w in found)
    assert one.name == "chat-7d9f-1 (2 alike)"
    assert [(s.node, s.pods, s.devices) for s in one.where] == [("b", 2, ("gpu-0 (12Gi memory)",) * 2)]


@pytest.mark.parametrize(("name", "namespace"), [("nobody", ""), ("train", "elsewhere")])
def test_nobody_is_called_that(name: str, namespace: str) -> None:
    assert isinstance(asked(name, namespace), Unknown)


def test_what_no_rack_could_ever_hold_is_never_and_is_told_what_would_fit() -> None:
    found = asked("moon")
    assert isinstance(found, tuple)
    (moon,) = found
    assert (moon.state, moon.reason, moon.start_s) == ("never", "TopologyPlacementFailed", 0)
    assert moon.best.startswith("never fits: ")
