"""HTTP/1.1 to one API server: kept connections, one request at a time on each, streams for watches.

Written for this one kind of server, because a scheduler's own cost is counted in microseconds per write: a request
takes a fraction of what general-purpose clients do, the standard library's included, whose header parser alone costs
more than our patches. What fails below HTTP is `Unreachable`; what the server answers with an
error status is an `ApiError` with its Status.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from bayplan.clusters.kubernetes.channel import Channel
from bayplan.runtime.objects import ApiError

REQUEST_TIMEOUT_S = 15
LULL_S = 0.02  # what a watch brings within this time is read at once: to be woken costs more than most of it
STREAM_TIMEOUT_S = 90  # the API server sends a bookmark about once a minute: longer silence is a dead connection
_HEAD_BYTES = 1 << 16


class Unreachable(Exception):
    """No answer: refused, reset or timed out. Whether a write took place is not known."""


class Access(NamedTuple):
    """Where an API server is and who one is there.

    `headers` is asked before every request, so that credentials may change: then it is another mapping. `tls` is None
    for plain HTTP.
    """

    server: str
    headers: Callable[[], Mapping[str, str]]
    tls: ssl.SSLContext | None = None


class Answer(NamedTuple):
    status: int
    body: bytes


class _Connection:
    """A kept connection. A request has `end_s` (monotonic) to be answered, a stream until then for each next piece."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, end_s: float) -> None:
        """Raises OSError."""
        self.channel = Channel(host, port, tls, end_s)
        self._data, self._at = b"", 0

    def ask(self, request: bytes, end_s: float) -> tuple[int, bytes]:
        """Sends a request; the status and the head of the answer. Raises OSError, _Closed, _Garbled."""
        self.channel.end_s = end_s
        self.channel.send(request)
        while True:
            head = self._until(b"\r\n\r\n", _Closed).lower() + b"\r\n"
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
                self._fill(_Closed)
        return self._data[self._at :]

    def chunks(self, patience_s: float = 0, lull_s: float = 0) -> Iterator[bytes]:
        """The chunks of a chunked body, to its end; each may take `patience_s` more.

        With all that came read, the next look is `lull_s` later: what comes in between costs one look.
        """
        while True:
            if lull_s and self.channel.drained and self._at == len(self._data):
                time.sleep(lull_s)
            try:
                size = int(self._until(b"\r\n", _Garbled).partition(b";")[0], 16)
            except ValueError as error:
                raise _Garbled() from error
            data = self._take(size + 2)
            if size == 0:
                return
            yield data[:-2]
            if patience_s:
                self.channel.end_s = time.monotonic() + patience_s

    def _until(self, mark: bytes, at_once: type[Exception]) -> bytes:
        """All that comes before a mark; raises `at_once` where nothing comes."""
        while (found := self._data.find(mark, self._at)) < 0:
            if len(self._data) - self._at > _HEAD_BYTES:
                raise _Garbled("not HTTP: no end of the headers")
            self._fill(at_once if self._at == len(self._data) else _Garbled)
        piece, self._at = self._data[self._at : found], found + len(mark)
        return piece

    def _take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._data):
            parts, missing = [self._data[self._at :]], end - len(self._data)
            while missing > 0:
                parts.append(self._received(_Garbled))
                missing -= len(parts[-1])
            self._data, self._at, end = b"".join(parts), 0, size
        piece, self._at = self._data[self._at : end], end
        return piece

    def _fill(self, at_end: type[Exception]) -> None:
        self._data, self._at = self._data[self._at :] + self._received(at_end), 0

    def _received(self, at_end: type[Exception]) -> bytes:
        data = self.channel.receive()
        if not data:
            raise at_end()
        return data


def field(head: bytes, name: bytes) -> bytes:
    """The value of a header, in lower case; b"" where there is none."""
    at = head.find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 : head.index(b"\r\n", at + 2)].strip() if at >= 0 else b""


class _Closed(Exception):
    """The server had closed the connection before it answered."""

    def __init__(self) -> None:
        super().__init__("the connection was closed")


class _Garbled(Exception):
    """What came is no answer, or only a part of one."""

    def __init__(self, said: str = "the answer was cut off") -> None:
        super().__init__(said)


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
        self._always: tuple[Mapping[str, str], str] = {}, self._fixed
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
                connection.channel.close()
                if fresh:
                    raise self._unreachable(error) from error
                continue
            except _LOST as error:
                connection.channel.close()
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
                connection.channel.close()
                raise Unreachable("closed")
            self._streams[id(connection)] = connection
        try:
            request = self._head("GET", path, None, "", "application/json")
            status, fields = connection.ask(request, connection.channel.end_s)
            if status >= 400:
                raise _refusal(status, connection.body(status, fields))
            rest = b""
            for chunk in connection.chunks(timeout_s, LULL_S):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
        except _LOST as error:
            raise self._unreachable(error) from error
        finally:
            with self._lock:
                self._streams.pop(id(connection), None)
            connection.channel.close()

    def close(self) -> None:
        """Ends every stream; later requests are Unreachable."""
        with self._lock:
            self._closed = True
            streams, idle = list(self._streams.values()), self._idle
            self._idle = []
        for connection in streams:
            connection.channel.shutdown()
        for connection in idle:
            connection.channel.close()

    def _head(self, method: str, path: str, body: bytes | None, kind: str, accept: str) -> bytes:
        headers = self._access.headers()
        known, always = self._always
        if known is not headers:
            always = self._fixed + "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            self._always = headers, always
        also = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if body is not None else ""
        path = f"{self._prefix}/{path.lstrip('/')}"
        return f"{method} {path} HTTP/1.1\r\n{always}Accept: {accept}\r\n{also}\r\n".encode("latin-1")

    def _take(self, end_s: float) -> tuple[_Connection, bool]:
        with self._lock:
            if self._closed:
                raise Unreachable("closed")
            if self._idle:
                return self._idle.pop(), False
        return self._connect(end_s), True

    def _give_back(self, connection: _Connection, fields: bytes) -> None:
        if field(fields, b"connection") == b"close":
            connection.channel.close()
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
