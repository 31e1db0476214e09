"""The server's own metrics, read by a real Prometheus: it takes the rules and evaluates every panel of the dashboards."""

import contextlib
import json
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest

import promql
from chart import HERE, ROOT
from cluster import eventually
from metrics import series
from test_monitoring import ALERTS, DASHBOARDS, RULES, expressions

SERVER = ROOT / "target/test-dist/rotunda"
PROMETHEUS = HERE / "prometheus/usr/bin/prometheus"
needs_prometheus = pytest.mark.skipif(not PROMETHEUS.exists(), reason="Prometheus is not here: make tests/deploy/prometheus")


def free_ports(count):
    """TCP ports of this machine that nobody has."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(*command, **more):
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def get(url):
    """The body, or None while there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    http, grpc, rtmp, media = free_ports(4)
    (folder / "rotunda.toml").write_text(f"""
        server = {{ port = {http}, data = "{folder}/data", bind = "127.0.0.1" }}
        sfu = {{ port = {media}, workers = 1, bind = "127.0.0.1" }}
        signaling = {{ api = {{ grpc_port = {grpc} }} }}
        live = {{ rtmp_port = {rtmp} }}
        recorder = {{ directory = "{folder}/recordings" }}
    """)
    with open(folder / "log", "w") as log, running(SERVER, "serve", "--config", folder / "rotunda.toml", stdout=log, stderr=log):
        eventually("the server is ready", lambda: get(f"http://127.0.0.1:{http}/readyz"))
        yield http


def test_the_server_exports_only_series_that_its_source_names(server):
    lines = [line for line in get(f"http://127.0.0.1:{server}/metrics").splitlines() if line and not line.startswith("#")]
    names = {line.partition(" ")[0].partition("{")[0] for line in lines}
    assert names - series().keys() == set() and "rotunda_signaling_members" in names
    assert "rotunda_sfu_transit_seconds_bucket" in names


@needs_prometheus
def test_a_real_prometheus_takes_the_rules_and_evaluates_every_panel(server, tmp_path):
    (port,) = free_ports(1)
    (tmp_path / "prometheus.yml").write_text(f"""
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ["{ALERTS}"]
scrape_configs:
  - job_name: rotunda
    static_configs: [{{ targets: ["127.0.0.1:{server}"], labels: {{ component: all }} }}]
""")

    def ask(path, **parameters):
        body = get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        return body and json.loads(body)["data"]

    command = [PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with open(tmp_path / "log", "w") as log, running(*command, stdout=log, stderr=log):
        read = 'rotunda_signaling_members{job="rotunda"}'
        eventually("Prometheus has read the metrics", lambda: (ask("query", query=read) or {}).get("result"))
        rules = eventually("all rules were evaluated", lambda: evaluated(ask("rules")))
        assert rules.keys() == RULES.keys()
        assert {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"} == {}
        # Nothing is wrong with a server that nobody uses.
        assert {name for name, rule in rules.items() if rule["state"] == "firing"} == set()
        for path in DASHBOARDS:
            for expression in expressions(json.loads(path.read_text())):
                for name, value in promql.VARIABLES.items():
                    expression = expression.replace(name, value)
                assert ask("query", query=expression) is not None, expression


def evaluated(found):
    """The rules by their names, once each was evaluated."""
    rules = {rule["name"]: rule for group in found["groups"] for rule in group["rules"]}
    return rules if all(rule["health"] != "unknown" for rule in rules.values()) else None
