"""The real server on free ports."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

from rotunda_server import RoomServer  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """The network of the server and its peers: the current one. A module can replace it."""


@pytest.fixture(scope="module")
def server(network, tmp_path_factory):
    running = RoomServer(tmp_path_factory.mktemp("rotunda"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def ticket(server):
    return server.ticket
