"""`&&` and `||`: an error on one side does not matter if the other side decides (cel-spec "Logical Operators")."""

from __future__ import annotations

from collections.abc import Sequence

from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.cel.frame import Closure, Frame
from bayplan.cel.values import Value


def all_of(terms: Sequence[Closure]) -> Closure:
    def conjunction(frame: Frame) -> Value:
        failure: EvalError | None = None
        for term in terms:
            try:
                value = term(frame)
            except EvalError as error:
                failure = failure or error
                continue
            if value is False:
                return False
            if value is not True:
                failure = failure or EvalError(NO_OVERLOAD)
        if failure is not None:
            raise failure
        return True

    return conjunction


def any_of(terms: Sequence[Closure]) -> Closure:
    def disjunction(frame: Frame) -> Value:
        failure: EvalError | None = None
        for term in terms:
            try:
                value = term(frame)
            except EvalError as error:
                failure = failure or error
                continue
            if value is True:
                return True
            if value is not False:
                failure = failure or EvalError(NO_OVERLOAD)
        if failure is not None:
            raise failure
        return False

    return disjunction
