"""Every state that pods and claims pass through, from the API server's own watch: what must never happen in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.controlplane.run import ControlPlane

Json = dict[str, Any]
PODS, CLAIMS = "/api/v1/pods", "/apis/resource.k8s.io/v1/resourceclaims"


class Seen:
    """What pods and claims have been. `problems` is what was wrong at any moment."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.nodes: dict[str, str] = {}
        self._holders: dict[tuple[str, str, str], str] = {}
        self._held: dict[str, list[tuple[str, str, str]]] = {}

    @property
    def bound(self) -> int:
        return len(self.nodes)

    def pod(self, change: str, pod: Json) -> None:
        name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "")
        before = self.nodes.get(name, "")
        if before and change != "DELETED" and node != before:
            self.problems.append(f"pod {name} was on {before} and is on {node or 'none'}")
        if node:
            self.nodes[name] = node

    def claim(self, change: str, claim: Json) -> None:
        """Changes of one kind come in the order in which they were written: no device has two claims at any moment."""
        name = claim["metadata"]["name"]
        allocation = (claim.get("status") or {}).get("allocation") or {}
        results = (allocation.get("devices") or {}).get("results") or () if change != "DELETED" else ()
        devices = [(r["driver"], r["pool"], r["device"]) for r in results]
        before = self._held.get(name, [])
        if before and devices and devices != before:
            self.problems.append(f"claim {name} had {before} and has {devices}")
        for device in before:
            self._holders.pop(device, None)
        for device in devices:
            other = self._holders.setdefault(device, name)
            if other != name:
                self.problems.append(f"device {device} was given to {name} while {other} had it")
        self._held[name] = devices


class History(Seen):
    """Follows pods and claims from now on."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__()
        self._followers = [_Follower(plane, PODS, self.pod), _Follower(plane, CLAIMS, self.claim)]

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._followers:
            each.stop()
        assert error is not None or not any(each.broken for each in self._followers), "a watch ended by itself"


class _Follower:
    """One watch, read in a thread until it is stopped; `broken` if it ended by itself."""

    def __init__(self, plane: ControlPlane, path: str, saw: Callable[[str, Json], None]) -> None:
        self._saw, self._stopped, self.broken = saw, False, False
        version = plane.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        server = urlsplit(plane.url)
        tls = ssl.create_default_context(cafile=str(plane.authority))
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=tls)
        headers = {"Authorization": f"Bearer {plane.token}"}
        self._connection.request("GET", f"{path}?watch=1&resourceVersion={version}", headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for event in self._events():
            self._saw(event["type"], event["object"])
        self.broken = not self._stopped

    def _events(self) -> Iterator[Json]:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._answer.readline():
                yield json.loads(line)

    def stop(self) -> None:
        self._stopped = True
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()
