"""What installs Bayplan: one content in two forms, restricted, and no right that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.app.manifests import Options, kueue_crds, manifests, rules
from bayplan.cli import main
from bayplan.workloads import KINDS

CHART = Path(__file__).parents[2] / "deploy" / "chart"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def rendered(namespace: str) -> dict[tuple[str, str], Any]:
    """The chart with its default values, whose conditions all hold but those of what is off; Helm itself renders it in
    `tests/cluster`."""
    found = {}
    for path in sorted((CHART / "templates").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for off in (name for name, value in VALUES.items() if value is False):
            text = re.sub(rf" *{{{{- if \.Values\.{off} }}}}\n(.*\n)*? *{{{{- end }}}}\n", "", text)
        text = re.sub(r" *{{- (if .*|end) }}\n", "", text)
        text = text.replace("{{ .Release.Namespace }}", namespace)
        text = re.sub(r"{{ (?:int64 )?\.Values\.(\w+) }}", lambda m: str(VALUES[m.group(1)]), text)
        assert "{{" not in text, path
        found |= {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(text)}
    return found


def test_the_chart_renders_what_install_applies() -> None:
    applied = {(o["kind"], o["metadata"]["name"]): o for o in manifests(Options())}
    del applied["Namespace", "bayplan-system"]  # Helm makes the namespace it installs into
    assert rendered("bayplan-system") == applied


def test_the_pod_is_restricted() -> None:
    deployment = next(o for o in manifests(Options()) if o["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]
    container = spec["containers"][0]["securityContext"]
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_no_rule_has_a_wildcard_or_reads_secrets() -> None:
    for rule in rules():
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        assert "secrets" not in rule["resources"]


def test_every_kind_of_job_may_be_suspended_unless_kueue_does_it() -> None:
    for kind in KINDS:
        ours = next(r for r in rules() if r["apiGroups"] == [kind.group] and kind.plural in r["resources"])
        theirs = next(r for r in rules("kueue") if r["apiGroups"] == [kind.group] and kind.plural in r["resources"])
        assert "patch" in ours["verbs"] and "patch" not in theirs["verbs"]


def test_beside_kueue_its_kinds_are_only_read() -> None:
    for rule in rules("kueue"):
        assert rule["apiGroups"] != ["kueue.x-k8s.io"] or set(rule["verbs"]) <= {"list", "watch"}


@pytest.mark.parametrize(
    ("arguments", "crds"), [(Options(), 7), (Options(crds=False), 0), (Options(queues="kueue"), 0)]
)
def test_kueues_kinds_come_only_where_there_is_no_kueue(arguments: Options, crds: int) -> None:
    made = [o for o in manifests(arguments) if o["kind"] == "CustomResourceDefinition"]
    assert len(made) == crds and len(kueue_crds()) == 7


def test_the_scheduler_is_told_what_install_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--dry-run", "--prices", "--reserve-after=3600", "--recovery-timeout=600"]) == 0
    made = {d["kind"]: d for d in yaml.safe_load_all(capsys.readouterr().out)}
    arguments = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--prices", "--reserve-after=3600", "--recovery-timeout=600"} <= set(arguments)


def test_a_dry_run_prints_yaml_and_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--dry-run", "--namespace", "elsewhere"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {d["metadata"].get("namespace", "elsewhere") for d in documents} == {"elsewhere"}
