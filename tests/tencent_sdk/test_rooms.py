"""The official Tencent Cloud SDK removes members and dismisses rooms; the members are told why, and leave at once."""

import pytest
from tencentcloud.trtc.v20190722 import models

from test_mix import client, code_of

SIGNATURES = [("TC3-HMAC-SHA256", "POST"), ("TC3-HMAC-SHA256", "GET"), ("HmacSHA1", "POST"), ("HmacSHA256", "GET")]


def remove(server, room, users, text=False):
    request = models.RemoveUserByStrRoomIdRequest() if text else models.RemoveUserRequest()
    request.SdkAppId, request.RoomId, request.UserIds = server.app, room, users
    return request


def dismiss(server, room, text=False):
    request = models.DismissRoomByStrRoomIdRequest() if text else models.DismissRoomRequest()
    request.SdkAppId, request.RoomId = server.app, room
    return request


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_a_removed_user_leaves_and_the_others_stay(server, sign, method):
    api = client(server, sign=sign, method=method)
    removed, stays = server.join(2001, "bob"), server.join(2001, "cat")
    assert api.RemoveUser(remove(server, 2001, ["bob", "nobody"])).RequestId
    assert removed.wait(20) != 0, "the login has ended"
    assert stays.poll() is None
    assert api.DismissRoom(dismiss(server, 2001)).RequestId
    assert stays.wait(20) != 0
    assert code_of(lambda: api.DismissRoom(dismiss(server, 2001))) == "FailedOperation.RoomNotExist"


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
