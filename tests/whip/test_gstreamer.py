"""GStreamer's webrtcbin, an independent WebRTC implementation, publishes by WHIP and watches by WHEP."""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import threading

import aiohttp
import pytest
from aiortc_peer import assert_both_halves_were_bright, brightness, loudest_frequency, peer, post
from own_network import own_network

SCRIPT = pathlib.Path(__file__).with_name("gstreamer_peer.py")
# Not the one of the virtual environment: GStreamer's bindings are a package of the distribution.
PYTHON = "/usr/bin/python3"
TONE = 1200


def skip(reason):
    print(f"SKIPPED: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def network():
    """A separate namespace, because libnice offers no loopback address."""
    there = subprocess.run([PYTHON, SCRIPT, "--help"], capture_output=True, text=True)
    if there.returncode != 0:
        reason = f"no GStreamer for {PYTHON} (`make setup` installs it): {there.stderr}"
        if "CI" in os.environ:
            pytest.fail(reason)
        skip(reason)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except PermissionError as error:
            skip(f"making a network namespace is not permitted (it needs root): {error}")
        yield


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """ECDSA with P-256, which RFC 8827 §6.5 requires from every implementation."""
    folder = tmp_path_factory.mktemp("certificate")
    key, made = folder / "key.pem", folder / "both.pem"
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gstreamer".split()
    subprocess.run(["openssl", *new, "-keyout", key, "-out", made], check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made


class GStreamer:
    """A process of the script, and all its messages."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [PYTHON, SCRIPT, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.said, self.ended = [], False
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.said.append(json.loads(line))
                self.changed.notify()
        with self.changed:
            self.ended = True
            self.changed.notify()

    def wait_for(self, what, is_it, seconds=30):
        """The first message of this kind, past or future."""
        with self.changed:
            found = lambda: next(filter(is_it, self.said), None)  # noqa: E731
            self.changed.wait_for(lambda: found() or self.ended, seconds)
            if found() is None:
                why = self.process.stderr.read() if self.ended else f"not within {seconds} s"
                pytest.fail(f"{what}: {why}, after {self.said}")
            return found()

    def end(self):
        """In order, with DELETE."""
        self.process.stdin.close()
        deleted = self.wait_for("DELETE", lambda said: said.get("method") == "DELETE")
        assert deleted["status"] == 200
        assert self.process.wait(10) == 0


@contextlib.contextmanager
def gstreamer(*arguments):
    running = GStreamer(*arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


async def watch_by_aiortc(base, room, ticket, frames=60, seconds=4):
    """Brightness of both halves of this many frames; frequency and loudness of the last of this many seconds."""
    viewer = peer()
    tracks = {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    viewer.addTransceiver("audio", direction="recvonly")
    viewer.addTransceiver("video", direction="recvonly")
    async with aiohttp.ClientSession() as http:
        session = await post(http, f"{base}/whep/{room}/ann", ticket, viewer)
        seen = await asyncio.gather(brightness(tracks["video"], frames), loudest_frequency(tracks["audio"], seconds))
        async with http.delete(base + session) as response:
            assert response.status == 200
    await viewer.close()
    return seen


@pytest.mark.parametrize(("codec", "room"), [("vp8", 2101), ("h264", 2102)])
def test_what_gstreamer_publishes_is_decoded_by_gstreamer_and_aiortc(server, ticket, certificate, codec, room):
    base = f"http://127.0.0.1:{server.http}"
    is_up = lambda said: said.get("state") == "connected"  # noqa: E731
    publish = ["publish", f"{base}/whip/{room}", ticket("ann"), "--codec", codec, "--tone", str(TONE)]
    identity = ["--certificate", str(certificate)]
    with gstreamer(*publish, *identity) as publisher:
        publisher.wait_for("a candidate is trickled", lambda said: said.get("trickled"))
        publisher.wait_for("the publisher is connected", is_up)
        watch = ["watch", f"{base}/whep/{room}/ann", ticket("bob"), "--codec", codec]
        with gstreamer(*watch, *identity) as player:
            player.wait_for("the player is connected", is_up)
            watched = player.wait_for("video and audio", lambda said: "frames" in said)
            assert_both_halves_were_bright(watched["frames"])
            print(f"{watched['frequency']} Hz at {watched['loudness']:.0f}")
            assert abs(watched["frequency"] - TONE) < 20
            assert watched["loudness"] > 1000
            player.end()

        watch = watch_by_aiortc(base, room, ticket("cat"))
        halves, (frequency, loudness) = asyncio.run(asyncio.wait_for(watch, 60))
        assert_both_halves_were_bright(halves)
        assert abs(frequency - TONE) < 10
        assert loudness > 1000
        publisher.end()


def test_a_publisher_that_keeps_alive_by_binding_indications_is_seen_and_heard_for_more_than_a_minute(
    server, ticket, certificate
):
    """After some seconds webrtcbin sends only binding indications (RFC 8445 §11), while its RTP and RTCP continue."""
    base, room = f"http://127.0.0.1:{server.http}", 2103
    publish = ["publish", f"{base}/whip/{room}", ticket("ann"), "--codec", "vp8", "--tone", str(TONE)]
    with gstreamer(*publish, "--certificate", str(certificate)) as publisher:
        publisher.wait_for("the publisher is connected", lambda said: said.get("state") == "connected")
        # 25 frames per second.
        watch = watch_by_aiortc(base, room, ticket("cat"), frames=65 * 25, seconds=65)
        halves, (frequency, loudness) = asyncio.run(asyncio.wait_for(watch, 120))
        assert_both_halves_were_bright(halves)
        assert abs(frequency - TONE) < 10
        assert loudness > 1000
        publisher.end()
