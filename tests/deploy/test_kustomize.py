"""The plain manifests are the chart with its default values, and Kustomize makes an installation of them."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

from chart import HELM, ROOT, Loader, containers, has_server, of_kind, render, workloads
from test_chart import VERSIONS, references_are_known, valid

FOLDER = ROOT / "deploy/kustomize"
BASE = FOLDER / "base"
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")


def manifests():
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.load_all((BASE / name).read_text(), Loader)]


def without_labels_of_helm(node):
    if isinstance(node, dict):
        return {
            key: without_labels_of_helm(value) for key, value in node.items()
            if key not in ("helm.sh/chart", "app.kubernetes.io/managed-by")
        }
    return [without_labels_of_helm(one) for one in node] if isinstance(node, list) else node


def by_name(objects):
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_they_are_what_the_chart_makes():
    # Release `rotunda`, whose name is also that of the objects.
    chart = render({"fullnameOverride": "rotunda"})
    text = yaml.safe_dump_all(without_labels_of_helm(chart)).replace("instance: talk", "instance: rotunda")
    assert by_name(manifests()) == by_name(yaml.load_all(text, Loader))


def test_they_are_what_their_program_writes(tmp_path):
    env = {**os.environ, "HELM": str(HELM)}
    subprocess.run([sys.executable, ROOT / "deploy/make-manifests", tmp_path], check=True, env=env)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {path.name: path.read_text() for path in BASE.iterdir()} == written, "run deploy/make-manifests"
    assert not any("Helm" in text.partition("\n")[2] or "{{" in text for text in written.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_valid(version):
    for one in manifests():
        valid(one, version)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """The example, as an operator uses it."""
    folder = tmp_path_factory.mktemp("installation") / "kustomize"
    shutil.copytree(FOLDER, folder)
    subprocess.run([ROOT / "deploy/make-secrets", folder / "example/keys"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["kubectl", "kustomize", folder / "example"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0 and "deprecated" not in done.stderr, done.stderr
    return list(yaml.load_all(done.stdout, Loader))


@needs_kubectl
def test_the_example_makes_a_whole_installation(installation):
    for one in installation:
        valid(one, VERSIONS[-1])
        assert one["metadata"]["namespace"] == "media"
    base, made = by_name(manifests()), by_name(installation)
    assert made.keys() == base.keys() | {("Secret", "rotunda")}
    assert "media.example.com" not in yaml.safe_dump_all(installation)
    assert made["Deployment", "rotunda-signaling"]["spec"]["replicas"] == 2
    assert made["StatefulSet", "rotunda-sfu"]["spec"]["replicas"] == 3
    for workload in filter(has_server, workloads(installation)):
        assert containers(workload)[0]["image"] == "registry.example.com/rotunda:0.1.0"
        # Patches replace settings and keep the others.
        before = containers(base[workload["kind"], workload["metadata"]["name"]])[0]["env"]
        assert sorted(one["name"] for one in containers(workload)[0]["env"]) == sorted(one["name"] for one in before)
        references_are_known(workload)


@needs_kubectl
def test_its_secret_has_every_key_that_the_pods_refer_to(installation):
    (secret,) = of_kind(installation, "Secret")
    for workload in workloads(installation):
        for variable in containers(workload)[0]["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            assert not reference or (reference["name"] == "rotunda" and reference["key"] in secret["data"])


def test_no_keys_are_in_the_repository():
    assert not [path for path in pathlib.Path(FOLDER).rglob("*") if path.parent.name == "keys"]
