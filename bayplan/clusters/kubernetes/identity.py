"""Who a process is inside a cluster: the service account's token, read again as the kubelet renews it."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bayplan.clusters.kubernetes.http import Access

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RELOAD_S = 60  # a projected token is renewed at 80 % of its life, which is an hour by default


class Renewed:
    """Headers that are made again every `every_s` seconds; a failure to do so keeps the ones there are."""

    def __init__(self, make: Callable[[], Mapping[str, str]], every_s: float = RELOAD_S) -> None:
        """Raises what `make` raises the first time."""
        self._make, self._every_s = make, every_s
        self._lock = threading.Lock()
        self._headers, self._made_s = make(), time.monotonic()

    def __call__(self) -> Mapping[str, str]:
        if time.monotonic() - self._made_s > self._every_s:
            with self._lock:
                if time.monotonic() - self._made_s > self._every_s:
                    self._renew()
        return self._headers

    def _renew(self) -> None:
        self._made_s = time.monotonic()
        try:
            self._headers = self._make()
        except Exception:  # whatever is wrong, the API server will say so once the old credential has run out
            return


def is_in_cluster(account: Path = ACCOUNT) -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (account / "token").is_file()


def in_cluster(account: Path = ACCOUNT) -> Access:
    """The API server of the cluster this process runs in. Raises OSError where there is none."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host

    def headers() -> Mapping[str, str]:
        return {"Authorization": f"Bearer {(account / 'token').read_text(encoding='ascii').strip()}"}

    tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
    return Access(f"https://{host}:{port}", Renewed(headers), tls)


def own_namespace(account: Path = ACCOUNT) -> str:
    """The namespace this process runs in; "" outside a cluster."""
    path = account / "namespace"
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""
