"""What holds for any expression: only two exceptions, exact integers, one answer from both programs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.cel import MAX_COST, CompileError, DeviceView, EvalError, Semver, compile_selector
from bayplan.cel.parser import parse
from bayplan.cel.values import INT_MAX, INT_MIN
from bayplan.model.quantity import Quantity
from tests.cel.evaluate import bracketed, spent_on, value_of

INTS = st.one_of(st.integers(-20, 20), st.integers(INT_MIN + 1, INT_MAX))
DEVICE = DeviceView.of(
    "d",
    [("s", "text"), ("b", True), ("i", 2), ("v", Semver.parse("1.2.3")), ("l", ("x", "y"))],
    [("q", Quantity.parse("3Gi"))],
)


def _truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@settings(max_examples=200, deadline=None)
@given(INTS, INTS, st.sampled_from("+-*/%"))
def test_integers_are_exact_or_an_error(a: int, b: int, op: str) -> None:
    if op in "/%" and b == 0:
        exact = None
    elif op in "/%":
        exact = _truncated(a, b) if op == "/" else a - b * _truncated(a, b)
    else:
        exact = {"+": a + b, "-": a - b, "*": a * b}[op]
    expression = f"({a}) {op} ({b})"
    if exact is None or not INT_MIN <= exact <= INT_MAX:
        with pytest.raises(EvalError):
            value_of(expression)
    else:
        assert value_of(expression) == exact


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_survives_its_text(number: float) -> None:
    text = value_of(f"string(double('{number!r}'))")
    assert float(text) == number


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_any_string_survives_quoting(text: str) -> None:
    escaped = "".join(f"\\U{ord(char):08x}" for char in text if not 0xD800 <= ord(char) <= 0xDFFF)
    expected = "".join(char for char in text if not 0xD800 <= ord(char) <= 0xDFFF)
    assert value_of(f"'{escaped}'") == expected


_LEAVES = st.sampled_from(
    [
        *("true", "false", "null", "0", "1", "-1", "2u", "1.5", "'a'", "''", "b'x'", "[]", "{}", "[1, 2]", "{'a': 1}"),
        *("device.driver", "device.attributes", "device.attributes['d']", "device.attributes['d'].s", "device"),
        *("device.attributes['d'].b", "device.attributes['d'].i", "device.attributes['d'].v", "device.capacity"),
        *("device.attributes['d'].l", "device.capacity['d'].q", "device.attributes['x'].y", "optional.none()"),
        *("quantity('1Gi')", "semver('1.0.0')", "duration('1s')", "timestamp(0)", "dyn(1)", "dyn('a')", "x", "int"),
        *("device.attributes['d'].?i", "ip('1.1.1.1')", "cidr('10.0.0.0/8')", "url('http://a/')", "optional.of(1)"),
    ]
)
_METHODS = (
    "size()",
    "sum()",
    "min()",
    "max()",
    "isSorted()",
    "sort()",
    "reverse()",
    "distinct()",
    "flatten()",
    "first()",
    "last()",
    "join()",
    "value()",
    "hasValue()",
    "trim()",
    "lowerAscii()",
    "major()",
    "isInteger()",
    "asInteger()",
    "asApproximateFloat()",
    "getHours()",
    "getMilliseconds()",
    "family()",
    "getQuery()",
    "masked()",
    "prefixLength()",
)
_BINARY_METHODS = (
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "find",
    "findAll",
    "indexOf",
    "lastIndexOf",
    "split",
    "join",
    "charAt",
    "substring",
    "format",
    "includes",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "orValue",
    "or",
    "containsIP",
    "getFullYear",
    "slice",
    "flatten",
)
_FUNCTIONS = (
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "type",
    "dyn",
    "quantity",
    "isQuantity",
    "semver",
    "isSemver",
    "ip",
    "isIP",
    "cidr",
    "url",
    "isURL",
    "duration",
    "timestamp",
    "optional.of",
    "optional.ofNonZeroValue",
    "lists.range",
    "strings.quote",
    "sign",
    "format.named",
)
_MACROS = (
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
    "sortBy",
    "optMap",
    "optFlatMap",
)
_OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "in",
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(_OPERATORS), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(_METHODS)).map(lambda t: f"{t[0]}.{t[1]}"),
        st.tuples(inner, st.sampled_from(_BINARY_METHODS), inner).map(lambda t: f"{t[0]}.{t[1]}({t[2]})"),
        st.tuples(st.sampled_from(_FUNCTIONS), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, st.sampled_from(_MACROS), inner).map(lambda t: f"{t[0]}.{t[1]}(x, {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}.transformMap(x, y, {t[1]})"),
        pair.map(lambda t: f"cel.bind(x, {t[0]}, {t[1]})"),
        pair.map(lambda t: f"{t[0]}[{t[1]}]"),
        pair.map(lambda t: f"{t[0]}[?{t[1]}]"),
        pair.map(lambda t: f"[{t[0]}, {t[1]}]"),
        pair.map(lambda t: f"{{{t[0]}: {t[1]}}}"),
        pair.map(lambda t: f"({t[0]} == {t[1]} ? {t[0]} : {t[1]})"),
        inner.map(lambda t: f"!{t}"),
        inner.map(lambda t: f"dyn({t})"),
        inner.map(lambda t: f"[dyn({t})]"),
        inner.map(lambda t: f"has(({t}).a)"),
    )


EXPRESSIONS = st.recursive(_LEAVES, _grown, max_leaves=8)


def _answer(expression: str, metered: bool, device: DeviceView = DEVICE) -> str:
    try:
        return repr(value_of(expression, device, metered))
    except EvalError as error:
        return f"error {error}"


@settings(max_examples=600, deadline=None)
@given(EXPRESSIONS)
def test_random_expressions_have_a_value_or_one_of_two_errors(expression: str) -> None:
    try:
        selector = compile_selector(f"[dyn({expression})] != []")
    except CompileError as error:
        assert "\n" not in str(error)
        return
    try:
        assert selector.matches(DEVICE) in (True, False)
        hash(selector.key(DEVICE))
    except EvalError:
        pass
    fast, metered = _answer(expression, False), _answer(expression, True)
    assert fast == metered or "cost limit" in metered


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40), st.lists(st.sampled_from([*"()[]{}.?:,+-!<>='\"\\xrbu01 ", "in", "&&", "a"])).map("".join)
    )
)
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compile_selector(text)
    except CompileError as error:
        assert "\n" not in str(error)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_no_evaluation_costs_more_than_estimated(expression: str) -> None:
    try:
        selector = compile_selector(f"[dyn({expression})] != []")
    except CompileError:
        return
    if selector.max_cost < MAX_COST:
        assert spent_on(selector.expression, DEVICE) <= selector.max_cost


_VALUES = st.sampled_from([True, 1, 2, "1", "text", Semver.parse("1.0.0"), ("x",), (1,), (True,), ()])
_DEVICES = st.builds(
    DeviceView.of,
    st.sampled_from(["d", "e"]),
    st.dictionaries(st.sampled_from(["s", "b", "i", "e/s"]), _VALUES, max_size=3).map(lambda named: named.items()),
    st.dictionaries(st.just("q"), st.sampled_from([Quantity.of(1), Quantity.parse("3Gi")])).map(
        lambda named: named.items()
    ),
    st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, _DEVICES, _DEVICES)
def test_devices_with_equal_keys_get_the_same_answer(expression: str, one: DeviceView, other: DeviceView) -> None:
    try:
        selector = compile_selector(f"[dyn({expression})] != []")
    except CompileError:
        return
    if selector.key(one) == selector.key(other):
        assert _answer(expression, False, one) == _answer(expression, False, other)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_an_expression_with_every_bracket_written_is_the_same_expression(expression: str) -> None:
    shown = bracketed(parse(expression))
    assert bracketed(parse(shown)) == shown


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a || b && c == d in e", "(a || (b && ((c == d) in e)))"),
        ("!a.b[c].d(-e)", "(!(((a.b))[c]).d((-e)))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a < b == c", "((a < b) == c)"),
        ("a && b && c || d", "((a && b && c) || d)"),
    ],
)
def test_operators_bind_as_in_the_specification(expression: str, shown: str) -> None:
    assert bracketed(parse(expression)) == shown
