"""How a scheduler reaches its cluster: the kubeconfig a person names, else the service account of its pod."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from bayplan.app.kubeconfig import find_kubeconfig, read_access
from bayplan.clusters.kubernetes.http import Access
from bayplan.clusters.kubernetes.identity import Renewed, in_cluster, is_in_cluster

RENEW_S = 240  # token files and credential plugins are asked again; their tokens live for ten minutes and more


def access(kubeconfig: Path | None) -> Access:
    """Raises BadInput, Unreachable."""
    if kubeconfig is None and is_in_cluster():
        return in_cluster()
    path = find_kubeconfig(kubeconfig)
    found = read_access(path)

    def headers() -> Mapping[str, str]:
        return read_access(path).headers

    tls = found.verify if isinstance(found.verify, ssl.SSLContext) else None
    return Access(found.server, Renewed(headers, RENEW_S), tls)
