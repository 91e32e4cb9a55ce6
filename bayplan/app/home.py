"""Where `bayplan up` keeps its cluster: `.bayplan` of the current directory, unless --data or $BAYPLAN_DATA names one.

A cluster belongs to the directory it was started in, as a repository does, so that two experiments do not meet. It
holds `cluster.db` (every object, SQLite), `kubeconfig`, `journal.gz` (every decision; the older ones in
`journal.1.gz`) and `clock` (the cluster's time).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

DEFAULT = ".bayplan"


class Home(NamedTuple):
    """The files of one embedded cluster."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "cluster.db"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def journal(self) -> Path:
        return self.path / "journal.gz"

    @property
    def old_journal(self) -> Path:
        return self.path / "journal.1.gz"

    @property
    def clock(self) -> Path:
        return self.path / "clock"


def home(data: Path | None = None) -> Home:
    """The home of the embedded cluster: `data`, $BAYPLAN_DATA or `.bayplan` here."""
    return Home(data or Path(os.environ.get("BAYPLAN_DATA") or DEFAULT))


def demo_home() -> Home:
    """The home of the demo, which is new every time and gone at its end."""
    return Home(home().path / "demo")


def kubeconfig_paths() -> list[Path]:
    """The kubeconfigs that `up` and `demo` have left here, the newest first."""
    written = (h.kubeconfig for h in (home(), demo_home()) if os.path.isfile(h.kubeconfig))
    return sorted(written, key=lambda path: path.stat().st_mtime, reverse=True)
