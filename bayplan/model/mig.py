"""What NVIDIA's MIG can cut an 80 GB card into: profiles, their engines and placements, and the ways to fill a card.

Figures are those `gpu.nvidia.com` announces (dra-driver-nvidia-gpu 0.5-dev); placements are the same on A100 and H100.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

MEMORY_SLICES = 8


class Engines(NamedTuple):
    """Amounts of what MIG divides: SMs, copy engines, decoders, JPEG engines, optical flow accelerators."""

    multiprocessors: int
    copy_engines: int
    decoders: int
    jpeg_engines: int
    ofa_engines: int


class Profile(NamedTuple):
    """A MIG profile: its name and the driver's number for it, memory, engines, memory slices and possible starts."""

    name: str
    number: int
    memory_mib: int
    engines: Engines
    width: int
    starts: tuple[int, ...]


class Placed(NamedTuple):
    """One partition: a profile at a start."""

    profile: Profile
    start: int


Packing = tuple[Placed, ...]
"""Partitions side by side on one card, by start."""


def _profiles(table: tuple[tuple[int, tuple[int, int, int, int, int]], ...]) -> tuple[Profile, ...]:
    """The seven profiles of an 80 GB card."""
    layout = (
        ("1g.10gb", 19, 1, tuple(range(7))),
        ("1g.10gb+me", 20, 1, tuple(range(7))),
        ("1g.20gb", 15, 2, (0, 2, 4, 6)),
        ("2g.20gb", 14, 2, (0, 2, 4)),
        ("3g.40gb", 9, 4, (0, 4)),
        ("4g.40gb", 5, 4, (0,)),
        ("7g.80gb", 0, 8, (0,)),
    )
    return tuple(
        Profile(name, number, memory_mib, Engines(*engines), width, starts)
        for (name, number, width, starts), (memory_mib, engines) in zip(layout, table, strict=True)
    )


A100_PROFILES = _profiles(
    (
        (9728, (14, 1, 0, 0, 0)),
        (9728, (14, 1, 1, 1, 1)),
        (19968, (14, 1, 1, 0, 0)),
        (19968, (28, 2, 1, 0, 0)),
        (40192, (42, 3, 2, 0, 0)),
        (40192, (56, 4, 2, 0, 0)),
        (80896, (98, 7, 5, 1, 1)),
    )
)
H100_PROFILES = _profiles(
    (
        (9984, (16, 1, 1, 1, 0)),
        (9984, (16, 1, 1, 1, 1)),
        (20096, (26, 1, 1, 1, 0)),
        (20096, (32, 2, 2, 2, 0)),
        (40448, (60, 3, 3, 3, 0)),
        (40448, (64, 4, 4, 4, 0)),
        (81152, (132, 8, 7, 7, 1)),
    )
)


def profiles_of(product: str) -> tuple[Profile, ...]:
    """The profiles of a product by its `productName`; () for a card whose table is not known."""
    if "80GB" not in product:
        return ()
    return A100_PROFILES if "A100" in product else H100_PROFILES if "H100" in product else ()


@cache
def packings(profiles: tuple[Profile, ...]) -> tuple[Packing, ...]:
    """Every maximal set of partitions of a card, one for each combination of profiles; fewest partitions first."""
    partitions = [Placed(p, start) for p in profiles for start in p.starts]
    most = Engines(*(max(amounts) for amounts in zip(*(p.engines for p in profiles), strict=True)))
    found: dict[tuple[str, ...], Packing] = {}

    def extend(chosen: Packing, first: int, slots: int, left: tuple[int, ...]) -> None:
        fitting = [
            (i, p)
            for i, p in enumerate(partitions)
            if not slots & _slots(p) and all(n <= m for n, m in zip(p.profile.engines, left, strict=True))
        ]
        if not fitting:
            found.setdefault(tuple(sorted(p.profile.name for p in chosen)), tuple(sorted(chosen, key=_start)))
        for i, p in fitting:
            if i >= first:
                rest = tuple(m - n for n, m in zip(p.profile.engines, left, strict=True))
                extend((*chosen, p), i + 1, slots | _slots(p), rest)

    extend((), 0, 0, most)
    return tuple(found[names] for names in sorted(found, key=lambda n: (len(n), n)))


def _slots(partition: Placed) -> int:
    """The memory slices as bits."""
    return ((1 << partition.profile.width) - 1) << partition.start


def _start(partition: Placed) -> int:
    return partition.start
