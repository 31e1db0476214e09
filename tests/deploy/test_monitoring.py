"""Alerts, dashboards and the runbook name metrics that the server has, and each alert fires when it should."""

import json
import re
import subprocess
import sys

import pytest
import yaml

import promql
from chart import CHART, HERE, ROOT, Loader, component, of_kind, render
from metrics import series
from value_sets import MOST, SETS

MONITORING = CHART / "monitoring"
ALERTS = MONITORING / "alerts.yaml"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
RULES = {rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
RUNBOOK = ROOT / "docs/runbook.md"
# Debian's package, unpacked by the Makefile.
PROMTOOL = HERE / "prometheus/usr/bin/promtool"
needs_prometheus = pytest.mark.skipif(not PROMTOOL.exists(), reason="Prometheus is not here: make tests/deploy/prometheus")


def check(expression):
    for name, label in promql.references(expression):
        assert name in series(), f"the server has no {name}: {expression}"
        assert label is None or label in series()[name], f"{name} has no label {label}: {expression}"


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_uses_metrics_that_are_there(alert):
    check(RULES[alert]["expr"])


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_what_is_wrong_and_links_to_its_section(alert):
    rule = RULES[alert]
    assert alert.startswith("Rotunda") and rule["labels"]["severity"] in ("critical", "warning")
    text = rule["annotations"]
    assert text["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    for variable in re.findall(r"\$labels\.(\w+)", text["summary"] + text["description"]):
        # An aggregation leaves only the labels that it names.
        by = re.findall(r"by \(([^)]*)\)", rule["expr"])
        kept = set(re.split(r",\s*", by[0])) if by else {"instance", "worker"}
        assert variable in kept, f"{alert}: {variable}"


def sections():
    """The text below each heading of an alert."""
    parts = re.split(r"^### (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    assert sorted(sections()) == sorted(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_a_section_of_the_runbook_says_what_it_means_and_what_to_do(alert):
    section = sections()[alert]
    meaning, do = section.partition("**Do.**")[::2]
    assert "**Meaning.**" in meaning and len(meaning) > 60 and len(do) > 60


def test_links_and_names_of_the_runbook_are_right():
    text = RUNBOOK.read_text()
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, part = target.partition("#")
        if file:
            assert (RUNBOOK.parent / file).exists(), target
        else:
            assert part in headings, target
    assert set(re.findall(r"rotunda_(?!events`)\w+", text)) <= series().keys() | {"rotunda_events"}
    keys = (ROOT / "deploy/config.sample.toml").read_text()
    for section, key in re.findall(r"`(?:\w+\.settings\.)?(server|bus|signaling|sfu|mcu|recorder)\.([a-z_]+)`", text):
        assert re.search(rf"^{key} = ", keys, re.MULTILINE) or key in chart_values(section), f"{section}.{key}"


def chart_values(section):
    return yaml.safe_load((CHART / "values.yaml").read_text()).get(section, {})


def test_dashboards_are_what_their_program_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "deploy/make-dashboards", tmp_path], check=True)
    assert [path.name for path in DASHBOARDS] == ["mixes.json", "nodes.json", "quality.json", "recordings.json", "rooms.json"]
    for path in DASHBOARDS:
        assert path.read_text() == (tmp_path / path.name).read_text(), f"run deploy/make-dashboards: {path.name}"


def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_metrics_that_are_there(path):
    dashboard = json.loads(path.read_text())
    assert len(expressions(dashboard)) >= 9
    for expression in expressions(dashboard):
        check(expression)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            labels = {label for _, label in promql.references(target["expr"])}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(path):
    panels = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells


def test_the_chart_makes_a_rule_with_links_to_the_runbook_of_the_operator():
    (rule,) = of_kind(render(MOST), "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    found = {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"]}
    assert found.keys() == RULES.keys()
    for name, one in found.items():
        assert one["expr"] == RULES[name]["expr"]
        assert one["annotations"]["runbook_url"] == f"https://docs.example.com/runbook#{name.lower()}"


def test_the_chart_gives_grafana_the_dashboards_as_they_are():
    maps = [one for one in of_kind(render(MOST), "ConfigMap") if component(one) == "monitoring"]
    assert {name: json.loads(text) for one in maps for name, text in one["data"].items()} == {
        path.name: json.loads(path.read_text()) for path in DASHBOARDS
    }
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in maps)
    # etcd takes objects of about 1 MB.
    assert all(len(json.dumps(one)) < 200_000 for one in maps)


def test_the_monitor_finds_the_services_of_the_server_alone():
    for values in (MOST, SETS["tls_in_the_pods"]):
        objects = render(values)
        (monitor,) = of_kind(objects, "ServiceMonitor")
        selector, (endpoint,) = monitor["spec"]["selector"], monitor["spec"]["endpoints"]
        (expression,) = selector["matchExpressions"]
        found = [
            component(one) for one in of_kind(objects, "Service")
            if selector["matchLabels"].items() <= one["metadata"]["labels"].items()
            and one["metadata"]["labels"][expression["key"]] in expression["values"]
            and endpoint["port"] in [port["name"] for port in one["spec"]["ports"]]
        ]
        assert sorted(found) == ["mcu", "sfu", "signaling"]
        assert endpoint["scheme"] == "https"
        replaced = {one["targetLabel"]: one.get("replacement") for one in endpoint["relabelings"]}
        assert replaced["job"] == "rotunda"


def test_examples_of_autoscaling_ask_for_metrics_that_are_there():
    adapter = yaml.safe_load((ROOT / "deploy/examples/prometheus-adapter.yaml").read_text())
    offered = set()
    for rule in adapter["rules"]["custom"]:
        check(rule["seriesQuery"])
        ((name, _),) = {(name, None) for name, _ in promql.references(rule["seriesQuery"])}
        offered.add(name)
        query = rule["metricsQuery"].replace("<<.Series>>", name).replace("<<.LabelMatchers>>", 'namespace="a"')
        check(query.replace("<<.GroupBy>>", "instance"))
    wanted = {
        metric["pods"]["metric"]["name"]
        for one in of_kind(render(SETS["many_nodes_that_scale"]), "HorizontalPodAutoscaler")
        for metric in one["spec"]["metrics"] if "pods" in metric
    }
    assert offered == wanted
    names = {(one["kind"], one["metadata"]["name"]) for one in render()}
    for one in yaml.load_all((ROOT / "deploy/examples/keda.yaml").read_text(), Loader):
        target = one["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
        for trigger in one["spec"]["triggers"]:
            check(trigger["metadata"]["query"])


# Alert -> the series with which it fires after an hour in which nothing is wrong: name, and values of each minute of that hour and
# of the half hour after it. `_` is no value.
BAD = {
    "RotundaDown": [('up{job="rotunda",instance="a"}', "1x60", "0x30")],
    "RotundaRoleGone": [('up{job="rotunda",instance="a",component="sfu"}', "1x60", "0x30")],
    "RotundaBusAway": [('rotunda_bus_away{instance="a"}', "0x60", "1x30")],
    "RotundaDatabaseAway": [('rotunda_store_away{instance="a"}', "0x60", "1x30")],
    # Counters appear with their first increase.
    "RotundaNodeDeclaredDead": [('rotunda_bus_declared_dead_total{instance="a"}', "_x61", "1x30")],
    "RotundaNodeCutOff": [('rotunda_bus_begun_anew_total{instance="a"}', "_x61", "1x30")],
    "RotundaMessagesLost": [('rotunda_bus_lost_total{instance="a"}', "3x60", "4x30")],
    "RotundaEventsWaiting": [('rotunda_events_waiting{instance="a"}', "0x60", "7x30")],
    "RotundaEventsLost": [('rotunda_events_dropped_total{instance="a"}', "_x61", "5x30")],
    "RotundaEventsNotWritten": [('rotunda_events_consume_failures_total{instance="a"}', "2x60", "2+60x30")],
    "RotundaConnectionsRefused": [('rotunda_listener_refused_total{instance="a",listener="http",reason="full"}', "2x60", "2+9x30")],
    "RotundaWorkerBusy": [('rotunda_sfu_load_ratio{instance="a",worker="0"}', "0.7x60", "0.82x30")],
    "RotundaSessionsRefused": [('rotunda_sfu_sessions_refused_total{instance="a",reason="load"}', "1x60", "1+20x30")],
    # 98 of 100 packets take a millisecond, and the others 50.
    "RotundaForwardingLate": [
        ('rotunda_sfu_transit_seconds_bucket{instance="a",le="0.001"}', "0+100x60", "6000+98x30"),
        ('rotunda_sfu_transit_seconds_bucket{instance="a",le="0.02"}', "0+100x60", "6000+98x30"),
        ('rotunda_sfu_transit_seconds_bucket{instance="a",le="0.05"}', "0+100x60", "6000+100x30"),
        ('rotunda_sfu_transit_seconds_bucket{instance="a",le="+Inf"}', "0+100x60", "6000+100x30"),
    ],
    "RotundaPacketsDropped": [
        ('rotunda_sfu_packets_dropped_total{instance="a",reason="queue"}', "0+5x60", "300+20x30"),
        ('rotunda_sfu_packets_forwarded_total{instance="a",kind="video"}', "0+1000x60", "60000+1000x30"),
    ],
    "RotundaViewersLosePackets": [
        ('rotunda_sfu_packets_missed_total{instance="a"}', "0+20x60", "1200+80x30"),
        ('rotunda_sfu_packets_sent_total{instance="a"}', "0+1000x60", "60000+1000x30"),
    ],
    "RotundaSocketErrors": [('rotunda_sfu_socket_errors_total{instance="a"}', "1x60", "1+5x30")],
    "RotundaSendBufferFull": [('rotunda_sfu_datagrams_dropped_total{instance="a",reason="send"}', "0+60x60", "3600+6000x30")],
    "RotundaIceTcpRefused": [('rotunda_sfu_tcp_connections_refused_total{instance="a",reason="full"}', "1x60", "1+5x30")],
    "RotundaControlBehind": [('rotunda_sfu_events_dropped_total{instance="a"}', "_x61", "2x30")],
    "RotundaRequestsFail": [
        ('rotunda_signaling_requests_total{instance="a",op="enterRoom",result="ok"}', "0+60x60", "3600+60x30"),
        ('rotunda_signaling_requests_total{instance="a",op="enterRoom",result="try_later"}', "0+6x60", "360+30x30"),
    ],
    "RotundaSlowClients": [('rotunda_signaling_slow_clients_total{instance="a"}', "0+6x60", "360+120x30")],
    "RotundaCommandsUnconfirmed": [('rotunda_signaling_sfu_commands_unconfirmed_total{instance="a"}', "4x60", "4+60x30")],
    "RotundaCallbacksFail": [
        ('rotunda_callbacks_total{instance="a",result="delivered"}', "0+60x60", "3600+60x30"),
        ('rotunda_callbacks_total{instance="a",result="failed"}', "0+6x60", "360+120x30"),
    ],
    "RotundaApiInternalErrors": [
        ('rotunda_api_calls_total{instance="a",action="StartMCUMixTranscode",code="InternalError"}', "1x60", "1+6x30"),
    ],
    "RotundaMixesLate": [('rotunda_mcu_late_ticks_total{instance="a"}', "0+6x60", "360+120x30")],
    "RotundaMixCapacityLow": [('rotunda_mcu_millicores_left{instance="a"}', "1000x60", "300x30")],
    "RotundaEnginesRestart": [('rotunda_mcu_engine_restarts_total{instance="a",reason="exited"}', "1x60", "1+1x30")],
    "RotundaEncodersFail": [('rotunda_mcu_encoder_failures_total{instance="a"}', "_x61", "1x30")],
    "RotundaPushesFail": [('rotunda_live_push_failures_total{instance="a"}', "0+1x60", "60+6x30")],
    "RotundaRecordingFailed": [('rotunda_recorder_failed_total{instance="a"}', "_x61", "1x30")],
    "RotundaRecordingRefused": [('rotunda_recorder_refused_total{instance="a",reason="disk"}', "_x61", "1x30")],
    "RotundaRecordingDiskFills": [('rotunda_recorder_disk_free_bytes{instance="a"}', "100000x60", "100000-1000x30")],
    "RotundaRecordingFramesLost": [('rotunda_recorder_frames_lost_total{instance="a"}', "7x60", "7+9x30")],
    "RotundaUploadsFail": [
        ('rotunda_recorder_upload_failures_total{instance="a"}', "3x60", "3+1x30"),
        ('rotunda_recorder_uploads_waiting{instance="a"}', "0x60", "2x30"),
    ],
}


@needs_prometheus
def test_prometheus_takes_the_rules():
    done = subprocess.run([PROMTOOL, "check", "rules", ALERTS], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and f"{len(RULES)} rules found" in done.stdout, done.stdout


@needs_prometheus
def test_each_alert_fires_when_it_should_and_not_before(tmp_path):
    assert BAD.keys() == RULES.keys()
    files = []
    for alert, lines in BAD.items():
        first = lines[0][0]
        # Of the labels of the series, those that the expression keeps.
        labels = dict(re.findall(r'(\w+)="([^"]*)"', first.partition("{")[2]))
        by = re.findall(r"by \(([^)]*)\)", RULES[alert]["expr"])
        if by:
            labels = {name: labels[name] for name in re.split(r",\s*", by[0]) if name in labels and name != "le"}
        rule = RULES[alert]

        def filled(text):
            return re.sub(r"{{ \$labels\.(\w+) }}", lambda name: labels[name[1]], text)

        firing = {
            "exp_labels": {**labels, "severity": rule["labels"]["severity"]},
            "exp_annotations": {key: filled(text) for key, text in rule["annotations"].items()},
        }
        quiet = {"eval_time": "60m", "alertname": alert, "exp_alerts": []}
        # A series that appears counts for ten minutes; others stay bad.
        when = "66m" if "offset" in rule["expr"] else "89m"
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": f"{before} {after}"} for name, before, after in lines],
            "alert_rule_test": [quiet, {"eval_time": when, "alertname": alert, "exp_alerts": [firing]}],
        }
        # Each with its own rule alone: that takes a thirtieth of the time.
        own = tmp_path / f"{alert}.rules.yaml"
        own.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]}))
        files.append(tmp_path / f"{alert}.yaml")
        files[-1].write_text(yaml.safe_dump({"rule_files": [str(own)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([PROMTOOL, "test", "rules", *files], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout.count("SUCCESS") == len(RULES), done.stdout
