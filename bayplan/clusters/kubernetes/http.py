"""HTTP/1.1 to one API server: kept connections, one request at a time on each, streams for watches.

Written for this one kind of server, because a scheduler's own cost is counted in microseconds per write: a request
takes a fraction of what general-purpose clients do, the standard library's included, whose header parser alone costs
more than our patches. What fails below HTTP is `Unreachable`; what the server answers with an
error status is an `ApiError` with its Status.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from bayplan.clusters.kubernetes.fibers import ready
from bayplan.runtime.objects import ApiError, T

REQUEST_TIMEOUT_S = 15
STREAM_TIMEOUT_S = 90  # the API server sends a bookmark about once a minute: longer silence is a dead connection
_BUFFER_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16


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


class _Connection:
    """One kept connection, read as its bytes arrive; whoever waits here lets others go on (`fibers`).

    A request has `end_s` (monotonic) to be answered, a stream until then for each next piece.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, end_s: float) -> None:
        """Raises OSError."""
        self.end_s = end_s
        self._buffer = bytearray()
        self.sock = self._connected(host, port)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                secure = tls.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
                self.sock = secure
                self._patiently(secure.do_handshake)
        except OSError:
            self.sock.close()
            raise

    def ask(self, request: bytes, end_s: float) -> tuple[int, bytes]:
        """Sends a request; the status and the head of the answer. Raises OSError, _Closed, _Garbled."""
        self.end_s = end_s
        sent = self._patiently(self.sock.send, request, writing=True)
        while sent < len(request):
            sent += self._patiently(self.sock.send, memoryview(request)[sent:], writing=True)
        while True:
            while (at := self._buffer.find(b"\r\n\r\n")) < 0:
                if not self._buffer:
                    ready(self.sock, end_s)  # there is nothing yet: to try would cost more than to wait
                if len(self._buffer) > _HEAD_BYTES:
                    raise _Garbled("not HTTP: no end of the headers")
                self._fill(_Garbled("the answer was cut off") if self._buffer else _Closed("the connection was closed"))
            head = bytes(self._buffer[: at + 2]).lower()
            del self._buffer[: at + 4]
            if not head.startswith(b"http/1.") or not head[9:12].isdigit():
                raise _Garbled(f"not HTTP: {head[:40]!r}")
            status = int(head[9:12])
            if status >= 200:
                return status, head

    def body(self, status: int, head: bytes) -> bytes:
        """The whole body."""
        if field(head, b"transfer-encoding") == b"chunked":
            return b"".join(self.chunks())
        length = field(head, b"content-length")
        if length:
            return self._take(int(length))
        if status in (204, 304):
            return b""
        with contextlib.suppress(_Closed):  # to the end of the connection, which the header announces
            while True:
                self._fill(_Closed())
        return bytes(self._buffer)

    def chunks(self, patience_s: float = 0) -> Iterator[bytes]:
        """The chunks of a chunked body, to its end; each may take `patience_s` more."""
        while True:
            while (at := self._buffer.find(b"\r\n")) < 0:
                if len(self._buffer) > _HEAD_BYTES:
                    raise _Garbled("the answer was cut off")
                self._fill(_Garbled("the answer was cut off"))
            try:
                size = int(self._buffer[:at].partition(b";")[0], 16)
            except ValueError as error:
                raise _Garbled("the answer was cut off") from error
            del self._buffer[: at + 2]
            data = self._take(size + 2)
            if size == 0:
                return
            yield data[:-2]
            if patience_s:
                self.end_s = time.monotonic() + patience_s

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def _connected(self, host: str, port: int) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                code = sock.connect_ex(address)
                if code == errno.EINPROGRESS:
                    ready(sock, self.end_s, writing=True)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                return sock
            except OSError as error:
                sock.close()
                failure = error
        raise failure or OSError(f"{host} has no address")

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill(_Garbled("the answer was cut off"))
        found = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return found

    def _fill(self, at_end: Exception) -> None:
        data = self._patiently(self.sock.recv, _BUFFER_BYTES)
        if not data:
            raise at_end
        self._buffer += data

    def _patiently(self, act: Callable[..., T], *arguments: Any, writing: bool = False) -> T:
        """Does it as soon as the socket lets it. Raises OSError."""
        while True:
            try:
                return act(*arguments)
            except ssl.SSLWantReadError:
                ready(self.sock, self.end_s)
            except ssl.SSLWantWriteError:
                ready(self.sock, self.end_s, writing=True)
            except BlockingIOError:
                ready(self.sock, self.end_s, writing=writing)


def field(head: bytes, name: bytes) -> bytes:
    """The value of a header, in lower case; b"" where there is none."""
    at = head.find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 : head.index(b"\r\n", at + 2)].strip() if at >= 0 else b""


class _Closed(Exception):
    """The server had closed the connection before it answered."""


class _Garbled(Exception):
    """What came is no answer, or only a part of one."""


_LOST = (OSError, _Closed, _Garbled, ValueError)  # ValueError: `close` came while another thread was reading


class Http:
    """Connections to one server. Threads share it; each request takes a connection that nobody uses."""

    def __init__(self, access: Access) -> None:
        self._access = access
        parts = urlsplit(access.server)
        assert parts.hostname, access.server
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._fixed = f"Host: {parts.netloc}\r\nUser-Agent: bayplan\r\n"
        self._idle: list[_Connection] = []
        self._streams: dict[int, _Connection] = {}
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
        head = self._head(method, path, body, kind, accept)
        end_s = time.monotonic() + timeout_s
        while True:
            connection, fresh = self._take(end_s)
            try:
                status, fields = connection.ask(head + (body or b""), end_s)
                content = connection.body(status, fields)
            except (_Closed, BrokenPipeError, ConnectionResetError) as error:
                # a kept connection may have been closed while nobody looked; a fresh one has no excuse
                connection.close()
                if fresh:
                    raise self._unreachable(error) from error
                continue
            except _LOST as error:
                connection.close()
                raise self._unreachable(error) from error
            self._give_back(connection, fields)
            if status >= 400:
                raise _refusal(status, content, field(fields, b"retry-after"))
            return Answer(status, content)

    def lines(self, path: str, *, timeout_s: float = STREAM_TIMEOUT_S) -> Iterator[bytes]:
        """The lines of an answer that goes on until the server ends it. Raises ApiError, Unreachable."""
        connection = self._connect(time.monotonic() + timeout_s)
        with self._lock:
            if self._closed:
                connection.close()
                raise Unreachable("closed")
            self._streams[id(connection)] = connection
        try:
            status, fields = connection.ask(self._head("GET", path, None, "", "application/json"), connection.end_s)
            if status >= 400:
                raise _refusal(status, connection.body(status, fields))
            rest = b""
            for chunk in connection.chunks(timeout_s):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
        except _LOST as error:
            raise self._unreachable(error) from error
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
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for connection in idle:
            connection.close()

    def _head(self, method: str, path: str, body: bytes | None, kind: str, accept: str) -> bytes:
        lines = [f"{method} {self._prefix}/{path.lstrip('/')} HTTP/1.1\r\n{self._fixed}Accept: {accept}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self._access.headers().items()]
        if body is not None:
            lines.append(f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n")
        return ("".join(lines) + "\r\n").encode("latin-1")

    def _take(self, end_s: float) -> tuple[_Connection, bool]:
        with self._lock:
            if self._closed:
                raise Unreachable("closed")
            if self._idle:
                return self._idle.pop(), False
        return self._connect(end_s), True

    def _give_back(self, connection: _Connection, fields: bytes) -> None:
        if field(fields, b"connection") == b"close":
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self, end_s: float) -> _Connection:
        try:
            return _Connection(self._host, self._port, self._access.tls, end_s)
        except OSError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self._access.server}: {error or type(error).__name__}")


class _Status(msgspec.Struct):
    """meta/v1 Status, as far as a client acts on it."""

    reason: str = ""
    message: str = ""
    details: dict[str, Any] | None = None


def _refusal(code: int, body: bytes, retry_after: bytes = b"") -> ApiError:
    try:
        status = msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        status = _Status(message=body[:200].decode(errors="replace"))
    details = dict(status.details or {})
    if retry_after.isdigit():
        details.setdefault("retryAfterSeconds", int(retry_after))
    return ApiError(code, status.reason or str(code), status.message or f"HTTP {code}", details)
