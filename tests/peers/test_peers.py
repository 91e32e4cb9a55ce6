"""Every peer file that has a suite, whole; and the runner's manners."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.peers.__main__ import Unusable, load, main, suites
from tests.shared import ROOT, shared


def _files() -> list[str]:
    return [suite for suite in suites() if (ROOT / "peers" / f"{suite}.json").exists()]


@pytest.mark.parametrize("suite", _files() or ["quantity"])
def test_all_cases_pass(suite: str) -> None:
    file = shared(f"peers/{suite}.json")
    failed = [f"{case}: {detail}" for case, outcome, detail in load(suite, str(file)) if outcome == "failed"]
    assert failed == []


def test_the_runner_counts_and_tells_failures(tmp_path: Path) -> None:
    file = tmp_path / "quantity.json"
    good = {"in": "1", "canonical": "1", "decimal": "1", "format": "DecimalSI", "value": 1, "milliValue": 1000}
    file.write_text(json.dumps([good, good | {"value": 2}]))
    out = io.StringIO()
    assert main(["quantity", str(file)], out) == 1
    assert out.getvalue().splitlines() == ["FAILED '1': value 1, expected 2", "1 passed, 1 failed, 0 skipped"]


def test_the_runner_speaks_json(tmp_path: Path) -> None:
    file = tmp_path / "quantity.json"
    file.write_text(
        '[{"in": "x", "error": "quantities must match the regular expression '
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\"}]"
    )
    out = io.StringIO()
    assert main(["quantity", str(file), "--json"], out) == 0
    case, totals = out.getvalue().splitlines()
    assert json.loads(case) == {"case": "'x'", "outcome": "passed", "detail": ""}
    assert totals == "1 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("suite", "content", "message"),
    [
        ("nothing", "[]", "no suite 'nothing'; there are:"),
        ("quantity", "{", "not JSON"),
        ("quantity", '{"cases": 1}', "not a file of suite 'quantity'"),
        ("dra_cel", "[1]", "not a file of suite 'dra_cel'"),
        ("quantity", None, "No such file"),
    ],
)
def test_a_bad_file_is_one_line(
    suite: str, content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.json"
    if content is not None:
        file.write_text(content)
    assert main([suite, str(file)], io.StringIO()) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_suite_is_found_by_its_module_name() -> None:
    assert {"quantity", "dra_cel"} <= set(suites())
    with pytest.raises(Unusable):
        list(load("test_peers", "x"))
