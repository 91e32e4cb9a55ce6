"""IP addresses, networks and URLs (the Kubernetes libraries of those names)."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote_plus

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import CIDR, IP, URL

LIBRARY = Library()
_declare = LIBRARY.declare


def _parse_ip(text: str) -> IP:
    if "%" in text:
        raise EvalError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvalError(f'IP Address "{text}" parse error during conversion from string: {error}') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvalError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return IP(address)


@_declare("ip(string) -> IP")
def _ip(text: str) -> IP:
    return _parse_ip(text)


@_declare("isIP(string) -> bool")
def _is_ip(text: str) -> bool:
    try:
        _parse_ip(text)
    except EvalError:
        return False
    return True


@_declare("ip.isCanonical(string) -> bool")
def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text).address) == text


def _is_global_unicast(ip: IP) -> bool:
    address = ip.address
    excluded = address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified
    return not excluded and str(address) != "255.255.255.255"


def _is_link_local_multicast(ip: IP) -> bool:
    if ip.address.version == 4:
        return ip.address in ipaddress.ip_network("224.0.0.0/24")
    return ip.address.packed[0] == 0xFF and ip.address.packed[1] & 0x0F == 0x02


LIBRARY.add("string(IP) -> string", lambda ip: str(ip.address))
LIBRARY.add("IP.family() -> int", lambda ip: ip.address.version)
LIBRARY.add("IP.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified)
LIBRARY.add("IP.isLoopback() -> bool", lambda ip: ip.address.is_loopback)
LIBRARY.add("IP.isLinkLocalMulticast() -> bool", _is_link_local_multicast)
LIBRARY.add("IP.isLinkLocalUnicast() -> bool", lambda ip: ip.address.is_link_local)
LIBRARY.add("IP.isGlobalUnicast() -> bool", _is_global_unicast)


def _parse_cidr(text: str) -> CIDR:
    address, slash, length = text.partition("/")
    plain = slash and re.fullmatch("0|[1-9][0-9]*", length, re.ASCII) and "%" not in address
    try:
        if not plain:
            raise ValueError(f'netip.ParsePrefix("{text}"): not an address, "/" and a prefix length')
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        raise EvalError(f"network address parse error during conversion from string: {error}") from None
    if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped is not None:
        raise EvalError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDR(interface)


@_declare("cidr(string) -> CIDR")
def _cidr(text: str) -> CIDR:
    return _parse_cidr(text)


@_declare("isCIDR(string) -> bool")
def _is_cidr(text: str) -> bool:
    try:
        _parse_cidr(text)
    except EvalError:
        return False
    return True


@_declare("CIDR.containsIP(IP) -> bool")
def _contains_ip(cidr: CIDR, ip: IP) -> bool:
    return ip.address in cidr.interface.network


@_declare("CIDR.containsIP(string) -> bool")
def _contains_ip_text(cidr: CIDR, text: str) -> bool:
    return _contains_ip(cidr, _parse_ip(text))


@_declare("CIDR.containsCIDR(CIDR) -> bool")
def _contains_cidr(cidr: CIDR, other: CIDR) -> bool:
    outer, inner = cidr.interface.network, other.interface.network
    return outer.prefixlen <= inner.prefixlen and other.interface.ip in outer


@_declare("CIDR.containsCIDR(string) -> bool")
def _contains_cidr_text(cidr: CIDR, text: str) -> bool:
    return _contains_cidr(cidr, _parse_cidr(text))


LIBRARY.add("string(CIDR) -> string", lambda cidr: cidr.interface.with_prefixlen)
LIBRARY.add("CIDR.ip() -> IP", lambda cidr: IP(cidr.interface.ip))
LIBRARY.add("CIDR.prefixLength() -> int", lambda cidr: cidr.interface.network.prefixlen)
LIBRARY.add("CIDR.masked() -> CIDR", lambda cidr: CIDR(ipaddress.ip_interface(cidr.interface.network)))


# -- URLs: absolute URIs and absolute paths, as Go's url.ParseRequestURI takes them

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?]*))?([^?]*)(?:\?(.*))?", re.ASCII | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_ESCAPED = re.compile(r"[^A-Za-z0-9$&+,/:;=@_.~!*'()%\[\]-]")


def parse_url(text: str) -> URL:
    """The parts of an absolute URI or path; raises EvalError."""
    match = _URL.fullmatch(text)
    if match is None or not text or _CONTROL.search(text):
        raise _bad_url(text, "empty url" if not text else "invalid control character in URL")
    scheme, authority, path, query = (part or "" for part in match.groups())
    if not scheme and ((match[2] is not None and not path) or not text.startswith("/")):
        raise _bad_url(text, "invalid URI for request")
    if scheme and match[2] is None and not path.startswith("/"):
        raise _bad_url(text, "invalid URI for request")
    if _BAD_ESCAPE.search(path):
        raise _bad_url(text, "invalid URL escape")
    if not scheme and match[2] is not None and not text.startswith("///"):
        authority, path = "", f"//{authority}{path}"
    host = authority.rpartition("@")[2]
    hostname, port = _host_and_port(text, host)
    escaped = _PATH_ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), path)
    return URL(scheme.lower(), host, hostname, port, escaped, _parse_query(query))


def _bad_url(text: str, why: str) -> EvalError:
    return EvalError(f'URL parse error during conversion from string: parse "{text}": {why}')


def _host_and_port(text: str, host: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", host, re.ASCII)
    if match is None:
        raise _bad_url(text, f'invalid port after host in "{host}"')
    if re.search(r"[ <>\"]", host):
        raise _bad_url(text, "invalid character in host name")
    return match[1].strip("[]"), match[2] or ""


def _parse_query(query: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    values: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        values.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return tuple((name, tuple(found)) for name, found in values.items())


@_declare("url(string) -> URL")
def _url(text: str) -> URL:
    return parse_url(text)


@_declare("isURL(string) -> bool")
def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except EvalError:
        return False
    return True


LIBRARY.add("URL.getScheme() -> string", lambda url: url.scheme)
LIBRARY.add("URL.getHost() -> string", lambda url: url.host)
LIBRARY.add("URL.getHostname() -> string", lambda url: url.hostname)
LIBRARY.add("URL.getPort() -> string", lambda url: url.port)
LIBRARY.add("URL.getEscapedPath() -> string", lambda url: url.escaped_path)
LIBRARY.add("URL.getQuery() -> map<string, list<string>>", lambda url: dict(url.query))
