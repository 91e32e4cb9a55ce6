"""HTTP/1.1 to one API server: kept connections, one request at a time on each, streams for watches.

Written for this one kind of server, because a scheduler's own cost is counted in microseconds per write: a request
takes a fraction of what general-purpose clients do, the standard library's included, whose header parser alone costs
more than our patches. What fails below HTTP is `Unreachable`; what the server answers with an
error status is an `ApiError` with its Status.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from bayplan.runtime.objects import ApiError

REQUEST_TIMEOUT_S = 15
STREAM_TIMEOUT_S = 90  # the API server sends a bookmark about once a minute: longer silence is a dead connection
_BUFFER_BYTES = 1 << 16
_LINE_BYTES = 1 << 16


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
    """One kept connection. A response is a status, whether the server will close, and the body as it arrives."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float) -> None:
        """Raises OSError."""
        self.timeout_s = timeout_s
        plain = socket.create_connection((host, port), timeout=timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = tls.wrap_socket(plain, server_hostname=host) if tls else plain
        self._file = cast(IO[bytes], self.sock.makefile("rb", _BUFFER_BYTES))

    def ask(self, head: bytes, body: bytes, timeout_s: float) -> tuple[int, dict[bytes, bytes]]:
        """Sends a request and reads the status and the headers of the answer. Raises OSError, _Closed, _Garbled."""
        if timeout_s != self.timeout_s:
            self.timeout_s = timeout_s
            self.sock.settimeout(timeout_s)
        self.sock.sendall(head + body)
        while True:
            line = self._file.readline(_LINE_BYTES)
            if not line:
                raise _Closed("the connection was closed")
            try:
                status = int(line.split(None, 2)[1])
            except (ValueError, IndexError) as error:
                raise _Garbled(f"not HTTP: {line[:40]!r}") from error
            headers = self._headers()
            if status >= 200:
                return status, headers

    def body(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The whole body."""
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return b"".join(self.chunks())
        length = headers.get(b"content-length")
        if length is None:
            return self._file.read()  # to the end of the connection, which the header announces
        found = self._file.read(int(length))
        if len(found) < int(length):
            raise _Garbled("the answer was cut off")
        return found

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body, to its end."""
        while True:
            line = self._file.readline(_LINE_BYTES)
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError as error:
                raise _Garbled("the answer was cut off") from error
            data = self._file.read(size + 2)
            if len(data) < size + 2:
                raise _Garbled("the answer was cut off")
            if size == 0:
                return
            yield data[:-2]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.sock.close()

    def _headers(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        while True:
            line = self._file.readline(_LINE_BYTES)
            if line in (b"\r\n", b"\n"):
                return found
            if not line:
                raise _Garbled("the answer was cut off")
            name, _, value = line.partition(b":")
            found[name.strip().lower()] = value.strip()


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
        while True:
            connection, fresh = self._take(timeout_s)
            try:
                status, headers = connection.ask(head, body or b"", timeout_s)
                content = connection.body(headers)
            except (_Closed, BrokenPipeError, ConnectionResetError) as error:
                # a kept connection may have been closed while nobody looked; a fresh one has no excuse
                connection.close()
                if fresh:
                    raise self._unreachable(error) from error
                continue
            except _LOST as error:
                connection.close()
                raise self._unreachable(error) from error
            self._give_back(connection, headers)
            if status >= 400:
                raise _refusal(status, content, headers.get(b"retry-after", b""))
            return Answer(status, content)

    def lines(self, path: str, *, timeout_s: float = STREAM_TIMEOUT_S) -> Iterator[bytes]:
        """The lines of an answer that goes on until the server ends it. Raises ApiError, Unreachable."""
        connection = self._connect(timeout_s)
        with self._lock:
            if self._closed:
                connection.close()
                raise Unreachable("closed")
            self._streams[id(connection)] = connection
        try:
            status, headers = connection.ask(self._head("GET", path, None, "", "application/json"), b"", timeout_s)
            if status >= 400:
                raise _refusal(status, connection.body(headers))
            rest = b""
            for chunk in connection.chunks():
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

    def _take(self, timeout_s: float) -> tuple[_Connection, bool]:
        with self._lock:
            if self._closed:
                raise Unreachable("closed")
            if self._idle:
                return self._idle.pop(), False
        return self._connect(timeout_s), True

    def _give_back(self, connection: _Connection, headers: Mapping[bytes, bytes]) -> None:
        if headers.get(b"connection", b"").lower() == b"close":
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self, timeout_s: float) -> _Connection:
        try:
            return _Connection(self._host, self._port, self._access.tls, timeout_s)
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
