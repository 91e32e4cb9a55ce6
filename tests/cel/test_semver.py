"""Semantic versions (semver.org 2.0.0)."""

from __future__ import annotations

from itertools import combinations

import pytest

from bayplan.model.semver import Semver, SemverError

IN_ORDER = (
    "0.0.1",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.9.0",
    "1.10.0",
    "2.0.0",
)


def test_versions_are_ordered() -> None:
    versions = [Semver.parse(text) for text in IN_ORDER]
    for low, high in combinations(versions, 2):
        assert low < high
        assert low.compare(high) == -1
        assert high.compare(low) == 1


def test_build_metadata_does_not_count() -> None:
    left, right = Semver.parse("1.0.0+a"), Semver.parse("1.0.0+b")
    assert left == right
    assert left.compare(right) == 0
    assert hash(left) == hash(right)
    assert str(left) == "1.0.0+a"


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "v1.0.0", "1.0.0-", "1.0.0+", "01.0.0", "1.0.0-01", "1.0.x", " 1.0.0"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(SemverError):
        Semver.parse(text)


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1", "1.0.0"), ("1.2", "1.2.0"), ("v01.02.03", "1.2.3"), ("v1.0.0-rc.1", "1.0.0-rc.1"), ("0.0.0", "0.0.0")],
)
def test_normalises(text: str, version: str) -> None:
    assert Semver.parse(text, normalize=True) == Semver.parse(version)


@pytest.mark.parametrize("text", ["1.0-rc.1", "1+b", "vv1", "", "a.b.c"])
def test_refuses_even_when_normalising(text: str) -> None:
    with pytest.raises(SemverError):
        Semver.parse(text, normalize=True)
