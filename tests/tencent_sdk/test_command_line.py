"""The command line over the server API: tables for people, JSON for programs, and the equivalent calls."""

import json
import os
import subprocess
import time

from waiting import until


def rotunda(server, *arguments, env=None):
    done = subprocess.run(
        [server.binary, *arguments], env=env or server.env, cwd=server.folder, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def read(server, *arguments):
    code, out, errors = rotunda(server, *arguments, "--json")
    assert code == 0, errors
    return json.loads(out)


def test_rooms_and_members_are_listed_and_removed(server):
    member, stays = server.join("text:7001", "hal"), server.join("text:7001", "ida")
    code, table, _ = rotunda(server, "rooms", "list")
    assert code == 0 and table.startswith("Room ")
    row = next(line.split() for line in table.splitlines() if line.startswith("text:7001 "))
    assert row[1] == "2", "two members"
    publishes = lambda listed: len(listed["Members"]) == 2 and all(member["Tracks"] for member in listed["Members"])
    listed = until(lambda: read(server, "members", "list", "text:7001"), publishes, "both publish")
    assert [member["UserId"] for member in listed["Members"]] == ["hal", "ida"]
    assert rotunda(server, "members", "permit", "text:7001", "hal", "--send", "audio")[0] == 0
    only_audio = lambda listed: [track["Source"] for track in listed["Members"][0]["Tracks"]] == ["audio"]
    until(lambda: read(server, "members", "list", "text:7001"), only_audio, "hal may send audio alone")
    assert rotunda(server, "members", "remove", "text:7001", "hal")[0] == 0
    assert member.wait(60) != 0 and stays.poll() is None
    assert rotunda(server, "rooms", "dismiss", "text:7001")[0] == 0
    assert stays.wait(60) != 0
    code, _, errors = rotunda(server, "members", "list", "text:7001")
    assert code != 0 and "FailedOperation.RoomNotExist" in errors


def test_mixes_streams_nodes_and_usage_are_listed(server):
    member = server.join(7002, "jon")
    assert rotunda(server, "mix", "start", "7002", "--size", "320x180")[0] == 0
    runs = lambda mixes: any(mix["StreamId"] == "mix-7002" and mix["Runs"] for mix in mixes)
    is_healthy = lambda mixes: any(mix["StreamId"] == "mix-7002" and mix.get("Health", {}).get("Inputs") == 1 for mix in mixes)
    mixes = until(lambda: read(server, "mixes"), is_healthy, "the mix runs with its member")
    mix = next(mix for mix in mixes if mix["StreamId"] == "mix-7002")
    assert (mix["Room"], mix["Width"], mix["Height"], mix["MissingInputs"]) == ("7002", 320, 180, [])
    on_air = lambda streams: any(stream["StreamId"] == "mix-7002" for stream in streams)
    until(lambda: read(server, "live"), on_air, "the stream is on the air")
    code, table, _ = rotunda(server, "nodes")
    assert code == 0 and "Forwarding" in table and "Mixing" in table
    assert read(server, "nodes")["MixNodes"][0]["TasksLeft"] >= 0
    assert rotunda(server, "mix", "stop", "7002")[0] == 0
    until(lambda: read(server, "mixes"), lambda mixes: not runs(mixes), "the mix has ended")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    counted = lambda usage: any(row["Measure"] == "mix_sd_ms" and row["Amount"] > 0 for row in usage["Rows"])
    until(lambda: read(server, "usage", "--from", today), counted, "the mix is counted")
    code, lines, _ = rotunda(server, "usage", "--from", today, "--csv")
    assert code == 0 and lines.splitlines()[0] == "Day,Measure,Amount"
    member.terminate()
    member.wait(60)


def test_it_works_against_a_remote_server_with_a_key(server, tmp_path):
    env = dict(os.environ, ROTUNDA_API_KEY=f"{server.secret_id}:{server.api_secret}")
    url = f"http://127.0.0.1:{server.http}/"
    code, out, errors = rotunda(server, "rooms", "list", "--json", "--url", url, env=env)
    assert code == 0 and "1001" in [room["Room"] for room in json.loads(out)], errors
    env["ROTUNDA_API_KEY"] = f"{server.secret_id}:wrong"
    code, _, errors = rotunda(server, "rooms", "list", "--url", url, env=env)
    assert code != 0 and "AuthFailure.SignatureFailure" in errors
    env["ROTUNDA_API_KEY"] = "nonsense"
    code, _, errors = rotunda(server, "rooms", "list", "--url", url, env=env)
    assert code != 0 and "ID:SECRET" in errors


def test_the_equivalent_call_does_the_same(server):
    code, call, _ = rotunda(server, "members", "list", "1001", "--curl")
    assert code == 0 and server.api_secret not in call
    env = dict(os.environ, ROTUNDA_API_KEY=f"{server.secret_id}:{server.api_secret}")
    done = subprocess.run(["sh", "-c", call.replace("curl", "curl -sS", 1)], env=env, capture_output=True, text=True, timeout=120)
    assert [member["UserId"] for member in json.loads(done.stdout)["Members"]] == ["ann"], done.stderr


def test_recordings_and_callbacks(server):
    code, table, _ = rotunda(server, "recordings", "list", "--text", "nothing-of-this-name")
    assert code == 0 and table.split() == ["FileId", "Name", "Type", "Seconds", "Bytes", "Created"]
    code, _, errors = rotunda(server, "recordings", "delete", "12345")
    assert code != 0 and "ResourceNotFound" in errors
    assert read(server, "callbacks", "list", "--state", "failed")["Callbacks"] == []
    code, _, errors = rotunda(server, "callbacks", "replay", "nothing")
    assert code != 0 and "ResourceNotFound" in errors
