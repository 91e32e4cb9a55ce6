"""Kubeconfig files: where a cluster is and how one proves who one is (client-go's Config v1).

Understood: server, CA, client certificates, tokens, and `exec` plugins that answer with a token. The first file found
of --kubeconfig, $BAYPLAN_KUBECONFIG, the cluster of `bayplan up`, $KUBECONFIG and ~/.kube/config counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bayplan.app.clock import Clock
from bayplan.app.errors import BadInput, Unreachable
from bayplan.app.home import kubeconfig_paths

EXEC_TIMEOUT_S = 60
CLOCK_EXTENSION = "bayplan.dev/clock"
"""Extension of a cluster entry: what time it is in an embedded cluster, whose time may run faster than the wall's."""


class Access:
    """A cluster's address and the credentials for it."""

    def __init__(
        self,
        *,
        server: str,
        source: Path,
        namespace: str = "",
        verify: ssl.SSLContext | bool = True,
        headers: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`clock` is the cluster's, where it is known to differ from what the answers' Date says."""
        self.clock = clock
        self.server, self.source, self.namespace = server, source, namespace
        self.verify, self.headers = verify, dict(headers or {})


def find_kubeconfig(given: Path | None) -> Path:
    """The kubeconfig file to use. Raises BadInput (a named file that is not there) or Unreachable (none at all)."""
    if given is not None:
        if not os.path.isfile(given):  # Path.is_file raises where the folder cannot be searched
            raise BadInput(str(given), "", "no such kubeconfig file")
        return given
    named = os.environ.get("BAYPLAN_KUBECONFIG")
    if named:
        return find_kubeconfig(Path(named))
    others = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    for path in (*kubeconfig_paths(), *others, Path.home() / ".kube" / "config"):
        if os.path.isfile(path):
            return path
    raise Unreachable("no cluster: start one with `bayplan up`, or name one with --kubeconfig")


def read_access(path: Path) -> Access:
    """The current context of a kubeconfig file. Raises BadInput."""
    config = _load(path)
    context = _named(path, config, "contexts", str(config.get("current-context") or ""), "current-context")
    cluster = _named(path, config, "clusters", str(context.get("cluster") or ""), "contexts.cluster")
    name = str(context.get("user") or "")
    user = _named(path, config, "users", name, "contexts.user") if name else {}
    server = str(cluster.get("server") or "")
    if not server.startswith(("http://", "https://")):
        raise BadInput(str(path), "clusters.cluster.server", f"expected an http or https address, got {server!r}")
    return Access(
        server=server.rstrip("/"),
        source=path,
        namespace=str(context.get("namespace") or ""),
        verify=_tls(path, cluster, user) if server.startswith("https://") else False,
        headers=_headers(path, user),
        clock=_clock(cluster),
    )


def _clock(cluster: Mapping[str, Any]) -> Clock | None:
    for entry in cluster.get("extensions") or ():
        if isinstance(entry, dict) and entry.get("name") == CLOCK_EXTENSION:
            told = entry["extension"]
            return Clock.told(began=float(told["began"]), start=float(told["start"]), speed=int(told["speed"]))
    return None


def _load(path: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(str(path), "", error.strerror or "cannot be read") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(str(path), "", "expected a kubeconfig in YAML") from error
    if not isinstance(config, dict):
        raise BadInput(str(path), "", "expected a kubeconfig")
    return config


def _named(path: Path, config: Mapping[str, Any], field: str, name: str, wanted_by: str) -> Mapping[str, Any]:
    for entry in config.get(field) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(field.removesuffix("s"))
            return found if isinstance(found, dict) else {}
    raise BadInput(str(path), wanted_by, f"expected one of {field}, got {name!r}")


def _tls(path: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _material(path, cluster, "certificate-authority")
    try:
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        certificate, key = _material(path, user, "client-certificate"), _material(path, user, "client-key")
        if certificate and key:
            _load_pair(context, certificate, key)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise BadInput(str(path), "clusters, users", f"expected certificates in PEM ({error})") from error
    except OSError as error:
        raise BadInput(str(path), "client-certificate", f"cannot be put into a temporary file ({error})") from error
    return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """ssl reads a client certificate from a file only: it is there for that moment, for this user alone."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
        pair.write(certificate + b"\n" + key)
        pair.flush()
        context.load_cert_chain(pair.name)


def _material(path: Path, fields: Mapping[str, Any], name: str) -> bytes:
    """Certificate or key: `NAME-data` in base64, or the file `NAME`, relative to the kubeconfig."""
    data = fields.get(f"{name}-data")
    try:
        if data:
            return base64.b64decode(str(data), validate=True)
        named = fields.get(name)
        return (path.parent / str(named)).read_bytes() if named else b""
    except (binascii.Error, OSError) as error:
        raise BadInput(str(path), name, f"cannot be read ({error})") from error


def _headers(path: Path, user: Mapping[str, Any]) -> dict[str, str]:
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = _material(path, {"tokenFile": user["tokenFile"]}, "tokenFile").decode().strip()
    if not token and isinstance(user.get("exec"), dict):
        token = _exec_token(path, user["exec"])
    return {"Authorization": f"Bearer {token}"} if token else {}


def _exec_token(path: Path, plugin: Mapping[str, Any]) -> str:
    """The token an exec credential plugin (client.authentication.k8s.io) prints."""
    command = [str(plugin.get("command") or ""), *map(str, plugin.get("args") or ())]
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    added = {str(e.get("name")): str(e.get("value")) for e in plugin.get("env") or ()}
    environment = os.environ | added | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, timeout=EXEC_TIMEOUT_S, check=True, cwd=path.parent
        )
        token = json.loads(done.stdout)["status"].get("token")
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable(f"{path}: the credential plugin {command[0]!r} gave no token: {error}") from error
    if not token:
        raise Unreachable(f"{path}: the credential plugin {command[0]!r} gave no token")
    return str(token)
