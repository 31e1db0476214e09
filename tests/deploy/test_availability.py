"""Pods that stay, that are spread, that come and go: budgets, topology, autoscaling, and the end of a pod."""

import pytest

from chart import component, containers, environment, has_server, of_kind, render, workloads
from value_sets import SETS

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


def servers(objects):
    return {component(one): one for one in workloads(objects) if has_server(one)}


@every_set
def test_every_role_has_a_budget_for_drains_of_nodes_that_finds_its_pods(values):
    objects = render(values)
    budgets = {component(one): one["spec"] for one in of_kind(objects, "PodDisruptionBudget")}
    wanted = {
        role: one for role, one in servers(objects).items()
        # Recorder and live on their own have the mixer's.
        if values.get("mcu" if role in ("recorder", "live") else role, {}).get("podDisruptionBudget", {}).get("enabled", True)
    }
    assert budgets.keys() == wanted.keys()
    for role, budget in budgets.items():
        assert budget["maxUnavailable"] == values.get(role, {}).get("podDisruptionBudget", {}).get("maxUnavailable", 1)
        assert budget["selector"] == wanted[role]["spec"]["selector"], role


@every_set
def test_pods_of_a_role_are_spread_over_zones_and_nodes(values):
    for role, workload in servers(render(values)).items():
        spec, own = workload["spec"]["template"]["spec"], values.get(role, {})
        (spread,) = spec["topologySpreadConstraints"]
        if "topologySpreadConstraints" in own:
            assert [spread] == own["topologySpreadConstraints"]
        else:
            assert spread["topologyKey"] == "topology.kubernetes.io/zone", role
            # A zone that is gone leaves no pod waiting.
            assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
            assert spread["labelSelector"] == workload["spec"]["selector"]
        if "affinity" not in own:
            (term,) = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
            assert term["podAffinityTerm"]["labelSelector"] == workload["spec"]["selector"]


@every_set
def test_an_autoscaler_alone_says_how_many_pods_there_are(values):
    objects = render(values)
    scalers = {component(one): one["spec"] for one in of_kind(objects, "HorizontalPodAutoscaler")}
    assert scalers.keys() == {role for role in ("signaling", "sfu") if values.get(role, {}).get("autoscaling", {}).get("enabled")}
    for role, workload in servers(objects).items():
        assert ("replicas" in workload["spec"]) == (role not in scalers), role
        if role in scalers:
            target = scalers[role]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"])


def test_pods_are_added_by_the_metrics_of_the_server_and_taken_away_only_when_asked():
    scalers = {component(one): one["spec"] for one in of_kind(render(SETS["many_nodes_that_scale"]), "HorizontalPodAutoscaler")}

    def targets(role):
        return {one["pods"]["metric"]["name"]: one["pods"]["target"]["averageValue"] for one in scalers[role]["metrics"] if "pods" in one}

    assert targets("signaling") == {"rotunda_signaling_members": "20000"}
    assert targets("sfu") == {"rotunda_sfu_load_ratio": "600m"}
    assert scalers["sfu"]["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}
    assert scalers["signaling"]["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]


@every_set
def test_a_pod_behind_a_service_still_serves_while_the_service_takes_it_out(values):
    before = values.get("server", {}).get("preStopSeconds", 5)
    for role, workload in servers(render(values)).items():
        hook = containers(workload)[0].get("lifecycle")
        # No Service sends clients to the sfu or to a mixer on its own: they would only work for longer.
        without = ("sfu", "mcu") if values.get("separate", {}).get("enabled") else ("sfu",)
        expected = {"preStop": {"exec": {"command": ["/bin/sleep", str(before)]}}} if role not in without and before else None
        assert hook == expected, role


def test_each_role_has_its_own_time_to_end():
    times = {
        role: (environment(one)["ROTUNDA__SERVER__SHUTDOWN_SECONDS"], one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
        for role, one in servers(render(SETS["many_nodes_that_scale"])).items()
    }
    assert times == {"signaling": ("20", 95), "sfu": ("20", 90), "mcu": ("600", 615)}


def test_region_and_zone_come_from_the_labels_of_the_pod():
    def env(values):
        pods = servers(render(values))["sfu"]["spec"]["template"]["spec"]["containers"][0]["env"]
        return {one["name"]: one for one in pods}

    assert "ROTUNDA__SERVER__ZONE" not in env({})
    labelled = env({"server": {"topologyLabels": True}})
    assert labelled["ROTUNDA__SERVER__ZONE"]["value"] == '"$(TOPOLOGY_ZONE)"'
    assert labelled["TOPOLOGY_ZONE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['topology.kubernetes.io/zone']"


def test_members_move_where_there_is_another_pod_to_move_to():
    def drain(values, role="signaling"):
        return environment(servers(render(values))[role])["ROTUNDA__SERVER__DRAIN_SECONDS"]

    assert drain({"signaling": {"replicas": 1}}) == "0"
    assert drain({"signaling": {"replicas": 2}}) == "60"
    assert drain({"signaling": {"replicas": 2, "drainSeconds": 300}}) == "300"
    assert drain({"sfu": {"replicas": 2}}, "sfu") == "60"
    assert drain({"sfu": {"replicas": 1, "drainSeconds": 300}}, "sfu") == "0"
    others = {role: environment(one)["ROTUNDA__SERVER__DRAIN_SECONDS"] for role, one in servers(render({"signaling": {"replicas": 2}})).items()}
    assert others == {"signaling": "60", "sfu": "0", "mcu": "0"}
