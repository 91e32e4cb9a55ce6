"""CSV files with a header, read strictly: what is wrong is named by file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from bayplan.wire.errors import Malformed


class Row:
    """One line of a table."""

    def __init__(self, source: str, line: int, cells: dict[str, str]) -> None:
        self._at = f"{source}: line {line}"
        self._cells = cells

    def text(self, column: str) -> str:
        """The cell, "" where the table lacks the column."""
        return self._cells.get(column) or ""

    def whole(self, column: str, low: int = 0) -> int:
        """The cell as a whole number of at least `low`. Raises Malformed."""
        text = self.text(column)
        try:
            value = int(float(text)) if "." in text else int(text)
        except ValueError:
            raise self.wrong(column, f"expected a whole number, got '{text}'") from None
        if value < low:
            raise self.wrong(column, f"expected at least {low}, got {value}")
        return value

    def wrong(self, column: str, message: str) -> Malformed:
        return Malformed(column, message, self._at)


def rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table that has at least these columns. Raises Malformed or OSError."""
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [c for c in columns if c not in (reader.fieldnames or ())]
        if missing:
            raise Malformed(missing[0], f"expected the columns {', '.join(columns)}", f"{path.name}: line 1")
        for cells in reader:
            yield Row(path.name, reader.line_num, cells)
