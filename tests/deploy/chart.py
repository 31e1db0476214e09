"""The chart, rendered by Helm."""

import pathlib
import subprocess

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHART = ROOT / "deploy/helm/rotunda"
HELM = HERE / "node_modules/.bin/helm"

# Only the required values.
LEAST = {"existingSecret": "rotunda", "publicUrl": "https://media.example.com"}


class Refused(Exception):
    """Helm's words about values that it does not take."""


def helm(*arguments, values, folder):
    """Runs Helm on the chart with `values` over what must be set."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump({**LEAST, **values}))
    command = [HELM, *arguments, CHART, "--values", file]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def render(folder, values=None):
    """The objects that the chart makes in release `talk`, namespace `media`."""
    text = helm("template", "talk", "--namespace", "media", values=values or {}, folder=folder)
    return [document for document in yaml.safe_load_all(text) if document]


def workloads(objects):
    return [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]


def component(one):
    return one["metadata"]["labels"]["app.kubernetes.io/component"]


def containers(workload):
    return workload["spec"]["template"]["spec"]["containers"]


def environment(workload):
    """Variables as they are written, without those that refer to something."""
    return {one["name"]: one["value"] for one in containers(workload)[0].get("env", []) if "value" in one}
