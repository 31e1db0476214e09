"""The compose file, read by Docker Compose itself, and its settings by what the server has."""

import importlib.resources
import json
import re
import subprocess
import tomllib

import pytest

from chart import ROOT, containers, render, workloads
from server import SETTINGS
from test_chart import same_type

# Docker Compose itself, not the package's command: that one hides the exit status.
COMPOSE = importlib.resources.files("compose") / "docker-compose"
FILE = ROOT / "deploy/compose.yaml"
ANSWERS = {
    "ROTUNDA_ADDRESS": "203.0.113.7",
    "ROTUNDA_URL": "https://media.example.com",
    "NATS_PASSWORD": "n123",
    "POSTGRES_PASSWORD": "p123",
}

S3_FILE = ROOT / "deploy/compose.s3.yaml"
S3_ANSWERS = {"ROTUNDA_S3_URL": "https://s3.example.com", "S3_ACCESS_KEY_ID": "k123", "S3_SECRET_ACCESS_KEY": "s123"}


def compose(folder, settings=ANSWERS, files=(FILE,)):
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    chosen = [word for file in files for word in ("-f", file)]
    command = [COMPOSE, *chosen, "--env-file", folder / ".env", "config", "--format", "json"]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"HOME": str(folder), "PATH": ""})


def parsed(done):
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.fixture
def services(folder):
    return parsed(compose(folder))


@pytest.fixture
def services_with_s3(folder):
    return parsed(compose(folder, {**ANSWERS, **S3_ANSWERS}, (FILE, S3_FILE)))


@pytest.fixture(params=["services", "services_with_s3"])
def either(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("missing", [*ANSWERS, *S3_ANSWERS])
def test_what_must_be_set_is_asked_for_by_name(missing, folder):
    given = {name: value for name, value in {**ANSWERS, **S3_ANSWERS}.items() if name != missing}
    done = compose(folder, given, (FILE, S3_FILE) if missing in S3_ANSWERS else (FILE,))
    assert done.returncode != 0
    assert missing in done.stderr and "set it in deploy/.env" in done.stderr


def test_the_example_names_every_setting():
    lines = (ROOT / "deploy/env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert named == {*ANSWERS, *S3_ANSWERS, "ROTUNDA_DEMO"}


def test_settings_are_those_of_the_server(either):
    for name, text in either["rotunda"]["environment"].items():
        _, section, key = name.lower().split("__")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        same_type(SETTINGS[section][key], value, name)


def test_every_media_port_is_published_under_its_own_number_for_udp_and_tcp(services):
    server = services["rotunda"]
    workers = int(server["environment"]["ROTUNDA__SFU__WORKERS"])
    published = {(port["protocol"], port["target"], int(port["published"])) for port in server["ports"]}
    media = {(protocol, 40000 + i, 40000 + i) for protocol in ("udp", "tcp") for i in range(workers)}
    assert published == media | {("tcp", port, port) for port in (8080, 9090, 1935)}


def test_every_container_has_no_privileges_and_limits(either):
    for name, service in either.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
        assert not service.get("privileged"), name
        assert re.match(r"v?\d", service["image"].rpartition(":")[2]), name
        if name in ("nats-volume", "s3-volume"):
            assert service["cap_add"] == ["CHOWN"] and service["network_mode"] == "none"
        else:
            assert int(service["user"].split(":")[0]) > 0 and "cap_add" not in service, name
            assert service["healthcheck"]["test"], name


def test_images_are_those_of_the_chart(services):
    chart = {containers(one)[0]["name"]: containers(one)[0]["image"] for one in workloads(render())}
    assert {name: services[name]["image"] for name in chart} == chart


def test_only_the_server_is_reached_from_outside(services):
    assert [name for name, service in services.items() if service.get("ports")] == ["rotunda"]


def test_finished_files_go_to_the_bucket_of_the_s3_server(services_with_s3):
    server, s3 = services_with_s3["rotunda"], services_with_s3["s3"]
    storage = tomllib.loads("value = " + server["environment"]["ROTUNDA__RECORDER__STORAGE"])["value"]
    bucket = storage["url"].removeprefix("s3://")
    folder = s3["command"][-1]
    assert f"mkdir -p {folder}/{bucket}" in services_with_s3["s3-volume"]["entrypoint"][-1]
    assert s3["environment"] == {"ROOT_ACCESS_KEY": storage["access_key_id"], "ROOT_SECRET_KEY": storage["secret_access_key"]}
    # Clients are sent there by signed links.
    assert storage["endpoint"] == S3_ANSWERS["ROTUNDA_S3_URL"]
    assert [(port["target"], port["published"]) for port in s3["ports"]] == [(7070, "7070")]
    assert server["depends_on"].keys() == {"nats", "postgresql", "s3"}
