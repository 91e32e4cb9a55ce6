"""How fast the embedded API server is: writes per second, durable, and listing 5,000 pods.

    python -m bench embedded            (prints figures; a minute at most)

Targets: 500 object writes a second over HTTP, `kubectl get pods` of 5,000 pods in under 2 s. The HTTP client runs in
a process of its own, with 8 connections, as kubectl and controllers would.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.kubeconfig import write_kubeconfig
from bayplan.clusters.embedded.server import Server

PODS = 5000
CONNECTIONS = 8
WRITES_PER_CONNECTION = 250


def pod(name: str) -> dict[str, Any]:
    requests = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    container = {"name": "main", "image": "registry.example/train:1", "resources": {"limits": requests}}
    env = [{"name": f"VAR_{number}", "value": "x" * 20} for number in range(10)]
    labels = {"app": "train", "kueue.x-k8s.io/queue-name": "team-a"}
    notes = {"bayplan.dev/why": "needs 8 GPUs, best node has 4", "bayplan.dev/start": "14:25"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": notes},
        "spec": {"containers": [container | {"env": env}]},
    }


def report(what: str, figure: str, target: str = "") -> None:
    print(f"{what:<58} {figure:>16}   {target}")


def write_in_process(store: Store) -> None:
    started = time.perf_counter()
    for number in range(PODS):
        store.create("pods", "default", pod(f"pod-{number:05d}"))
    seconds = time.perf_counter() - started
    report("create, in process, one commit each", f"{PODS / seconds:,.0f} /s")
    started = time.perf_counter()
    for number in range(PODS):
        store.bind("default", f"pod-{number:05d}", f"node-{number % 500}")
    report("bind, in process, one commit each", f"{PODS / (time.perf_counter() - started):,.0f} /s")
    started = time.perf_counter()
    store.list_raw("pods")
    report(f"list {PODS} pods as bytes, in process", f"{(time.perf_counter() - started) * 1e3:.1f} ms")
    started = time.perf_counter()
    store.list("pods")
    report(f"list {PODS} pods as dicts, in process", f"{(time.perf_counter() - started) * 1e3:.0f} ms")


def _write(port: int, worker: int, kind: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(WRITES_PER_CONNECTION):
        name = f"w{worker}-{number}"
        path, method, media = "/api/v1/namespaces/bench/pods", "POST", "application/json"
        body = pod(name)
        if kind != "create":
            path, method, media = f"{path}/{name}/status", "PATCH", "application/merge-patch+json"
            body = {"status": {"phase": "Running"}}
        connection.request(method, path, json.dumps(body), {"content-type": media})
        reply = connection.getresponse()
        text = reply.read()
        assert reply.status < 300, text


def _client(port: int, kind: str, ready: Any, seconds: Any) -> None:
    threads = [threading.Thread(target=_write, args=(port, worker, kind)) for worker in range(CONNECTIONS)]
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds.value = time.perf_counter() - started


def write_over_http(server: Server, kind: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready, seconds = context.Event(), context.Value("d", 0.0)
    client = context.Process(target=_client, args=(server.port, kind, ready, seconds))
    client.start()
    cpu = time.process_time()
    ready.set()
    client.join()
    cpu = time.process_time() - cpu
    writes = CONNECTIONS * WRITES_PER_CONNECTION
    what = f"{kind} over HTTP, {CONNECTIONS} connections, durable"
    report(what, f"{writes / seconds.value:,.0f} /s", f"target 500 /s; {cpu / writes * 1e6:,.0f} µs of CPU each")


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def list_with_kubectl(config: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        print("kubectl is not on PATH: its figures are left out")
        return
    base = [kubectl, "--kubeconfig", str(config), "--cache-dir", str(config.parent / "cache"), "get", "pods"]
    timed(base)
    for options, target in (([], "target 2 s"), (["--chunk-size=0"], ""), (["-o", "wide"], ""), (["-o", "json"], "")):
        report(f"kubectl get pods {' '.join(options)}  ({PODS} pods)", f"{timed([*base, *options]):.2f} s", target)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        store = Store(str(path / "cluster.db"))
        store.create("namespaces", None, {"metadata": {"name": "bench"}})
        steps: list[Callable[[Server], None]] = [
            lambda server: write_over_http(server, "create"),
            lambda server: write_over_http(server, "status patch"),
            lambda server: list_with_kubectl(write_kubeconfig(path / "kubeconfig", server.url)),
        ]
        write_in_process(store)
        with Server(store) as server:
            for step in steps:
                step(server)
        store.close()
        started = time.perf_counter()
        Store(str(path / "cluster.db")).close()
        report("open the file again", f"{(time.perf_counter() - started) * 1e3:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
