"""`python -m tests.peers SUITE FILE [--json]`: runs a file of peer cases through the suite of that name.

A suite is a module `tests.peers.SUITE` with `run(data)`, which yields (case id, "passed" | "failed" | "skipped",
detail) for every case of the decoded file. Exit status: 0 all passed, 1 some failed, 2 nothing could be run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

Outcome = tuple[str, str, str]
Suite = Callable[[Any], Iterator[Outcome]]


class Unusable(Exception):
    """The suite or the file cannot be used; the message is one line."""


def suites() -> list[str]:
    package = Path(__file__).parent
    names = (module.name for module in pkgutil.iter_modules([str(package)]))
    return sorted(name for name in names if not name.startswith(("_", "test_")))


def load(suite: str, file: str) -> Iterator[Outcome]:
    """The outcomes of a file's cases; raises Unusable."""
    if suite not in suites():
        raise Unusable(f"no suite {suite!r}; there are: {', '.join(suites())}")
    module = importlib.import_module(f"tests.peers.{suite}")
    run: Suite | None = getattr(module, "run", None)
    if run is None:
        raise Unusable(f"tests.peers.{suite} is no suite: it has no run()")
    try:
        data = json.loads(Path(file).read_bytes())
    except OSError as error:
        raise Unusable(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(f"{file}: not JSON: {error}") from None
    return _cases(run, data, f"{file}: not a file of suite {suite!r}")


def _cases(run: Suite, data: Any, complaint: str) -> Iterator[Outcome]:
    try:
        yield from run(data)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unusable(f"{complaint}: {type(error).__name__}: {error}") from error


def main(argv: list[str], out: TextIO) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument("suite", help=", ".join(suites()))
    parser.add_argument("file")
    parser.add_argument("--json", action="store_true", help="one JSON object per case, then the totals")
    options = parser.parse_args(argv)
    counts: Counter[str] = Counter()
    try:
        for case, outcome, detail in load(options.suite, options.file):
            counts[outcome] += 1
            if options.json:
                print(json.dumps({"case": case, "outcome": outcome, "detail": detail}), file=out)
            elif outcome == "failed":
                print(f"FAILED {case}: {' '.join(detail.split())}", file=out)
    except Unusable as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", file=out)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout))
