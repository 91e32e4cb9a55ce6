"""The language: operators, types, errors, macros, optionals (cel-spec; Kubernetes' environment)."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.cel import CompileError, EvalError, compile_selector
from tests.cel.evaluate import value_of

TRUE = [
    # precedence and grouping
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "10 - 4 - 3 == 3",
    "-2 * -3 == 6",
    "!false && true",
    "true || false && false",
    "1 < 2 == true",
    "false ? 1 == 2 : true",
    "true ? true : false ? false : false",
    "2 in [1, 2] == true",
    "!!true",
    "--1 == 1 && 2 -1 == 1 && - 1 < 0 && -(1) == -1",
    # literals
    "0x1F == 31",
    "1e3 == 1000.0 && .5 == 0.5",
    "18446744073709551615u > 0",
    "-9223372036854775808 < 0",
    r"'\x41\u00e9\U0001F600\101' == 'Aé😀A'",
    r"r'\d' == '\\d'",
    "'''a\nb''' == 'a\\nb'",
    r"b'\xff'.size() == 1 && b'é'.size() == 2 && bytes('é') == b'\303\251'",
    "[1, 2,].size() == 2 && {'a': 1,}.size() == 1",
    "// a comment\ntrue // another",
    # numbers
    "7 / 2 == 3 && -7 / 2 == -3 && 7 % -2 == 1 && -7 % 2 == -1",
    "dyn(1) == 1.0 && dyn(1u) == 1 && dyn(1u) == 1.0 && dyn(1) == 1u",
    "1 < 1.5 && 2u > 1 && 1.0 <= 1u && -1 < 0u",
    "9223372036854775807 < 9223372036854775808.0",
    "dyn(true) != 1 && dyn(1) != true && dyn('1') != 1",
    "0.0 / 0.0 != 0.0 / 0.0",
    "1.0 / 0.0 > 1e308 && -1.0 / 0.0 < -1e308",
    # conversions
    "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && int(5u) == 5",
    "uint('7') == 7u && uint(3.9) == 3u && uint(1) == 1u",
    "double('1.5') == 1.5 && double(2) == 2.0",
    "bool('true') && !bool('F')",
    "string(1) == '1' && string(1u) == '1' && string(true) == 'true' && string(b'abc') == 'abc'",
    "string(1.0) == '1' && string(0.1) == '0.1' && string(1e6) == '1e+06' && string(-2.5e-7) == '-2.5e-07'",
    "string(123456.0) == '123456' && string(0.0001) == '0.0001'",
    "type(1) == int && type('') == string && type(1) != type(1u) && type(type(1)) == type",
    "type([]) == list && type({}) == map && type(null) == null_type && type(b'') == bytes",
    "type(duration('1s')) == google.protobuf.Duration",
    # equality of containers
    "[1, 2] == [1, 2] && [1, 2] != [2, 1] && [[dyn(1)]] == [[dyn(1.0)]]",
    "{'a': 1, 'b': 2} == {'b': 2, 'a': 1} && {'a': 1} != {'a': 2}",
    "[dyn(true)] != [dyn(1)]",
    "null == null",
    # containers
    "[1, 2, 3][1] == 2 && [1, 2][dyn(1.0)] == 2",
    "{'a': {'b': 1}}.a.b == 1 && {'a': 1}['a'] == 1 && {1: 'x'}[1] == 'x' && {true: 1}[true] == 1",
    "'a' in {'a': 1} && !('b' in {'a': 1}) && !(dyn(true) in {1: 1})",
    "size('é') == 1 && 'abc'.size() == 3 && size([1]) == 1 && {}.size() == 0",
    "[1] + [2] == [1, 2] && 'a' + 'b' == 'ab' && b'a' + b'b' == b'ab'",
    # comparisons
    "'a' < 'b' && b'a' < b'b' && false < true && 'B' < 'a'",
    # macros
    "[1, 2, 3].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, false)",
    "[1, 2, 3].exists(x, x == 2) && ![].exists(x, true)",
    "[1, 2, 3].exists_one(x, x > 2) && ![1, 2, 3].exists_one(x, x > 1)",
    "[1, 2, 3].filter(x, x > 1) == [2, 3]",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2, 3].map(x, x > 1, x * 10) == [20, 30]",
    "{'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && {'a': 1}.map(k, k) == ['a']",
    "[[1, 2], [3]].map(l, l.map(x, x + 1)) == [[2, 3], [4]]",
    "[1, 2].map(x, [x].map(y, x + y)) == [[2], [4]]",
    "has({'a': 1}.a) && !has({'a': 1}.b)",
    "cel.bind(x, 2, x * x) == 4 && cel.bind(x, 1, cel.bind(y, x + 1, x + y)) == 3",
    "[1, 2].map(i, cel.bind(x, [i, i].map(a, a + 1), [5, 6].map(j, x[0] + j))) == [[7, 8], [8, 9]]",
    # two-variable comprehensions
    "[5, 6].all(i, v, v == i + 5) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
    "[1, 1].existsOne(i, v, i == 1 && v == 1) && ![1, 1].exists_one(i, v, v == 1)",
    "[1, 2].transformList(i, v, i * v) == [0, 2] && [1, 2].transformList(i, v, i > 0, v) == [2]",
    "{'a': 1, 'b': 2}.transformMap(k, v, v * 10) == {'a': 10, 'b': 20}",
    "['x', 'y'].transformMap(i, v, v == 'y', v + '!') == {1: 'y!'}",
    "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
    # optionals
    "{'a': 1}.?a.orValue(0) == 1 && {'a': 1}.?b.orValue(7) == 7",
    "{'a': {'b': 2}}.?a.b.orValue(0) == 2 && {'a': {'b': 2}}.?x.?b == optional.none()",
    "[1][?0] == optional.of(1) && [1][?5] == optional.none() && {'k': 1}[?'k'].hasValue()",
    "optional.of(3).value() == 3 && !optional.none().hasValue()",
    "optional.none().or(optional.of(1)).value() == 1 && optional.of(2).or(optional.of(1 / 0)).value() == 2",
    "optional.of(1).orValue(1 / 0) == 1",
    "optional.of(2).optMap(x, x + 1).value() == 3 && optional.none().optMap(x, x + 1) == optional.none()",
    "optional.of(2).optFlatMap(x, x > 1 ? optional.of('y') : optional.none()).value() == 'y'",
    "optional.ofNonZeroValue('') == optional.none() && optional.ofNonZeroValue(0).hasValue() == false",
    "[1, ?{'a': 2}.?a, ?{'a': 2}.?b] == [1, 2]",
    "{?'a': {'x': 1}.?x, ?'b': {'x': 1}.?y} == {'a': 1}",
    "optional.unwrap([optional.of(1), optional.none()]) == [1]",
    # an error is absorbed when the other side decides
    "true || 1 / 0 == 1",
    "1 / 0 == 1 || true",
    "!(false && 1 / 0 == 1) && !(1 / 0 == 1 && false)",
    "[1, 0].exists(x, 1 / x == 1) && [0, 1].exists(x, 1 / x == 1)",
    "![0, 2].all(x, 4 / x > 5)",
    "dyn('no bool') || true",
]


@pytest.mark.parametrize("metered", [False, True], ids=["fast", "metered"])
@pytest.mark.parametrize("expression", TRUE)
def test_holds(expression: str, metered: bool) -> None:
    assert value_of(expression, metered=metered) is True


ERRORS = {
    "9223372036854775807 + 1 == 0": "integer overflow",
    "-9223372036854775808 - 1 == 0": "integer overflow",
    "-(-9223372036854775807 - 1) == 0": "integer overflow",
    "9223372036854775807 * 2 == 0": "integer overflow",
    "(-9223372036854775807 - 1) / -1 == 0": "integer overflow",
    "0u - 1u == 0u": "unsigned integer overflow",
    "uint(-1) == 0u": "unsigned integer overflow",
    "int(1e30) == 0": "integer overflow",
    "int(18446744073709551615u) == 0": "integer overflow",
    "1 / 0 == 0": "division by zero",
    "1 % 0 == 0": "modulus by zero",
    "int('x') == 0": "type conversion error from 'string' to 'int'",
    "int(' 1') == 0": "type conversion error from 'string' to 'int'",
    "double('x') == 0.0": "type conversion error from 'string' to 'double'",
    "bool('yes')": "type conversion error from 'string' to 'bool'",
    r"string(b'\xff') == ''": "invalid UTF-8",
    "[1][1] == 0": "index out of bounds: 1",
    "[1][-1] == 0": "index out of bounds: -1",
    "{'a': 1}['b'] == 0": "no such key: b",
    "{'a': 1}.b == 0": "no such key: b",
    "{1: 1}[2] == 0": "no such key: 2",
    "dyn(1) + dyn('a') == 0": "no such overload",
    "dyn('a') < 1": "no such overload",
    "dyn(1).x == 0": "no such overload",
    "dyn('x') && true": "no such overload",
    "false || dyn('x')": "no such overload",
    "dyn(1) ? true : false": "no such overload",
    "dyn(1).exists(x, true)": "got 'types.Int', expected iterable type",
    "[1, 0].all(x, 1 / x == 1)": "division by zero",
    "[1, 0].exists_one(x, 1 / x == 1)": "division by zero",
    "[1, 0].map(x, 1 / x) == []": "division by zero",
    "optional.none().value() == 1": "optional.none() dereference",
    "{'a': 1, 'a': 2} == {}": "already exists",
    "1 in dyn(1)": "no such overload",
    "duration('1h') + duration('9223372036s') == duration('0')": "duration overflow",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s') == timestamp(0)": "timestamp overflow",
}


@pytest.mark.parametrize("metered", [False, True], ids=["fast", "metered"])
@pytest.mark.parametrize(("expression", "message"), ERRORS.items(), ids=ERRORS)
def test_has_no_value(expression: str, message: str, metered: bool) -> None:
    with pytest.raises(EvalError) as caught:
        value_of(expression, metered=metered)
    assert message in str(caught.value)


REFUSED = {
    "": "Syntax error",
    "1 +": "mismatched input '<EOF>'",
    "(true": "mismatched input '<EOF>' expecting ')'",
    "true true": "extraneous input 'true'",
    "a.b.": "expecting IDENTIFIER",
    "'open": "token recognition error",
    "'\\q'": "token recognition error",
    "9223372036854775808 > 0": "invalid int literal",
    "18446744073709551616u > 0u": "invalid uint literal",
    "nothing": "undeclared reference to 'nothing' (in container '')",
    "nothing()": "undeclared reference to 'nothing' (in container '')",
    "true.nothing()": "undeclared reference to 'nothing' (in container '')",
    "for == 1": "reserved identifier: for",
    "1 + 'a' == 2": "found no matching overload for '_+_' applied to '(int, string)'",
    "1 + 1u == 2": "found no matching overload for '_+_' applied to '(int, uint)'",
    "1 == 'a'": "found no matching overload for '_==_' applied to '(int, string)'",
    "1 == 1.0": "found no matching overload for '_==_' applied to '(int, double)'",
    "1 && true": "found no matching overload for '_&&_' applied to '(int, bool)'",
    "'a'.size(1) == 1": "found no matching overload for 'size' applied to 'string.(int)'",
    "true ? 1 : 'a'": "found no matching overload for '_?_:_' applied to '(bool, int, string)'",
    "[1, 'a'].size() == 2": "expected type 'int' but found 'string'",
    "[1, dyn('a')].size() == 2": "expected type 'int' but found 'dyn'",
    "{'a': 1, 'b': ''} == {}": "expected type 'int' but found 'string'",
    "'abc'.exists(x, true)": "expression of type 'string' cannot be range of a comprehension",
    "[1].all(x, x)": "expected type 'bool' but found 'int'",
    "[1].all(1, true)": "argument must be a simple name",
    "[1].all(i, i, true)": "duplicate variable name: i",
    "[1].all(x, true) && x == 1": "undeclared reference to 'x'",
    "has(1)": "invalid argument to has() macro",
    "'a'.b == 1": "type 'string' does not support field selection",
    "1[0] == 1": "found no matching overload for '_[_]' applied to '(int, int)'",
    "device.nothing": "undefined field 'nothing'",
    "device": "must evaluate to bool or the unknown type, not kubernetes.DRADevice",
    "'a'": "must evaluate to bool or the unknown type, not string",
    "[1]": "must evaluate to bool or the unknown type, not list(int)",
    "'a'.matches('(?=a)')": "invalid matches argument: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
    r"'a'.matches('(a)\\1')": r"invalid escape sequence: `\1`",
    "duration('x') == duration('1s')": "invalid duration argument",
    "timestamp('x') == timestamp(0)": "invalid timestamp argument",
    "(" * 200 + "true" + ")" * 200: "nested more than",
    "[" * 200 + "]" * 200 + " == []": "nested more than",
    "1" + "+1" * 200 + " > 0": "nested more than",
    "'" + "x" * 10240 + "' == ''": "at most 10240 are allowed",
}


@pytest.mark.parametrize(
    ("expression", "message"), REFUSED.items(), ids=[expression[:40] or "nothing" for expression in REFUSED]
)
def test_does_not_compile(expression: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_selector(expression)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_problem_is_told_with_its_place() -> None:
    with pytest.raises(CompileError) as caught:
        compile_selector("one &&\n  two")
    assert caught.value.problems == (
        "ERROR: <input>:1:1: undeclared reference to 'one' (in container '')",
        "ERROR: <input>:2:3: undeclared reference to 'two' (in container '')",
    )


def test_long_chains_of_logic_are_no_nesting() -> None:
    assert compile_selector(" && ".join(["true"] * 1000)).max_cost == 0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("1 + 1", 2), ("{'a': [1u]}", {"a": (1,)}), ("1 == 1 ? 'x' : 'y'", "x")],
)
def test_values_are_plain_python(expression: str, expected: Any) -> None:
    assert value_of(expression) == expected
