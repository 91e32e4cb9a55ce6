"""A control plane in processes of this machine: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

RBAC is on and everything listens on loopback. There is no kubelet: who needs pods to start plays it (`Kubelet`).
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.controlplane.build import kueue_crds, programs

Json = dict[str, Any]

READY_S = 60
_USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
# Without the node lifecycle controller nodes stay ready though nobody sends their heartbeats.
_CONTROLLERS = (
    "garbagecollector,job-controller,namespace-controller,serviceaccount-controller,serviceaccount-token-controller,"
    "resourceclaim-controller,pod-garbage-collector-controller,replicaset-controller,deployment-controller,"
    "clusterrole-aggregation-controller,podgroup-protection-controller,ttl-after-finished-controller"
)
ALPHA = "resource.k8s.io/v1beta1=true,resource.k8s.io/v1beta2=true,scheduling.k8s.io/v1alpha2=true"


class ControlPlane:
    """Starts on construction; `with` or `close` ends it. `url` is the API server's address, `token` the admin's."""

    def __init__(
        self,
        *,
        gates: str = "",
        scheduler: bool = False,
        kueue: bool = False,
        controllers: str = _CONTROLLERS,
        qps: int = 500,
    ) -> None:
        """`gates` are feature gates of every program, `kueue` brings Kueue's kinds, `qps` limits the controllers."""
        self.folder = Path(tempfile.mkdtemp(prefix="bayplan-controlplane-"))
        self.programs = programs()
        self.gates, self.controllers, self.qps = gates, controllers, qps
        self.tokens = {user: secrets.token_hex(16) for user in _USERS}
        self.token = self.tokens["admin"]
        self.ports = dict(zip(("etcd", "peer", "api", "kcm", "sched"), free_ports(5), strict=True))
        self.url = f"https://127.0.0.1:{self.ports['api']}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._write_files()
            self.start("etcd")
            self.start("kube-apiserver")
            self.wait_ready()
            if kueue:
                self.kueue_crds()  # before its garbage collector looks which kinds there are
            self.start("kube-controller-manager")
            if scheduler:
                self.start("kube-scheduler")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- processes -----------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Starts one of its programs (again)."""
        if name not in self.programs:
            self.programs |= programs(name)
        log = (self.folder / f"{name}.log").open("ab")
        command = [str(self.programs[name]), *self._flags(name)]
        self.processes[name] = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent
        )

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    def cpu_s(self, name: str) -> float:
        """CPU seconds a program has used."""
        return cpu_s(self.processes[name].pid)

    def close(self) -> None:
        for name in reversed(list(self.processes)):
            self.resume(name)
            self.stop(name, signal.SIGKILL)
        if not os.environ.get("BAYPLAN_KEEP_CONTROLPLANE"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait_ready(self) -> None:
        until(self._is_ready, READY_S, lambda: f"the API server is not ready: {self.log('kube-apiserver')}")

    def log(self, name: str) -> str:
        """The last lines a program wrote."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-5:]) if path.exists() else ""

    def _is_ready(self) -> bool:
        died = next((n for n, p in self.processes.items() if p.poll() is not None), None)
        if died:
            raise AssertionError(f"{died} has ended: {self.log(died)}")
        try:
            return self.request("GET", "/readyz", raw=True) == b"ok"
        except (OSError, ssl.SSLError):
            return False

    # --- its API, for tests --------------------------------------------------------------------------------------

    @property
    def authority(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        kind: str = "application/json",
        raw: bool = False,
    ) -> Any:
        """One request as the admin (or with another token). Raises urllib's HTTPError."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": kind}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            content = answer.read()
        return content if raw else json.loads(content)

    def kubeconfig(self, token: str, name: str = "kubeconfig", server: str = "") -> Path:
        """A kubeconfig file for a token."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(self._config(token, server or self.url)), encoding="utf-8")
        return path

    def service_account(self, namespace: str, name: str, seconds: int = 3600) -> str:
        """A token of a service account (TokenRequest)."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"spec": {"expirationSeconds": seconds}}
        return str(self.request("POST", path, body)["status"]["token"])

    def kueue_crds(self) -> None:
        """Kueue's own CRDs, served."""
        for text in kueue_crds():
            crd = yaml.safe_load(text)
            crd["spec"].pop("conversion", None)  # its webhook does not run
            self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)

    # --- files and flags -----------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        (self.folder / "certs").mkdir()
        lines = [
            f'{self.tokens[user]},{user},{user},"{group}"' if group else f"{self.tokens[user]},{user},{user}"
            for user, group in _USERS.items()
        ]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self.folder / "sa.key").write_text(_signing_key())

    def _config(self, token: str, server: str) -> Json:
        cluster = {"server": server, "certificate-authority": str(self.authority)}
        if not server.startswith("https"):
            del cluster["certificate-authority"]
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": token}}],
        }

    def _flags(self, name: str) -> Sequence[str]:
        at = "http://127.0.0.1:"
        match name:
            case "etcd":
                return (
                    f"--data-dir={self.folder / 'etcd'}",
                    f"--listen-client-urls={at}{self.ports['etcd']}",
                    f"--advertise-client-urls={at}{self.ports['etcd']}",
                    f"--listen-peer-urls={at}{self.ports['peer']}",
                    f"--initial-advertise-peer-urls={at}{self.ports['peer']}",
                    f"--initial-cluster=default={at}{self.ports['peer']}",
                    "--unsafe-no-fsync",
                    "--log-level=warn",
                )
            case "kube-apiserver":
                return (
                    f"--etcd-servers={at}{self.ports['etcd']}",
                    f"--secure-port={self.ports['api']}",
                    "--bind-address=127.0.0.1",
                    "--advertise-address=127.0.0.1",
                    f"--cert-dir={self.folder / 'certs'}",
                    f"--token-auth-file={self.folder / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={self.folder / 'sa.key'}",
                    f"--service-account-signing-key-file={self.folder / 'sa.key'}",
                    "--service-cluster-ip-range=10.0.0.0/24",
                    "--disable-admission-plugins=ServiceAccount,DefaultStorageClass,StorageObjectInUseProtection",
                    f"--runtime-config={ALPHA}",
                    "--endpoint-reconciler-type=none",
                    "--v=1",
                    *((f"--feature-gates={self.gates}",) if self.gates else ()),
                )
            case "kube-controller-manager":
                return (
                    f"--kubeconfig={self._internal(name)}",
                    f"--controllers={self.controllers}",
                    "--use-service-account-credentials=true",
                    f"--service-account-private-key-file={self.folder / 'sa.key'}",
                    "--leader-elect=false",
                    f"--secure-port={self.ports['kcm']}",
                    "--bind-address=127.0.0.1",
                    f"--kube-api-qps={self.qps}",
                    f"--kube-api-burst={self.qps * 2}",
                    *((f"--feature-gates={self.gates}",) if self.gates else ()),
                )
            case _:
                return (
                    f"--kubeconfig={self._internal(name)}",
                    "--leader-elect=false",
                    f"--secure-port={self.ports['sched']}",
                    "--bind-address=127.0.0.1",
                    "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
                    f"--kube-api-qps={self.qps * 10}",
                    f"--kube-api-burst={self.qps * 20}",
                    *((f"--feature-gates={self.gates}",) if self.gates else ()),
                )

    def _internal(self, program: str) -> Path:
        return self.kubeconfig(self.tokens[f"system:{program}"], f"{program}.kubeconfig")


def until(true: Callable[[], Any], seconds: float, why: Callable[[], str], every_s: float = 0.1) -> Any:
    """Waits for something to be so and returns it; AssertionError with `why` when the time is over."""
    end = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:.0f} s: {why()}")
        time.sleep(every_s)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def die_with_parent() -> None:
    """No process outlives a test run that was killed (prctl PR_SET_PDEATHSIG; Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _signing_key() -> str:
    """A P-256 private key (SEC 1, RFC 5915) for service account tokens; the public half follows from it."""
    secret = secrets.token_bytes(32)
    version, octets = b"\x02\x01\x01", b"\x04\x20" + secret
    curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"  # [0] OBJECT IDENTIFIER prime256v1
    body = version + octets + curve
    der = b"\x30" + bytes([len(body)]) + body
    text = base64.encodebytes(der).decode().replace("\n", "")
    return f"-----BEGIN EC PRIVATE KEY-----\n{text[:64]}\n{text[64:]}\n-----END EC PRIVATE KEY-----\n"


def merge_patch(plane: ControlPlane, path: str, patch: Mapping[str, Any]) -> Json:
    found: Json = plane.request("PATCH", path, dict(patch), kind="application/merge-patch+json")
    return found
