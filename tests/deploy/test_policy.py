"""What every pod must be, in Kubernetes and in the compose file: without privileges, limited, of a fixed version."""

import re

import pytest

from chart import component, containers, of_kind, render, workloads
from value_sets import SETS

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


def pods(values):
    for workload in workloads(render(values)):
        name = workload["metadata"]["name"]
        spec = workload["spec"]["template"]["spec"]
        for container in spec["containers"] + spec.get("initContainers", []):
            yield name, spec, container


@every_set
def test_nobody_runs_as_root_or_can_become_it(values):
    for name, spec, container in pods(values):
        pod, own = spec["securityContext"], container["securityContext"]
        assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0 and pod["runAsGroup"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert own["allowPrivilegeEscalation"] is False, name
        assert own["capabilities"] == {"drop": ["ALL"]}, name
        assert not own.get("privileged"), name
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert not spec.get(key), name


@every_set
def test_root_folders_are_read_only_and_nothing_of_the_node_is_mounted(values):
    for name, spec, container in pods(values):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert not [volume for volume in spec.get("volumes", []) if "hostPath" in volume], name
        for volume in spec.get("volumes", []):
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], f"{name}: {volume['name']} may fill the node's disk"


@every_set
def test_every_container_has_requests_and_limits(values):
    for name, _, container in pods(values):
        # No limit of CPU time: a media thread that is stopped for the rest of a period loses packets.
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys(), name


@every_set
def test_versions_are_fixed(values):
    for name, _, container in pods(values):
        image = container["image"]
        version = image.rpartition("/")[2].partition("@" if "@" in image else ":")[2]
        assert version not in ("", "latest"), f"{name}: {image}"
        assert version.startswith("sha256:") or any(letter.isdigit() for letter in version), f"{name}: {image}"


@every_set
def test_secrets_are_references_and_the_pods_have_no_access_to_the_api(values):
    objects = render(values)
    assert not [one for one in objects if one["kind"] == "Secret"]
    for name, spec, container in pods(values):
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, name
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "DATABASE", "STORE_URL", "KEY_ID", "STORAGE", "TURN")):
                is_reference = "secretKeyRef" in variable.get("valueFrom", {}) or "$(" in variable.get("value", "")
                assert is_reference, f"{name}: {variable['name']}"


@every_set
def test_probes_tell_alive_from_ready_and_there_is_time_to_end(values):
    for name, spec, container in pods(values):
        assert "livenessProbe" in container and "readinessProbe" in container, name
        if container["name"] == "rotunda":
            path = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
            # An outage of NATS or the database must restart no pod.
            assert path == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}, name
            set_to = {one["name"]: one.get("value") for one in container["env"]}
            seconds = sum(int(set_to[f"ROTUNDA__SERVER__{name}_SECONDS"]) for name in ("SHUTDOWN", "DRAIN"))
            before = container["lifecycle"]["preStop"]["exec"]["command"] if "lifecycle" in container else ["/bin/sleep", "0"]
            assert before[0] == "/bin/sleep"
            assert spec["terminationGracePeriodSeconds"] >= int(before[1]) + seconds + 5, name


def test_one_pod_of_the_media_ports_at_most_is_on_a_node():
    (sfu,) = [one for one in workloads(render()) if component(one) == "sfu"]
    assert all("hostPort" in port for port in containers(sfu)[0]["ports"] if port["name"] != "http")


@every_set
def test_no_secret_is_in_a_config_map(values):
    for one in of_kind(render(values), "ConfigMap"):
        for file, text in one["data"].items():
            for line in text.splitlines():
                found = re.search(r"(password|secret|token|private|access_key)\w*\"?\s*[:=]\s*\"?([^\s\",}]+)", line, re.IGNORECASE)
                assert not found or found[2].startswith("$"), f"{one['metadata']['name']}/{file}: {line}"
            assert "BEGIN " not in text, file


@every_set
def test_pods_meet_the_restricted_pod_security_standard_but_for_the_ports_of_the_node(values):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: what is not checked above."""
    expose = values.get("sfu", {}).get("expose", {}).get("type", "HostPort")
    for name, spec, container in pods(values):
        kinds = {key for volume in spec.get("volumes", []) for key in volume if key != "name"}
        assert kinds <= {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"}, name
        assert not spec["securityContext"].keys() & {"seLinuxOptions", "windowsOptions", "sysctls"}, name
        assert not container["securityContext"].get("procMount"), name
        if any("hostPort" in port for port in container.get("ports", [])):
            assert expose == "HostPort", name
