"""A proxy before the API server that does what networks and overloaded servers do: a share of the writes goes wrong.

Plain HTTP towards the client, TLS towards the server; watches pass through. What goes wrong is drawn from a seed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.controlplane.run import ControlPlane

WRITES = ("POST", "PUT", "PATCH", "DELETE")


class FaultyProxy:
    """`share` of the writes (percent) fails: refused before (409, 429, 500), or unanswered before or after it happened.

    `expire` ends every open watch with 410. With `kill_after` the write of that number and all later ones are lost.
    While it `forgets`, everything is forbidden, as by a server that has just started.
    """

    def __init__(self, plane: ControlPlane, *, share: int = 0, seed: int = 1, kill_after: int = 0) -> None:
        self.share, self.kill_after = share, kill_after
        self.writes = self.failed = self.expired = 0
        self.forgets = False
        self.on_kill: threading.Event = threading.Event()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        server = urlsplit(plane.url)
        tls = ssl.create_default_context(cafile=str(plane.authority))
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                if proxy.forgets:
                    return self.refuse(403)
                fault = proxy._fault(self.command, self.path)
                if fault in ("409", "429", "500"):
                    return self.refuse(int(fault))
                if fault == "lost":
                    self.close_connection = True
                    return None
                upstream = http.client.HTTPSConnection(server.hostname or "", server.port, context=tls, timeout=600)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}
                    upstream.request(self.command, self.path, body, headers)
                    answer = upstream.getresponse()
                    if fault == "unanswered":
                        answer.read()
                        self.close_connection = True
                        return None
                    if "watch=1" in self.path and answer.status == 200:
                        return self.stream(answer, upstream)
                    content = answer.read()
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True
                finally:
                    upstream.close()
                return None

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def refuse(self, code: int) -> None:
                reason = {403: "Forbidden", 409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}[code]
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
                content = json.dumps(status | {"message": "injected"}).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def stream(self, answer: http.client.HTTPResponse, upstream: http.client.HTTPSConnection) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.alive, self.upstream = threading.Lock(), upstream
                with proxy._lock:
                    proxy._streams.append(self)
                try:
                    while data := answer.read1(65536):
                        with self.alive:
                            self.chunk(data)
                    with self.alive:
                        self.chunk(b"")
                except (OSError, ValueError, http.client.HTTPException):
                    self.close_connection = True
                finally:
                    with proxy._lock:
                        if self in proxy._streams:
                            proxy._streams.remove(self)

            def expire(self) -> None:
                gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                with contextlib.suppress(OSError), self.alive:
                    self.chunk(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    self.chunk(b"")
                    if self.upstream.sock is not None:
                        self.upstream.sock.shutdown(socket.SHUT_RDWR)

            def chunk(self, data: bytes) -> None:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def expire(self) -> None:
        """Every open watch ends with 410."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            self.expired += 1
            stream.expire()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fault(self, verb: str, path: str) -> str:
        if verb not in WRITES or "/leases" in path:
            return ""
        with self._lock:
            self.writes += 1
            if self.kill_after and self.writes == self.kill_after:
                self.on_kill.set()
            if self.kill_after and self.writes >= self.kill_after:
                time.sleep(0.05)  # the write right after the moment never arrives
                return "lost"
            if self._random.randrange(100) >= self.share:
                return ""
            self.failed += 1
            return self._random.choice(("409", "429", "500", "lost", "unanswered"))
