"""Prices on request: they need the solver, which not everybody has."""

from __future__ import annotations

from bayplan.app.errors import BadInput
from bayplan.runtime import Pricer


def pricer(option: str = "--prices") -> Pricer:
    """What keeps the prices of a loop up to date. Raises BadInput, naming the option that asks, without the solver."""
    try:
        return Pricer()
    except ImportError as missing:
        raise BadInput(option, "", str(missing)) from missing
