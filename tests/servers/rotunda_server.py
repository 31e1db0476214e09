"""`rotunda serve` on free ports, in a folder of its own: what the Python suites have in common. Their `conftest.py` add this folder to
the path."""

import os
import pathlib
import signal
import socket
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "rotunda"
# Attempts to start: another suite may take a port between its choice and its use.
TRIES = 5
TAKEN = "is taken by another program"


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class ServerProcess:
    """A server that is ready. `settings`: a function of `count` free ports that returns more settings, by their names without
    `ROTUNDA__`."""

    binary = BINARY

    def __init__(self, folder, *arguments, count=0, settings=lambda *_: {}):
        self.folder = folder
        for tries_left in reversed(range(TRIES)):
            self.http, self.grpc, rtmp, media, *more = free_ports(4 + count)
            own = {
                "SERVER__DATA": folder,
                "SERVER__PORT": self.http,
                "RECORDER__DIRECTORY": folder / "recordings",
                "LIVE__RTMP_PORT": rtmp,
                "SIGNALING__API": f"{{ grpc_port = {self.grpc} }}",
                "SFU__PORT": media,
                "SFU__WORKERS": 1,
                **settings(*more),
            }
            self.env = dict(os.environ, **{f"ROTUNDA__{name}": str(value) for name, value in own.items()})
            self.log = open(folder / "server.log", "w")
            self.process = subprocess.Popen(
                [BINARY, "serve", *arguments], env=self.env, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True
            )
            if "ready" in self.process.stdout.readline():
                return
            self.process.wait(60)
            assert tries_left and TAKEN in self.text(), self.text()

    def text(self):
        """What it has logged."""
        return (self.folder / "server.log").read_text()

    def run(self, *arguments, **more):
        """Another command of the binary, with the settings of this server."""
        return subprocess.run([BINARY, *arguments], env=self.env, cwd=self.folder, capture_output=True, text=True, **more)

    def ticket(self, user):
        return self.run("user-sig", user, check=True).stdout.strip()


class RoomServer(ServerProcess):
    """A server with all roles of rooms, and its synthetic members."""

    def __init__(self, folder):
        super().__init__(folder)
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
        tried = self.run("join", str(room), "--user", user, "--seconds", "1", timeout=120)
        return tried.returncode != 0 and "entered" not in tried.stdout

    def stop(self):
        for process in [*self.members, self.process]:
            process.send_signal(signal.SIGINT)
            process.wait(30)
