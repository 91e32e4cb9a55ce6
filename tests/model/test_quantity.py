"""Quantities: exact amounts, upstream's spelling. The full table is `tests/peers` (`quantity.json`)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model.quantity import NANO, Quantity, QuantityError

SHOWN = [
    ("1", "1"),
    ("+1", "+1"),
    ("01", "01"),
    ("1.", "1."),
    ("1.5", "1500m"),
    ("1.025", "1.025"),
    ("0.5Mi", "512Ki"),
    ("1.5Gi", "1536Mi"),
    ("1023", "1023"),
    ("1000Ki", "1000Ki"),
    ("1024Ki", "1Mi"),
    ("0.1Ki", "102400m"),
    ("1000000", "1M"),
    ("1500e3", "1500e3"),
    ("1.40e9", "1400e6"),
    ("1000E", "1e21"),
    ("12e20", "1200e18"),
    ("0.9n", "1n"),
    ("-1.1n", "-2n"),
    ("9Ei", "9223372036854775807"),
    ("-9Ei", "-9223372036854775807"),
    ("0Gi", "0"),
    ("-0", "0"),
    ("1e-5000", "1e-9"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_prints(text: str, shown: str) -> None:
    assert str(Quantity.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "quantities must match the regular expression"),
        (" 1", "quantities must match the regular expression"),
        ("1.1.M", "quantities must match the regular expression"),
        ("1e5e5", "quantities must match the regular expression"),
        ("１", "quantities must match the regular expression"),
        ("1K", "unable to parse quantity's suffix"),
        ("1e", "unable to parse quantity's suffix"),
        (".e-20", "unable to parse numeric part of quantity"),
        ("1e2000", "quantities are at most 1e1000"),
        ("1" * 300, "quantities are at most 256 characters long"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        Quantity.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "milli"),
    [("1.001", 2, 1001), ("-1.001", -2, -1001), ("1n", 1, 1), ("-1n", -1, -1), ("2500m", 3, 2500), ("0", 0, 0)],
)
def test_rounds_away_from_zero(text: str, value: int, milli: int) -> None:
    quantity = Quantity.parse(text)
    assert (quantity.value, quantity.milli) == (value, milli)


def test_spelling_takes_no_part_in_equality() -> None:
    spellings = [Quantity.parse(text) for text in ("1", "1000m", "+1", "01", "1e0")]
    assert len(set(spellings)) == 1
    assert Quantity.parse("1Gi") == Quantity.parse("1024Mi") != Quantity.parse("1G")
    assert Quantity.parse("1") != 1


def test_sums_keep_the_format_of_the_first_amount_there_is() -> None:
    assert str(Quantity.parse("1Gi") + Quantity.parse("1G")) == "2073741824"
    assert str(Quantity.parse("1Gi") + Quantity.parse("1Gi")) == "2Gi"
    assert str(Quantity.of(0) + Quantity.parse("1Gi")) == "1Gi"
    assert str(Quantity.parse("3Gi") - Quantity.parse("1Gi")) == "2Gi"
    assert str(-Quantity.parse("1Gi")) == "-1Gi"


@pytest.mark.parametrize(
    ("value", "shown"), [("12Gi", "12Gi"), (" 12Gi ", "12Gi"), (4, "4"), (0.5, "500m"), (1e-7, "100e-9")]
)
def test_reads_json_strings_and_numbers(value: object, shown: str) -> None:
    assert str(Quantity.of_json(value)) == shown


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_refuses_other_json(value: object) -> None:
    with pytest.raises(QuantityError, match="expected a quantity"):
        Quantity.of_json(value)


AMOUNTS = st.integers(-(10**30), 10**30)


@settings(max_examples=200, deadline=None)
@given(AMOUNTS, st.sampled_from(["DecimalSI", "DecimalExponent", "BinarySI"]))
def test_what_is_printed_reads_back_the_same(nano: int, format: str) -> None:
    quantity = Quantity(nano, format)  # type: ignore[arg-type]
    shown = str(quantity)
    # Upstream caps what it reads with a binary suffix.
    if not (shown.endswith("i") and abs(nano) > (2**63 - 1) * NANO):
        assert Quantity.parse(shown) == quantity


@settings(max_examples=200, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15))
def test_parsing_rounds_up_to_a_billionth(number: object) -> None:
    exact = Fraction(str(number)) * NANO
    nano = Quantity.parse(f"{number:f}").nano
    assert abs(nano) >= abs(exact) > abs(nano) - 1


@settings(max_examples=100, deadline=None)
@given(AMOUNTS, AMOUNTS)
def test_order_and_sums_are_those_of_the_amounts(a: int, b: int) -> None:
    left, right = Quantity(a), Quantity(b)
    assert (left < right, left <= right, left > right, left >= right) == (a < b, a <= b, a > b, a >= b)
    assert (left + right).nano == a + b
    assert (left - right).nano == a - b
