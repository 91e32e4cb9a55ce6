"""What comes back over HTTP, plain or under TLS, whole or broken, from a server that sends exactly these bytes."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme

from bayplan.clusters.kubernetes.fibers import each
from bayplan.clusters.kubernetes.http import Access, Http, Unreachable
from bayplan.runtime.objects import ApiError

Answer = Callable[[socket.socket], None]
AUTHORITY = trustme.CA()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers the n-th request with the n-th answer; None closes the connection instead."""

    def __init__(self, *answers: bytes | None, pace_s: float = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answers, self.pace_s = list(answers), pace_s
        self.connections = 0
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"http{'s' * bool(tls)}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._secured(connection) as connection:
            while True:
                asked = b""
                while not is_whole(asked):
                    data = connection.recv(65536)
                    if not data:
                        return
                    asked += data
                self.requests.append(asked)
                answer = self.answers.pop(0)
                if answer is None:
                    self._end(connection)
                    return
                step = 7 if self.pace_s else len(answer) or 1
                for at in range(0, len(answer), step):
                    connection.sendall(answer[at : at + step])
                    time.sleep(self.pace_s)

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def _end(self, connection: socket.socket) -> None:
        if isinstance(connection, ssl.SSLSocket):  # as Go does it: said first, and nobody waits for the answer
            connection.settimeout(0.01)
            with contextlib.suppress(OSError):
                connection.unwrap()


def is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


def serving() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., tuple[Server, Http]]]:
    made: list[tuple[Server, Http]] = []
    secure = request.param == "tls"

    def start(*answers: bytes | None, pace_s: float = 0) -> tuple[Server, Http]:
        server = Server(*answers, pace_s=pace_s, tls=serving() if secure else None)
        access = Access(server.url, lambda: {"Authorization": "Bearer x"}, trusting() if secure else None)
        made.append((server, Http(access)))
        return made[-1]

    yield start
    for server, http in made:
        http.close()
        server.close()


def test_a_connection_is_kept(serve: Callable[..., tuple[Server, Http]]) -> None:
    server, http = serve(OK, OK)
    assert [http.request("GET", "version").body for _ in range(2)] == [b"{}", b"{}"]
    assert server.connections == 1
    assert b"Authorization: Bearer x\r\n" in server.requests[0]


def test_a_body_in_chunks_arrives_whole_however_it_is_cut(serve: Callable[..., tuple[Server, Http]]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    _, http = serve(head + b"5\r\nhello\r\n10;x=y\r\n, this came lat!\r\n0\r\n\r\n", OK, pace_s=0.001)
    assert http.request("GET", "x").body == b"hello, this came lat!"
    assert http.request("GET", "x").body == b"{}"


def test_the_lines_of_a_stream(serve: Callable[..., tuple[Server, Http]]) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nbc\r\n3\r\nd\ne\r\n2\r\nf\n\r\n0\r\n\r\n"
    _, http = serve(body, pace_s=0.001)
    assert list(http.lines("x")) == [b"a", b"bcd", b"ef"]


def test_a_kept_connection_that_was_closed_is_no_failure(serve: Callable[..., tuple[Server, Http]]) -> None:
    server, http = serve(OK, None, OK)
    assert http.request("GET", "x").status == 200
    assert http.request("GET", "x").status == 200
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "timed out"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "timed out"),
    ],
)
def test_what_is_no_answer_is_unreachable(
    serve: Callable[..., tuple[Server, Http]], answer: bytes | None, said: str
) -> None:
    _, http = serve(answer)
    with pytest.raises(Unreachable, match=said):
        http.request("GET", "x", timeout_s=0.2)


def test_a_refusal_says_why_and_when_to_come_again(serve: Callable[..., tuple[Server, Http]]) -> None:
    status = b'{"kind":"Status","reason":"TooManyRequests","message":"slow down"}'
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: {len(status)}\r\n\r\n".encode()
    _, http = serve(head + status)
    with pytest.raises(ApiError) as caught:
        http.request("GET", "x")
    assert (caught.value.status_code, caught.value.reason, caught.value.message) == (
        429,
        "TooManyRequests",
        "slow down",
    )
    assert caught.value.details == {"retryAfterSeconds": 3}


def test_no_content_has_no_body(serve: Callable[..., tuple[Server, Http]]) -> None:
    _, http = serve(b"HTTP/1.1 204 No Content\r\n\r\n", OK)
    assert http.request("DELETE", "x").body == b""
    assert http.request("GET", "x").body == b"{}"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        Http(Access(f"http://127.0.0.1:{port}", dict)).request("GET", "x")


def test_one_thread_has_several_requests_under_way(serve: Callable[..., tuple[Server, Http]]) -> None:
    server, http = serve(*[OK] * 8, pace_s=0.005)
    found = each(lambda n: http.request("PUT", f"x/{n}", b"{}").body, range(8), 8, 8)
    assert found == [b"{}"] * 8 and server.connections == 8


def test_what_is_long_comes_whole_in_both_directions(serve: Callable[..., tuple[Server, Http]]) -> None:
    long = b"0123456789abcdef" * 50_000
    server, http = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(long) + long, OK)
    assert http.request("POST", "x", long).body == long
    assert server.requests[0].endswith(b"\r\n\r\n" + long)
    assert http.request("GET", "x").body == b"{}"


def test_a_server_that_is_not_trusted_is_told_nothing() -> None:
    server = Server(OK, tls=serving())
    http = Http(Access(server.url, lambda: {"Authorization": "Bearer x"}, ssl.create_default_context()))
    with pytest.raises(Unreachable, match="certificate verify failed"):
        http.request("GET", "x")
    assert not server.requests
    server.close()
