"""The official SDK publishes and records a room on demand; every mistake has its documented code."""

import base64
import hashlib
import hmac
import json
import time
import tomllib
import urllib.error
import urllib.request
import zlib

import pytest
from tencentcloud.trtc.v20190722 import models

from test_media import client as vod_client, search
from test_mix import client, code_of
from waiting import until

SIGNATURES = [
    ("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "POST"), ("HmacSHA1", "GET"),
    ("HmacSHA256", "POST"), ("HmacSHA256", "GET"),
]


@pytest.fixture(scope="module")
def room(server):
    member = server.join(7001, "hal")
    yield "7001"
    member.terminate()
    member.wait(60)


def filled(request, server, **fields):
    request.from_json_string(json.dumps({"SdkAppId": server.app, **fields}))
    return request


def user_sig(server, user):
    """As Tencent's TLSSigAPIv2 makes it."""
    key = tomllib.loads((server.folder / "secrets.toml").read_text())["secret_key"]
    fields = {"TLS.identifier": user, "TLS.sdkappid": server.app, "TLS.time": int(time.time()), "TLS.expire": 3600}
    text = "".join(f"{name}:{value}\n" for name, value in fields.items())
    signed = base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()
    packed = zlib.compress(json.dumps({"TLS.ver": "2.0", **fields, "TLS.sig": signed}).encode())
    return base64.b64encode(packed).decode().translate(str.maketrans("+/=", "*-_"))


def start(server, room, robot, **fields):
    return filled(models.StartPublishCdnStreamRequest(), server, **{
        "RoomId": room, "RoomIdType": 0, "WithTranscoding": 1,
        "AgentParams": {"UserId": robot, "UserSig": user_sig(server, robot), "MaxIdleTime": 60},
        "AudioParams": {"AudioEncode": {"SampleRate": 48000, "Channel": 2, "BitRate": 64, "Codec": 0}},
        "VideoParams": {
            "VideoEncode": {"Width": 320, "Height": 180, "Fps": 15, "BitRate": 300, "Gop": 2},
            "LayoutParams": {"MixLayoutMode": 3, "PureAudioHoldPlaceMode": 1},
            "BackGroundColor": "0x33cc00",
        },
        # Nobody answers there: the task runs all the same, and its stream is on the air here.
        "PublishCdnParams": [{"PublishCdnUrl": "rtmp://push.example.com/live/show", "IsTencentCdn": 0}],
        **fields,
    })


def record(server, room, robot, mode, **fields):
    return filled(models.CreateCloudRecordingRequest(), server, **{
        "RoomId": room, "RoomIdType": 1, "UserId": robot, "UserSig": user_sig(server, robot),
        "RecordParams": {"RecordMode": mode, "MaxIdleTime": 60, "StreamType": 0},
        "StorageParams": {"CloudVod": {"TencentVod": {"MediaType": 3, "UserDefineRecordId": robot}}},
        "MixLayoutParams": {"MixLayoutMode": 3, "BackGroundColor": "#33cc00"},
        **fields,
    })


def plays(server, stream):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/live/{stream}.m3u8", timeout=30) as answer:
            return b"#EXTINF" in answer.read()
    except urllib.error.HTTPError:
        return False


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_a_mix_is_published_changed_and_stopped(server, room, sign, method):
    api = client(server, sign=sign, method=method)
    task = api.StartPublishCdnStream(start(server, room, f"push-{sign}-{method}"[:32])).TaskId
    until(lambda: plays(server, task), lambda is_there: is_there, "the mix is on the air")
    update = filled(
        models.UpdatePublishCdnStreamRequest(), server, TaskId=task, SequenceNumber=5, WithTranscoding=1,
        VideoParams={"LayoutParams": {"MixLayoutMode": 1}},
    )
    assert api.UpdatePublishCdnStream(update).TaskId == task
    update.SequenceNumber = 4
    assert code_of(lambda: api.UpdatePublishCdnStream(update)) == "FailedOperation.RequestOutdated"
    stop = filled(models.StopPublishCdnStreamRequest(), server, TaskId=task)
    assert api.StopPublishCdnStream(stop).TaskId == task
    update.SequenceNumber = 6
    assert code_of(lambda: api.UpdatePublishCdnStream(update)) == "FailedOperation.TaskFinished"


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_a_recording_begins_changes_and_ends(server, room, sign, method):
    api = client(server, sign=sign, method=method)
    task = api.CreateCloudRecording(record(server, room, f"rec-{sign}-{method}"[:32], 1)).TaskId
    describe = filled(models.DescribeCloudRecordingRequest(), server, TaskId=task)
    until(lambda: api.DescribeCloudRecording(describe).Status, lambda status: status == "InProgress", "a recorder has taken it")
    modify = filled(
        models.ModifyCloudRecordingRequest(), server, TaskId=task,
        SubscribeStreamUserIds={"SubscribeAudioUserIds": ["nobody"], "SubscribeVideoUserIds": ["no.*$"]},
    )
    assert api.ModifyCloudRecording(modify).TaskId == task
    assert api.DescribeCloudRecording(describe).Status == "Idle", "nobody whom it takes publishes"
    delete = filled(models.DeleteCloudRecordingRequest(), server, TaskId=task)
    assert api.DeleteCloudRecording(delete).TaskId == task
    answer = api.DescribeCloudRecording(describe)
    assert (answer.Status, answer.StorageFileList) == ("Exited", [])
    assert code_of(lambda: api.DeleteCloudRecording(delete)) == "ResourceNotFound"


def test_a_recorded_mix_is_in_the_media_store(server, room):
    api, vod = client(server), vod_client(server)
    task = api.CreateCloudRecording(record(server, room, "rec-mix", 2)).TaskId
    until(lambda: plays(server, task), lambda is_there: is_there, "the mix runs")
    api.DeleteCloudRecording(filled(models.DeleteCloudRecordingRequest(), server, TaskId=task))
    found = lambda: search(vod, StreamId=task, NamePrefixes=["rec-mix"])
    answer = until(found, lambda answer: answer.TotalCount == 2, "hls and mp4")
    assert {media.BasicInfo.Type for media in answer.MediaInfoSet} == {"mp4", "m3u8"}


def test_mistakes_have_their_codes(server, room):
    api = client(server)
    publish = lambda **fields: code_of(lambda: api.StartPublishCdnStream(start(server, room, "robot", **fields)))
    assert publish(PublishCdnParams=[]) == "MissingParameter"
    assert publish(RoomIdType=2) == "InvalidParameter"
    assert publish(AgentParams={"UserId": "hal"}) == "FailedOperation", "hal is in the room"
    assert publish(AgentParams={"UserId": "robot", "UserSig": "wrong"}) == "AuthFailure"
    assert publish(FeedBackRoomParams=[{"RoomId": "1", "RoomIdType": 0, "UserId": "u", "UserSig": "s"}]) == "UnsupportedOperation"
    assert publish(SdkAppId=1400009999) == "InvalidParameter.SdkAppId"
    recording = lambda **fields: code_of(lambda: api.CreateCloudRecording(record(server, room, "robot", 2, **fields)))
    assert recording(UserSig="") == "MissingParameter.UserSig"
    assert recording(RecordParams={"RecordMode": 3}) == "InvalidParameter.OutOfRange"
    assert recording(StorageParams={"CloudStorage": {"Vendor": 0, "Bucket": "b"}}) == "UnsupportedOperation"
    unknown = filled(models.DescribeCloudRecordingRequest(), server, TaskId="nothing")
    assert code_of(lambda: api.DescribeCloudRecording(unknown)) == "ResourceNotFound"
