"""The pods of the chart and the containers of the compose file as processes, on a real NATS and PostgreSQL: three participants
publish, their mix is recorded, and the file is right."""

import json
import os
import pathlib
import signal
import subprocess
import tomllib

import pytest

from chart import ROOT, render
from cluster import Cluster, eventually
from server import needs_root
from test_compose import ANSWERS, compose

IMAGE = ROOT / "target/test-dist"
ROOM = "1001"
# Name, number in the marks of the frames, codec.
PEOPLE = [("ann", 1, "h264"), ("bob", 2, "vp8"), ("cat", 3, "h264")]
PUBLIC = ANSWERS["ROTUNDA_URL"]
VALUES = {"signaling": {"replicas": 2}, "sfu": {"workers": 1}, "server": {"preStopSeconds": 1}}


@pytest.fixture
def secrets(tmp_path):
    """As an operator makes them."""
    folder = tmp_path / "keys"
    subprocess.run([ROOT / "deploy/make-secrets", folder], check=True, stdout=subprocess.DEVNULL)
    return {path.name: path.read_text() for path in folder.iterdir()}


class Client:
    """The command line of another machine, which has the application's keys."""

    def __init__(self, cluster, folder, secrets):
        self.cluster, self.folder = cluster, folder / "client"
        self.folder.mkdir()
        (self.folder / "secrets.toml").write_text(secrets)
        self.keys = tomllib.loads(secrets)
        self.log = open(self.folder / "log", "w")

    def start(self, *words):
        env = {"PATH": os.environ["PATH"], "ROTUNDA__SERVER__DATA": str(self.folder)}
        process = self.cluster.as_client(
            IMAGE / "rotunda", *words, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.cluster.clients.append(process)
        return process

    def run(self, *words):
        process = self.start(*words)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 0, (self.folder / "log").read_text()
        return out

    def recordings(self, live):
        key = f"authorization: Bearer {self.keys['secret_id']}:{self.keys['api_secret']}"
        status, body = self.cluster.fetch(f"{live}/recordings", "--header", key)
        assert status == 200, body
        return json.loads(body)


def probe(path, *show):
    command = ["ffprobe", "-v", "error", *show, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def complaints(path):
    """What ffmpeg says while it decodes all of a file."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


@needs_root
def test_the_pods_of_the_chart_mix_and_record_three_participants(secrets, tmp_path):
    with Cluster(render(VALUES), tmp_path, secrets, IMAGE) as cluster:
        cluster.add_pods()
        cluster.start("nats", "postgresql")
        cluster.start("signaling", "sfu", "mcu")
        signaling, (sfu,), (mcu,) = cluster.of("signaling"), cluster.of("sfu"), cluster.of("mcu")
        assert [pod.container["args"][-1] for pod in (*signaling, sfu, mcu)] == [
            "--roles=signaling", "--roles=signaling", "--roles=sfu", "--roles=mcu,recorder,live",
        ]
        for pod in (*signaling, sfu, mcu):
            assert [port for port in pod.tcp_ports() if not cluster.listens(pod.address, port)] == [], pod.name
        name, film = do_the_main_job(cluster, Client(cluster, tmp_path, secrets["secrets.toml"]), signaling, mcu)
        assert (mcu.folder / "volumes/recordings" / name).read_bytes() == film
        # While its Service takes a pod out, it serves.
        signaling[0].before_stop()
        assert signaling[0].is_ready()
        for pod in (mcu, *signaling, sfu):
            assert pod.terminate() == 0, f"{pod.name}:\n{pod.text()}"


@needs_root
def test_the_one_pod_of_an_embedded_installation_does_so_too(secrets, tmp_path):
    balancer = {"type": "LoadBalancer", "addresses": ["203.0.113.7"]}
    values = {"embedded": {"enabled": True}, "sfu": {"workers": 1, "expose": balancer}, "server": VALUES["server"]}
    with Cluster(render(values), tmp_path, secrets, IMAGE) as cluster:
        cluster.add_pods()
        cluster.start("embedded")
        (pod,) = cluster.of("embedded")
        # The address of the pod's own load balancer is told, after that of the pod.
        (listens,) = [line for line in pod.text().splitlines() if "sfu listens" in line]
        assert listens.index(pod.address) < listens.index("203.0.113.7")
        name, film = do_the_main_job(cluster, Client(cluster, tmp_path, secrets["secrets.toml"]), [pod], pod)
        assert (pod.folder / "volumes/recordings" / name).read_bytes() == film
        assert (pod.folder / "volumes/data/rotunda.db").exists()
        assert pod.terminate() == 0, pod.text()


@needs_root
def test_the_containers_of_the_compose_file_mix_and_record_three_participants(tmp_path):
    with Cluster(list(objects_of(json.loads(compose(tmp_path).stdout))), tmp_path, {}, IMAGE) as cluster:
        cluster.add_pods()
        cluster.start("nats", "postgresql")
        cluster.start("rotunda")
        (rotunda,) = cluster.of("rotunda")
        data = rotunda.folder / "volumes/data"
        client = Client(cluster, tmp_path, (data / "secrets.toml").read_text())
        name, film = do_the_main_job(cluster, client, [rotunda], rotunda)
        assert (data / "recordings" / name).read_bytes() == film
        assert rotunda.terminate() == 0, rotunda.text()


def do_the_main_job(cluster, client, signaling, mcu):
    """Three people enter, and their mix is recorded. Answers the file's name in the catalogue and its content, which is right.
    `signaling`: pods that are used in turn."""
    people = []
    for index, (name, mark, codec) in enumerate(PEOPLE):
        at = signaling[index % len(signaling)]
        person = client.start(
            "join", ROOM, "--url", f"ws://{at.address}:8080/ws", "--user", name, "--mark", mark, "--codec", codec,
            "--fps", "15", "--sound", "beeps",
        )
        people.append(person)
        assert "entered" in person.stdout.readline(), (client.folder / "log").read_text()

    api = f"http://{signaling[-1].address}:9090"
    client.run("mix", "start", ROOM, "--url", api, "--stream-id", "grid", "--record-id", "film")
    live = f"http://{mcu.address}:8080"
    playlist = eventually("the live playlist", lambda: playable(cluster, f"{live}/live/grid.m3u8"))
    first = media_sequence(playlist)
    eventually("ten seconds of the mix", lambda: media_sequence(cluster.fetch(f"{live}/live/grid.m3u8")[1]) >= first + 5)

    # Of several signaling pods another one stops it.
    client.run("mix", "stop", ROOM, "--url", f"http://{signaling[0].address}:9090")
    files = eventually("the recording is finished", lambda: finished(client.recordings(live)))
    for person in people:
        person.send_signal(signal.SIGINT)
        assert person.wait(30) == 0, (client.folder / "log").read_text()

    # The file is there under the address that callbacks tell.
    (film,) = [file for file in files if file["name"].endswith(".mp4")]
    assert film["url"].startswith(f"{PUBLIC}/recordings/")
    copy = client.folder / "film.mp4"
    status, _ = cluster.fetch(film["url"].replace(PUBLIC, live), "--output", str(copy))
    assert status == 200
    check_film(copy)
    return film["name"], copy.read_bytes()


def objects_of(compose):
    """The services of a compose file that stay, as if they were a chart's objects."""
    for name, service in compose["services"].items():
        if service.get("network_mode") == "none":
            continue
        user, group = map(int, service["user"].split(":"))
        config = compose["configs"] if service.get("configs") else {}
        mounts = [{"name": one["source"], "mountPath": one["target"]} for one in service.get("volumes", [])]
        claims = [{"metadata": {"name": mount["name"]}} for mount in mounts]
        volumes = []
        for one in service.get("configs", []):
            volumes.append({"name": "config", "configMap": {"name": one["source"]}})
            folder, _, file = one["target"].rpartition("/")
            mounts.append({"name": "config", "mountPath": folder, "readOnly": True})
            text = pathlib.Path(config[one["source"]]["file"]).read_text()
            yield {"kind": "ConfigMap", "metadata": {"name": one["source"]}, "data": {file: text}}
        for number, path in enumerate(service.get("tmpfs", [])):
            volumes.append({"name": f"tmpfs-{number}", "emptyDir": {}})
            mounts.append({"name": f"tmpfs-{number}", "mountPath": path.partition(":")[0]})
        _, *check = service["healthcheck"]["test"]
        labels = {"app.kubernetes.io/component": name}
        container = {
            "name": name,
            "command": service.get("command") or (["/usr/local/bin/rotunda", "serve"] if name == "rotunda" else []),
            "env": [{"name": key, "value": value} for key, value in service["environment"].items()],
            "livenessProbe": {"exec": {"command": check}},
            "readinessProbe": {"exec": {"command": check}},
            "securityContext": {"readOnlyRootFilesystem": service["read_only"]},
            "volumeMounts": mounts,
        }
        pod = {
            "securityContext": {"runAsUser": user, "runAsGroup": group, "fsGroup": group},
            "volumeOwner": user,
            "terminationGracePeriodSeconds": 60,
            "containers": [container],
            "volumes": volumes,
        }
        yield {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": labels}}
        yield {
            "kind": "StatefulSet",
            "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": 1, "volumeClaimTemplates": claims, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }


def playable(cluster, url):
    status, body = cluster.fetch(url)
    return body if status == 200 and "#EXTINF" in body else None


def media_sequence(playlist):
    lines = [line for line in playlist.splitlines() if line.startswith("#EXT-X-MEDIA-SEQUENCE:")]
    return int(lines[0].partition(":")[2]) if lines else 0


def finished(files):
    """All files of the one recording, once each is ready."""
    return files if files and all(file["state"] == "ready" for file in files) else None


def check_film(path):
    assert complaints(path) == ""
    found = probe(path, "-count_frames", "-show_entries", "stream=codec_name,codec_type,width,height,nb_read_frames:format=duration")
    streams = {stream["codec_type"]: stream for stream in found["streams"]}
    assert streams["video"]["codec_name"] == "h264" and streams["audio"]["codec_name"] == "aac"
    assert (streams["video"]["width"], streams["video"]["height"]) == (1280, 720)
    seconds = float(found["format"]["duration"])
    assert seconds > 8, f"{seconds} s"
    frames = int(streams["video"]["nb_read_frames"])
    assert abs(frames / 15 - seconds) < 1, f"{frames} frames in {seconds} s at 15 a second"
    assert is_loud(path) and cells_that_move(path, seconds) == [True, True, True, False]


def is_loud(path):
    command = ["ffmpeg", "-v", "info", "-i", str(path), "-af", "volumedetect", "-vn", "-f", "null", "-"]
    report = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    (line,) = [line for line in report.splitlines() if "max_volume" in line]
    return float(line.split("max_volume:")[1].split()[0]) > -40


def cells_that_move(path, seconds):
    """For each cell of the 2 by 2 grid, whether its frames differ one second apart in the middle of the film."""
    moves = []
    for x, y in ((0, 0), (640, 0), (0, 360), (640, 360)):
        stills = []
        for at in (seconds / 2, seconds / 2 + 1):
            command = ["ffmpeg", "-v", "error", "-ss", f"{at}", "-i", str(path), "-frames:v", "1",
                       "-vf", f"crop=640:360:{x}:{y},scale=160:90,format=gray", "-f", "rawvideo", "-"]
            stills.append(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        before, after = stills
        moves.append(sum(abs(a - b) > 16 for a, b in zip(before, after)) > 20)
    return moves
