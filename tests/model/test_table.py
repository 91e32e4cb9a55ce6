"""What a Line says has changed is what has, and groups brought along are those one finds from nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bayplan.model.table import Groups, Line, differences

Entry = tuple[int, ...]
"""Its numbers are the groups it is in."""


def states(seed: int, count: int) -> Iterator[dict[str, Entry]]:
    """Two lines that go on in turns, and what somebody made of them."""
    chance = random.Random(seed)
    lines = Line[Entry](), Line[Entry]()
    for _ in range(count):
        names = [f"k{chance.randrange(40)}" for _ in range(chance.randrange(4))]
        found = chance.choice(lines).next({n: chance.choice((None, entry(chance), entry(chance))) for n in names})
        yield found
        if chance.randrange(4) == 0:
            yield found | {"k1": (9,)}


def entry(chance: random.Random) -> Entry:
    return tuple(chance.randrange(4) for _ in range(chance.randrange(3)))


def test_what_differs_between_any_two_states() -> None:
    known: list[dict[str, Entry]] = []
    for after in states(1, 200):
        known = [*known[-11:], after]
        for one, other in [(after, before) for before in known] + [(before, after) for before in known]:
            told = list(differences(one, other))
            keys = {k: None for k in (*one, *other) if one.get(k) is not other.get(k)}
            assert {key: (old, new) for key, old, new in told} == {k: (one.get(k), other.get(k)) for k in keys}
            assert len(told) == len(keys)


def test_a_state_stays_as_it_was() -> None:
    chance, line = random.Random(2), Line[Entry]()
    plain: dict[str, Entry] = {}
    seen = []
    for at in range(50):
        key = f"k{chance.randrange(5)}"
        value = None if chance.randrange(3) == 0 else (at,)
        plain = {k: v for k, v in plain.items() if k != key or value is not None}
        plain |= {key: value} if value is not None else {}
        seen.append((line.next({key: value}), plain))
    assert all(list(state.items()) == list(expected.items()) for state, expected in seen)


def test_groups_are_those_found_from_nothing_whatever_was_asked_before() -> None:
    chance, brought = random.Random(4), Groups[int, Entry](lambda e: e)
    known: list[dict[str, Entry]] = []
    for fresh in states(3, 200):
        known = [*known[-5:], fresh]
        entries = chance.choice(known)
        found = brought.of(entries)
        groups = {number for e in entries.values() for number in e}
        assert found == {group: {k: e for k, e in entries.items() if group in e} for group in groups}
        assert brought.of(entries) is found
