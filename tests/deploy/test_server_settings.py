"""The server itself takes the settings that the chart and the compose files give it."""

import re
import subprocess

import pytest

from chart import ROOT, containers, has_server, render, workloads
from test_compose import services, services_with_s3  # noqa: F401  (fixtures)
from value_sets import SETS

SERVER = ROOT / "target/test-dist/rotunda"
# What references to Secrets and to the pod stand for.
KEY = "k" * 16
FIELDS = {"metadata.name": "talk-rotunda-0", "status.podIP": "10.1.2.3", "status.hostIP": "192.168.1.2"}


def filled(container):
    """The environment as the kubelet makes it."""
    env = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            value = FIELDS[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            value = "postgres://u:p@h/d" if source["secretKeyRef"]["key"] == "store-url" else KEY
        else:
            value = re.sub(r"\$\((\w+)\)", lambda name: env[name[1]], variable["value"])
        env[variable["name"]] = value
    return env


def takes(env, folder):
    """Whether a command that reads the whole configuration works, and what it says."""
    env = {**env, "ROTUNDA__SERVER__DATA": str(folder)}
    done = subprocess.run([SERVER, "user-sig", "ann"], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_the_pods_of_the_chart(values, tmp_path):
    for workload in filter(has_server, workloads(render(values))):
        worked, words = takes(filled(containers(workload)[0]), tmp_path)
        assert worked, words


@pytest.mark.parametrize("files", ["services", "services_with_s3"])
def test_the_compose_files(files, request, tmp_path):
    worked, words = takes(request.getfixturevalue(files)["rotunda"]["environment"], tmp_path)
    assert worked, words


def test_a_wrong_setting_would_be_noticed(tmp_path):
    worked, words = takes({"ROTUNDA__RECORDER__STORAGE": '{ url = "films" }'}, tmp_path)
    assert not worked and "recorder.storage.url" in words
