"""The chart is right for every value set, and refuses values that would break media."""

import functools
import json
import pathlib
import re
import tomllib

import jsonschema
import kubernetes_validate
import pytest
import yaml

from chart import CHART, ROOT, Refused, component, containers, environment, has_server, helm, of_kind, render, roles, with_media, workloads
from operator_kinds import SPECS
from server import SETTINGS
from value_sets import MOST, SETS

VERSIONS = ["1.25", "1.34", "1.37"]

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


@every_set
def test_helm_lint_finds_nothing(values):
    report = helm("lint", "--strict", values=values)
    assert "[ERROR]" not in report and "[WARNING]" not in report, report


@every_set
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_for_kubernetes(values, version):
    for one in render(values):
        valid(one, version)


def valid(one, version):
    valid_text(json.dumps(one), version)


@functools.cache
def valid_text(text, version):
    """Most objects are in several value sets, and are looked at once."""
    one = json.loads(text)
    if (one["apiVersion"], one["kind"]) in SPECS:
        assert one.keys() == {"apiVersion", "kind", "metadata", "spec"}
        jsonschema.validate(one["spec"], SPECS[one["apiVersion"], one["kind"]])
    else:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_examples_are_valid_for_keda():
    for one in yaml.safe_load_all((ROOT / "deploy/examples/keda.yaml").read_text()):
        valid(one, VERSIONS[-1])


@every_set
def test_no_two_objects_have_one_name(values):
    names = [(one["kind"], one["metadata"]["name"]) for one in render(values)]
    assert len(names) == len(set(names))


@every_set
def test_services_find_pods_and_their_ports(values):
    objects = render(values)
    templates = [workload["spec"]["template"] for workload in workloads(objects)]
    for service in of_kind(objects, "Service"):
        selector = dict(service["spec"]["selector"])
        # The StatefulSet's controller gives it to each pod.
        selector.pop("statefulset.kubernetes.io/pod-name", None)
        found = [template for template in templates if selector.items() <= template["metadata"]["labels"].items()]
        assert len(found) == 1, service["metadata"]["name"]
        ports = {port["name"]: port["containerPort"] for port in found[0]["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], f"{service['metadata']['name']}: {port}"


@every_set
def test_selectors_match_the_labels_of_their_pods(values):
    for workload in workloads(render(values)):
        spec = workload["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@every_set
def test_media_reaches_exactly_one_pod_under_the_numbers_that_it_has(values):
    objects = render(values)
    sfu = with_media(objects)
    name, settings = sfu["metadata"]["name"], {"workers": 2, "port": 40000, "replicas": 1, **values.get("sfu", {})}
    kind = settings.get("expose", {}).get("type", "HostPort")
    media = {(protocol, settings["port"] + worker) for protocol in ("UDP", "TCP") for worker in range(settings["workers"])}

    listed = [port for port in containers(sfu)[0]["ports"] if port["name"].startswith(("udp-", "tcp-"))]
    assert {(port["protocol"], port["containerPort"]) for port in listed} == media
    assert all(port.get("hostPort") == (port["containerPort"] if kind == "HostPort" else None) for port in listed)
    assert environment(sfu)["ROTUNDA__SFU__PORT"] == str(settings["port"])
    assert environment(sfu)["ROTUNDA__SFU__WORKERS"] == str(settings["workers"])

    behind = []
    for service in of_kind(objects, "Service"):
        ports = {(port["protocol"], port["port"]) for port in service["spec"]["ports"]}
        if ports & media:
            behind.append(service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"])
            assert ports == media and service["spec"]["type"] == kind and service["spec"]["externalTrafficPolicy"] == "Local"
            # Calls go on while the database is away.
            assert service["spec"]["publishNotReadyAddresses"] is True
            if kind == "NodePort":
                assert all(port["nodePort"] == port["port"] for port in service["spec"]["ports"])
    assert behind == ([] if kind == "HostPort" else [f"{name}-{pod}" for pod in range(settings["replicas"])])


@pytest.mark.parametrize("name", ["embedded", "embedded_with_most"])
def test_an_embedded_installation_is_one_pod_that_needs_nothing_else(name):
    objects = render(SETS[name])
    (pod,) = workloads(objects)
    settings = environment(pod)
    assert not [key for key in settings if key.startswith("ROTUNDA__BUS__")] and "ROTUNDA__SERVER__DATABASE" not in settings
    # Its database outlives it.
    claims = {claim["metadata"]["name"] for claim in pod["spec"]["volumeClaimTemplates"]}
    assert claims == {"data", "recordings"}
    for ingress in of_kind(objects, "Ingress"):
        backends = [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        assert backends == [{"name": pod["metadata"]["name"], "port": {"name": "http"}}]


def test_separate_roles_reach_each_other_and_players_come_to_the_right_ones():
    objects = render(SETS["separate_and_most"])
    replicas = {component(one): one["spec"]["replicas"] for one in workloads(objects) if component(one) in ("mcu", "recorder", "live")}
    assert replicas == {"mcu": 3, "recorder": 2, "live": 4}
    for one in workloads(objects):
        if component(one) in replicas:
            assert 9091 in {port["containerPort"] for port in containers(one)[0]["ports"]}
    (ingress,) = of_kind(objects, "Ingress")
    paths = {path["path"]: path["backend"]["service"]["name"] for path in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert paths == {"/live": "conference-live", "/recordings": "conference-recorder", "/": "conference-signaling"}
    (live,) = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == "conference-live"]
    assert live["spec"]["sessionAffinity"] == "ClientIP"


@pytest.mark.parametrize("name,role,told", [
    ("separate_with_whep", "live", "$(HOST_IP)"), ("whep_at_an_address", "mcu", "203.0.113.5"), ("embedded_with_whep", "embedded", "$(HOST_IP)"),
])
def test_viewers_by_whep_reach_the_pod_that_serves_live_streams(name, role, told):
    objects = render(SETS[name])
    ports = {component(one): [port for port in containers(one)[0]["ports"] if port.get("name") == "whep"] for one in workloads(objects)}
    whep = {"name": "whep", "containerPort": 40100, "hostPort": 40100, "protocol": "UDP"}
    assert {role: found for role, found in ports.items() if found} == {role: [whep]}
    (live,) = [one for one in workloads(objects) if component(one) == role]
    settings, names = environment(live), [one["name"] for one in containers(live)[0]["env"]]
    assert settings["ROTUNDA__LIVE__WHEP_PORT"] == "40100" and settings["ROTUNDA__LIVE__WHEP_ADVERTISE"] == f'["{told}"]'
    if "HOST_IP" in told:
        assert names.count("HOST_IP") == 1 and names.index("HOST_IP") < names.index("ROTUNDA__LIVE__WHEP_ADVERTISE")
    # A second pod of the node would wait for the port for ever.
    if live["kind"] == "Deployment":
        assert live["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_each_pod_tells_the_address_of_its_own_load_balancer():
    objects = render(SETS["load_balancer_of_each_pod"])
    services = {one["spec"]["selector"]["statefulset.kubernetes.io/pod-name"]: one["spec"]["loadBalancerIP"]
                for one in of_kind(objects, "Service") if one["spec"].get("type") == "LoadBalancer"}
    (sfu,) = [one for one in workloads(objects) if component(one) == "sfu"]
    assert environment(sfu)["ROTUNDA__SFU__ADVERTISE"] == '["env:POD_IP", "file:/etc/rotunda-sfu/$(POD_NAME)"]'
    mount = next(one for one in containers(sfu)[0]["volumeMounts"] if one["mountPath"] == "/etc/rotunda-sfu")
    volume = next(one for one in sfu["spec"]["template"]["spec"]["volumes"] if one["name"] == mount["name"])
    (addresses,) = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == volume["configMap"]["name"]]
    assert addresses["data"] == services and len(services) == 3


def test_names_of_pods_are_names_of_nodes_for_the_server():
    """At most 64 letters, digits, `_` and `-`, with what a Deployment and a StatefulSet add."""
    for one in workloads(render({"fullnameOverride": "a.long-" + "n" * 60})):
        added = "-0123456789-01234" if one["kind"] == "Deployment" else "-1000"
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one["metadata"]["name"] + added)


@every_set
def test_every_role_runs_once(values):
    found = [role for workload in workloads(render(values)) for role in roles(workload)]
    assert sorted(found) == ["live", "mcu", "recorder", "sfu", "signaling"]


@every_set
def test_volumes_that_are_mounted_exist(values):
    for workload in workloads(render(values)):
        spec = workload["spec"]["template"]["spec"]
        there = [volume["name"] for volume in spec.get("volumes", [])]
        there += [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
        mounted = [mount["name"] for mount in spec["containers"][0]["volumeMounts"]]
        assert sorted(mounted) == sorted(there), workload["metadata"]["name"]


@every_set
def test_settings_are_those_of_the_server(values):
    """Each variable names a key of the configuration, and holds TOML of the type that it has there."""
    for workload in workloads(render(values)):
        for name, text in environment(workload).items():
            if name.startswith("ROTUNDA__"):
                _, section, key = name.lower().split("__")
                value = tomllib.loads(f"value = {text}")["value"]
                same_type(SETTINGS[section][key], value, name)


@every_set
def test_variables_refer_to_those_before_them(values):
    """The kubelet fills in no others."""
    for workload in workloads(render(values)):
        references_are_known(workload)


def references_are_known(workload):
    known = set()
    for variable in containers(workload)[0].get("env", []):
        assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known, variable["name"]
        known.add(variable["name"])


def same_type(default, value, name):
    if isinstance(value, dict):
        for key, inner in value.items():
            same_type(default[key], inner, f"{name}.{key}")
    else:
        numbers = isinstance(default, float) and isinstance(value, int)
        assert type(value) is type(default) or numbers, f"{name} is {value!r}, as {default!r}"


def test_what_is_set_arrives():
    settings = {}
    for workload in workloads(render(MOST)):
        settings.update(environment(workload))
    assert settings["ROTUNDA__SERVER__LOG"] == '"debug"'
    assert settings["ROTUNDA__SERVER__LIMITS"] == "{ grpc_connections = 500 }"
    assert settings["ROTUNDA__SERVER__PUBLIC_URL"] == settings["ROTUNDA__RECORDER__PUBLIC_URL"] == '"https://media.example.com"'
    assert settings["ROTUNDA__SERVER__TRUSTED_PROXIES"] == '["127.0.0.0/8", "::1/128", "10.0.0.0/8"]'
    assert settings["ROTUNDA__SIGNALING__MAX_MEMBERS"] == "2000000"
    assert settings["ROTUNDA__SFU__ADVERTISE"] == '["203.0.113.7", "stun:stun.example.com:3478"]'
    assert settings["ROTUNDA__SFU__MAX_LOAD"] == "0.5"
    assert settings["ROTUNDA__SERVER__SEAL_KEY_FILE"] == '"/etc/rotunda/seal-key"'
    turn = tomllib.loads("value = " + settings["ROTUNDA__SIGNALING__TURN"])["value"]
    assert turn == {"urls": MOST["signaling"]["turn"]["urls"], "secret": "$(TURN_SECRET)", "ttl_seconds": 3600}
    storage = tomllib.loads("value = " + settings["ROTUNDA__RECORDER__STORAGE"])["value"]
    assert storage == {
        "url": "s3://films/rotunda", "endpoint": "https://s3.example.com", "region": "eu-1",
        "access_key_id": "$(S3_ACCESS_KEY_ID)", "secret_access_key": "$(S3_SECRET_ACCESS_KEY)",
    }
    assert settings["ROTUNDA__RECORDER__FORMATS"] == '["mp4", "flv"]'


def test_files_of_tls_and_configuration_are_mounted_where_the_server_looks():
    for workload in workloads(render(MOST)):
        container = containers(workload)[0]
        if not has_server(workload):
            continue
        at = {mount["mountPath"] for mount in container["volumeMounts"]}
        tls = tomllib.loads("value = " + environment(workload)["ROTUNDA__SERVER__TLS"])["value"]
        assert {str(pathlib.Path(path).parent) for path in tls.values()} <= at
        assert "--config=/etc/rotunda/rotunda.toml" in container["args"] and "/etc/rotunda" in at
        assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_the_mixer_is_told_the_address_of_the_pod_first():
    (sfu,) = [one for one in workloads(render()) if component(one) == "sfu"]
    assert environment(sfu)["ROTUNDA__SFU__ADVERTISE"] == '["env:POD_IP", "env:HOST_IP"]'
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in containers(sfu)[0]["env"]
              if "fieldRef" in one.get("valueFrom", {})}
    assert fields == {"POD_NAME": "metadata.name", "POD_IP": "status.podIP", "HOST_IP": "status.hostIP"}


@pytest.mark.parametrize("values,words", [
    ({"existingSecret": ""}, "existingSecret"),
    ({"publicUrl": "media.example.com"}, "publicUrl"),
    ({"sfu": {"service": {"type": "LoadBalancer"}}}, "sfu: Additional property service"),
    # Several pods behind one UDP service.
    ({"sfu": {"replicas": 2, "port": 30000, "expose": {"type": "NodePort"}}}, "sfu.replicas: Must be less than or equal to 1"),
    ({"sfu": {"expose": {"type": "NodePort"}}}, "sfu.port: Must be less than or equal to 32767"),
    ({"sfu": {"port": 32767, "expose": {"type": "NodePort"}}}, "node ports end at 32767"),
    ({"sfu": {"port": 30000, "expose": {"type": "NodePort"}, "autoscaling": {"enabled": True}}}, "sfu.autoscaling.enabled"),
    ({"sfu": {"replicas": 2, "expose": {"type": "LoadBalancer", "addresses": ["203.0.113.1"]}}}, "write one address for each pod"),
    ({"sfu": {"replicas": 2, "expose": {"type": "LoadBalancer", "addresses": ["203.0.113.1"] * 2}}}, "unique"),
    ({"sfu": {"expose": {"type": "LoadBalancer"}}}, "sfu.expose.addresses"),
    ({"sfu": {"expose": {"addresses": ["203.0.113.1"]}}}, "sfu.expose.addresses"),
    ({"sfu": {"expose": {"type": "ClusterIP"}}}, "sfu.expose.type"),
    ({"embedded": {"enabled": True}, "sfu": {"replicas": 2}}, "sfu.replicas"),
    ({"embedded": {"enabled": True}, "signaling": {"replicas": 2}}, "signaling.replicas"),
    ({"embedded": {"enabled": True}, "signaling": {"autoscaling": {"enabled": True}}}, "signaling.autoscaling.enabled"),
    ({"embedded": {"enabled": True}, "nats": {"bundled": {"enabled": False}, "urls": ["nats://a:1"]}}, "nats.urls"),
    ({"embedded": {"enabled": True, "replicas": 2}}, "embedded: Additional property replicas"),
    ({"sfu": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 3}}}, "choose a larger maxReplicas"),
    ({"sfu": {"workers": 0}}, "sfu.workers: Must be greater"),
    ({"sfu": {"port": 65500, "workers": 64}}, "choose a smaller sfu.port"),
    ({"sfu": {"port": 80}}, "sfu.port"),
    ({"sfu": {"advertise": []}}, "sfu.advertise"),
    ({"sfu": {"advertise": ["media.example.com"]}}, "sfu.advertise"),
    ({"sfu": {"settings": {"port": 1}}}, "sfu.settings"),
    ({"live": {"whep": {"port": 80}}}, "live.whep.port"),
    ({"live": {"settings": {"whep_port": 40100}}}, "live.settings"),
    ({"mcu": {"replicas": 2}}, "mcu: Additional property replicas"),
    ({"separate": {"enabled": True, "recorder": {"replicas": 2}}}, "separate.recorder.replicas: a file on the volume of one pod"),
    ({"recorder": {"replicas": 2}}, "recorder: Additional property replicas"),
    ({"image": {"tag": "latest"}}, "image.tag"),
    ({"nats": {"bundled": {"image": {"tag": "latest"}}}}, "nats.bundled.image.tag"),
    ({"nats": {"bundled": {"enabled": False}}}, "nats.urls"),
    ({"nats": {"urls": ["nats://a:1"]}}, "nats.urls"),
    ({"nats": {"auth": "none"}}, "nats.auth"),
    ({"nats": {"settings": {"replicas": 3}}}, "nats.settings.replicas"),
    ({"nats": {"bundled": {"enabled": False}, "urls": ["nats://user:password@a:1"]}}, "nats.urls"),
    ({"nats": {"settings": {"password": "secret"}}}, "nats.settings"),
    ({"server": {"settings": {"database": "postgres://u:p@h/d"}}}, "server.settings"),
    ({"signaling": {"settings": {"turn": {"secret": "x"}}}}, "signaling.settings"),
    ({"signaling": {"turn": {"secret": "x"}}}, "signaling.turn: Additional property secret"),
    ({"server": {"settings": {"seal_key": "00"}}}, "server.settings"),
    ({"recorder": {"settings": {"storage": {"secret_access_key": "x"}}}}, "recorder.settings"),
    ({"recorder": {"s3": {"url": "https://bucket"}}}, "recorder.s3.url"),
    ({"recorder": {"s3": {"url": "s3://b", "endpoint": "https://key:secret@host"}}}, "recorder.s3.endpoint"),
    ({"networkPolicy": {"monitoringFrom": []}}, "networkPolicy.monitoringFrom"),
    ({"ingress": {"enabled": True}}, "ingress.host"),
    ({"signaling": {"resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": None}}}}, "limits"),
    ({"nonsense": 1}, "nonsense"),
])
def test_values_that_break_something_are_refused_by_name(values, words):
    with pytest.raises(Refused) as refused:
        render(values)
    assert words in str(refused.value)


# Kubernetes' own words.
PLAIN = {"podAnnotations", "nodeSelector", "tolerations", "annotations", "enabled", "requests", "limits"}


def paths(values, prefix=""):
    """Names of all values; of a table that is free, its own name."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and key not in ("resources", "labels"):
            yield from paths(value, f"{name}.")
        else:
            yield name


def test_the_readme_documents_every_value_with_its_default():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    table = (CHART / "README.md").read_text().partition("\n## Values\n")[2]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", table, re.MULTILINE))
    assert sorted(rows) == sorted(paths(defaults))
    for name, shown in rows.items():
        value = defaults
        for key in name.split("."):
            value = value[key]
        if not name.endswith("resources"):
            assert shown == f"`{json.dumps(value)}`", name


def test_every_value_is_explained_where_it_stands():
    """By a comment above it, or above the table that it is in."""
    explained, missing = {-1: True}, []
    comment = False
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = True
            continue
        if not text:
            comment = False
            continue
        depth = len(line) - len(line.lstrip())
        above = max(level for level in explained if level < depth)
        explained = {level: told for level, told in explained.items() if level < depth}
        # Of a table of roles or services, the values themselves must be explained.
        explained[depth] = comment or (depth > 0 and explained[above])
        if not text.endswith(":") and not explained[depth] and text.partition(":")[0] not in PLAIN:
            missing.append(line)
        comment = False
    assert missing == []


def test_the_schema_knows_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def known(schema_part, values, name):
        while "$ref" in schema_part:
            schema_part = schema["definitions"][schema_part["$ref"].rsplit("/", 1)[1]]
        for key, value in values.items():
            if "properties" in schema_part:
                assert key in schema_part["properties"], f"{name}{key}"
                if isinstance(value, dict):
                    known(schema_part["properties"][key], value, f"{name}{key}.")

    known(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "")


def test_versions_of_chart_and_server_are_one():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    server = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert chart["appVersion"] == server
