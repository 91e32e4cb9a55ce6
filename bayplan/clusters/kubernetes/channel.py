"""A connected socket, plain or under TLS; whoever waits here lets others go on (`fibers`).

TLS passes through memory: left alone with a socket, OpenSSL makes two system calls for every record, and that there is
nothing to read yet costs an exception.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl

from bayplan.clusters.kubernetes.fibers import ready

_BUFFER_BYTES = 1 << 16


class Channel:
    """Bytes to and from one server; all that it waits for has to come until `end_s` (monotonic). Raises OSError."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, end_s: float) -> None:
        self.end_s = end_s
        self.drained = True  # whether everything that had come when last looked has been read
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sock = self._connected(host, port)
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
                self._shake_hands(self._tls)
        except OSError:
            self._sock.close()
            raise

    def send(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self._send(data)

    def receive(self) -> bytes:
        """What comes next, as soon as it does; b"" at the end."""
        while True:
            data = self._receive()
            if self._tls is None or not data:
                return data
            self._incoming.write(data)
            found = b""
            try:
                while self._incoming.pending:
                    part = self._tls.read(_BUFFER_BYTES)
                    if not part:
                        return found
                    found += part
            except ssl.SSLWantReadError:  # what is left is not a whole record yet
                pass
            if self._outgoing.pending:  # the answer to a change of keys
                self._send(self._outgoing.read())
            if found:
                return found

    def shutdown(self) -> None:
        """Ends what another thread is waiting for."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.close()

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

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            done = False
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            finally:  # an alert, too, is for the other side to know
                self._send(self._outgoing.read())
            if done:
                return
            data = self._receive()
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "closed during the TLS handshake")
            self._incoming.write(data)

    def _receive(self) -> bytes:
        while True:
            ready(self._sock, self.end_s)  # mostly there is nothing yet: to try would cost more than to wait
            try:
                data = self._sock.recv(_BUFFER_BYTES)
            except BlockingIOError:
                continue
            self.drained = len(data) < _BUFFER_BYTES
            return data

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                ready(self._sock, self.end_s, writing=True)
