"""Every command line of these tests runs in an empty directory, in UTC, 110 columns wide, with nobody's kubeconfig."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.scene import Scene, playing


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "BAYPLAN_KUBECONFIG", "BAYPLAN_DATA", "BAYPLAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Two racks of two H100 nodes, an A100 node with shareable cards, two teams."""
    with playing(tmp_path) as made:
        yield made
