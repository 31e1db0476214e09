"""The real server on free ports; the class is the one of the other Python tests."""

import importlib.util
import pathlib
import subprocess

import pytest

OTHER = pathlib.Path(__file__).resolve().parents[1] / "tencent_sdk" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("server_under_test", OTHER)
server_under_test = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(server_under_test)


@pytest.fixture(scope="module")
def network():
    """The network of the server and its peers: the current one. A module can replace it."""


@pytest.fixture(scope="module")
def server(network, tmp_path_factory):
    running = server_under_test.Server(tmp_path_factory.mktemp("rotunda"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def ticket(server):
    def ticket_of(user):
        command = [server.binary, "user-sig", user]
        made = subprocess.run(command, env=server.env, cwd=server.folder, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    return ticket_of
