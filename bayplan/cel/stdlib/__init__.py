"""The function libraries of the Kubernetes CEL environment, one module each."""

from bayplan.cel.registry import Library
from bayplan.cel.stdlib import (
    format,
    lists,
    net,
    optional,
    quantity,
    regex,
    semver,
    sets,
    standard,
    strings,
    time,
)

BASE: tuple[Library, ...] = (
    standard.LIBRARY,
    strings.LIBRARY,
    lists.LIBRARY,
    sets.LIBRARY,
    optional.LIBRARY,
    regex.LIBRARY,
    time.LIBRARY,
    quantity.LIBRARY,
    semver.LIBRARY,
    net.LIBRARY,
    format.LIBRARY,
)

__all__ = ["BASE"]
