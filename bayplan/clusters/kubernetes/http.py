"""HTTP/1.1 to one API server: kept connections, one request at a time on each, streams for watches.

The standard library's client, because a scheduler's own cost is counted in microseconds per write: a request costs a
third of what a general-purpose client takes. What fails below HTTP is `Unreachable`; what the server answers with an
error status is an `ApiError` with its Status.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from bayplan.runtime.objects import ApiError

REQUEST_TIMEOUT_S = 15
STREAM_TIMEOUT_S = 90  # the API server sends a bookmark about once a minute: longer silence is a dead connection
_CHUNK_BYTES = 1 << 17


class Unreachable(Exception):
    """No answer: refused, reset or timed out. Whether a write took place is not known."""


class Access(NamedTuple):
    """Where an API server is and who one is there.

    `headers` is asked before every request, so that credentials may change; `tls` is None for plain HTTP.
    """

    server: str
    headers: Callable[[], Mapping[str, str]]
    tls: ssl.SSLContext | None = None


class Answer(NamedTuple):
    status: int
    body: bytes


class Http:
    """Connections to one server. Threads share it; each request takes a connection that nobody uses."""

    def __init__(self, access: Access) -> None:
        self._access = access
        parts = urlsplit(access.server)
        assert parts.hostname, access.server
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._idle: list[http.client.HTTPConnection] = []
        self._streams: dict[int, http.client.HTTPConnection] = {}
        self._lock = threading.Lock()
        self._closed = False

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """One request, answered with 2xx. Raises ApiError, Unreachable."""
        while True:
            connection, fresh = self._take(timeout_s)
            try:
                return self._ask(connection, method, path, body, kind, accept)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # a kept connection may have been closed while nobody looked; a fresh one has no excuse
                connection.close()
                if fresh:
                    raise Unreachable(f"{self._access.server}: {error or type(error).__name__}") from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise Unreachable(f"{self._access.server}: {error or type(error).__name__}") from error

    def lines(self, path: str, *, timeout_s: float = STREAM_TIMEOUT_S) -> Iterator[bytes]:
        """The lines of an answer that goes on until the server ends it. Raises ApiError, Unreachable."""
        connection = self._connect(timeout_s)
        with self._lock:
            if self._closed:
                raise Unreachable("closed")
            self._streams[id(connection)] = connection
        try:
            response = self._send(connection, "GET", path, None, "", "application/json")
            if response.status >= 400:
                raise _refusal(response.status, response.read())
            rest = b""
            while chunk := response.read1(_CHUNK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError and AttributeError: http.client's way to say that `close` came in between
            raise Unreachable(f"{self._access.server}: {error or type(error).__name__}") from error
        finally:
            with self._lock:
                self._streams.pop(id(connection), None)
            connection.close()

    def close(self) -> None:
        """Ends every stream; later requests are Unreachable."""
        with self._lock:
            self._closed = True
            streams, idle = list(self._streams.values()), self._idle
            self._idle = []
        for connection in streams:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        for connection in idle:
            connection.close()

    def _take(self, timeout_s: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._closed:
                raise Unreachable("closed")
            if self._idle:
                connection = self._idle.pop()
                if connection.timeout != timeout_s and connection.sock is not None:
                    connection.timeout = timeout_s
                    connection.sock.settimeout(timeout_s)
                return connection, False
        return self._connect(timeout_s), True

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._access.tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout_s, context=self._access.tls
            )
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{self._access.server}: {error}") from error
        assert connection.sock is not None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        kind: str,
        accept: str,
    ) -> Answer:
        response = self._send(connection, method, path, body, kind, accept)
        content = response.read()
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        if response.status >= 400:
            raise _refusal(response.status, content, response.headers.get("Retry-After", ""))
        return Answer(response.status, content)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        kind: str,
        accept: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept, "User-Agent": "bayplan", **self._access.headers()}
        if body is not None:
            headers["Content-Type"] = kind
        connection.request(method, f"{self._prefix}/{path.lstrip('/')}", body, headers)
        return connection.getresponse()


class _Status(msgspec.Struct):
    """meta/v1 Status, as far as a client acts on it."""

    reason: str = ""
    message: str = ""
    details: dict[str, Any] | None = None


def _refusal(code: int, body: bytes, retry_after: str = "") -> ApiError:
    try:
        status = msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        status = _Status(message=body[:200].decode(errors="replace"))
    details = dict(status.details or {})
    if retry_after.isdigit():
        details.setdefault("retryAfterSeconds", int(retry_after))
    return ApiError(code, status.reason or str(code), status.message or f"HTTP {code}", details)
