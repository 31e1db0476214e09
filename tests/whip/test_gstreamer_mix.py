"""What GStreamer publishes by WHIP is seen and heard in a mix, for longer than its sender reports and keep-alives take to go wrong.

GStreamer 1.22 sends sender reports whose RTP time runs ahead by the age of the session.
"""

import hashlib
import hmac
import json
import subprocess
import time
import urllib.request

import numpy
import pytest
from test_gstreamer import TONE, certificate, gstreamer, network  # noqa: F401

SECONDS = 60
RATE = 48000
WIDTH, HEIGHT, FRAMES_A_SECOND = 320, 240, 15


def call(server, action, body):
    """One call of the API, signed by TC3-HMAC-SHA256."""
    host, now = f"127.0.0.1:{server.http}", int(time.time())
    payload = json.dumps(body)
    digest = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
    canonical = f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n{digest(payload)}"
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    scope = f"{day}/trtc/tc3_request"
    key = f"TC3{server.api_secret}".encode()
    for part in (day, "trtc", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"TC3-HMAC-SHA256\n{now}\n{scope}\n{digest(canonical)}".encode(), "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "X-TC-Action": action,
        "X-TC-Version": "2019-07-22",
        "X-TC-Timestamp": str(now),
        "X-TC-Region": "ap-guangzhou",
        "Authorization": f"TC3-HMAC-SHA256 Credential={server.secret_id}/{scope}, "
        f"SignedHeaders=content-type;host, Signature={signature}",
    }
    request = urllib.request.Request(f"http://{host}/", data=payload.encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)["Response"]
    assert "Error" not in answer, answer


def read(url, output, seconds):
    """The live stream, decoded by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-rw_timeout", "10000000", "-i", url, "-t", str(seconds), *output, "-"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(("codec", "room"), [("vp8", 2111), ("h264", 2112)])
def test_gstreamer_is_seen_and_heard_in_a_mix_for_a_minute(server, ticket, certificate, codec, room):  # noqa: F811
    base = f"http://127.0.0.1:{server.http}"
    publish = ["publish", f"{base}/whip/{room}", ticket("ann"), "--codec", codec, "--tone", str(TONE)]
    with gstreamer(*publish, "--certificate", str(certificate)) as publisher:
        publisher.wait_for("the publisher is connected", lambda said: said.get("state") == "connected")
        call(server, "StartMCUMixTranscode", {
            "SdkAppId": server.app,
            "RoomId": room,
            "OutputParams": {"StreamId": f"mix-{room}"},
            "EncodeParams": {
                "AudioSampleRate": RATE, "AudioBitrate": 64, "AudioChannels": 1, "VideoWidth": WIDTH,
                "VideoHeight": HEIGHT, "VideoBitrate": 500, "VideoFramerate": FRAMES_A_SECOND, "VideoGop": 1,
            },
            "LayoutParams": {"Template": 1},
        })
        url = f"{base}/live/mix-{room}.flv"
        deadline = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the mix is not on the air"
        audio = read(url, ["-vn", "-f", "s16le", "-ac", "1", "-ar", str(RATE)], SECONDS)
        video = read(url, ["-an", "-f", "rawvideo", "-pix_fmt", "gray"], SECONDS)
        samples, complaint = audio.communicate(timeout=2 * SECONDS)
        assert not complaint, complaint
        frames, complaint = video.communicate(timeout=2 * SECONDS)
        assert not complaint, complaint
        publisher.end()

    samples = numpy.frombuffer(samples, numpy.int16).astype(float)
    spectrum_bin = TONE // 5
    heard = []
    # Windows of 200 ms; the first two seconds belong to joining.
    for start in range(2 * RATE, len(samples) - RATE // 5, RATE // 5):
        window = samples[start : start + RATE // 5]
        spectrum = abs(numpy.fft.rfft(window * numpy.hanning(len(window))))
        heard.append(window.std() > 1000 and abs(int(spectrum.argmax()) - spectrum_bin) <= 2)
    assert len(heard) > 4 * (SECONDS - 4)
    assert sum(heard) >= 0.99 * len(heard), [n for n, is_there in enumerate(heard) if not is_there]

    frames = numpy.frombuffer(frames, numpy.uint8)
    frames = frames[: len(frames) // (WIDTH * HEIGHT) * WIDTH * HEIGHT].reshape(-1, HEIGHT, WIDTH)
    left = frames[:, :, : WIDTH // 2].mean(axis=(1, 2)) > 125
    right = frames[:, :, WIDTH // 2 :].mean(axis=(1, 2)) > 125
    # The bright half changes each second, until the end.
    later = slice(2 * FRAMES_A_SECOND, None)
    assert (left != right)[later].mean() > 0.97
    changes = numpy.count_nonzero(left[later][1:] != left[later][:-1])
    assert 0.9 * (SECONDS - 4) <= changes <= 1.1 * SECONDS
