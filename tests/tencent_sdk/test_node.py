"""The official Node.js SDK, in every way of signing."""

import json
import os
import pathlib
import subprocess

from test_history import rooms
from test_mix import client
from waiting import until

FOLDER = pathlib.Path(__file__).parent / "node"


def calls(endpoint, server, **more):
    env = dict(
        os.environ, ROTUNDA_ENDPOINT=endpoint, ROTUNDA_APP=str(server.app), ROTUNDA_ID=server.secret_id, ROTUNDA_SECRET=server.api_secret, **more
    )
    done = subprocess.run(["node", "calls.mjs"], cwd=FOLDER, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(results, app):
    assert len(results) == 6
    for answered in results:
        ways = answered.pop("signMethod"), answered.pop("reqMethod")
        # It is there as soon as the first ten seconds of the call were measured.
        assert isinstance(answered.pop("quality"), int), ways
        assert answered == {
            "room": "1001", "users": ["ann"], "recorded": str(app), "mixed": str(app), "days": 2, "found": 0, "unknown": ["12345"],
            "codes": [
                "FailedOperation.MixSessionNotExist", "InvalidParameter.StreamId", "FailedOperation.RoomNotExist", "UnsupportedOperation",
                "ResourceNotFound",
            ],
        }, ways


def test_the_node_sdk_is_answered(server):
    ask = rooms(server, RoomId="1001")
    until(lambda: client(server).DescribeRoomInfo(ask), lambda answer: answer.Total == 1, "the room is in the journal")
    check(calls(f"127.0.0.1:{server.http}", server), server.app)
