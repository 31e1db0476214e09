"""The REST face: its description is valid OpenAPI, and it answers what the description says."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator


def request(server, method, path, body=None, key=None):
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode() if body is not None else None
    call = urllib.request.Request(f"http://127.0.0.1:{server.http}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_description_is_valid(server):
    status, document = request(server, "GET", "/openapi.json")
    assert status == 200
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert len(document["paths"]) >= 30


def test_an_action_is_called_with_json(server):
    key = f"{server.secret_id}:{server.api_secret}"
    status, answer = request(server, "POST", "/v1/ListMembers", {"Room": "1001"}, key)
    assert status == 200 and answer["RequestId"]
    assert [member["UserId"] for member in answer["Members"]] == ["ann"]
    status, answer = request(server, "POST", "/v1/StopMCUMixTranscode", {"SdkAppId": server.app, "RoomId": 1001}, key)
    assert (status, answer["error"]["code"]) == (404, "FailedOperation.MixSessionNotExist")
    status, answer = request(server, "POST", "/v1/ListMembers", {"Room": "1001"})
    assert (status, answer["error"]["code"]) == (401, "AuthFailure.InvalidAuthorization")
    status, answer = request(server, "GET", "/v1/ListMembers")
    assert (status, answer["error"]["code"]) == (405, "UnsupportedProtocol")


def test_every_answer_is_one_of_the_description(server):
    """Schemathesis makes up requests for every action. DismissRoom and RemoveUser would end the other tests' members."""
    arguments = [
        "run", f"http://127.0.0.1:{server.http}/openapi.json", "--max-examples", "20", "--phases", "examples,fuzzing",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--header", f"authorization: Bearer {server.secret_id}:{server.api_secret}", "--workers", "1", "--no-color",
        "--exclude-operation-id-regex", "Dismiss|Remove|Delete|Permissions|Blocked|Lift", "--rate-limit", "18/s", "--seed", "1",
    ]
    schemathesis = [sys.executable, "-m", "schemathesis.cli"]
    done = subprocess.run([*schemathesis, *arguments], cwd=server.folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
