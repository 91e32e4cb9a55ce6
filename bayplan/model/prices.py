"""Prices: what a cluster's free GPUs, gaps and cores are worth to the work that is still to come.

They are made outside `decide` (`runtime/prices.py`), come in with the policy and are journalled with it.
"""

from __future__ import annotations

from bayplan.model.base import Value


class ClassPrices(Value, frozen=True):
    """Prices on the nodes that no pod can tell apart from node `like` when nothing runs on them.

    In millionths of a GPU: `core_micro` for one CPU core, and `gaps` as (free thousandths of one GPU, worth of that
    gap), rising: a gap is worth what the largest one that it holds is worth, nothing below the first.
    """

    like: str
    core_micro: int = 0
    gaps: tuple[tuple[int, int], ...] = ()


class Prices(Value, frozen=True):
    """Prices per class of nodes. A class that is missing has none: what is free there counts at face value."""

    classes: tuple[ClassPrices, ...] = ()
