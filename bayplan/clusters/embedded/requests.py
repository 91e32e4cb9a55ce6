"""Reading a request: which object its path names, what its query asks, and what its body holds.

Bodies are JSON or YAML. Protobuf, which a few kubectl commands send without asking, is read where it is simple and
else refused with the way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from bayplan.clusters.embedded.errors import ApiError, bad_request, unsupported_media
from bayplan.clusters.embedded.kinds import Kind, Kinds
from bayplan.clusters.embedded.protobuf import MAGIC, decode_simple_object

_YAML_TYPES = ("application/yaml", "application/apply-patch+yaml", "application/x-yaml", "text/yaml")
_JSON_TYPES = (
    "application/json",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "",
)
_PROTOBUF_HELP = (
    "this server reads JSON and YAML, not protobuf: write the object with `--dry-run=client -o yaml` and pipe it into"
    " `kubectl apply -f -`, or use `kubectl create -f FILE`"
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection (no name), an object, or a subresource of one."""

    kind: Kind
    version: str
    namespace: str | None
    name: str = ""
    subresource: str = ""

    @property
    def api_version(self) -> str:
        return self.kind.api_version(self.version)


def parse_target(kinds: Kinds, path: str) -> Target:
    """The target of `/api/v1/…` or `/apis/GROUP/VERSION/…`; ApiError 404 for anything that is not served."""
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise _unknown_path()
    namespace: str | None = None
    if rest[:1] == ["namespaces"] and len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource = f"{rest[0]}.{group}" if group and rest else "".join(rest[:1])
    if resource not in kinds or len(rest) > 3:
        raise _unknown_path()
    kind = kinds.of(resource)
    if version not in kind.versions or (namespace and not kind.namespaced):
        raise _unknown_path()
    return Target(kind, version, namespace, *rest[1:])


def _unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def decode_body(content_type: str, body: bytes) -> Any:
    """The value in a JSON or YAML body; ApiError 400 when malformed, 415 for other media types."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/vnd.kubernetes.protobuf" or body.startswith(MAGIC):
        if (simple := decode_simple_object(body)) is None:
            raise unsupported_media(_PROTOBUF_HELP)
        return simple
    try:
        if media in _YAML_TYPES:
            return yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if media in _JSON_TYPES:
            return msgspec.json.decode(body)
    except (yaml.YAMLError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body of the request is malformed: {error}") from error
    raise unsupported_media(f"the body of the request is of unknown type {media!r}: send application/json")


def decode_object(content_type: str, body: bytes) -> dict[str, Any]:
    """As `decode_body`, for a body that must be an object."""
    value = decode_body(content_type, body)
    if not isinstance(value, dict):
        raise bad_request("the body of the request is not an object")
    return value


@dataclass(frozen=True, slots=True)
class Accepted:
    """What form the client prefers: a Table, metadata only, or the object itself."""

    form: str = ""
    aggregated_discovery: bool = False


def parse_accept(header: str) -> Accepted:
    for option in header.split(","):
        pieces = [piece.strip() for piece in option.split(";")]
        if pieces[0] not in ("application/json", "*/*", "application/*"):
            continue
        words = dict(piece.split("=", 1) for piece in pieces[1:] if "=" in piece)
        form = words.get("as", "")
        if words.get("g") == "apidiscovery.k8s.io":
            if words.get("v") == "v2":
                return Accepted(aggregated_discovery=True)
            continue
        if form == "" or (words.get("g") == "meta.k8s.io" and words.get("v") == "v1"):
            return Accepted(form)
    return Accepted()


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true", "t")


def dry_run(query: Mapping[str, str], body: Mapping[str, Any] | None = None) -> bool:
    asked = query.get("dryRun") or ",".join((body or {}).get("dryRun") or [])
    if asked not in ("", "All"):
        raise bad_request(f"dryRun: {asked!r} is not supported: use All")
    return asked == "All"


def integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if text == "":
        return None
    if not text.isdigit():
        raise bad_request(f"{name}: {text!r} is not a number")
    return int(text)
