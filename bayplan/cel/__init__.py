"""The expression language of DRA device selectors: parse, check, compile to closures. Pure, usable alone."""

from bayplan.cel.device import MAX_COST, MAX_EXPRESSION_BYTES, Attribute, DeviceView, Selector, compile_selector
from bayplan.cel.errors import CompileError, EvalError
from bayplan.model.semver import Semver, SemverError

__all__ = [
    "MAX_COST",
    "MAX_EXPRESSION_BYTES",
    "Attribute",
    "CompileError",
    "DeviceView",
    "EvalError",
    "Selector",
    "Semver",
    "SemverError",
    "compile_selector",
]
