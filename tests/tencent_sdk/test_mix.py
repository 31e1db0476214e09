"""The official Tencent Cloud SDK starts and stops a mix, and every mistake has its documented code."""

import json
import time

import pytest
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models, trtc_client

from waiting import Patient


def client(server, secret_id=None, secret_key=None, sign="TC3-HMAC-SHA256", method="POST", retryer=Patient()):
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{server.http}", reqMethod=method)
    keys = credential.Credential(secret_id or server.secret_id, secret_key or server.api_secret)
    return trtc_client.TrtcClient(keys, "ap-guangzhou", ClientProfile(signMethod=sign, httpProfile=http, retryer=retryer))


def start(server, room=1001, **output):
    request = models.StartMCUMixTranscodeRequest()
    request.from_json_string(json.dumps({
        "SdkAppId": server.app,
        "RoomId": room,
        "OutputParams": {"StreamId": "sdk-1001", "PureAudioStream": 0, **output},
        "EncodeParams": {
            "AudioSampleRate": 48000, "AudioBitrate": 64, "AudioChannels": 2, "VideoWidth": 640, "VideoHeight": 360,
            "VideoBitrate": 500, "VideoFramerate": 15, "VideoGop": 3, "BackgroundColor": 0,
        },
        "LayoutParams": {"Template": 1},
    }))
    return request


def stop(server, room=1001):
    request = models.StopMCUMixTranscodeRequest()
    request.SdkAppId, request.RoomId = server.app, room
    return request


def code_of(call):
    with pytest.raises(TencentCloudSDKException) as raised:
        call()
    assert raised.value.requestId
    return raised.value.code


@pytest.mark.parametrize("sign,method", [
    ("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"),
    ("HmacSHA1", "GET"), ("HmacSHA1", "POST"), ("HmacSHA256", "GET"),
])
def test_a_mix_starts_changes_and_stops(server, sign, method):
    api = client(server, sign=sign, method=method)
    assert api.StartMCUMixTranscode(start(server)).RequestId
    assert api.StartMCUMixTranscode(start(server)).RequestId, "again: a new layout"
    assert api.StopMCUMixTranscode(stop(server)).RequestId
    assert code_of(lambda: api.StopMCUMixTranscode(stop(server))) == "FailedOperation.MixSessionNotExist"


def test_a_wrong_key_and_a_wrong_signature_are_told_apart(server):
    unknown = client(server, secret_id="AKIDnobody0000000000000000000000")
    assert code_of(lambda: unknown.StartMCUMixTranscode(start(server))) == "AuthFailure.SecretIdNotFound"
    forged = client(server, secret_key="not the secret")
    assert code_of(lambda: forged.StartMCUMixTranscode(start(server))) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize("shift", [-301 - 5, 301 + 5])
def test_a_stale_timestamp_is_refused(server, monkeypatch, shift):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    assert code_of(lambda: client(server).StartMCUMixTranscode(start(server))) == "AuthFailure.SignatureExpire"


def test_an_unknown_room_has_its_code(server):
    api = client(server)
    assert code_of(lambda: api.StartMCUMixTranscode(start(server, room=4242))) == "FailedOperation.RoomNotExist"
    assert code_of(lambda: api.StopMCUMixTranscode(stop(server, room=4242))) == "FailedOperation.RoomNotExist"


def test_bad_parameters_have_their_codes(server):
    api = client(server)
    assert code_of(lambda: api.StartMCUMixTranscode(start(server, StreamId="no spaces"))) == "InvalidParameter.StreamId"
    wrong = start(server)
    wrong.EncodeParams.VideoWidth = 4000
    assert code_of(lambda: api.StartMCUMixTranscode(wrong)) == "InvalidParameter.VideoResolution"
    foreign = start(server)
    foreign.SdkAppId = 1400009999
    assert code_of(lambda: api.StartMCUMixTranscode(foreign)) == "UnauthorizedOperation.SdkAppId"
