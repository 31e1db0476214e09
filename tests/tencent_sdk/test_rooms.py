"""The official Tencent Cloud SDK removes members and dismisses rooms; the members are told why, and leave at once."""

import json

import pytest
from tencentcloud.trtc.v20190722 import models

from test_mix import client, code_of
from test_rest import request as rest
from waiting import until

SIGNATURES = [("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "POST"), ("HmacSHA256", "GET")]


def remove(server, room, users, text=False):
    request = models.RemoveUserByStrRoomIdRequest() if text else models.RemoveUserRequest()
    request.SdkAppId, request.RoomId, request.UserIds = server.app, room, users
    return request


def dismiss(server, room, text=False):
    request = models.DismissRoomByStrRoomIdRequest() if text else models.DismissRoomRequest()
    request.SdkAppId, request.RoomId = server.app, room
    return request


@pytest.mark.parametrize("room,sign,method", [(2010 + index, *signature) for index, signature in enumerate(SIGNATURES)])
def test_a_removed_user_leaves_and_the_others_stay(server, room, sign, method):
    api = client(server, sign=sign, method=method)
    removed, stays = server.join(room, "bob"), server.join(room, "cat")
    assert api.RemoveUser(remove(server, room, ["bob", "nobody"])).RequestId
    assert removed.wait(60) != 0, "the login has ended"
    assert stays.poll() is None
    assert server.refused(room, "bob"), "bob may not enter again for a minute"
    assert api.DismissRoom(dismiss(server, room)).RequestId
    assert stays.wait(60) != 0
    assert code_of(lambda: api.DismissRoom(dismiss(server, room))) == "FailedOperation.RoomNotExist"


def blocked(server, api, room, user, is_mute, text=False):
    """The mainland SDK has no class for it, but its client calls any action of the API."""
    field, action = ("StrRoomId", "SetUserBlockedByStrRoomId") if text else ("RoomId", "SetUserBlocked")
    answer = json.loads(api.call(action, {"SdkAppId": server.app, field: room, "UserId": user, "IsMute": is_mute}))
    return answer["Response"]


@pytest.mark.parametrize("room,text,sign,method", [
    (2020, False, "TC3-HMAC-SHA256", "POST"), ("2021", True, "HmacSHA1", "POST"), (2022, False, "HmacSHA256", "GET"),
])
def test_a_blocked_user_sends_nothing_until_they_are_unblocked(server, room, text, sign, method):
    api = client(server, sign=sign, method=method)
    name = f"text:{room}" if text else str(room)
    server.join(name, "fay")
    key = f"{server.secret_id}:{server.api_secret}"
    tracks = lambda: {track["Source"] for member in rest(server, "POST", "/v1/ListMembers", {"Room": name}, key)[1]["Members"]
                      for track in member["Tracks"]}
    until(tracks, lambda found: found == {"audio", "camera"}, "fay publishes")
    assert "Error" not in blocked(server, api, room, "fay", 2, text)
    until(tracks, lambda found: found == {"camera"}, "without audio")
    assert "Error" not in blocked(server, api, room, "fay", 1, text)
    until(tracks, lambda found: found == set(), "without anything")
    listed = rest(server, "POST", "/v1/ListRestrictions", {"Room": name}, key)[1]["Restrictions"]
    assert [(one["UserId"], one["Kind"], one["Send"]) for one in listed] == [("fay", "media", [])]
    assert "Error" not in blocked(server, api, room, "fay", 0, text)
    assert rest(server, "POST", "/v1/ListRestrictions", {"Room": name}, key)[1]["Restrictions"] == []
    for is_mute, user, code in [(4, "fay", "InvalidParameter.OutOfRange"), (1, "no spaces", "InvalidParameter.UserId")]:
        assert code_of(lambda: blocked(server, api, room, user, is_mute, text)) == code


def test_a_text_room_is_not_the_number(server):
    api = client(server)
    number, text = server.join(2002, "dan"), server.join("text:2002", "eve")
    assert api.RemoveUserByStrRoomId(remove(server, "2002", ["dan", "eve"], text=True)).RequestId
    assert text.wait(20) != 0
    assert number.poll() is None
    assert code_of(lambda: api.DismissRoomByStrRoomId(dismiss(server, "2002", text=True))) == "FailedOperation.RoomNotExist"
    assert api.DismissRoom(dismiss(server, 2002)).RequestId
    assert number.wait(20) != 0


def test_mistakes_have_their_codes(server):
    api = client(server)
    assert code_of(lambda: api.RemoveUser(remove(server, 4242, ["ann"]))) == "FailedOperation.RoomNotExist"
    assert code_of(lambda: api.RemoveUser(remove(server, 1001, []))) == "MissingParameter.UserIds"
    many = [f"user-{number}" for number in range(11)]
    assert code_of(lambda: api.RemoveUser(remove(server, 1001, many))) == "InvalidParameter.UserIds"
    assert code_of(lambda: api.RemoveUser(remove(server, None, ["ann"]))) == "MissingParameter.RoomId"
    assert code_of(lambda: api.RemoveUser(remove(server, 0, ["ann"]))) == "InvalidParameterValue.RoomId"
    assert code_of(lambda: api.RemoveUserByStrRoomId(remove(server, "no\nroom", ["ann"], text=True))) == "InvalidParameter.RoomId"
    foreign = dismiss(server, 1001)
    foreign.SdkAppId = 1400009999
    assert code_of(lambda: api.DismissRoom(foreign)) == "UnauthorizedOperation.SdkAppId"
    unserved = models.DescribeTrtcUsageRequest()
    unserved.SdkAppId, unserved.StartTime, unserved.EndTime = server.app, "2026-11-01", "2026-11-02"
    assert code_of(lambda: api.DescribeTrtcUsage(unserved)) == "UnsupportedOperation"
