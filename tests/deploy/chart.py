"""The chart, rendered by Helm."""

import concurrent.futures
import copy
import functools
import json
import pathlib
import subprocess
import tempfile

import yaml

# The same words as `yaml.safe_load_all`, ten times as fast.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHART = ROOT / "deploy/helm/rotunda"
HELM = HERE / "node_modules/.bin/helm"

# Only the required values.
LEAST = {"existingSecret": "rotunda", "publicUrl": "https://media.example.com"}


class Refused(Exception):
    """Helm's words about values that it does not take."""


def helm(*arguments, values):
    """Runs Helm on the chart with `values` over what must be set."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({**LEAST, **values}, file)
        file.flush()
        command = [HELM, *arguments, CHART, "--values", file.name]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def render(values=None):
    """The objects that the chart makes in release `talk`, namespace `media`."""
    return copy.deepcopy(rendered(json.dumps(values or {})))


@functools.lru_cache(maxsize=None)
def rendered(values):
    text = helm("template", "talk", "--namespace", "media", values=json.loads(values))
    return [document for document in yaml.load_all(text, Loader) if document]


def render_in_parallel(value_sets):
    """Each set is rendered once; what is refused is refused again in the test that renders it."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(render, values) for values in value_sets]:
            done.exception()


def workloads(objects):
    return [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]


def component(one):
    return one["metadata"]["labels"]["app.kubernetes.io/component"]


def containers(workload):
    return workload["spec"]["template"]["spec"]["containers"]


def environment(workload):
    """Variables as they are written, without those that refer to something."""
    return {one["name"]: one["value"] for one in containers(workload)[0].get("env", []) if "value" in one}


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def has_server(workload):
    """Whether its pods run our server."""
    return containers(workload)[0]["name"] == "rotunda"


def roles(workload):
    """The roles that its pods run."""
    return [role for word in containers(workload)[0].get("args", []) if word.startswith("--roles=")
            for role in word.removeprefix("--roles=").split(",")]


def with_media(objects):
    """The workload that forwards media."""
    (found,) = [one for one in workloads(objects) if "sfu" in roles(one)]
    return found
