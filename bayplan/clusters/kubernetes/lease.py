"""Leadership by a Lease (coordination.k8s.io), with client-go's timings, and fenced by time.

The holder renews every `RETRY_S`. It may write until `RENEW_S` after the start of its last successful renewal, which
with a write's own time limit ends before any other process may take the lease over (`LEASE_S` after it saw the last
renewal): a deposed leader, even one that was asleep, writes nothing. A leader that loses the lease does not come back;
its process ends and starts afresh.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from bayplan.clusters.kubernetes.http import Http, Unreachable
from bayplan.runtime.objects import ApiError

LEASE_S = 15
RENEW_S = 10
RETRY_S = 2.0
REQUEST_S = 4.0

_log = logging.getLogger("bayplan.lease")


class Leadership:
    """Contends for a lease in a thread of its own."""

    def __init__(self, http: Http, namespace: str, name: str, identity: str) -> None:
        self.identity = identity
        self.lost = threading.Event()
        self._http = http
        self._collection = f"apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path, self._name, self._namespace = f"{self._collection}/{name}", name, namespace
        self._renewed_s = -float("inf")
        self._gained = threading.Event()
        self._stopped = threading.Event()
        self._seen: tuple[str, str] = ("", "")
        self._seen_s = 0.0
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def held(self) -> bool:
        """Whether writing is safe at this moment."""
        return not self.lost.is_set() and time.monotonic() < self._renewed_s + RENEW_S

    def wait(self, seconds: float) -> bool:
        """Waits to become leader; whether it has."""
        return self._gained.wait(seconds)

    def stop(self) -> None:
        """Gives the lease up, so that another need not wait for its end."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(REQUEST_S * 2)

    def _run(self) -> None:
        while not self._stopped.is_set():
            began_s = time.monotonic()
            if self._contend():
                self._renewed_s = began_s
                if not self._gained.is_set():
                    _log.info("became leader", extra={"identity": self.identity})
                    self._gained.set()
            elif self._gained.is_set() and (self.lost.is_set() or not self.held()):
                self.lost.set()
                _log.error("lost the lease", extra={"identity": self.identity})
                return
            self._stopped.wait(RETRY_S * random.uniform(1.0, 1.2))
        if self.held():
            self.lost.set()
            self._write(self._read(), holder="")

    def _contend(self) -> bool:
        """Takes or renews the lease, if it may be."""
        lease = self._read()
        if lease is _NO_ANSWER:
            return False
        spec = (lease or {}).get("spec") or {}
        holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
        if (holder, renewed) != self._seen:
            self._seen, self._seen_s = (holder, renewed), time.monotonic()
        if holder != self.identity:
            if self._gained.is_set():
                self.lost.set()  # somebody took it: we are not leader any more, whatever our clock says
                return False
            lasts_s = int(spec.get("leaseDurationSeconds") or LEASE_S)
            if holder and time.monotonic() < self._seen_s + lasts_s:
                return False
        return self._write(lease, holder=self.identity)

    def _read(self) -> Any:
        """The Lease, None where there is none."""
        try:
            return msgspec.json.decode(self._http.request("GET", self._path, timeout_s=REQUEST_S).body)
        except ApiError as error:
            return None if error.status_code == 404 else _note(error)
        except Unreachable as error:
            return _note(error)

    def _write(self, lease: Any, *, holder: str) -> bool:
        if lease is _NO_ANSWER:
            return False
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((lease or {}).get("spec") or {})
        if holder != spec.get("holderIdentity"):
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
        spec |= {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": LEASE_S if holder else 1}
        meta = (lease or {}).get("metadata") or {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        verb, path = ("PUT", self._path) if lease else ("POST", self._collection)
        try:
            self._http.request(verb, path, msgspec.json.encode(body), timeout_s=REQUEST_S)
        except (ApiError, Unreachable) as error:
            _note(error)
            return False
        return True


_NO_ANSWER: Any = object()


def _note(error: Exception) -> Any:
    _log.warning("lease: %s", error)
    return _NO_ANSWER
