"""A running Kueue on a control plane: its manager as its authors build it, with its webhooks and their certificates.

What a kubelet and a Service would do is done here: the webhooks' Service is a name for this machine (ExternalName), and
the certificates that Kueue's own rotation puts into a Secret are copied to where its manager looks for them.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.controlplane.build import kueue, kueue_manifests
from tests.controlplane.run import ControlPlane, die_with_parent, free_ports, until

Json = dict[str, Any]

NAMESPACE = "kueue-system"
SERVICE, SECRET = "kueue-webhook-service", "kueue-webhook-server-cert"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
# Those whose stored versions Kueue converts.
_CONVERTED = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")


class Kueue:
    """Starts on construction, on a control plane without Kueue's kinds; `close` ends it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.folder = plane.folder / "kueue"
        self.folder.mkdir()
        self.hook_port, self.health_port = free_ports(2)
        self._stopped = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self._furnish()
        threading.Thread(target=self._copy_certificates, daemon=True).start()
        self._start()

    def __enter__(self) -> Kueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stopped.set()
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        return (self.folder / "kueue.log").read_text(errors="replace")[-4000:]

    def _start(self) -> None:
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(self._configuration()))
        admin = self.plane.kubeconfig(self.plane.token, "kueue.kubeconfig")
        gates = "VisibilityOnDemand=false,MultiKueue=false"
        with (self.folder / "kueue.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(kueue()), f"--config={config}", f"--feature-gates={gates}"],
                env=os.environ | {"KUBECONFIG": str(admin)},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        until(self._serves, 120, lambda: f"Kueue does not get ready: {self.log()}")

    def _serves(self) -> bool:
        """Whether its webhooks answer: a queue is then taken or refused for what it is."""
        assert self.process is not None and self.process.poll() is None, self.log()
        flavor = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "probe"}}
        try:
            self.plane.request("POST", "/apis/kueue.x-k8s.io/v1beta2/resourceflavors?dryRun=All", flavor)
        except OSError:
            return False
        return True

    def _configuration(self) -> Json:
        return {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "namespace": NAMESPACE,
            "health": {"healthProbeBindAddress": f"127.0.0.1:{self.health_port}"},
            "metrics": {"bindAddress": "0"},
            "webhook": {"host": "127.0.0.1", "port": self.hook_port, "certDir": str(self.folder)},
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": True, "webhookServiceName": SERVICE, "webhookSecretName": SECRET},
            "integrations": {"frameworks": ["batch/job"]},
            "resources": {
                "deviceClassMappings": [{"name": "nvidia.com/gpu", "deviceClassNames": ["gpu.nvidia.com"]}],
            },
        }

    # --- what its installation brings ----------------------------------------------------------------------------

    def _furnish(self) -> None:
        post = self.plane.request
        meta = {"name": NAMESPACE}
        post("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": NAMESPACE}}
        post("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
        named = {"type": "ExternalName", "externalName": "localhost"}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE}, "spec": named}
        post("POST", f"/api/v1/namespaces/{NAMESPACE}/services", service)
        for obj in kueue_manifests():
            if obj["kind"] == "CustomResourceDefinition":
                self._convert(obj)
                post("POST", CRDS, obj)
            else:
                self._aim(obj)
                post("POST", f"{HOOKS}/{obj['kind'].lower()}s", obj)

    def _convert(self, crd: Json) -> None:
        if crd["spec"]["names"]["plural"] in _CONVERTED:
            aim = {"service": self._service("/convert")}
            hook = {"clientConfig": aim, "conversionReviewVersions": ["v1"]}
            crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": hook}

    def _aim(self, hooks: Json) -> None:
        hooks["metadata"]["name"] = "kueue-" + hooks["metadata"]["name"]
        for hook in hooks["webhooks"]:
            hook["clientConfig"]["service"] = self._service(hook["clientConfig"]["service"]["path"])
        # Pods and deployments are no integrations here, so nobody would answer for them.
        served = ("kueue.x-k8s.io", "batch")
        hooks["webhooks"] = [h for h in hooks["webhooks"] if h["rules"][0]["apiGroups"][0] in served]

    def _service(self, path: str) -> Json:
        return {"name": SERVICE, "namespace": NAMESPACE, "path": path, "port": self.hook_port}

    def _copy_certificates(self) -> None:
        while not self._stopped.wait(0.2):
            try:
                secret = self.plane.request("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}")
            except OSError:
                continue
            for name, content in (secret.get("data") or {}).items():
                _replace(self.folder / name, base64.b64decode(content))


def _replace(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content)
        partial.replace(path)
