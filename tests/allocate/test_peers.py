"""Kubernetes' own cases, both versions, and how much work they take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import dra_allocation
from tests.shared import shared_json


@pytest.fixture(scope="module")
def data() -> Any:
    return shared_json("peers/dra_allocation.json")


def test_every_case_passes_for_both_versions(data: Any) -> None:
    failed = [(case, detail) for case, outcome, detail in dra_allocation.run(data) if outcome != "passed"]
    assert failed == []


def test_no_case_takes_more_steps_than_upstream_allows_itself(data: Any) -> None:
    bounded = [c for c in data["cases"] if "numAllocateOneInvocations" in c["expect"]]
    assert bounded
    for case in bounded:
        assert dra_allocation.answer(case, (1, 37)).steps <= case["expect"]["numAllocateOneInvocations"], case["id"]
