"""The API over HTTP, as programs use it: status codes, pages, tables, watches, content types."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.kubeconfig import write_kubeconfig
from bayplan.clusters.embedded.server import AddressInUse, Server
from tests.embedded.objects import config_map, deployment, pod, widget, widget_definition

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PODS, MAPS = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    with Server(store, pod_logs=lambda namespace, name: f"{namespace}/{name} says\nhello\n") as running:
        yield running


class Reply:
    def __init__(self, status: int, raw: bytes, media: str) -> None:
        self.status, self.raw, self.media = status, raw, media

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def call(server: Server, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(server.url + path, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Reply(answer.status, answer.read(), answer.headers["content-type"])
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read(), error.headers["content-type"])


def test_an_object_lives_its_life(server: Server) -> None:
    made = call(server, "POST", MAPS, config_map(a="1"))
    assert (made.status, made.media) == (201, "application/json")
    assert call(server, "GET", f"{MAPS}/cm").json == made.json
    put = call(server, "PUT", f"{MAPS}/cm", made.json | {"data": {"a": "2"}})
    assert (put.status, put.json["data"]) == (200, {"a": "2"})
    stale = call(server, "PUT", f"{MAPS}/cm", made.json)
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    patched = call(server, "PATCH", f"{MAPS}/cm", {"data": {"b": "3"}}, content_type="application/merge-patch+json")
    assert patched.json["data"] == {"a": "2", "b": "3"}
    gone = call(server, "DELETE", f"{MAPS}/cm")
    assert (gone.status, gone.json["status"], gone.json["details"]["uid"]) == (
        200,
        "Success",
        made.json["metadata"]["uid"],
    )
    missing = call(server, "GET", f"{MAPS}/cm")
    assert (missing.status, missing.json["message"]) == (404, 'configmaps "cm" not found')


@pytest.mark.parametrize(
    ("method", "path", "body", "media", "status", "message"),
    [
        ("POST", MAPS, b"k8s\x00\n\x0f", "application/vnd.kubernetes.protobuf", 415, "kubectl apply -f -"),
        ("POST", MAPS, b"k8s\x00\xff\xff\xff", "application/vnd.kubernetes.protobuf", 415, "not protobuf"),
        ("POST", MAPS, b"{", "application/json", 400, "malformed"),
        ("POST", MAPS, b"[]", "application/json", 400, "not an object"),
        ("POST", MAPS, b"<a/>", "text/xml", 415, "unknown type 'text/xml'"),
        ("POST", MAPS, {"kind": "Pod"}, "application/json", 400, "holds v1 ConfigMap"),
        ("PATCH", f"{MAPS}/cm", {}, "application/json", 415, "is not a kind of patch"),
        ("PATCH", f"{MAPS}/cm", b"a: [", "application/apply-patch+yaml", 400, "malformed"),
        ("GET", f"{MAPS}?limit=many", None, "", 400, "limit: 'many' is not a number"),
        ("GET", f"{MAPS}?continue=zzz", None, "", 400, "continue key is not valid"),
        ("GET", "/api/v1/gadgets", None, "", 404, "could not find the requested resource"),
        ("GET", "/apis/batch/v9/jobs", None, "", 404, "could not find the requested resource"),
        ("POST", f"{PODS}/p/exec", None, "", 405, "does not allow this method"),
        ("POST", f"{MAPS}?dryRun=Some", {}, "application/json", 400, "dryRun"),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_status(
    server: Server, method: str, path: str, body: Any, media: str, status: int, message: str
) -> None:
    reply = call(server, method, path, body, content_type=media)
    assert (reply.status, reply.json["kind"], reply.json["code"]) == (status, "Status", status)
    assert message in reply.json["message"]


def test_yaml_is_read_as_well(server: Server) -> None:
    text = yaml.safe_dump(config_map(a="1")).encode()
    assert call(server, "POST", MAPS, text, content_type="application/yaml").status == 201
    path = f"{MAPS}/cm?fieldManager=me"
    applied = call(server, "PATCH", path, text, content_type="application/apply-patch+yaml")
    assert (applied.status, applied.json["data"]) == (200, {"a": "1"})


def test_pages_show_one_moment(server: Server, store: Store) -> None:
    for name in "abcde":
        store.create("configmaps", "default", config_map(name))
    first = call(server, "GET", f"{MAPS}?limit=2").json
    assert first["metadata"]["remainingItemCount"] == 3
    store.delete("configmaps", "default", "c")
    store.create("configmaps", "default", config_map("bb"))
    names, page = [item["metadata"]["name"] for item in first["items"]], first
    while page["metadata"].get("continue"):
        page = call(server, "GET", f"{MAPS}?limit=2&continue={page['metadata']['continue']}").json
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == list("abcde")


def test_an_old_page_token_has_expired(server: Server, store: Store) -> None:
    for name in "abc":
        store.create("configmaps", "default", config_map(name))
    tokens = [call(server, "GET", f"{MAPS}?limit=1").json["metadata"]["continue"] for _ in range(65)]
    reply = call(server, "GET", f"{MAPS}?limit=1&continue={tokens[0]}")
    assert (reply.status, reply.json["reason"]) == (410, "Expired")


def test_a_table_shows_why_and_start(server: Server, store: Store) -> None:
    notes = {"bayplan.dev/why": "needs 8 GPUs", "bayplan.dev/start": "14:25"}
    store.create("pods", "default", pod() | {"metadata": {"name": "p", "annotations": notes}})
    reply = call(server, "GET", PODS, accept=TABLE).json
    names = [column["name"] for column in reply["columnDefinitions"] if column["priority"] == 0]
    assert names == ["Name", "Ready", "Status", "Restarts", "Age", "Why", "Start"]
    assert reply["rows"][0]["cells"][:7] == ["p", "0/1", "Pending", 0, "0s", "needs 8 GPUs", "14:25"]
    assert reply["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def lines(server: Server, path: str, count: int | None = None) -> list[dict[str, Any]]:
    """The first `count` lines of a watch, or all of one that ends."""
    found = []
    with urllib.request.urlopen(server.url + path, timeout=10) as answer:
        for line in answer:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


def test_a_watch_streams_what_happens(server: Server, store: Store) -> None:
    version = store.version
    store.create("pods", "default", pod("a", labels={"x": "1"}))
    store.patch("pods", "default", "a", {"metadata": {"labels": {"x": "2"}}})
    store.create("pods", "kube-system", pod("elsewhere"))
    store.delete("pods", "default", "a")
    found = lines(server, f"{PODS}?watch=1&resourceVersion={version}", 3)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [
        ("ADDED", "a"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
    ]


def test_an_object_that_leaves_the_selection_is_deleted_for_that_watch(server: Server, store: Store) -> None:
    version = store.version
    store.create("pods", "default", pod("a", labels={"x": "1"}))
    store.patch("pods", "default", "a", {"metadata": {"labels": {"x": "2"}}})
    store.patch("pods", "default", "a", {"metadata": {"labels": {"x": "1"}}})
    found = lines(server, f"{PODS}?watch=1&resourceVersion={version}&labelSelector=x%3D1", 3)
    assert [each["type"] for each in found] == ["ADDED", "DELETED", "ADDED"]


def test_a_watch_may_begin_with_what_exists_and_says_when_that_is_over(server: Server, store: Store) -> None:
    store.create("pods", "default", pod("a"))
    options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    found = lines(server, f"{PODS}?{options}", 2)
    assert [each["type"] for each in found] == ["ADDED", "BOOKMARK"]
    assert found[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_ends_with_its_time_and_a_bookmark(server: Server, store: Store) -> None:
    path = f"{PODS}?watch=1&resourceVersion={store.version}&timeoutSeconds=1&allowWatchBookmarks=true"
    (bookmark,) = lines(server, path)
    assert (bookmark["type"], bookmark["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", str(store.version))


def test_a_watch_from_a_forgotten_version_is_told_so(server: Server, store: Store) -> None:
    version = store.version
    store.create("pods", "default", pod("a"))
    store.compact()
    (error,) = lines(server, f"{PODS}?watch=1&resourceVersion={version}")
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_collection_is_deleted_by_selector(server: Server, store: Store) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"})):
        store.create("pods", "default", pod(name, labels=labels))
    assert call(server, "DELETE", f"{PODS}?labelSelector=x%3D1").status == 200
    assert [item["metadata"]["name"] for item in store.list("pods")[0]] == ["b"]


def test_scale_reads_and_writes_the_replicas(server: Server, store: Store) -> None:
    store.create("deployments.apps", "default", deployment())
    path = "/apis/apps/v1/namespaces/default/deployments/web/scale"
    scale = call(server, "GET", path).json
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 2, "app=web")
    written = call(server, "PUT", path, scale | {"spec": {"replicas": 4}})
    assert (written.status, store.get("deployments.apps", "default", "web")["spec"]["replicas"]) == (200, 4)
    assert call(server, "PUT", path, scale).status == 409


def test_pods_are_bound_evicted_and_read(server: Server, store: Store) -> None:
    store.create("pods", "default", pod())
    binding = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n1"}}
    assert call(server, "POST", f"{PODS}/p/binding", binding).status == 201
    assert call(server, "POST", f"{PODS}/p/binding", binding).status == 409
    assert call(server, "GET", f"{PODS}/p/log?tailLines=1").raw == b"hello\n"
    assert call(server, "POST", f"{PODS}/p/eviction", {"deleteOptions": {"gracePeriodSeconds": 0}}).status == 201
    assert store.find("pods", "default", "p") is None


def test_everyone_may_ask_whether_he_may(server: Server) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert call(server, "POST", path, {}).json["status"]["allowed"] is True


def test_a_definition_is_served_at_once_and_discovered(server: Server, store: Store) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert call(server, "POST", definitions, widget_definition()).status == 201
    resources = call(server, "GET", "/apis/example.com/v1").json["resources"]
    assert [each["name"] for each in resources] == ["widgets", "widgets/status", "widgets/scale"]
    path = "/apis/example.com/v1/namespaces/default/widgets"
    assert call(server, "POST", path, widget(size=3)).status == 201
    table = call(server, "GET", path, accept=TABLE).json
    assert [row["cells"] for row in table["rows"]] == [["w", 3, "red"]]
    assert "/openapi/v3/apis/example.com/v1" in json.dumps(call(server, "GET", "/openapi/v3").json)


def test_the_fixed_documents(server: Server) -> None:
    for path in ("/healthz", "/readyz", "/livez", "/livez/ping"):
        assert call(server, "GET", path).raw == b"ok"
    assert call(server, "GET", "/version").json["major"] == "1"
    assert call(server, "GET", "/api").json["versions"] == ["v1"]
    groups = [group["name"] for group in call(server, "GET", "/apis").json["groups"]]
    assert {"apps", "batch", "resource.k8s.io", "kueue.x-k8s.io"} <= set(groups)
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert call(server, "GET", "/apis", accept=aggregated).json["kind"] == "APIGroupDiscoveryList"


def test_an_object_of_two_versions_is_stored_in_one_and_shown_in_the_one_asked_for(
    server: Server, store: Store
) -> None:
    reference = {"workload": {"workloadName": "w", "podGroupTemplateName": "t"}}
    old = {"podGroupTemplateRef": reference, "disruptionMode": "PodGroup"}
    new = {"workloadRef": {"workloadName": "w", "templateName": "t"}, "disruptionMode": {"all": {}}}
    specs = {"v1alpha2": old, "v1beta1": new}
    for written in specs:
        body = {"apiVersion": f"scheduling.k8s.io/{written}", "kind": "PodGroup", "metadata": {"name": written}}
        path = f"/apis/scheduling.k8s.io/{written}/namespaces/default/podgroups"
        assert call(server, "POST", path, body | {"spec": specs[written]}).status == 201
        assert store.get("podgroups.scheduling.k8s.io", "default", written)["spec"] == new
    for asked, spec in specs.items():
        path = f"/apis/scheduling.k8s.io/{asked}/namespaces/default/podgroups"
        for found in (call(server, "GET", f"{path}/v1beta1").json, *call(server, "GET", path).json["items"]):
            assert (found["apiVersion"], found["spec"]) == (f"scheduling.k8s.io/{asked}", spec)


def test_a_taken_port_is_one_clear_error(server: Server, store: Store) -> None:
    with pytest.raises(AddressInUse, match=rf"127\.0\.0\.1:{server.port}: cannot listen there"):
        Server(store, port=server.port)


def test_stopping_ends_open_watches(store: Store) -> None:
    server = Server(store)
    with urllib.request.urlopen(f"{server.url}{PODS}?watch=1", timeout=10) as answer:
        server.stop()
        assert answer.read() == b""


def test_a_kubeconfig_names_the_server(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "deep" / "kubeconfig", "http://127.0.0.1:1234")
    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "http://127.0.0.1:1234"
    assert config["current-context"] == "bayplan"


LIMIT = {"name": "c", "image": "i", "resources": {"limit": {}}}
TYPOS: list[tuple[str, Any, str]] = [
    ("pods", pod("p", contaners=[]), "spec.contaners"),
    ("pods", pod("p", containers=[LIMIT]), "spec.containers[0].resources.limit"),
    ("configmaps", config_map() | {"dta": {}}, "dta"),
    ("pods", pod("p") | {"metadata": {"name": "p", "label": {}}}, "metadata.label"),
]


@pytest.mark.parametrize(("plural", "obj", "unknown"), TYPOS)
def test_a_typo_is_refused_or_warned_of_or_ignored(server: Server, plural: str, obj: Any, unknown: str) -> None:
    path = f"/api/v1/namespaces/default/{plural}?dryRun=All&fieldValidation"
    strict = call(server, "POST", f"{path}=Strict", obj)
    assert strict.status == 400
    assert strict.json["message"].endswith(f'strict decoding error: unknown field "{unknown}"')
    assert call(server, "POST", f"{path}=Ignore", obj).status == 201
    data = json.dumps(obj).encode()
    request = urllib.request.Request(f"{server.url}{path}=Warn", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as warned:
        assert warned.headers.get_all("warning") == [f'299 - "unknown field \\"{unknown}\\""']
