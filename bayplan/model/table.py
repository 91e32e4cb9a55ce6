"""Collections that know what changed since earlier states of theirs.

A snapshot never changes, so whoever has worked something out about one may bring it to the next by what differs. To
find that out by looking at everything costs as much as there is; a `Line` has it written down.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import chain, compress, filterfalse
from operator import is_not
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

KEPT = 8  # states of which it is known how they came about: those since the last decision, of pods and of claims


class _State(NamedTuple):
    """A state of a line, after the first `at` changes of its log."""

    entries: Mapping[str, Any]
    log: list[str]
    at: int


_states: list[tuple[_State, ...]] = [()]


class Line(Generic[T]):
    """A collection as it goes on; its states are dicts that never change, in order of arrival."""

    def __init__(self) -> None:
        self._entries: dict[str, T] = {}
        self._log: list[str] = []

    def next(self, changes: Mapping[str, T | None]) -> dict[str, T]:
        """The state after the last one: these entries set, those that are None gone."""
        entries = self._entries.copy()
        for key, value in changes.items():
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        if len(self._log) > len(entries):
            self._log = []
        self._log.extend(changes)
        _states[0] = (*_states[0], _State(entries, self._log, len(self._log)))[-KEPT:]
        self._entries = entries
        return entries


def differences(before: Mapping[str, T], after: Mapping[str, T]) -> Iterator[tuple[str, T | None, T | None]]:
    """(key, old, new) of every entry that is not the same object in both."""
    if before is after:
        return
    for key in _suspects(before, after):
        old, new = before.get(key), after.get(key)
        if old is not new:
            yield key, old, new


def _suspects(before: Mapping[str, T], after: Mapping[str, T]) -> Iterable[str]:
    """Every key of an entry that differs, once."""
    one, other = _state(before), _state(after)
    if one is not None and other is not None and one.log is other.log:
        return dict.fromkeys(one.log[min(one.at, other.at) : max(one.at, other.at)])
    changed = compress(after, map(is_not, after.values(), map(before.get, after)))
    return chain(changed, filterfalse(after.__contains__, before))


def _state(entries: Mapping[str, T]) -> _State | None:
    return next((s for s in _states[0] if s.entries is entries), None)


class Groups(Generic[K, T]):
    """The entries of collections by what they have in common: `keys` names the groups that an entry is in.

    The last collection is remembered and the next one's groups are found by what differs: a memo of a pure function.
    """

    def __init__(self, keys: Callable[[T], Iterable[K]]) -> None:
        self._keys = keys
        self._last: tuple[Mapping[str, T], dict[K, dict[str, T]]] = {}, {}

    def of(self, entries: Mapping[str, T]) -> Mapping[K, Mapping[str, T]]:
        """The groups of a collection, each by key in no order; a group of nobody is not there."""
        before, known = self._last
        if before is entries:
            return known
        groups = known.copy()
        fresh: dict[K, None] = {}
        for key, old, new in differences(before, entries):
            if old is not None:
                for group in self._keys(old):
                    _own(groups, fresh, group).pop(key, None)
            if new is not None:
                for group in self._keys(new):
                    _own(groups, fresh, group)[key] = new
        for group in fresh:
            if not groups[group]:
                del groups[group]
        self._last = entries, groups
        return groups


def _own(groups: dict[K, dict[str, T]], fresh: dict[K, None], group: K) -> dict[str, T]:
    """The group's own dict, which is copied the first time: earlier states keep theirs."""
    if group not in fresh:
        fresh[group] = None
        groups[group] = dict(groups.get(group, ()))
    return groups[group]
