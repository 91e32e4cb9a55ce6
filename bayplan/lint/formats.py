"""What a name may look like: RFC 1123 labels and subdomains, qualified names, C identifiers, UIDs, CIDR addresses.

Sources: apimachinery `pkg/util/validation` and `pkg/api/validate/content`; resource.k8s.io/v1 `QualifiedName`,
`FullyQualifiedName` and the limits of `types.go`. Lengths are in bytes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from bayplan.lint.rules import INVALID, REQUIRED, TOO_LONG, Format, Problem

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
DOMAIN_MAX = 63
ID_MAX = 32
POOL_NAME_MAX = 253
ATTRIBUTE_NAME_MAX = DOMAIN_MAX + 1 + ID_MAX

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*", re.ASCII)
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", re.ASCII)

_LABEL_WORDS = "must be a lowercase RFC 1123 label: a-z, 0-9 and '-', a letter or digit at both ends (like my-name)"
_SUBDOMAIN_WORDS = (
    "must be a lowercase RFC 1123 subdomain: labels of a-z, 0-9 and '-', joined by '.' (like example.com)"
)
_PART_WORDS = "must consist of letters, digits, '-', '_' or '.', with a letter or digit at both ends (like My.name-1)"


def size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def at_most(size_max: int) -> Format:
    """No more than so many bytes."""

    def form(text: str) -> Iterator[Problem]:
        if size(text) > size_max:
            yield TOO_LONG, f"may not be more than {size_max} bytes"

    return form


def filled(form: Format) -> Format:
    """The format, asked only of text that is not empty; empty text is missing."""

    def check(text: str) -> Iterator[Problem]:
        if text:
            yield from form(text)
        else:
            yield REQUIRED, ""

    return check


def unset_or(form: Format) -> Format:
    """The format; empty text is neither set nor unset, and wrong."""

    def check(text: str) -> Iterator[Problem]:
        if text:
            yield from form(text)
        else:
            yield INVALID, "must be either unset or set to a non-empty string"

    return check


def remembered(form: Format) -> Format:
    """The format, asked once per text: a fleet's devices repeat the same few names thousands of times."""
    ask = lru_cache(maxsize=4096)(lambda text: tuple(form(text)))
    return lambda text: iter(ask(text))


def _shape(pattern: re.Pattern[str], size_max: int, meaning: str) -> Format:
    def form(text: str) -> Iterator[Problem]:
        if size(text) > size_max:
            yield INVALID, f"must be no more than {size_max} bytes"
        if not pattern.fullmatch(text):
            yield INVALID, meaning

    return form


dns_label = remembered(_shape(_LABEL, LABEL_MAX, _LABEL_WORDS))
dns_subdomain = _shape(_SUBDOMAIN, SUBDOMAIN_MAX, _SUBDOMAIN_WORDS)
condition_reason = _shape(_REASON, 1024, "must be one CamelCase word")


def label_value(text: str) -> Iterator[Problem]:
    if size(text) > LABEL_MAX:
        yield INVALID, f"must be no more than {LABEL_MAX} bytes"
    if text and not _NAME_PART.fullmatch(text):
        yield INVALID, f"a label value {_PART_WORDS}, or be empty"


def qualified_name(text: str) -> Iterator[Problem]:
    """A label key: an optional subdomain and `/`, then a name."""
    prefix, slash, name = text.rpartition("/")
    if slash and "/" in prefix:
        yield INVALID, f"a name part {_PART_WORDS}, with at most one prefix and '/' before it"
        return
    if slash:
        if not prefix:
            yield INVALID, "prefix part must be non-empty"
        else:
            yield from dns_subdomain(prefix)
    if not name:
        yield INVALID, "name part must be non-empty"
    elif size(name) > LABEL_MAX:
        yield INVALID, f"name part must be no more than {LABEL_MAX} bytes"
    if not _NAME_PART.fullmatch(name):
        yield INVALID, f"name part {_PART_WORDS}"


def annotation_key(text: str) -> Iterator[Problem]:
    yield from qualified_name(text.lower())


def identifier(text: str) -> Iterator[Problem]:
    """A C identifier of at most 32 bytes."""
    yield from at_most(ID_MAX)(text)
    if not _IDENTIFIER.fullmatch(text):
        yield INVALID, "must be a C identifier: letters, digits and '_', no digit first (like my_name)"


def driver_name(text: str) -> Iterator[Problem]:
    """A DRA or CSI driver: a subdomain of at most 63 bytes, of either case."""
    if not text:
        yield REQUIRED, ""
        return
    yield from at_most(DOMAIN_MAX)(text)
    yield from dns_subdomain(text.lower())


def pool_name(text: str) -> Iterator[Problem]:
    """Subdomains joined by `/`."""
    if not text:
        yield REQUIRED, ""
        return
    yield from at_most(POOL_NAME_MAX)(text)
    for part in text.split("/"):
        yield from dns_subdomain(part)


@remembered
def attribute_name(text: str) -> Iterator[Problem]:
    """The name of an attribute or a capacity: an identifier, or `domain/identifier`."""
    domain, slash, name = text.partition("/")
    if not slash:
        yield from identifier(text)
        return
    if "/" in name:
        yield INVALID, "must not contain more than one slash"
        return
    for part, form, what in ((domain, driver_name, "domain"), (name, identifier, "name")):
        if part:
            yield from form(part)
        else:
            yield INVALID, f"the {what} must not be empty"


def full_attribute_name(text: str) -> Iterator[Problem]:
    yield from attribute_name(text)
    if "/" not in text:
        yield INVALID, "must be a domain and a name with a slash between them (like gpu.example.com/model)"


def uid(text: str) -> Iterator[Problem]:
    if not _UID.fullmatch(text):
        yield INVALID, "must be a UUID in its normal form: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, lowercase"


def interface_address(text: str) -> Iterator[Problem]:
    """An address with its prefix length, in canonical form."""
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        address = None
    if address is None or "/" not in text:
        yield INVALID, "must be an address in CIDR form (like 10.9.8.7/24 or 2001:db8::1/64)"
    elif str(address) != text:
        yield INVALID, f"must be in canonical form: {address}"


def extended_resource(text: str) -> Iterator[Problem]:
    """A resource name outside Kubernetes' own domains (helper.IsExtendedResourceName)."""
    domain, slash, _ = text.partition("/")
    native = not slash or domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    if native or text.startswith("requests.") or any(qualified_name(f"requests.{text}")):
        yield INVALID, "must be an extended resource name (like example.com/gpu)"


def is_node_resource(name: str) -> bool:
    """Whether a resource is one a node has of itself (cpu, memory, ephemeral-storage, hugepages-*)."""
    return name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-")
