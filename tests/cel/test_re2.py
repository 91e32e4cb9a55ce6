"""RE2: its syntax, its limits, and two engines that must agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.cel import re2

FINDS = [
    ("[^a]?sym", "asymetric", (1, 4)),
    ("(a|ab)(c|bcd)", "abcd", (0, 4)),
    ("a*?b", "aaab", (0, 4)),
    ("(?i)HeL+o", "xxhello", (2, 7)),
    (r"\bfoo\b", "a foo b", (2, 5)),
    ("^$", "", (0, 0)),
    ("x{2,3}?", "xxxx", (0, 2)),
    ("(?U)x+", "xxx", (0, 1)),
    ("(?m)^b$", "a\nb\nc", (2, 3)),
    ("^b", "a\nb", None),
    ("a$", "a\n", None),
    ("a.c", "a\nc", None),
    ("(?s)a.c", "a\nc", (0, 3)),
    ("(?i:a)B", "AB", (0, 2)),
    ("(?i:a)B", "Ab", None),
    ("[[:digit:]]+", "ab12", (2, 4)),
    (r"[\d\-x]+", "-1x", (0, 3)),
    (r"[^\w\s]", "a b!", (3, 4)),
    ("[]a]+", "]a", (0, 2)),
    (r"\x41\x{42}\103", "ABC", (0, 3)),
    (r"\pL+", "é1", (0, 1)),
    (r"\P{Lu}", "Aa", (1, 2)),
    (r"\Qa.b\E+", "a.bb", (0, 4)),
    ("(?P<n>a)(?<m>b)", "ab", (0, 2)),
    ("a{,2}", "a{,2}", (0, 5)),
    ("", "abc", (0, 0)),
    ("(a*)*b", "aab", (0, 3)),
    ("(|a)+", "aaa", (0, 0)),
    ("(|a)*", "aaa", (0, 0)),
    ("(a|b)+?c", "abc", (0, 3)),
    ("(ab){2,}", "ababab", (0, 6)),
]


@pytest.mark.parametrize(("pattern", "text", "span"), FINDS)
def test_finds_the_leftmost_match(pattern: str, text: str, span: tuple[int, int] | None) -> None:
    compiled = re2.compile(pattern)
    assert compiled.simulate(text) == span
    assert compiled.search(text) == span


REFUSED = {
    r"(a)\1": r"invalid escape sequence: `\1`",
    r"\k<n>": r"invalid escape sequence: `\k`",
    "(?=a)": "invalid or unsupported Perl syntax: `(?=`",
    "(?!a)": "invalid or unsupported Perl syntax: `(?!`",
    "(?<=a)": "invalid or unsupported Perl syntax: `(?<`",
    "(?<!a)": "invalid or unsupported Perl syntax: `(?<`",
    "(?>a)": "invalid or unsupported Perl syntax: `(?>`",
    "(?P=n)": "invalid or unsupported Perl syntax: `(?P`",
    "a**": "invalid nested repetition operator: `**`",
    "a*+": "invalid nested repetition operator: `*+`",
    "(": "missing closing ): `(`",
    "a)": "unexpected ): `a)`",
    "[a": "missing closing ]: `[a`",
    "[b-a]": "invalid character class range: `b-a`",
    "[[:nope:]]": "invalid character class range: `[:nope:]`",
    "a{1001}": "invalid repeat count: `{1001}`",
    "(a{100}){100}": "invalid repeat count: `{100}`",
    "\\": "trailing backslash at end of expression: ``",
    "*": "missing argument to repetition operator: `*`",
    "(?P<>a)": "invalid named capture: `(?P<>`",
    r"\p{Nope}": r"invalid character class range: `\p{Nope}`",
    "(" * 60 + ")" * 60: "nests more than 50 levels deep",
    "(a{500}b){2}(c{900})(d{900})": "expression too large",
}


@pytest.mark.parametrize(("pattern", "message"), REFUSED.items(), ids=[pattern[:20] for pattern in REFUSED])
def test_refuses(pattern: str, message: str) -> None:
    with pytest.raises(re2.PatternError) as caught:
        re2.compile(pattern)
    assert message in str(caught.value)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a+)+$", "(.*)(.*)(.*)(.*)x", "a?" * 25 + "a" * 25])
def test_patterns_that_explode_elsewhere_are_simulated(pattern: str) -> None:
    compiled = re2.compile(pattern)
    text = "a" * 24 + "!"
    assert not compiled.is_cheap(len(text))
    assert compiled.search(text) is None


def test_plain_patterns_use_the_fast_engine() -> None:
    assert re2.compile("^NVIDIA (A|H)100.*80GB$").is_cheap(64)


def test_find_all_steps_over_empty_matches() -> None:
    assert re2.compile("a*").find_all("baac") == [(0, 0), (1, 3), (4, 4)]
    assert re2.compile("a").find_all("aaa", 2) == [(0, 1), (1, 2)]


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "^", "$", r"\b", r"\B", "(?i)a", "c"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(st.sampled_from("abc."), st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}"])).map(
            "".join
        ),
        inner.map(lambda one: f"({one}){{0,2}}"),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(_ATOMS, _grown, max_leaves=8), st.text("abAc1 \n", max_size=12))
def test_both_engines_find_the_same(pattern: str, text: str) -> None:
    compiled = re2.compile(pattern)
    if compiled.is_cheap(len(text)):
        assert compiled.backtrack(text) == compiled.simulate(text)
