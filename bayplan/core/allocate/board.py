"""What a search is asked on, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from bayplan.core.allocate.asks import Grant, Need
from bayplan.core.allocate.components import State


class Verdict(Enum):
    """IMPOSSIBLE is a proof; UNDECIDED means that the budget was spent before one."""

    FOUND = "found"
    IMPOSSIBLE = "impossible"
    UNDECIDED = "undecided"


class AllocationError(Exception):
    """Upstream would fail the node with this message rather than say that nothing fits."""


class Slot(NamedTuple):
    """A component as a node sees it: its state, and which of its devices the node reaches (-1 = all)."""

    state: State
    mask: int


class Board(NamedTuple):
    """What a node offers. `sequence` lists (slot, device) in upstream's order; `name` is for messages.

    `unfinished` says which pool is incomplete or invalid, so that nobody can have all devices; `invalid` whether one
    is invalid.
    """

    slots: tuple[Slot, ...]
    sequence: tuple[tuple[int, int], ...] = ()
    unfinished: str = ""
    invalid: bool = False
    name: Callable[[int, int], str] = lambda slot, device: f"{slot}/{device}"


class Choice(NamedTuple):
    """One device for one need; `want` is the index of the request in the ask."""

    want: int
    need: Need
    slot: int
    device: int
    grant: Grant


class Outcome(NamedTuple):
    """`choices` in the order of requests, when found; `steps` is the work done, counted as upstream counts it."""

    verdict: Verdict
    choices: tuple[Choice, ...]
    steps: int
