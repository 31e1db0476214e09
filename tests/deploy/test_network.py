"""The NetworkPolicies let in what the pods serve, from the peers that need it, and nothing else."""

import pytest

from chart import component, containers, has_server, of_kind, render, workloads
from value_sets import MOST, SETS

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


def policies(objects):
    return {component(one): one["spec"] for one in of_kind(objects, "NetworkPolicy")}


def allowed(policy):
    """Protocol and port of everything that is let in, with the peers that it is let in from; None is everybody."""
    for rule in policy["ingress"]:
        for port in rule["ports"]:
            for number in range(port["port"], port.get("endPort", port["port"]) + 1):
                yield (port["protocol"], number), rule.get("from")


@every_set
def test_a_policy_lets_in_every_port_of_its_pods_and_no_other(values):
    objects = render(values)
    found = policies(objects)
    if not values.get("networkPolicy", {}).get("enabled", True):
        assert not found
        return
    for workload in workloads(objects):
        policy = found.pop(component(workload))
        assert policy["podSelector"] == workload["spec"]["selector"]
        listens = {(port["protocol"], port["containerPort"]) for port in containers(workload)[0]["ports"]}
        # The kubelet alone asks it.
        listens.discard(("TCP", 8222))
        assert {port for port, _ in allowed(policy)} == listens, component(workload)
    assert not found


@every_set
def test_nats_and_the_database_know_only_the_pods_of_the_server(values):
    objects = render(values)
    for role, policy in policies(objects).items():
        if role not in ("nats", "postgresql"):
            continue
        assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
        ((_, (peer,)),) = allowed(policy)
        labels, (expression,) = peer["podSelector"]["matchLabels"], peer["podSelector"]["matchExpressions"]
        for workload in workloads(objects):
            own = workload["spec"]["template"]["metadata"]["labels"]
            is_let_in = labels.items() <= own.items() and own[expression["key"]] in expression["values"]
            assert is_let_in == has_server(workload), component(workload)


def test_the_api_and_metrics_can_be_kept_for_those_who_need_them():
    found = policies(render(MOST))
    assert dict(allowed(found["signaling"]))["TCP", 9090] == MOST["networkPolicy"]["apiFrom"]
    assert dict(allowed(found["signaling"]))["TCP", 8080] is None
    assert dict(allowed(found["sfu"]))["TCP", 8080] == MOST["networkPolicy"]["monitoringFrom"]
    assert dict(allowed(found["sfu"]))["UDP", 50007] is None
    assert dict(allowed(policies(render())["signaling"]))["TCP", 9090] is None


def test_programs_are_read_by_the_pods_of_the_server_alone():
    objects = render(SETS["separate"])
    found = policies(objects)
    for role in ("mcu", "recorder", "live"):
        (peer,) = dict(allowed(found[role]))["TCP", 9091]
        (expression,) = peer["podSelector"]["matchExpressions"]
        assert {"mcu", "recorder", "live"} <= set(expression["values"]), role
    assert ("TCP", 9091) not in dict(allowed(policies(render())["mcu"]))


def test_viewers_by_whep_come_from_anywhere():
    for name, role in (("separate_with_whep", "live"), ("whep_at_an_address", "mcu"), ("embedded_with_whep", "embedded")):
        assert dict(allowed(policies(render(SETS[name]))[role]))["UDP", 40100] is None, name
