"""Outages of NATS and PostgreSQL, as the chart's probes see them: no pod would be restarted."""

import signal

from chart import render
from cluster import Cluster, eventually
from server import needs_root
from test_main_job import IMAGE, secrets  # noqa: F401


def says(cluster, pod, line):
    return line in cluster.fetch(f"http://{pod.address}:8080/metrics")[1].splitlines()


@needs_root
def test_an_outage_of_nats_or_the_database_restarts_no_pod(secrets, tmp_path):  # noqa: F811
    with Cluster(render({"sfu": {"workers": 1}}), tmp_path, secrets, IMAGE) as cluster:
        cluster.add_pods()
        cluster.start("nats", "postgresql")
        cluster.start("signaling", "sfu", "mcu")
        pods = [pod for role in ("signaling", "sfu", "mcu") for pod in cluster.of(role)]
        (nats,), (postgresql,) = cluster.of("nats"), cluster.of("postgresql")

        nats.process.send_signal(signal.SIGSTOP)
        for pod in pods:
            eventually(f"{pod.name} misses NATS", lambda: says(cluster, pod, "rotunda_bus_away 1"))  # noqa: B023
        # They keep their members, and tell new ones to try later.
        for pod in pods:
            eventually(f"{pod.name} is ready without NATS", pod.is_ready)
        assert all(says(cluster, pod, "rotunda_bus_away 1") for pod in pods)
        nats.process.send_signal(signal.SIGCONT)
        for pod in pods:
            eventually(f"{pod.name} has NATS again", lambda: says(cluster, pod, "rotunda_bus_away 0"))  # noqa: B023

        postgresql.process.send_signal(signal.SIGINT)
        postgresql.process.wait()
        for pod in pods:
            eventually(f"{pod.name} is not ready", lambda: not pod.passes(pod.container["readinessProbe"]))  # noqa: B023
        # The kubelet restarts a container after six failures in a row.
        for pod in pods:
            eventually(f"{pod.name} is alive", pod.is_alive)
        postgresql.start()
        for pod in pods:
            eventually(f"{pod.name} is ready again", pod.is_ready)
