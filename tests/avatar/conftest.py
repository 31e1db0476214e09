"""A server with the avatar role on free ports."""

import contextlib
import pathlib
import signal
import sys
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

from rotunda_server import ROOT, ServerProcess, free_ports  # noqa: E402, F401

ROOMS = "signaling,sfu,mcu,recorder,live"


class Server(ServerProcess):
    def __init__(self, folder, roles="avatar", **avatar):
        def settings(port):
            self.port = port
            own = {"port": port, "record_directory": folder / "data", "width": 256, "height": 256, **avatar}
            return {f"AVATAR__{key.upper()}": value for key, value in own.items()}

        super().__init__(folder, "--roles", roles, count=1, settings=settings)
        self.url = f"http://127.0.0.1:{self.port}"

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
        assert self.process.wait(30) == 0, self.text()


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
