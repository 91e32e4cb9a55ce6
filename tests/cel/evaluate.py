"""Evaluates any expression, whatever its type: selectors proper must be bool."""

from __future__ import annotations

from typing import Any

from bayplan.cel import DeviceView
from bayplan.cel.checker import check
from bayplan.cel.compile import Program
from bayplan.cel.device import MAX_COST, DeviceRoot, environment
from bayplan.cel.parser import parse

NOTHING = DeviceView("dra.example.com")


def value_of(expression: str, device: DeviceView = NOTHING, metered: bool = False) -> Any:
    """The value; raises EvalError. Fails the test if the expression does not compile."""
    root = parse(expression)
    problems = check(root, environment(True, True))
    assert not problems, problems
    return Program(root, DeviceRoot(), MAX_COST, metered).evaluate(device)
