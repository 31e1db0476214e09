"""The official SDK brings a URL into a room, changes the task and ends it."""

import json
import subprocess

import pytest
from tencentcloud.trtc.v20190722 import models

from test_mix import client, code_of

SIGNATURES = [
    ("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "GET"), ("HmacSHA1", "POST"), ("HmacSHA256", "GET"),
]


def user_sig(server, user):
    made = subprocess.run([server.binary, "user-sig", user], env=server.env, cwd=server.folder, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def start(server, user, **fields):
    request = models.StartStreamIngestRequest()
    request.from_json_string(json.dumps({
        "SdkAppId": server.app, "RoomId": "6001", "RoomIdType": 1, "UserId": user, "UserSig": user_sig(server, user), **fields,
    }))
    return request


def on(request, server, task, **fields):
    request.from_json_string(json.dumps({"SdkAppId": server.app, "TaskId": task, **fields}))
    return request


@pytest.mark.parametrize("index,sign,method", [(index, *signature) for index, signature in enumerate(SIGNATURES)])
def test_a_task_is_started_changed_described_and_stopped(server, index, sign, method):
    api = client(server, sign=sign, method=method)
    # Nothing is there: the server tries it again until the task is stopped.
    url = "https://192.0.2.1/film.mp4"
    begin = start(server, f"pull{index}", StreamUrl=url, AutoPush=True, Volume=50, Tempo=1.0, RepeatNum=-1, MaxDuration=5)
    task = api.StartStreamIngest(begin).TaskId
    assert code_of(lambda: api.StartStreamIngest(begin)) == "FailedOperation.TaskExist"
    describe = lambda: api.DescribeStreamIngest(on(models.DescribeStreamIngestRequest(), server, task)).Status
    assert describe() == "InProgress"
    change = on(models.UpdateStreamIngestRequest(), server, task, IsPause=True, Volume=0)
    assert api.UpdateStreamIngest(change).Status == "InProgress"
    stop = on(models.StopStreamIngestRequest(), server, task)
    assert api.StopStreamIngest(stop).RequestId
    assert describe() == "NotExist"
    assert code_of(lambda: api.StopStreamIngest(stop)) == "FailedOperation.TaskFinished"
    assert code_of(lambda: api.UpdateStreamIngest(change)) == "FailedOperation.TaskNotExist"


def test_mistakes_have_their_codes(server):
    api = client(server)
    code = lambda **fields: code_of(lambda: api.StartStreamIngest(start(server, "pull", **fields)))
    assert code(StreamUrl="http://127.0.0.1/film.mp4") == "InvalidParameter.StreamUrl", "an address of the server's own network"
    assert code(StreamUrl="film.mp4") == "InvalidParameter.StreamUrl"
    good = "https://192.0.2.1/film.mp4"
    assert code(StreamUrl=good, UserSig="eJx") == "InvalidParameter.UserSig"
    assert code(StreamUrl=good, Tempo=1.25) == "InvalidParameter.BodyParamsError"
    assert code(StreamUrl=good, RepeatNum=0) == "InvalidParameter.BodyParamsError"
    assert code(StreamUrl=good, RoomId="lesson") == "InvalidParameter.RoomId"
