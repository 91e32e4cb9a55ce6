"""The two ways an expression can fail: it does not compile, or it has no value for some input."""

from __future__ import annotations


class CompileError(ValueError):
    """The expression is not acceptable. `str()` is one line (the first problem); `problems` has them all."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)


class EvalError(Exception):
    """The expression has no value for this input (no such key, overflow, cost limit, ...)."""


class Cancelled(Exception):
    """The evaluation spent its cost limit. Not an EvalError inside the evaluator: `||` must not absorb it."""


COST_LIMIT_EXCEEDED = "operation cancelled: actual cost limit exceeded"
NO_OVERLOAD = "no such overload"
