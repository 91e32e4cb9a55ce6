"""The libraries of the Kubernetes environment, function by function."""

from __future__ import annotations

import pytest

from bayplan.cel import EvalError
from tests.cel.evaluate import value_of

TRUE = [
    # strings
    "'tacocat'.charAt(3) == 'o' && 'abc'.charAt(3) == ''",
    "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'a'.indexOf('') == 0",
    "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
    "'hello'.indexOf('x') == -1 && 'hello'.lastIndexOf('x') == -1",
    "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('-') == ''",
    "'TacÉ'.lowerAscii() == 'tacÉ' && 'tacé'.upperAscii() == 'TACé'",
    "'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
    "'ab'.replace('', '_') == '_a_b_' && 'ab'.replace('a', 'x', 0) == 'ab'",
    "'a b c'.split(' ') == ['a', 'b', 'c'] && 'a b c'.split(' ', 2) == ['a', 'b c']",
    "'abc'.split('') == ['a', 'b', 'c']",
    "'a b'.split(' ', 0) == [] && 'a b'.split(' ', -1) == ['a', 'b'] && 'abc'.split('', 2) == ['a', 'bc']",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'a'.substring(1) == ''",
    r"'  \u00a0\ttrim\n  '.trim() == 'trim'",
    "'gums'.reverse() == 'smug'",
    r"""strings.quote('single "double" \n') == '"single \\"double\\" \\n"'""",
    "'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc') && 'abc'.contains('')",
    "'%s is %d%%'.format(['load', 42]) == 'load is 42%'",
    "'%.2f|%e|%x|%X|%o|%b'.format([1.005, 1234.5, 255, 'hi', 8, 5]) == '1.00|1.234500e+03|ff|6869|10|101'",
    "'%s %s %s'.format([[1, 2], {'a': true}, null]) == '[1, 2] {a: true} null'",
    "'%s %s'.format([duration('90s'), timestamp(0)]) == '90s 1970-01-01T00:00:00Z'",
    # lists
    "[1, 2, 2].isSorted() && ![2, 1].isSorted() && [].isSorted() && ['a', 'b'].isSorted()",
    "[1, 2, 3].sum() == 6 && [1.5, 1.5].sum() == 3.0 && [1u, 2u].sum() == 3u",
    "[duration('1m'), duration('1s')].sum() == duration('61s')",
    "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a'",
    "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(9) == -1",
    "[1, 2, 3].slice(1, 3) == [2, 3] && [1].slice(1, 1) == []",
    "[[1], [2, 3]].flatten() == [1, 2, 3] && [[[1]], [[2]]].flatten(2) == [1, 2] && [[[1]]].flatten() == [[1]]",
    "lists.range(3) == [0, 1, 2] && [3, 1, 2].sort() == [1, 2, 3] && [1, 2].reverse() == [2, 1]",
    "[1, 2, 1].distinct() == [1, 2] && [dyn(1), dyn(1.0), dyn(true)].distinct().size() == 2",
    "['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb'] && [3, 1].sortBy(x, -x) == [3, 1]",
    "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()",
    # sets
    "sets.contains([1, 2], [2]) && sets.contains([1], []) && !sets.contains([1], [1, 2])",
    "sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [2])",
    "sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [])",
    # regex
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'123 abc 456'.findAll('[0-9]+') == ['123', '456'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    "'foobar'.matches('o+b') && matches('abc', '^a.c$') && !'abc'.matches('^b')",
    # quantities
    "quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity('1Gi') == quantity('1024Mi')",
    "quantity('50k').add(20) == quantity('50020') && quantity('50k').sub(quantity('20k')) == quantity('30k')",
    "quantity('200M').isLessThan(quantity('200Mi')) && quantity('1').isGreaterThan(quantity('999m'))",
    "isQuantity('1.3Gi') && !isQuantity('1,3G') && !isQuantity('200K')",
    "quantity('50k').isInteger() && quantity('50k').asInteger() == 50000 && !quantity('1m').isInteger()",
    "!quantity('9999999999999999999999999999999999999G').isInteger()",
    "quantity('1500m').asApproximateFloat() == 1.5 && sign(quantity('-1')) == -1 && quantity('0').sign() == 0",
    # versions
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))",
    "semver('1.0.0-alpha.2').compareTo(semver('1.0.0-alpha.10')) == -1 && semver('1.0.0+a') == semver('1.0.0+b')",
    "semver('v01.1', true) == semver('1.1.0') && isSemver('v1', true) && !isSemver('v1.0.0') && !isSemver('1.0')",
    # addresses
    "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6 && ip('::1').isLoopback()",
    "isIP('10.0.0.1') && !isIP('10.0.0.256') && !isIP('fe80::1%eth0') && !isIP('::ffff:1.2.3.4')",
    "ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:DB8::1') && ip('0.0.0.0').isUnspecified()",
    "ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.1.1').isLinkLocalUnicast()",
    "ip('8.8.8.8').isGlobalUnicast()",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
    "!cidr('10.0.0.0/8').containsCIDR('0.0.0.0/0') && isCIDR('::/0') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/033')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
    "string(cidr('10.1.2.3/8').ip()) == '10.1.2.3' && string(cidr('10.1.2.3/8')) == '10.1.2.3/8'",
    "url('https://user@example.com:80/a b?k=v&k=w').getHost() == 'example.com:80'",
    "url('https://example.com:80/a b').getEscapedPath() == '/a%20b' && url('https://[::1]:80/').getHostname() == '::1'",
    "url('https://example.com/?k=a&k=b').getQuery() == {'k': ['a', 'b']} && url('/path').getScheme() == ''",
    "isURL('https://example.com') && !isURL('not a url') && !isURL('../x') && url('http://h:8/').getPort() == '8'",
    # formats
    "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('No_').hasValue()",
    "!format.named('uuid').value().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
    "format.named('nothing') == optional.none() && format.date().validate('2021-13-01').hasValue()",
    "!format.dns1123LabelPrefix().validate('my-').hasValue() && format.dns1123Label().validate('my-').hasValue()",
    "!format.qualifiedName().validate('a.io/name').hasValue() && !format.labelValue().validate('').hasValue()",
    "!format.byte().validate('aGVsbG8=').hasValue() && !format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
    "!format.uri().validate('http://example.com').hasValue() && !format.dns1035Label().validate('a1').hasValue()",
    # time
    "duration('1h30m') == duration('5400s') && duration('-1.5s').getMilliseconds() == -1500",
    "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90 && string(duration('1.5s')) == '1.5s'",
    "timestamp('2024-02-29T12:30:45.5Z').getFullYear() == 2024 && timestamp(0).getDayOfWeek() == 4",
    "timestamp('2024-02-29T12:30:45Z').getDayOfYear() == 59 && timestamp('2024-02-29T12:30:45Z').getDate() == 29",
    "timestamp('2024-03-01T00:30:00Z').getDayOfMonth('-01:00') == 28 && timestamp(0).getHours('+02:00') == 2",
    "timestamp('2024-01-01T00:00:00Z') - timestamp('2023-12-31T00:00:00Z') == duration('24h')",
    "string(timestamp('2024-01-01T02:00:00.120+02:00')) == '2024-01-01T00:00:00.12Z' && int(timestamp(5)) == 5",
    "timestamp(1) > timestamp(0) && timestamp(0) + duration('1s') == timestamp(1)",
]


@pytest.mark.parametrize("metered", [False, True], ids=["fast", "metered"])
@pytest.mark.parametrize("expression", TRUE)
def test_holds(expression: str, metered: bool) -> None:
    assert value_of(expression, metered=metered) is True


ERRORS = {
    "'abc'.charAt(4)": "index out of range: 4",
    "'abc'.substring(2, 1)": "invalid substring range. start: 2, end: 1",
    "'abc'.substring(4)": "index out of range: 4",
    "'abc'.indexOf('a', 9)": "index out of range: 9",
    "[dyn(1)].join()": "join: invalid input: int",
    "'%d'.format(['x'])": "decimal clause can only be used on integers",
    "'%s'.format([])": "index 0 out of range",
    "'%y'.format([1])": 'unrecognized formatting clause "y"',
    "[].min()": "min called on empty list",
    "[1].slice(0, 2)": "cannot slice(0, 2), list is length 1",
    "[dyn(1), dyn('a')].sort()": "list elements must have the same type",
    "lists.range(1000001)": "lists.range() is limited to 1000000 items",
    "'a'.matches(dyn('(?<!a)b'))": "invalid or unsupported Perl syntax: `(?<`",
    "'a'.find('[')": "missing closing ]",
    "quantity('200K')": "unable to parse quantity's suffix",
    "quantity('x')": "quantities must match the regular expression",
    "quantity('1m').asInteger()": "cannot convert value to integer",
    "semver('1.0')": "No Major.Minor.Patch elements found",
    "semver('01.0.0')": "must not contain leading zeroes",
    "ip('x')": "parse error during conversion from string",
    "cidr('x')": "network address parse error",
    "url('x')": "URL parse error during conversion from string",
    "timestamp(0).getHours('Mars/Olympus')": "unknown time zone Mars/Olympus",
    "duration(dyn('1 h'))": "invalid duration",
}


@pytest.mark.parametrize(("expression", "message"), ERRORS.items(), ids=ERRORS)
def test_has_no_value(expression: str, message: str) -> None:
    with pytest.raises(EvalError) as caught:
        value_of(expression)
    assert message in str(caught.value)
