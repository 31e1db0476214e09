"""The official SDK of the media store finds, describes and deletes recorded files."""

import json
import urllib.error
import urllib.request

import pytest
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.vod.v20180717 import models, vod_client

from test_mix import client as trtc_client
from test_mix import code_of, start, stop
from waiting import Patient, until

SIGNATURES = [
    ("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "POST"), ("HmacSHA1", "GET"),
    ("HmacSHA256", "POST"), ("HmacSHA256", "GET"),
]


STREAMS = ["sdk-5001-a", "sdk-5001-b"]
# Of recorder.formats, as they are by default.
FORMATS = ["mp4", "hls"]


def client(server, sign="TC3-HMAC-SHA256", method="POST"):
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{server.http}", reqMethod=method)
    keys = credential.Credential(server.secret_id, server.api_secret)
    return vod_client.VodClient(keys, "", ClientProfile(signMethod=sign, httpProfile=http, retryer=Patient()))


def search(api, **fields):
    request = models.SearchMediaRequest()
    request.from_json_string(json.dumps(fields))
    return api.SearchMedia(request)


def delete(api, file_id, **fields):
    request = models.DeleteMediaRequest()
    request.from_json_string(json.dumps({"FileId": file_id, **fields}))
    return api.DeleteMedia(request)


@pytest.fixture(scope="module")
def files(server):
    """The files of two mixes, one after the other, newest first."""
    trtc, vod = trtc_client(server), client(server)
    member = server.join(5001, "gus")
    for stream, name in zip(STREAMS, ("lesson-1", "lesson-2")):
        begin = start(server, 5001, StreamId=stream, RecordId=name, PureAudioStream=1)
        assert trtc.StartMCUMixTranscode(begin).RequestId
        # A stream with a whole segment has media to record.
        until(lambda: playlist(server, stream), lambda is_there: is_there, f"{stream} is on the air")
        assert trtc.StopMCUMixTranscode(stop(server, 5001)).RequestId
        found = lambda: search(vod, StreamId=stream, NamePrefixes=[name])
        until(found, lambda answer: answer.TotalCount == len(FORMATS), f"the files of {name}")
    member.terminate()
    member.wait(60)
    order = {"Field": "CreateTime", "Order": "Desc"}
    answer = search(vod, StreamIds=STREAMS, Sort=order, Limit=100)
    assert answer.TotalCount == len(answer.MediaInfoSet)
    return answer.MediaInfoSet


def playlist(server, stream):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/live/{stream}.m3u8", timeout=30) as answer:
            return b"#EXTINF" in answer.read()
    except (urllib.error.HTTPError, TimeoutError):
        return False


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_files_are_found_by_stream_name_and_time(server, files, sign, method):
    api = client(server, sign=sign, method=method)
    ids = lambda answer: [media.FileId for media in answer.MediaInfoSet]
    # The flow of the contract: the newest file of a stream comes first.
    newest = search(api, StreamId=STREAMS[1], Sort={"Field": "CreateTime", "Order": "Desc"})
    assert ids(newest)[0] == files[0].FileId and files[0].BasicInfo.Name.startswith("lesson-2")
    oldest = search(api, StreamIds=STREAMS, Sort={"Field": "CreateTime", "Order": "Asc"}, Limit=100)
    assert ids(oldest) == ids(type("All", (), {"MediaInfoSet": files}))[::-1]
    by_name = search(api, Text="ESSON-1", Sort={"Field": "CreateTime", "Order": "Asc"})
    assert by_name.TotalCount and all(media.BasicInfo.Name.startswith("lesson-1") for media in by_name.MediaInfoSet)
    assert search(api, NamePrefixes=["esson"]).TotalCount == 0
    assert search(api, TrtcRoomIds=["5001"], TrtcSdkAppIds=[server.app]).TotalCount == len(files)
    first = files[-1].BasicInfo.CreateTime
    assert files[-1].FileId in ids(search(api, StreamIds=STREAMS, CreateTime={"After": first, "Before": first}))
    page = search(api, StreamIds=STREAMS, Offset=1, Limit=1)
    assert (page.TotalCount, ids(page)) == (len(files), [files[1].FileId])


def test_a_file_is_described(server, files):
    api = client(server)
    request = models.DescribeMediaInfosRequest()
    request.FileIds = [files[0].FileId, "12345"]
    answer = api.DescribeMediaInfos(request)
    assert answer.NotExistFileIdSet == ["12345"]
    [media] = answer.MediaInfoSet
    basic, meta = media.BasicInfo, media.MetaData
    assert basic.SourceInfo.LiveRecordInfo.StreamId == STREAMS[1]
    assert (basic.SourceInfo.TrtcRecordInfo.SdkAppId, basic.SourceInfo.TrtcRecordInfo.RoomId) == (server.app, "5001")
    assert meta.Duration > 0 and meta.Size > 0 and media.TranscodeInfo is None
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}{basic.StoragePath}", timeout=60) as file:
        assert file.read(64)
    request.Filters = ["metaData"]
    [media] = api.DescribeMediaInfos(request).MediaInfoSet
    assert media.BasicInfo is None and media.MetaData.Size == meta.Size


def test_mistakes_have_their_codes(server):
    api = client(server)
    assert code_of(lambda: search(api, Limit=5000, Offset=1)) == "InvalidParameterValue.Offset"
    assert code_of(lambda: search(api, Text="x" * 65)) == "InvalidParameterValue.Text"
    assert code_of(lambda: search(api, Sort={"Field": "CreateTime", "Order": "Up"})) == "InvalidParameterValue.Sort"
    request = models.DescribeMediaInfosRequest()
    assert code_of(lambda: api.DescribeMediaInfos(request)) == "InvalidParameterValue.FileIdsEmpty"
    request.FileIds = [str(number) for number in range(21)]
    assert code_of(lambda: api.DescribeMediaInfos(request)) == "InvalidParameterValue.FileIdsTooMany"
    assert code_of(lambda: delete(api, "12345")) == "ResourceNotFound"


def test_a_deleted_file_is_gone(server, files):
    """Last: the other tests need the files."""
    api = client(server)
    doomed = files[0]
    assert delete(api, doomed.FileId, DeleteParts=[{"Type": "TranscodeFiles"}]).RequestId
    address = f"http://127.0.0.1:{server.http}{doomed.BasicInfo.StoragePath}"
    with urllib.request.urlopen(address, timeout=60):
        pass
    assert delete(api, doomed.FileId).RequestId
    assert code_of(lambda: delete(api, doomed.FileId)) == "ResourceNotFound"
    assert search(api, FileIds=[doomed.FileId]).TotalCount == 0
    request = models.DescribeMediaInfosRequest()
    request.FileIds = [doomed.FileId]
    assert api.DescribeMediaInfos(request).NotExistFileIdSet == [doomed.FileId]
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(address, timeout=60)
    assert raised.value.code == 404
