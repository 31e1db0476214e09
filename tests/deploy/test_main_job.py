"""Every role as a process of its own, as the chart runs it, on a real NATS and PostgreSQL: three participants publish, their mix is
recorded, and the file is right."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tomllib

import pytest

from chart import ROOT, render
from cluster import Cluster, eventually

IMAGE = ROOT / "target/test-dist"
ROOM = "1001"
# Name, number in the marks of the frames, codec.
PEOPLE = [("ann", 1, "h264"), ("bob", 2, "vp8"), ("cat", 3, "h264")]
VALUES = {"signaling": {"replicas": 2}, "sfu": {"workers": 1}}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pods are network and mount namespaces, which only root makes")


@pytest.fixture
def secrets(tmp_path):
    """As an operator makes them."""
    folder = tmp_path / "keys"
    subprocess.run([ROOT / "deploy/make-secrets", folder], check=True, stdout=subprocess.DEVNULL)
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def cluster(tmp_path, secrets):
    with Cluster(render(tmp_path, VALUES), tmp_path, secrets, IMAGE) as cluster:
        cluster.add_pods()
        yield cluster


class Client:
    """The command line of another machine, which has the application's keys."""

    def __init__(self, cluster, folder, secrets):
        self.cluster, self.folder = cluster, folder / "client"
        self.folder.mkdir()
        (self.folder / "secrets.toml").write_text(secrets["secrets.toml"])
        self.keys = tomllib.loads(secrets["secrets.toml"])
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
def test_three_participants_are_mixed_and_recorded_by_the_pods_of_the_chart(cluster, secrets, tmp_path):
    # Given: all pods of the chart, ready by their own probes.
    cluster.start("nats", "postgresql")
    cluster.start("signaling", "sfu", "mcu")
    signaling, (sfu,), (mcu,) = cluster.of("signaling"), cluster.of("sfu"), cluster.of("mcu")
    assert [pod.container["args"][-1] for pod in (*signaling, sfu, mcu)] == [
        "--roles=signaling", "--roles=signaling", "--roles=sfu", "--roles=mcu,recorder,live",
    ]
    client = Client(cluster, tmp_path, secrets)

    # When: three people enter, at one signaling pod and the other.
    people = []
    for index, (name, mark, codec) in enumerate(PEOPLE):
        at = signaling[index % 2]
        person = client.start(
            "join", ROOM, "--url", f"ws://{at.address}:{at.port('http')}/ws", "--user", name, "--mark", mark, "--codec", codec,
            "--fps", "15", "--sound", "beeps",
        )
        people.append(person)
        assert "entered" in person.stdout.readline(), (client.folder / "log").read_text()

    # And: their mix is started with a record id, by the API.
    api = f"http://{signaling[1].address}:{signaling[1].port('grpc')}"
    client.run("mix", "start", ROOM, "--url", api, "--stream-id", "grid", "--record-id", "film")

    # Then: it plays live,
    live = f"http://{mcu.address}:{mcu.port('http')}"
    playlist = eventually("the live playlist", lambda: playable(cluster, f"{live}/live/grid.m3u8"))
    first = media_sequence(playlist)
    eventually("ten seconds of the mix", lambda: media_sequence(cluster.fetch(f"{live}/live/grid.m3u8")[1]) >= first + 5)

    # and when it is stopped, at the other signaling pod,
    client.run("mix", "stop", ROOM, "--url", f"http://{signaling[0].address}:{signaling[0].port('grpc')}")
    files = eventually("the recording is finished", lambda: finished(client.recordings(live)))
    for person in people:
        person.send_signal(signal.SIGINT)
        assert person.wait(30) == 0

    # its file is there under the address that callbacks tell, and is right.
    (film,) = [file for file in files if file["name"].endswith(".mp4")]
    public = "https://media.example.com"
    assert film["url"].startswith(f"{public}/recordings/")
    copy = tmp_path / "film.mp4"
    status, _ = cluster.fetch(film["url"].replace(public, live), "--output", copy)
    assert status == 200
    on_volume = mcu.folder / "volumes/recordings" / film["name"]
    assert copy.read_bytes() == on_volume.read_bytes()
    check_film(copy)

    # And: every pod ends in order when it is asked to.
    for pod in (mcu, *signaling, sfu):
        assert pod.terminate() == 0, f"{pod.name}:\n{pod.text()}"


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
    assert path.name and complaints(path) == ""
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
