"""Kubeconfig files: which one counts, and how one proves who one is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml

from bayplan.app.errors import BadInput, Unreachable
from bayplan.app.kubeconfig import find_kubeconfig, read_access


def written(path: Path, user: dict[str, object] | None = None, server: str = "http://c:1") -> Path:
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_first_of_option_environment_up_demo_and_home_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable, match="start one with `bayplan up`"):
        find_kubeconfig(None)
    at_home = written(tmp_path / ".kube" / "config")
    assert find_kubeconfig(None) == at_home
    listed = written(tmp_path / "listed")
    cannot_be = "x" * 300  # where nothing can be looked up, as in a folder of somebody else
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(("nowhere", cannot_be, str(listed))))
    assert find_kubeconfig(None) == listed
    up = written(Path(".bayplan/kubeconfig"))
    assert find_kubeconfig(None) == up
    demo = written(Path(".bayplan/demo/kubeconfig"))
    os.utime(up, (1, 1))
    assert find_kubeconfig(None) == demo, "the newest of this directory"
    ours = written(tmp_path / "ours")
    monkeypatch.setenv("BAYPLAN_KUBECONFIG", str(ours))
    assert find_kubeconfig(None) == ours
    assert find_kubeconfig(at_home) == at_home


@pytest.mark.parametrize(
    ("user", "header"),
    [
        pytest.param({}, None, id="nobody in particular"),
        pytest.param({"token": "abc"}, "Bearer abc", id="a token"),
        pytest.param({"tokenFile": "token"}, "Bearer from-file", id="a token in a file beside it"),
        pytest.param(
            {"exec": {"command": "sh", "args": ["-c", 'echo \'{"status": {"token": "made"}}\'']}},
            "Bearer made",
            id="a plugin that prints a token",
        ),
    ],
)
def test_credentials(tmp_path: Path, user: dict[str, object], header: str | None) -> None:
    (tmp_path / "token").write_text("from-file\n")
    access = read_access(written(tmp_path / "config", user))
    assert (access.server, access.namespace) == ("http://c:1", "team-a")
    assert access.headers.get("Authorization") == header


def test_a_plugin_that_fails_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="the credential plugin 'false' gave no token"):
        read_access(written(tmp_path / "config", {"exec": {"command": "false"}}))


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    config = yaml.safe_load(written(tmp_path / "config", server="https://c:1").read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = "bm90IGEgY2VydA=="
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(BadInput, match="clusters, users: expected certificates in PEM"):
        read_access(tmp_path / "config")


def test_a_client_certificate_where_nothing_can_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = {"client-certificate-data": "YQ==", "client-key-data": "YQ=="}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="client-certificate: cannot be put into a temporary file"):
        read_access(written(tmp_path / "config", pair, "https://c:1"))
