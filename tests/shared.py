"""Real input that lies beside a development checkout (peer tables, traces, fixtures); a user's clone has none of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent / "shared"


def shared(name: str) -> Path:
    """The path of `../shared/<name>`; skips the calling test where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no ../shared/{name} beside this checkout", allow_module_level=True)
    return path


def shared_json(name: str) -> Any:
    return json.loads(shared(name).read_text())
