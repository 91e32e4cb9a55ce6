"""The Kubernetes semver library, version 1 (with the normalising forms)."""

from __future__ import annotations

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import INT_MAX
from bayplan.model.semver import Semver, SemverError

LIBRARY = Library()
_declare = LIBRARY.declare


@_declare("semver(string) -> Semver", "semver(string, bool) -> Semver")
def _semver(text: str, normalize: bool = False) -> Semver:
    try:
        return Semver.parse(text, normalize)
    except SemverError as error:
        raise EvalError(str(error)) from None


@_declare("isSemver(string) -> bool", "isSemver(string, bool) -> bool")
def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        Semver.parse(text, normalize)
    except SemverError:
        return False
    return True


def _as_int(number: int) -> int:
    """Upstream casts an unsigned number to a signed one."""
    return number if number <= INT_MAX else number - 2**64


LIBRARY.add("Semver.major() -> int", lambda version: _as_int(version.major))
LIBRARY.add("Semver.minor() -> int", lambda version: _as_int(version.minor))
LIBRARY.add("Semver.patch() -> int", lambda version: _as_int(version.patch))
LIBRARY.add("Semver.isGreaterThan(Semver) -> bool", lambda left, right: left > right)
LIBRARY.add("Semver.isLessThan(Semver) -> bool", lambda left, right: left < right)
LIBRARY.add("Semver.compareTo(Semver) -> int", lambda left, right: left.compare(right))
