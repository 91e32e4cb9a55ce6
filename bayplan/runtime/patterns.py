"""The pattern LP: how much of what is asked the gaps of a fleet can hold, and what every gap is worth to it.

Cutting stock by column generation (Gilmore and Gomory, 1961): a pattern is a set of shares that fits one GPU. Gaps are
counted per hardware class and size, a larger gap may serve as a smaller one, cores are pooled per class, and every
shape may run on the classes it fits. Memory, and which GPUs share a node, are left out, so what is served is an upper
bound on what any scheduler can place. Deterministic; needs the `solver` extra (HiGHS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNIT_MILLI = 10  # sizes round up to a hundredth of a GPU, gaps down: few enough states for the knapsacks
UNITS = 1000 // UNIT_MILLI
ROUNDS_MAX = 60  # of column generation; openb needs 15 to 25
TOLERANCE_MILLI = 0.5  # a pattern enters if it is worth so much more than the gap it fills

Pattern = tuple[tuple[int, int], ...]
"""(size in units, how many), by size."""

Patterns = tuple[frozenset[Pattern], ...]
"""Patterns by class of nodes."""


class Hardware(NamedTuple):
    """One class of nodes: GPUs by free thousandths, and free cores in thousandths."""

    gaps: Mapping[int, int]
    cpu_milli: int


class Asked(NamedTuple):
    """`amount` pods of one shape, each worth `worth_milli`. `draws`: (size_milli, GPUs) of one, by class it fits."""

    amount: float
    worth_milli: float
    cpu_milli: int
    draws: Mapping[int, tuple[int, int]]


class Solved(NamedTuple):
    """`worth_milli` of all served. By class: worth of a gap of 0, 1, … UNITS units, and of a core, in thousandths.

    `patterns` are those it was solved over, by class.
    """

    worth_milli: float
    gaps: tuple[tuple[float, ...], ...]
    cores: tuple[float, ...]
    patterns: Patterns


def solve(hardware: Sequence[Hardware], asked: Sequence[Asked], known: Patterns = ()) -> Solved:
    """`known` patterns of a market like this one save rounds. Raises ImportError, in one line, without the solver."""
    master = _Master(hardware, asked)
    for at, patterns in enumerate(known[: len(hardware)]):
        master.learn(at, patterns)
    for _ in range(ROUNDS_MAX):
        objective, duals = master.run()
        stocks = [_Knapsack(master.slot_prices(h, duals)) for h in range(len(hardware))]
        if not sum(master.enter(h, stock, duals) for h, stock in enumerate(stocks)):
            break
    cores = tuple(max(0.0, duals[row]) for row in master.cpu_rows)
    return Solved(objective, tuple(tuple(s.worth) for s in stocks), cores, master.patterns())


class _Knapsack:
    """The best filling of a gap of every size with slots at these prices, sizes in units."""

    def __init__(self, prices: Mapping[int, float]) -> None:
        self.worth = [0.0] * (UNITS + 1)
        self._first = [0] * (UNITS + 1)  # the size chosen for a gap; 0 = as the gap one unit smaller
        for gap in range(1, UNITS + 1):
            best, chosen = self.worth[gap - 1], 0
            for size, price in prices.items():
                if size <= gap and self.worth[gap - size] + price > best + 1e-9:
                    best, chosen = self.worth[gap - size] + price, size
            self.worth[gap], self._first[gap] = best, chosen

    def pattern(self, gap: int) -> Pattern:
        counts: dict[int, int] = {}
        while gap:
            size = self._first[gap]
            if size:
                counts[size] = counts.get(size, 0) + 1
            gap -= size or 1
        return tuple(sorted(counts.items()))


class _Master:
    """The LP over the patterns so far. Rows are `≤`: demand, cores, gaps, and slots used ≤ slots made by patterns."""

    def __init__(self, hardware: Sequence[Hardware], asked: Sequence[Asked]) -> None:
        solver = highs()
        self._lp, self._inf = _silent(solver), solver.kHighsInf
        self._rows = 0
        self._gap_rows: list[dict[int, int]] = []
        self._slot_rows: list[dict[int, int]] = []
        self._patterns: list[set[Pattern]] = []
        demand_rows = [self._row(a.amount) for a in asked]
        self.cpu_rows = [self._row(h.cpu_milli / 1000) for h in hardware]
        for at, one in enumerate(hardware):
            self._add_class(one, sorted({_units(a.draws[at][0]) for a in asked if at in a.draws and a.draws[at][1]}))
        for row, shape in zip(demand_rows, asked, strict=True):
            for at, (size, gpus) in shape.draws.items():
                entries = {row: 1.0, self.cpu_rows[at]: shape.cpu_milli / 1000}
                if gpus:
                    entries[self._slot_rows[at][_units(size)]] = float(gpus)
                self._column(shape.worth_milli, entries)
        self._lp.changeObjectiveSense(solver.ObjSense.kMaximize)

    def _add_class(self, hardware: Hardware, sizes: Sequence[int]) -> None:
        supply = {UNITS: 0}
        for free, count in hardware.gaps.items():
            supply[free // UNIT_MILLI] = supply.get(free // UNIT_MILLI, 0) + count
        gaps = {gap: self._row(float(supply[gap])) for gap in sorted(supply) if gap}
        self._gap_rows.append(gaps)
        self._slot_rows.append({size: self._row(0.0) for size in sizes})
        self._patterns.append(set())
        for smaller, larger in zip(list(gaps), list(gaps)[1:], strict=False):
            self._column(0.0, {gaps[larger]: 1.0, gaps[smaller]: -1.0})
        for size in sizes:
            self._add_pattern(len(self._gap_rows) - 1, ((size, UNITS // size),))

    def _row(self, upper: float) -> int:
        self._lp.addRow(-self._inf, upper, 0, [], [])
        self._rows += 1
        return self._rows - 1

    def _column(self, worth: float, entries: Mapping[int, float]) -> None:
        kept = {row: value for row, value in entries.items() if value}
        self._lp.addCol(worth, 0.0, self._inf, len(kept), list(kept), list(kept.values()))

    def _add_pattern(self, at: int, pattern: Pattern) -> bool:
        """Whether it is new. It takes the smallest gap that holds it."""
        if pattern in self._patterns[at]:
            return False
        self._patterns[at].add(pattern)
        size = sum(size * count for size, count in pattern)
        gap = next(gap for gap in self._gap_rows[at] if gap >= size)
        slots = {self._slot_rows[at][size]: -float(count) for size, count in pattern}
        self._column(0.0, {self._gap_rows[at][gap]: 1.0} | slots)
        return True

    def learn(self, at: int, patterns: frozenset[Pattern]) -> None:
        """Adds those that its sizes and gaps have room for."""
        sizes, largest = self._slot_rows[at], max(self._gap_rows[at])
        for pattern in sorted(patterns):
            if all(size in sizes for size, _ in pattern) and sum(size * count for size, count in pattern) <= largest:
                self._add_pattern(at, pattern)

    def patterns(self) -> Patterns:
        return tuple(map(frozenset, self._patterns))

    def run(self) -> tuple[float, list[float]]:
        """The optimum, and the dual of every row."""
        self._lp.run()
        return float(self._lp.getInfo().objective_function_value), list(self._lp.getSolution().row_dual)

    def slot_prices(self, at: int, duals: Sequence[float]) -> dict[int, float]:
        return {size: duals[row] for size, row in self._slot_rows[at].items() if duals[row] > 0}

    def enter(self, at: int, stock: _Knapsack, duals: Sequence[float]) -> int:
        """Adds the patterns that are worth more than the gaps they fill; how many."""
        better = (g for g, row in self._gap_rows[at].items() if stock.worth[g] > duals[row] + TOLERANCE_MILLI)
        return sum(self._add_pattern(at, stock.pattern(gap)) for gap in better)


def _units(milli: int) -> int:
    return -(-milli // UNIT_MILLI)


def highs() -> Any:
    """The solver. Raises ImportError, in one line, where it is not installed."""
    try:
        import highspy
    except ImportError as missing:
        raise ImportError("prices need the solver: pip install 'bayplan[solver]'") from missing
    return highspy


def _silent(solver: Any) -> Any:
    """A solver that prints nothing: HiGHS 1.16 greets on standard output when callbacks are enabled, in `__init__`."""

    class Silent(solver.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:
            self.silent()

    return Silent()
