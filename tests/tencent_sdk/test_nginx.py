"""The API behind nginx: with TLS, under another name and port, and below a path."""

import json
import socket
import subprocess
import urllib.request
import ssl

import pytest
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import trtc_client

from conftest import free_ports
from test_history import SIGNATURES, rooms
from test_mix import code_of, stop
from waiting import Patient, until

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ proxy_pass http://127.0.0.1:{http}; proxy_set_header X-Forwarded-Host $http_host; }}
    location /rtc/ {{ proxy_pass http://127.0.0.1:{http}/; proxy_set_header X-Forwarded-Host $http_host; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    """The port of nginx, and the file of its certificate."""
    folder = tmp_path_factory.mktemp("nginx")
    [port] = free_ports(1)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, http=server.http))
    nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)

    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return True
        except OSError:
            return False

    until(answers, lambda is_up: is_up, "nginx is up")
    yield port, str(folder / "cert.pem")
    nginx.terminate()
    nginx.wait(60)


@pytest.mark.parametrize("sign,method", SIGNATURES)
def test_signatures_hold_behind_the_proxy(server, proxy, sign, method):
    port, certificate = proxy
    http = HttpProfile(protocol="https", endpoint=f"localhost:{port}", reqMethod=method, certification=certificate)
    keys = credential.Credential(server.secret_id, server.api_secret)
    api = trtc_client.TrtcClient(keys, "ap-guangzhou", ClientProfile(signMethod=sign, httpProfile=http, retryer=Patient()))
    assert api.DescribeRoomInfo(rooms(server, RoomId="1001")).RequestId
    assert code_of(lambda: api.StopMCUMixTranscode(stop(server))) == "FailedOperation.MixSessionNotExist"


def test_rest_works_below_a_path(server, proxy):
    port, certificate = proxy
    trusted = ssl.create_default_context(cafile=certificate)
    base = f"https://localhost:{port}/rtc"
    with urllib.request.urlopen(f"{base}/openapi.json", context=trusted, timeout=60) as answer:
        document = json.load(answer)
    # Relative to the document, so that a generated client calls the right path.
    assert document["servers"][0]["url"] == "."
    call = urllib.request.Request(
        f"{base}/v1/ListMembers", b'{"Room": "1001"}', {"authorization": f"Bearer {server.secret_id}:{server.api_secret}"}
    )
    with urllib.request.urlopen(call, context=trusted, timeout=60) as answer:
        assert [member["UserId"] for member in json.load(answer)["Members"]] == ["ann"]
    with urllib.request.urlopen(f"{base}/docs", context=trusted, timeout=60) as answer:
        assert b"openapi.json" in answer.read()
