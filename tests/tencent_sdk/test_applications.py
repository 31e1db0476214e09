"""Applications and API keys through REST and the command line, and the preview of a mix; gRPC has the same table."""

import json
import os
import subprocess
import urllib.request

from test_rest import request
from waiting import until


def operator(server):
    return f"{server.secret_id}:{server.api_secret}"


def call(server, action, body, key=None):
    return request(server, "POST", f"/v1/{action}", body, key or operator(server))


def acting_as(server, key, app, action, body):
    headers = {"authorization": f"Bearer {key}", "x-sdk-app-id": str(app)}
    asked = urllib.request.Request(
        f"http://127.0.0.1:{server.http}/v1/{action}", json.dumps(body).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


def test_an_application_is_made_used_changed_and_deleted_while_the_server_runs(server):
    status, made = call(server, "CreateApplication", {"Name": "acme", "Settings": {"RecordFormats": ["flv"], "MaxMixes": 2}})
    assert status == 200 and len(made["SecretKey"]) == 64
    app = made["SdkAppId"]
    status, key = call(server, "CreateApiKey", {"SdkAppId": app, "Scopes": ["admin", "rooms"], "Name": "backend"})
    assert status == 200
    own = f"{key['SecretId']}:{key['ApiSecret']}"
    until(lambda: call(server, "ListRooms", {}, own)[0], lambda status: status == 200, "the new key opens the API")
    status, listed = call(server, "ListApplications", {}, own)
    assert [(one["SdkAppId"], one["Origin"], one["Settings"]["RecordFormats"]) for one in listed["Applications"]] == [
        (app, "database", ["flv"])
    ]
    assert made["SecretKey"] not in json.dumps(listed)
    assert call(server, "ModifyApplication", {"SdkAppId": app, "Settings": {"RecordTimeZone": "Asia/Kolkata"}}, own)[0] == 200
    status, answer = call(server, "CreateApplication", {}, own)
    assert (status, answer["error"]["code"]) == (403, "UnauthorizedOperation.SdkAppId")
    status, answer = call(server, "ModifyApplication", {"SdkAppId": server.app, "Name": "mine"})
    assert (status, answer["error"]["code"]) == (409, "FailedOperation.ConfiguredApplication")
    rotated = call(server, "RotateApplicationSecret", {"SdkAppId": app})[1]
    assert len(rotated["Secret"]) == 64 and rotated["Secret"] != made["SecretKey"]
    status, answer = call(server, "RotateApplicationSecret", {"SdkAppId": app})
    assert (status, answer["error"]["code"]) == (409, "FailedOperation.TwoSecretsValid")
    assert acting_as(server, operator(server), app, "ListRooms", {})["Rooms"] == [], "room 1001 is another application's"
    assert call(server, "DeleteApplication", {"SdkAppId": app})[0] == 200
    until(lambda: call(server, "ListRooms", {}, own)[0], lambda status: status == 401, "its keys went with it")


def test_the_command_line_administers_another_server(server):
    env = dict(os.environ, ROTUNDA_API_KEY=operator(server))
    url = f"http://127.0.0.1:{server.http}/"

    def rotunda(*arguments):
        done = subprocess.run(
            [server.binary, *arguments, "--server", url, "--json"],
            env=env, cwd=server.folder, capture_output=True, text=True, timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    code, out, errors = rotunda("apps", "create", "1500000077", "--name", "remote", "--record-formats", "mp4,flv")
    assert code == 0 and len(json.loads(out)["SecretKey"]) == 64, errors
    profiles = ("--stream-profile", "platform=web,role=anchor,height=720", "--stream-profile", "codec=vp8")
    assert rotunda("apps", "set", "1500000077", "--record-time-zone", "+05:30", "--max-mixes", "3", *profiles)[0] == 0
    listed = json.loads(rotunda("apps", "list")[1])
    found = next(one for one in listed if one["SdkAppId"] == 1500000077)
    assert (found["Name"], found["Settings"]["RecordFormats"]) == ("remote", ["mp4", "flv"])
    assert (found["Settings"]["RecordTimeZone"], found["Settings"]["MaxMixes"]) == ("+05:30", 3)
    assert found["Settings"]["StreamProfiles"] == [{"Platform": "web", "Role": "anchor", "Height": 720}, {"Codec": "vp8"}]
    code, out, errors = rotunda("keys", "create", "--app", "1500000077", "--scopes", "mix,rooms")
    assert code == 0 and json.loads(out)["SecretId"].startswith("AKID"), errors
    code, _, errors = rotunda("apps", "set", "1500000077", "--record-file-minutes", "121")
    assert code != 0 and "Settings.RecordFileMinutes" in errors
    assert rotunda("apps", "delete", "1500000077")[0] == 0


ENCODE = {
    "AudioSampleRate": 48000, "AudioBitrate": 64, "AudioChannels": 2, "VideoWidth": 640, "VideoHeight": 360,
    "VideoBitrate": 500, "VideoFramerate": 15, "VideoGop": 3,
}


def test_a_preview_is_a_png_without_a_room(server):
    body = json.dumps({"MemberCount": 5, "EncodeParams": ENCODE, "LayoutParams": {"Template": 1}}).encode()
    asked = lambda accept: urllib.request.Request(
        f"http://127.0.0.1:{server.http}/v1/PreviewLayout", body,
        {"authorization": f"Bearer {operator(server)}", "accept": accept}, method="POST",
    )
    with urllib.request.urlopen(asked("*/*"), timeout=60) as answer:
        assert answer.headers["content-type"] == "image/png"
        file = answer.read()
    assert file.startswith(b"\x89PNG") and (int.from_bytes(file[16:20]), int.from_bytes(file[20:24])) == (640, 360)
    with urllib.request.urlopen(asked("application/json"), timeout=60) as answer:
        drawn = json.loads(answer.read())
    assert (drawn["Width"], drawn["Height"]) == (640, 360) and drawn["RequestId"]
    status, refused = call(server, "PreviewLayout", {"MemberCount": 33, "EncodeParams": ENCODE, "LayoutParams": {"Template": 1}})
    assert (status, refused["error"]["code"]) == (400, "InvalidParameter")
