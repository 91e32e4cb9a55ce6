"""Policy: all that a person may tune about a decision. Each choice is a name in a list of functions of `core`."""

from __future__ import annotations

from bayplan.model.base import Value
from bayplan.model.prices import Prices

DEFAULT_LEVELS = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.bayplan.dev/block",
    "topology.bayplan.dev/rack",
    "nvidia.com/gpu.clique",
    "kubernetes.io/hostname",
)


class Policy(Value, frozen=True):
    """`levels` are node label keys from the widest to the narrowest, used where no Kueue Topology names them; a clique
    is the nodes of one NVLink domain.

    `order`, `score` and `allocate` name the functions that order workloads, rank nodes and choose devices.
    `share_between_tenants` lets namespaces share a device that does not keep its users apart. `features` are the
    resource.k8s.io feature gates that are on. `prices`, if anybody worked them out, say what the work to come
    would pay for what is free. `half_life_s` is the time after which a workload that runs counts half as much in the
    request mix as one that waits; 0 = not at all.

    `recovery_timeout_s` is for how long an admitted gang may lack pods that cannot be placed before it is evicted whole
    (Kueue's waitForPodsReady.recoveryTimeout; 0 = for ever), `binding_timeout_s` for how long a pod waits for the
    binding conditions of its devices before other devices are sought (KEP-5007). `reserve_after_s` is for how long a
    workload may wait before room is kept for it and nobody later in the order overtakes it there; 0 = for ever.
    """

    order: str = "priority"
    score: str = "stranding"
    allocate: str = "packed"
    levels: tuple[str, ...] = DEFAULT_LEVELS
    seed: int = 0
    share_between_tenants: bool = False
    prices: Prices | None = None
    half_life_s: int = 86_400
    recovery_timeout_s: int = 300
    binding_timeout_s: int = 600
    reserve_after_s: int = 0
    features: tuple[str, ...] = (
        "DRAAdminAccess",
        "DRAConsumableCapacity",
        "DRADeviceBindingConditions",
        "DRADeviceTaints",
        "DRAExtendedResource",
        "DRAListTypeAttributes",
        "DRANodeAllocatableResources",
        "DRAPartitionableDevices",
        "DRAPrioritizedList",
        "DRAResourceClaimDeviceStatus",
    )
