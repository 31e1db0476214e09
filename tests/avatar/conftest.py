"""A server with the avatar role on free ports."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "rotunda"
ROOMS = "signaling,sfu,mcu,recorder,live"


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Server:
    binary = BINARY

    def __init__(self, folder, roles="avatar", **avatar):
        http, self.port, grpc, rtmp, media = free_ports(5)
        self.folder = folder
        self.env = dict(
            os.environ,
            ROTUNDA__SERVER__DATA=str(folder),
            ROTUNDA__SERVER__PORT=str(http),
            ROTUNDA__AVATAR__PORT=str(self.port),
            ROTUNDA__AVATAR__RECORD_DIRECTORY=str(folder / "data"),
            ROTUNDA__AVATAR__WIDTH="256",
            ROTUNDA__AVATAR__HEIGHT="256",
            ROTUNDA__RECORDER__DIRECTORY=str(folder / "recordings"),
            ROTUNDA__LIVE__RTMP_PORT=str(rtmp),
            ROTUNDA__SIGNALING__API=f"{{ grpc_port = {grpc} }}",
            ROTUNDA__SFU__PORT=str(media),
            ROTUNDA__SFU__WORKERS="1",
        )
        for key, value in avatar.items():
            self.env[f"ROTUNDA__AVATAR__{key.upper()}"] = value
        self.http = http
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(folder / "server.log", "w")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--roles", roles],
            env=self.env, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        ready = self.process.stdout.readline()
        assert "ready" in ready, (folder / "server.log").read_text()

    def ticket(self, user):
        command = [self.binary, "user-sig", user]
        made = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics") as response:
            lines = response.read().decode().splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(map(float, found))

    def resources(self):
        """Threads, open files and child processes."""
        process = pathlib.Path(f"/proc/{self.process.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir())), len(self.children())

    def children(self):
        """Process ids: each thread has those that it has started."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, (self.folder / "server.log").read_text()


@contextlib.contextmanager
def running(folder, **settings):
    server = Server(folder, **settings)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("avatar"), max_session="20") as server:
        yield server
