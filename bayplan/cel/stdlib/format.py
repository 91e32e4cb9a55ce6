"""Named string formats: `format.dns1123Label().validate(s)` is none when `s` is well formed, else what is wrong."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.stdlib.net import parse_url
from bayplan.cel.stdlib.time import parse_timestamp
from bayplan.cel.values import NONE, Format, Optional

LIBRARY = Library()
_declare = LIBRARY.declare

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DATE_TIME_REGEX_SIZE = 124


def _pattern(regex: str, most: int, wrong: str, prefix: bool = False) -> Callable[[str], list[str]]:
    compiled = re.compile(regex, re.ASCII)

    def check(text: str) -> list[str]:
        # A name that will be completed may end in what must not end a name.
        judged = re.sub("[-.]$", "a", text) if prefix else text
        if len(text) > most:
            return [f"must be no more than {most} characters"]
        return [] if compiled.fullmatch(judged) else [wrong]

    return check


def _label(prefix: bool) -> Callable[[str], list[str]]:
    wrong = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    )
    return _pattern(_LABEL, 63, f"{wrong} with an alphanumeric character", prefix)


def _subdomain(prefix: bool) -> Callable[[str], list[str]]:
    wrong = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    return _pattern(rf"{_LABEL}(\.{_LABEL})*", 253, f"{wrong} start and end with an alphanumeric character", prefix)


def _label_1035(prefix: bool) -> Callable[[str], list[str]]:
    wrong = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    return _pattern(
        "[a-z]([-a-z0-9]*[a-z0-9])?", 63, f"{wrong} character, and end with an alphanumeric character", prefix
    )


_name = _pattern(
    "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
    63,
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character",
)
_label_value = _pattern(
    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character",
)


def _qualified_name(text: str) -> list[str]:
    prefix, slash, name = text.rpartition("/")
    if not slash:
        return _name(text)
    problems = [f"prefix part {problem}" for problem in _subdomain(False)(prefix)] if prefix else []
    return ([] if prefix else ["prefix part must be non-empty"]) + problems + _name(name)


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except EvalError as error:
        return [str(error)]
    return []


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return [] if text else ["invalid base64"]


def _moment(text: str, completed: str, wrong: str) -> list[str]:
    try:
        parse_timestamp(completed)
    except EvalError:
        return [wrong]
    return []


_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_FORMATS: dict[str, tuple[Format, Callable[[str], list[str]]]] = {
    "dns1123Label": (Format("DNS1123Label", 30), _label(False)),
    "dns1123Subdomain": (Format("DNS1123Subdomain", 60), _subdomain(False)),
    "dns1035Label": (Format("DNS1035Label", 30), _label_1035(False)),
    "qualifiedName": (Format("QualifiedName", 60), _qualified_name),
    "dns1123LabelPrefix": (Format("DNS1123LabelPrefix", 30), _label(True)),
    "dns1123SubdomainPrefix": (Format("DNS1123SubdomainPrefix", 60), _subdomain(True)),
    "dns1035LabelPrefix": (Format("DNS1035LabelPrefix", 30), _label_1035(True)),
    "labelValue": (Format("LabelValue", 40), _label_value),
    "uri": (Format("URI", 1103), _uri),
    "uuid": (Format("uuid", len(_UUID)), _pattern(f"(?i:{_UUID})", 10_000, "does not match the UUID format")),
    "byte": (Format("byte", 84), _byte),
    "date": (Format("date", _DATE_TIME_REGEX_SIZE), lambda text: _moment(text, f"{text}T00:00:00Z", "invalid date")),
    "datetime": (Format("datetime", _DATE_TIME_REGEX_SIZE), lambda text: _moment(text, text, "invalid datetime")),
}
_CHECKS = {known.name: check for known, check in _FORMATS.values()}


def _constant(value: Format) -> Callable[[], Format]:
    return lambda: value


for _key, (_format, _) in _FORMATS.items():
    LIBRARY.add(f"format.{_key}() -> Format", _constant(_format))


@_declare("format.named(string) -> opt<Format>")
def _named(name: str) -> Optional:
    return Optional(True, _FORMATS[name][0]) if name in _FORMATS else NONE


@_declare("Format.validate(string) -> opt<list<string>>")
def _validate(named: Format, text: str) -> Optional:
    problems = _CHECKS[named.name](text)
    return Optional(True, tuple(problems)) if problems else NONE
