"""The JSONPath that printer columns use: fields, quoted fields, indexes, `[*]` and `[?(@.a=="b")]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]

_STEP = re.compile(
    r"""\.?(?P<field>[A-Za-z_][\w-]*(?:\\\.[\w/-]+)*)
      | \[['"](?P<quoted>[^'"]+)['"]\]
      | \[(?P<index>-?\d+)\]
      | (?P<all>\[\*\]|\.\*)
      | \[\?\(\s*@\.(?P<key>[\w.-]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\)\]""",
    re.VERBOSE,
)


def find(path: str, obj: Any) -> list[Any]:
    """Every value at the path, in document order; an unreadable path finds nothing."""
    found = [obj]
    for step in _compile(path):
        found = step(found)
    return found


@lru_cache(maxsize=512)
def _compile(path: str) -> tuple[Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return (lambda values: [],)
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if name := match["field"] or match["quoted"]:
        return _field(name.replace("\\.", "."))
    if match["index"]:
        position = int(match["index"])
        return lambda values: [v[position] for v in values if isinstance(v, list) and -len(v) <= position < len(v)]
    if match["all"]:
        return lambda values: [item for value in values for item in _items(value)]
    key, wanted = match["key"], match["value"]
    return lambda values: [i for v in values for i in _items(v) if find("." + key, i) == [wanted]]


def _field(name: str) -> Step:
    return lambda values: [v[name] for v in values if isinstance(v, Mapping) and name in v]


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []
