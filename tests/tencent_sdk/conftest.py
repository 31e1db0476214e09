"""The real server on free ports, with one synthetic member in room 1001."""

import os
import pathlib
import signal
import socket
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "rotunda"


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Server:
    binary = BINARY

    def __init__(self, folder):
        self.http, self.grpc, rtmp, media = free_ports(4)
        self.folder = folder
        self.env = dict(
            os.environ,
            ROTUNDA__SERVER__DATA=str(folder),
            ROTUNDA__SERVER__PORT=str(self.http),
            ROTUNDA__RECORDER__DIRECTORY=str(folder / "recordings"),
            ROTUNDA__LIVE__RTMP_PORT=str(rtmp),
            ROTUNDA__SIGNALING__API=f"{{ grpc_port = {self.grpc} }}",
            ROTUNDA__SFU__PORT=str(media),
            ROTUNDA__SFU__WORKERS="1",
        )
        self.log = open(folder / "server.log", "w")
        self.process = subprocess.Popen(
            [BINARY, "serve"], env=self.env, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        ready = self.process.stdout.readline()
        assert "ready" in ready, (folder / "server.log").read_text()
        keys = tomllib.loads((folder / "secrets.toml").read_text())
        self.app, self.secret_id, self.api_secret = keys["sdk_app_id"], keys["secret_id"], keys["api_secret"]
        self.members = []

    def join(self, room, user):
        member = subprocess.Popen(
            [BINARY, "join", str(room), "--user", user],
            env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        assert "entered" in member.stdout.readline()
        self.members.append(member)
        return member

    def refused(self, room, user):
        """Whether the user may not enter the room."""
        tried = subprocess.run(
            [BINARY, "join", str(room), "--user", user, "--seconds", "1"],
            env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=120,
        )
        return tried.returncode != 0 and "entered" not in tried.stdout

    def stop(self):
        for process in [*self.members, self.process]:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("rotunda"))
    running.join(1001, "ann")
    yield running
    running.stop()
