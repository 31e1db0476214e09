"""The real server on free ports, with one synthetic member in room 1001."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

from rotunda_server import RoomServer, free_ports  # noqa: E402, F401


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = RoomServer(tmp_path_factory.mktemp("rotunda"))
    running.join(1001, "ann")
    yield running
    running.stop()
