"""Advice on classes and claims, as sentences about a small fleet."""

from __future__ import annotations

import pytest

from bayplan.lint import Note, lint
from tests.lint.objects import DRIVER, Json, ask, claim, device, device_class, resource_slice, share

H100 = {"type": "gpu", "productName": "H100"}
GPU = device_class("gpu", f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'gpu'")
MIG = device_class("mig", f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'mig'")
PROFILE = f"device.attributes['{DRIVER}'].profile == "
FLEET: list[Json] = [
    GPU,
    MIG,
    resource_slice("a", *[device(f"gpu-{i}", **H100) for i in range(8)]),
    resource_slice("b", *[device(f"gpu-{i}", **H100) for i in range(4)]),
    resource_slice(
        "c",
        *[device(f"small-{i}", "9728Mi", type="mig", profile="1g.10gb") for i in range(4)],
        *[device(f"large-{i}", "19968Mi", type="mig", profile="1g.20gb") for i in range(2)],
    ),
]
SHARED = [GPU, resource_slice("a", device("gpu-0", shared=True, **H100))]
REQUEST = "spec.devices.requests[0].exactly"


def advice(obj: Json, around: list[Json]) -> list[Note]:
    return lint([obj], around)[0]


CLAIMS = [
    ("one GPU", claim(ask()), FLEET, []),
    ("no fleet known", claim(ask("a", "nothing"), ask("b", cel="false")), [], []),
    (
        "a class that is misspelt",
        claim(ask(cls="gqu")),
        FLEET,
        [("warning", f"{REQUEST}.deviceClassName", "there is no DeviceClass 'gqu'", "did you mean 'gpu'?")],
    ),
    (
        "a class of a driver nobody runs",
        claim(ask(cls="amd")),
        [*FLEET, device_class("amd", "device.driver == 'gpu.amd.com'")],
        [
            (
                "warning",
                f"{REQUEST}.deviceClassName",
                "class 'amd' matches none of the 18 devices of this fleet",
                f"drivers here: {DRIVER} (18)",
            )
        ],
    ),
    (
        "a product nobody has",
        claim(ask(cel=f"device.attributes['{DRIVER}'].productName == 'B200'")),
        FLEET,
        [
            (
                "warning",
                f"{REQUEST}.selectors[0].cel.expression",
                "never matches here: none of 12 devices of class 'gpu'",
                "what they publish: productName: 'H100' (12)",
            )
        ],
    ),
    (
        "an attribute nobody publishes",
        claim(ask(cel=f"device.attributes['{DRIVER}'].color == 'red'")),
        FLEET,
        [
            (
                "warning",
                f"{REQUEST}.selectors",
                "fails on 12 devices (no such key: color), and one failure ends the allocation on a node",
                "guard it: ask whether the name is there with `in` or has() first",
            )
        ],
    ),
    (
        "12Gi of a slice of 9.5Gi",
        claim(ask(cls="mig", cel=PROFILE + "'1g.10gb'", capacity=share("12Gi"))),
        FLEET,
        [
            (
                "warning",
                f"{REQUEST}.capacity.requests[memory]",
                "asks 12Gi, and 1g.10gb, the largest that matches, has 9.5Gi",
                "1g.20gb (19.5Gi) or H100 (80Gi) would do",
            )
        ],
    ),
    (
        "12Gi of any slice, where some are large enough",
        claim(ask(cls="mig", capacity=share("12Gi"))),
        [*FLEET, resource_slice("d", device("large-0", "19968Mi", type="mig", profile="1g.20gb"))],
        [],
    ),
    (
        "12Gi of a whole GPU",
        claim(ask(capacity=share("12Gi"))),
        FLEET,
        [
            (
                "hint",
                f"{REQUEST}.capacity.requests[memory]",
                "asks 12Gi and gets all of H100, 80Gi: 85 % unused",
                "1g.20gb (19.5Gi) or H100 (80Gi) would do",
            )
        ],
    ),
    (
        "12Gi as a share that nobody enforces",
        claim(ask(capacity=share("12Gi"))),
        SHARED,
        [
            (
                "warning",
                f"{REQUEST}.capacity.requests[memory]",
                "12Gi of 80Gi is only kept account of: nothing stops a process from using it all",
                "for a limit that holds, take a whole device or have the GPUs partitioned",
            )
        ],
    ),
    (
        "a device that could be shared, without a word of capacity",
        claim(ask()),
        SHARED,
        [
            (
                "hint",
                f"{REQUEST}.capacity",
                "says nothing of capacity and so takes all of a H100 that could be shared: 80Gi memory",
                "ask what you need, like capacity.requests.memory",
            )
        ],
    ),
    (
        "eight GPUs, which one node has",
        claim(ask(count=8)),
        FLEET,
        [
            (
                "hint",
                "spec.devices",
                "only node a of 3 can serve it, even when all are free",
                "loosen a selector or a count, if it may run elsewhere",
            )
        ],
    ),
    (
        "twelve GPUs, which no node has",
        claim(ask(count=12)),
        FLEET,
        [
            (
                "warning",
                f"{REQUEST}.count",
                "asks 12 devices of one node, and no node has more than 8",
                "a claim never spans nodes: give each pod a claim of at most 8",
            )
        ],
    ),
    (
        "more devices than a claim holds",
        claim(ask("a", count=20), ask("b", count=20)),
        [],
        [
            (
                "warning",
                "spec.devices.requests",
                "asks 40 devices, and a claim can hold 32: it can never be allocated",
                "spread them over several claims",
            )
        ],
    ),
    (
        "aligned by an attribute that is not there",
        claim(ask(), constraints=[{"matchAttribute": "resource.kubernetes.io/pcieRoot"}]),
        FLEET,
        [
            (
                "warning",
                "spec.devices.constraints[0].matchAttribute",
                "none of the 12 devices of request 'gpu' publishes resource.kubernetes.io/pcieRoot",
                f"drivers: {DRIVER} (12); constrain by an attribute they share",
            )
        ],
    ),
    (
        "a last resort that is not there",
        claim(
            {
                "name": "gpu",
                "firstAvailable": [
                    {"name": "small", "deviceClassName": "mig"},
                    {"name": "other", "deviceClassName": "mig", "selectors": [{"cel": {"expression": "false"}}]},
                ],
            },
            kind="ResourceClaimTemplate",
        ),
        FLEET,
        [
            (
                "hint",
                "spec.spec.devices.requests[0].firstAvailable[1].selectors[0].cel.expression",
                "never matches here: none of 6 devices of class 'mig'",
                "",
            )
        ],
    ),
]


@pytest.mark.parametrize(("obj", "around", "expected"), [row[1:] for row in CLAIMS], ids=[row[0] for row in CLAIMS])
def test_a_claim_of(obj: Json, around: list[Json], expected: list[tuple[str, str, str, str]]) -> None:
    assert [(n.severity, n.path, n.message, n.mend) for n in advice(obj, around)] == expected


def _sharing(**sharing: object) -> Json:
    parameters = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "GpuConfig", "sharing": sharing}
    return claim(ask(), config=[{"opaque": {"driver": DRIVER, "parameters": parameters}}])


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (_sharing(strategy="TimeSlicing"), "sharing.strategy"),
        (_sharing(strategy="MPS", mpsConfig={"defaultActiveThreadPercentage": 50}), "sharing.mpsConfig"),
        (_sharing(strategy="MPS", mpsConfig={"defaultPinnedDeviceMemoryLimit": "12Gi"}), ""),
    ],
    ids=["time slicing", "MPS without a limit", "MPS with a limit"],
)
def test_sharing_by(obj: Json, path: str) -> None:
    assert [n.path for n in advice(obj, [])] == ([f"spec.devices.config[0].opaque.parameters.{path}"] if path else [])


def test_a_class_that_matches_nothing_says_what_there_is() -> None:
    (found,) = advice(device_class("vfio", f"device.attributes['{DRIVER}'].type == 'vfio'"), FLEET)
    assert found == Note(
        "warning",
        "DeviceClass/vfio",
        "spec.selectors[0]",
        "matches none of the 18 devices of this fleet",
        "what they publish: type: 'gpu' (12), 'mig' (6)",
    )


def test_only_the_newest_generation_of_a_pool_counts() -> None:
    old = resource_slice("a", device("gpu-0", type="gpu"))
    new = resource_slice("a", pool={"name": "a", "generation": 2, "resourceSliceCount": 1})
    new["metadata"]["name"] = "newer"
    (found,) = advice(GPU, [old, new, resource_slice("b", device("x", type="mig"))])
    assert found.message == "matches none of the 1 devices of this fleet"


def test_what_the_api_refuses_gets_no_advice() -> None:
    assert [n.severity for n in advice(claim(ask(cls="nothing", count=0)), FLEET)] == ["error"]


def test_a_field_of_v1beta1_is_told_where_it_went() -> None:
    notes = advice(claim({"name": "gpu", "deviceClassName": "gpu"}), [])
    assert "in v1 it stands below: spec.devices.requests[0].exactly.deviceClassName" in [n.mend for n in notes]


def test_an_older_version_is_not_judged_but_named() -> None:
    (found,) = advice({**claim(ask()), "apiVersion": "resource.k8s.io/v1beta1"}, [])
    assert (found.severity, found.path) == ("hint", "apiVersion")


def test_the_server_s_defaults_are_filled_in_first() -> None:
    bare = claim({"name": "gpu", "exactly": {"deviceClassName": "gpu", "tolerations": [{"key": "a", "value": "b"}]}})
    del bare["metadata"]["namespace"]
    assert advice(bare, FLEET) == []
