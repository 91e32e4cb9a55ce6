"""Bayplan as it runs in a cluster: a process of its own with the rights of its manifest, to be killed and restarted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bayplan.app.install import install
from bayplan.app.manifests import NAME, Options
from bayplan.app.scheduler import NAMESPACE
from tests.controlplane.run import ControlPlane, free_ports, until

PROGRAM = (sys.executable, "-c", "import sys; from bayplan.cli import main; sys.exit(main())")


def installed(plane: ControlPlane) -> None:
    """`bayplan install`, as the administrator."""
    list(install(plane.kubeconfig(plane.token, "admin.kubeconfig"), Options(replicas=0)))


class Brain:
    """One scheduler process. `server` may be the address of a proxy in between, `program` another way to run it."""

    serial = 0

    def __init__(
        self,
        plane: ControlPlane,
        *arguments: str,
        server: str = "",
        program: Sequence[str] = PROGRAM,
    ) -> None:
        Brain.serial += 1
        self.plane = plane
        token = plane.service_account(NAMESPACE, NAME)
        self._kubeconfig = plane.kubeconfig(token, f"brain-{Brain.serial}.kubeconfig", server)
        self._port = free_ports(1)[0]
        self._program = program
        self._arguments = arguments or ("--no-leader-elect",)
        self.log_path = plane.folder / f"brain-{Brain.serial}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Brain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- {self.log_path.name}\n{self.log()[-4000:]}", file=sys.stderr)
        self.kill()

    def start(self) -> None:
        command = [*self._program, "scheduler", "--kubeconfig", str(self._kubeconfig)]
        command += ["--listen", f"127.0.0.1:{self._port}", *self._arguments]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])

    def kill(self, how: int = signal.SIGKILL) -> int | None:
        """Ends the process and returns its exit code."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(how)
        return process.wait(30)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait_ready(self, seconds: float = 20) -> None:
        until(lambda: self.probe("/readyz") == 200, seconds, lambda: f"not ready: {self.log()[-2000:]}")

    def probe(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (s.rpartition(" ") for s in lines if not s.startswith("#"))}

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def records(self) -> Iterator[dict[str, Any]]:
        """What it logged."""
        for line in self.log().splitlines():
            if line.startswith("{"):
                yield json.loads(line)
