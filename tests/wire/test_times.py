"""RFC 3339 without a clock or a library, against the library."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.wire.times import rfc3339, seconds

SPELLINGS = [
    ("a time in UTC", "2026-01-01T00:00:00Z", 1767225600),
    ("fractions are dropped", "2026-01-01T00:00:00.999999Z", 1767225600),
    ("an offset to the east", "2026-01-01T02:00:00+02:00", 1767225600),
    ("an offset to the west", "2025-12-31T18:30:00-05:30", 1767225600),
    ("a leap day", "2024-02-29T12:00:00Z", 1709208000),
    ("no time", "", 0),
]


@pytest.mark.parametrize(("text", "expected"), [s[1:] for s in SPELLINGS], ids=[s[0] for s in SPELLINGS])
def test_spellings(text: str, expected: int) -> None:
    assert seconds(text) == expected


@given(st.integers(min_value=-(2**32), max_value=2**35))
def test_agrees_with_the_calendar(at_s: int) -> None:
    text = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert rfc3339(at_s) == text.rjust(20, "0")
    assert seconds(rfc3339(at_s)) == at_s


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "1767225600"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        seconds(text)
