"""The API server as something to start and stop: uvicorn in a thread of its own, on the loopback interface."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import uvicorn

from bayplan.clusters.embedded.http import PodLogs, create_app
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.embedded.streaming import Wakeups

_START_SECONDS_MAX = 10.0


class AddressInUse(Exception):
    """The address cannot be listened on."""


class Server:
    """A running API server; `url` is where it listens. Use as a context manager or call `stop`."""

    def __init__(
        self, store: Store, *, host: str = "127.0.0.1", port: int = 0, pod_logs: PodLogs | None = None
    ) -> None:
        """Start serving `store`; port 0 picks a free one. Returns when requests are answered; AddressInUse."""
        self._socket = _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._wakeups = Wakeups(store)
        app = create_app(store, pod_logs=pod_logs, wakeups=self._wakeups)
        # One process on one machine: no access log, no proxy headers, and a stop waits for no open watch.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="bayplan-api", daemon=True)
        self._thread.start()
        self._wait_until_serving()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def stop(self) -> None:
        """End the open watches, answer what is being answered, and stop listening."""
        self._wakeups.close()
        self._server.should_exit = True
        self._thread.join(timeout=_START_SECONDS_MAX)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def _wait_until_serving(self) -> None:
        pause = threading.Event()
        for _ in range(int(_START_SECONDS_MAX / 0.01)):
            if self._server.started:
                return
            pause.wait(0.01)
        raise AddressInUse(f"{self.url}: the API server did not start within {_START_SECONDS_MAX:.0f} s")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's delay off only for sockets that say they are TCP; with it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressInUse(f"{host}:{port}: cannot listen there: {error.strerror}") from error
    listener.listen(1024)
    return listener
