"""Semantic versions as DRA attributes carry them (https://semver.org 2.0.0; parsing rules of blang/semver v4).

Build metadata takes no part in equality, order or hash.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering

import msgspec

_NUMBER = r"0|[1-9][0-9]*"
_LABEL = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+({_LABEL}(?:\.{_LABEL})*))?",
    re.ASCII,
)
_UINT64_MAX = 2**64 - 1
MAX_LENGTH = 256


class SemverError(ValueError):
    """The text is not a semantic version."""


@total_ordering
class Semver(msgspec.Struct, frozen=True, eq=False, gc=False, repr_omit_defaults=True):
    """`major.minor.patch-prerelease+build`; `prerelease` and `build` are dotted strings, "" when absent."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @staticmethod
    def parse(text: str, normalize: bool = False) -> Semver:
        """The version a string denotes; raises SemverError.

        `normalize` first drops a leading "v" and leading zeros and fills up missing minor and patch numbers.
        """
        return _parse(_normalized(text) if normalize else text)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += f"-{self.prerelease}"
        return f"{text}+{self.build}" if self.build else text

    def compare(self, other: Semver) -> int:
        """-1, 0 or 1."""
        left, right = _key(self), _key(other)
        return (left > right) - (left < right)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Semver):
            return NotImplemented
        return _key(self) == _key(other)

    def __lt__(self, other: Semver) -> bool:
        return _key(self) < _key(other)

    def __hash__(self) -> int:
        return hash((self.major, self.minor, self.patch, self.prerelease))


_Key = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def _key(version: Semver) -> _Key:
    """A tuple that sorts as versions do: a release after its prereleases, numbers before words."""
    labels = version.prerelease.split(".") if version.prerelease else []
    parts = tuple((False, int(label), "") if label.isdigit() else (True, 0, label) for label in labels)
    return version.major, version.minor, version.patch, not labels, parts


@lru_cache(maxsize=4096)
def _parse(text: str) -> Semver:
    if not text:
        raise SemverError("Version string empty")
    match = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise SemverError(_complaint(text))
    major, minor, patch, prerelease, build = match.groups("")
    numbers = [major, minor, patch, *(label for label in prerelease.split(".") if label.isdigit())]
    for number in numbers:
        if len(number) > 1 and number[0] == "0":
            raise SemverError(f'Numeric PreRelease version must not contain leading zeroes "{number}"')
        if int(number) > _UINT64_MAX:
            raise SemverError(f'version number "{number}" is out of range')
    return Semver(int(major), int(minor), int(patch), prerelease, build)


def _complaint(text: str) -> str:
    if len(text) > MAX_LENGTH:
        return f"a version has at most {MAX_LENGTH} characters"
    core = text.split("-")[0].split("+")[0]
    if core.count(".") < 2:
        return "No Major.Minor.Patch elements found"
    for number in core.split(".")[:3]:
        if not re.fullmatch("[0-9]+", number, re.ASCII):
            return f'Invalid character(s) found in version number "{number}"'
        if len(number) > 1 and number[0] == "0":
            return f'version number must not contain leading zeroes "{number}"'
    return f'Invalid character(s) found in version "{text}"'


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    parts = [_without_leading_zeros(part) if len(part) > 1 else part for part in parts]
    if len(parts) < 3 and re.search("[+-]", parts[-1]):
        raise SemverError("short version cannot contain PreRelease/Build meta data")
    return ".".join(parts + ["0"] * (3 - len(parts)))


def _without_leading_zeros(part: str) -> str:
    stripped = part.lstrip("0")
    return stripped if stripped[:1].isdecimal() and stripped.isascii() else "0" + stripped
