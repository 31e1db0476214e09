"""A rolling update with the chart's own commands, probes and `preStop`, while a mix is recorded."""

import signal

from chart import render
from cluster import Cluster, eventually
from server import needs_root
from test_main_job import IMAGE, ROOM, VALUES, Client, complaints, finished, media_sequence, playable, secrets  # noqa: F401


def enter(client, pod, user):
    person = client.start(
        "join", ROOM, "--url", f"ws://{pod.address}:8080/ws", "--user", user, "--codec", "h264", "--fps", "15",
    )
    assert "entered" in person.stdout.readline(), (client.folder / "log").read_text()
    return person


@needs_root
def test_new_members_enter_at_any_time_and_the_mix_and_its_file_go_on(secrets, tmp_path):  # noqa: F811
    with Cluster(render(VALUES), tmp_path, secrets, IMAGE) as cluster:
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


def leave(person):
    person.send_signal(signal.SIGINT)
    assert person.wait(60) == 0
