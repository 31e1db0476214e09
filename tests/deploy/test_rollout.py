"""A rolling update with the chart's own commands, probes and `preStop`, while a mix is recorded.

The pods begin with the `rotunda` in the folder ROTUNDA_BEFORE, and are replaced by this tree's; without it, both are this tree's.
"""

import json
import os
import signal

from chart import render
from cluster import Cluster, eventually
from server import needs_root
from test_main_job import IMAGE, ROOM, VALUES, Client, complaints, finished, media_sequence, playable, secrets  # noqa: F401

BEFORE = os.environ.get("ROTUNDA_BEFORE", IMAGE)


def enter(client, pod, user):
    person = client.start(
        "join", ROOM, "--url", f"ws://{pod.address}:8080/ws", "--user", user, "--codec", "h264", "--fps", "15",
    )
    assert "entered" in person.stdout.readline(), (client.folder / "log").read_text()
    return person


@needs_root
def test_new_members_enter_at_any_time_and_the_mix_and_its_file_go_on(secrets, tmp_path):  # noqa: F811
    # The members of this test do not move by themselves, so an old pod waits for them as long as it may.
    values = {**VALUES, "signaling": {**VALUES["signaling"], "drainSeconds": 8}}
    with Cluster(render(values), tmp_path, secrets, BEFORE) as cluster:
        cluster.add_pods()
        cluster.start("nats", "postgresql")
        cluster.start("signaling", "sfu", "mcu")
        client = Client(cluster, tmp_path, secrets["secrets.toml"])
        (mcu,) = cluster.of("mcu")
        live = f"http://{mcu.address}:8080"
        people = {pod.name: enter(client, pod, user) for pod, user in zip(cluster.of("signaling"), ("ann", "bob"), strict=True)}
        client.run("mix", "start", ROOM, "--url", f"http://{cluster.of('signaling')[0].address}:9090", "--stream-id", "grid",
                   "--record-id", "film")

        def playlist():
            return playable(cluster, f"{live}/live/grid.m3u8")

        def goes_on_from(before):
            now = playlist()
            return now and media_sequence(now) > media_sequence(before) + 1

        eventually("the live stream", playlist)
        cluster.image = IMAGE
        for number, (old, new) in enumerate(cluster.rolling_update("signaling")):
            # The old pod has members, and both serve.
            assert old.is_ready() and new.is_ready()
            visitor = enter(client, new, f"visitor{number}")
            assert old.end() == 0, old.text()
            # Its members are told, and may come to the new pod at once.
            member = people.pop(old.name)
            assert member.wait(60) != 0
            assert "Shutdown" in (client.folder / "log").read_text()
            people[new.name] = enter(client, new, f"again{number}")
            before = eventually("the live stream", playlist)
            eventually("the live stream goes on", lambda: goes_on_from(before))  # noqa: B023
            leave(visitor)

        client.run("mix", "stop", ROOM, "--url", f"http://{new.address}:9090")
        files = eventually("the recording is finished", lambda: finished(client.recordings(live)))
        for person in people.values():
            leave(person)
        (film,) = [file for file in files if file["name"].endswith(".mp4")]
        assert complaints(mcu.folder / "volumes/recordings" / film["name"]) == ""


@needs_root
def test_media_moves_away_from_each_sfu_pod_and_the_mix_and_its_file_go_on(secrets, tmp_path):  # noqa: F811
    values = {**VALUES, "sfu": {**VALUES["sfu"], "replicas": 2}}
    with Cluster(render(values), tmp_path, secrets, BEFORE) as cluster:
        cluster.add_pods()
        cluster.start("nats", "postgresql")
        cluster.start("signaling", "sfu", "mcu")
        client = Client(cluster, tmp_path, secrets["secrets.toml"])
        (mcu,) = cluster.of("mcu")
        live = f"http://{mcu.address}:8080"
        people = [enter(client, pod, user) for pod, user in zip(cluster.of("signaling"), ("ann", "bob"), strict=True)]
        api = f"http://{cluster.of('signaling')[0].address}:9090"
        client.run("mix", "start", ROOM, "--url", api, "--stream-id", "grid", "--record-id", "film")

        def playlist():
            return playable(cluster, f"{live}/live/grid.m3u8")

        eventually("the live stream", playlist)
        cluster.image = IMAGE
        moved = 0
        for pod, wrote in cluster.replace_pods("sfu"):
            told = [line for line in fields(wrote) if line["message"].startswith("evacuation: ")]
            went = [line for line in told if line["message"] == "evacuation: sessions moved"]
            assert [line["paused"] for line in went] == [0] * len(went), told
            assert told[-1]["message"] == "evacuation: no session is left", told
            moved += sum(line["sessions"] for line in went)
            before = eventually("the live stream", playlist)
            eventually("the live stream goes on", lambda: media_sequence(playlist()) > media_sequence(before) + 1)  # noqa: B023
        # The room was on one of the pods, and came back to it or stayed on the other one.
        assert moved >= 3, "two members and the mix"
        client.run("mix", "stop", ROOM, "--url", api)
        files = eventually("the recording is finished", lambda: finished(client.recordings(live)))
        for person in people:
            assert person.poll() is None, "nobody has lost their media"
            leave(person)
        (film,) = [file for file in files if file["name"].endswith(".mp4")]
        assert not film.get("gaps"), film
        assert complaints(mcu.folder / "volumes/recordings" / film["name"]) == ""


def fields(log):
    """The fields of each line of a log in JSON."""
    return [json.loads(line)["fields"] for line in log.splitlines() if line.startswith("{")]


def leave(person):
    person.send_signal(signal.SIGINT)
    assert person.wait(60) == 0
