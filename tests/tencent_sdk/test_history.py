"""The official Tencent Cloud SDK reads rooms, members, days and usage."""

import json
import sqlite3
import time

from concurrent.futures import ThreadPoolExecutor

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.retry import NoopRetryer
from tencentcloud.trtc.v20190722 import models

from test_mix import client, code_of
from test_rooms import dismiss
from waiting import permitted, until

SIGNATURES = [
    ("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "POST"), ("HmacSHA1", "GET"),
    ("HmacSHA256", "POST"), ("HmacSHA256", "GET"),
]
DAY = 86400


def rooms(server, **fields):
    now = int(time.time())
    request = models.DescribeRoomInfoRequest()
    request.from_json_string(json.dumps({
        "SdkAppId": server.app, "StartTime": now - 3600, "EndTime": now + 60, **fields,
    }))
    return request


def of_call(request, server, call, **fields):
    now = int(time.time())
    request.from_json_string(json.dumps({
        "SdkAppId": server.app, "CommId": call, "StartTime": now - 1800, "EndTime": now + 60, **fields,
    }))
    return request


@pytest.fixture(scope="module")
def ended(server):
    """A room in which bob was, and cat after him, and that has ended; and a text room of the same name, with dan in it."""
    api = client(server)
    bob, cat, dan = server.join(4001, "bob"), server.join(4001, "cat"), server.join("text:4001", "dan")
    assert api.DismissRoom(dismiss(server, 4001)).RequestId
    assert bob.wait(60) and cat.wait(60)
    ask = rooms(server, RoomId="4001")
    is_over = lambda answer: sorted(room.IsFinished for room in answer.RoomList) == [False, True]
    answer = until(lambda: api.DescribeRoomInfo(ask), is_over, "the room has ended")
    assert answer.Total == 2
    room = next(room for room in answer.RoomList if room.IsFinished)
    yield room
    api.DismissRoomByStrRoomId(dismiss(server, "4001", text=True))
    dan.wait(60)


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_a_call_leads_from_its_room_to_its_members(server, ended, sign, method):
    api = client(server, sign=sign, method=method)
    found = api.DescribeRoomInfo(rooms(server, RoomId="4001", PageNumber=0, PageSize=10)).RoomList
    room = next(room for room in found if room.IsFinished)
    assert (room.RoomString, room.UserId) == ("4001", "bob")
    assert room.CommId == f"{server.app}_4001_{room.CreateTime}"
    assert room.CreateTime <= room.DestroyTime <= time.time() + 1
    has_left = lambda answer: answer.Total == 2 and all(user.Finished for user in answer.UserList)
    ask = lambda: api.DescribeUserInfo(of_call(models.DescribeUserInfoRequest(), server, room.CommId))
    users = until(ask, has_left, "both have left").UserList
    assert [user.UserId for user in users] == ["bob", "cat"]
    for user in users:
        assert user.RoomStr == "4001" and room.CreateTime - 2 <= user.JoinTs <= user.LeaveTs
    only = of_call(models.DescribeUserInfoRequest(), server, room.CommId, UserIds=["cat"], PageNumber=0, PageSize=5)
    assert [user.UserId for user in api.DescribeUserInfo(only).UserList] == ["cat"]
    detail = of_call(models.DescribeCallDetailInfoRequest(), server, room.CommId, DataType=["all"])
    answer = api.DescribeCallDetailInfo(detail)
    assert answer.Total == 2 and answer.Data == []


def test_a_room_that_goes_on_is_not_finished(server, ended):
    api = client(server)
    found = api.DescribeRoomInfo(rooms(server, RoomId="4001")).RoomList
    text = next(room for room in found if not room.IsFinished)
    assert text.CommId != ended.CommId and text.UserId == "dan"
    users = api.DescribeUserInfo(of_call(models.DescribeUserInfoRequest(), server, text.CommId)).UserList
    assert [(user.UserId, user.Finished) for user in users] == [("dan", False)]


def append(server, facts):
    """Appends facts to the stream of events, as a node of the cluster does."""
    with sqlite3.connect(server.folder / "rotunda.db", timeout=60) as database:
        for number, fact in enumerate(facts):
            fact["id"] = f"test-{time.time_ns()}-{number}"
            row = (fact["id"], json.dumps(fact), int(time.time() * 1000))
            database.execute("INSERT INTO event_stream (id, body, appended_unix_ms) VALUES (?, ?, ?)", row)
    database.close()


def fact(server, kind, at_ms, **more):
    return {"room": {"app": server.app, "room": 77}, "at_unix_ms": at_ms, "kind": kind, **more}


def midnight(days_ago):
    return (int(time.time()) // DAY - days_ago) * DAY


def recorded(server, name, start_ms, seconds, size=None, user=None):
    file = {
        "file_id": name, "task_id": "5", "room": {"app": server.app, "room": 77}, "stream_id": "s", "record_id": None, "user": user,
        "format": "mp4", "name": f"5/{name}.mp4", "size_bytes": 1, "duration_ms": seconds * 1000, "started_unix_us": start_ms * 1000,
        "ended_unix_us": (start_ms + seconds * 1000) * 1000, "resolution": size, "url": "",
    }
    return fact(server, "file_ready", start_ms + seconds * 1000, file=file)


@pytest.fixture(scope="module")
def past(server):
    """What happened three days ago: entries of members, recordings and a mix."""
    start = midnight(3) * 1000
    entered = lambda user, number: fact(server, "entered", start + 1000, user=user, membership=number, role="anchor")
    mix = {"mix": 4242, "stream_id": "old"}
    minutes = 60_000
    append(server, [
        entered("ann", 9001), entered("ann", 9002), entered("bob", 9003),
        # The worked example of the contract: users A (audio), B (640x360) and C (1280x720), each in a file; and their mix in one.
        recorded(server, "a", start, 600, user="a"), recorded(server, "b", start, 600, [640, 360], "b"),
        recorded(server, "c", start, 600, [1280, 720], "c"), recorded(server, "m", start, 600, [1280, 720]),
        fact(server, "mix_begun", start, **mix, started_unix_ms=start, output={"video": {"width": 1280, "height": 720}}),
        fact(server, "mix_ended", start + 10 * minutes, **mix, started_unix_ms=start, record_id=None, replaced_by=None, reason="asked"),
    ])
    return time.strftime("%Y-%m-%d", time.gmtime(midnight(3)))


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_days_and_usage_are_counted(server, past, sign, method):
    api = client(server, sign=sign, method=method)
    scale = models.DescribeScaleInfoRequest()
    scale.SdkAppId, scale.StartTime, scale.EndTime = server.app, midnight(3), midnight(2)
    is_there = lambda answer: answer.ScaleList[0].UserCount == 3
    row = until(lambda: api.DescribeScaleInfo(scale), is_there, "three entries").ScaleList[0]
    assert (row.Time, row.UserNumber, row.RoomNumbers) == (midnight(3), 2, 1)

    record = models.DescribeRecordStatisticRequest()
    record.SdkAppId, record.StartTime, record.EndTime = server.app, past, past
    read = lambda: api.DescribeRecordStatistic(record).SdkAppIdUsages[0]
    usages = until(read, lambda usage: any(row.AudioTime for row in usage.Usages), "recordings").Usages
    assert len(usages) == 288 and usages[0].TimeKey == f"{past} 00:00:00"
    sums = [sum(getattr(row, name) for row in usages) for name in ("AudioTime", "Class1VideoTime", "Class2VideoTime", "Class3VideoTime")]
    assert sums == [600, 600, 1200, 0]

    mixed = models.DescribeTrtcMcuTranscodeTimeRequest()
    mixed.StartTime, mixed.EndTime = past, time.strftime("%Y-%m-%d", time.gmtime(midnight(2)))
    read = lambda: api.DescribeTrtcMcuTranscodeTime(mixed).Usages[0]
    answer = until(read, lambda usage: usage.SdkAppIdTranscodeTimeUsages[0].VideoTimeHd, "the mix")
    assert (answer.SdkAppId, answer.TotalNum) == ("total", 2)
    day = answer.SdkAppIdTranscodeTimeUsages[0]
    assert (day.TimeKey, day.AudioTime, day.VideoTimeSd, day.VideoTimeHd, day.VideoTimeFhd) == (past, 0, 0, 600, 0)

    for kind, minutes in (("single", [10, 10, 10, 0, 0, 0]), ("multi", [0, 0, 10, 0, 0, 0])):
        usage = models.DescribeRecordingUsageRequest()
        usage.SdkAppId, usage.StartTime, usage.EndTime, usage.MixType = server.app, past, mixed.EndTime, kind
        assert api.DescribeRecordingUsage(usage).UsageList[0].UsageValue == minutes
    usage = models.DescribeMixTranscodingUsageRequest()
    usage.SdkAppId, usage.StartTime, usage.EndTime = server.app, past, mixed.EndTime
    answer = api.DescribeMixTranscodingUsage(usage)
    assert dict(zip(answer.UsageKey, answer.UsageList[0].UsageValue))["HDH264"] == 10


def test_too_many_calls_are_refused(server):
    api = client(server, retryer=NoopRetryer())
    usage = models.DescribeMixTranscodingUsageRequest()
    usage.StartTime = usage.EndTime = time.strftime("%Y-%m-%d", time.gmtime())

    def is_refused():
        """Five calls a second are permitted, so one of many at once is refused, however slow the machine is at other times."""
        try:
            api.DescribeMixTranscodingUsage(usage)
            return False
        except TencentCloudSDKException as error:
            return error.code == "RequestLimitExceeded"

    with ThreadPoolExecutor(16) as pool:
        burst = lambda: any(pool.map(lambda _: is_refused(), range(48)))
        until(burst, lambda refused: refused, "a call of a burst is refused")
    assert permitted(lambda: api.DescribeMixTranscodingUsage(usage)).UsageList


def test_mistakes_have_their_codes(server):
    api = client(server)
    code = lambda **fields: code_of(lambda: api.DescribeRoomInfo(rooms(server, **fields)))
    now = int(time.time())
    assert code(StartTime=None) == "MissingParameter.StartTs"
    assert code(EndTime=None) == "MissingParameter.EndTs"
    assert code(SdkAppId=None) == "MissingParameter.SdkAppId"
    assert code(SdkAppId=1400009999) == "InvalidParameter.SdkAppId"
    assert code(StartTime=now - 15 * DAY) == "InvalidParameter.StartTsOversize"
    assert code(StartTime=now - 2 * DAY, EndTime=now) == "InvalidParameter.QueryScaleOversize"
    assert code(EndTime=now - 7200) == "InvalidParameter.EndTs"
    assert code(PageNumber=0, PageSize=101) == "InvalidParameter.PageSizeOversize"
    call = of_call(models.DescribeCallDetailInfoRequest(), server, "1_2_3", DataType=["rtt"], UserIds=[str(n) for n in range(7)])
    assert code_of(lambda: api.DescribeCallDetailInfo(call)) == "InvalidParameter.UserIdsMorethanSix"
    usage = models.DescribeRecordStatisticRequest()
    usage.StartTime, usage.EndTime = "2026-01-01", "2026-03-01"
    assert code_of(lambda: api.DescribeRecordStatistic(usage)) == "InvalidParameter"
