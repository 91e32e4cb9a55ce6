"""What closures run on: the frame of one evaluation, and the closures of constants.

The frame is a list: [0] the input, [1] the cost units left, then one slot per variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from bayplan.cel.errors import COST_LIMIT_EXCEEDED, Cancelled
from bayplan.cel.values import Value

Frame: TypeAlias = list[Value]
Closure: TypeAlias = Callable[[Frame], Value]
FIRST_SLOT = 2
NO_FRAME: Frame = []


class Constant:
    """A closure whose value is known; others look inside to specialise themselves."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __call__(self, frame: Frame) -> Value:
        return self.value


def charge(frame: Frame, cost: int) -> None:
    """Takes cost units; raises Cancelled when they are spent."""
    frame[1] -= cost
    if frame[1] < 0:
        raise Cancelled(COST_LIMIT_EXCEEDED)
