"""aiortc, a WebRTC implementation that is not ours, publishes by WHIP and watches by WHEP."""

import asyncio
import fractions
import math
import re

import aiohttp
import aioice.ice
import av
import numpy
import pytest
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)

TONE = 1000
RATE = 48000

# aioice leaves the loopback interface out; tests may have no other.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


class Picture(VideoStreamTrack):
    """A dark picture with a bright half: the left one in one second, the right one in the next."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        grey = numpy.full((240, 320, 3), 30, dtype=numpy.uint8)
        left = int(pts * time_base) % 2 == 0
        grey[:, :160] = 220 if left else 30
        grey[:, 160:] = 30 if left else 220
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    sent = 0

    async def recv(self):
        frame = await super().recv()
        samples = frame.samples
        rate = frame.sample_rate
        time = (self.sent + numpy.arange(samples)) / rate
        self.sent += samples
        sine = (numpy.sin(2 * math.pi * TONE * time) * 12000).astype(numpy.int16)
        tone = av.AudioFrame.from_ndarray(sine.reshape(1, -1), format="s16", layout="mono")
        tone.pts, tone.sample_rate, tone.time_base = frame.pts, rate, fractions.Fraction(1, rate)
        return tone


async def post(http, url, ticket, peer, extensions=True):
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp
    if not extensions:
        offer = re.sub(r"a=extmap:.*\r\n", "", offer)
    headers = {"Authorization": f"Bearer {ticket}", "Content-Type": "application/sdp"}
    async with http.post(url, data=offer, headers=headers) as response:
        answer = await response.text()
        assert response.status == 201, answer
        assert response.content_type == "application/sdp"
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        return response.headers["Location"]


async def brightness(track, count):
    """Mean brightness of the left and the right half of that many decoded pictures."""
    halves = []
    while len(halves) < count:
        frame = await track.recv()
        grey = frame.to_ndarray(format="gray")
        assert grey.shape == (240, 320), grey.shape
        halves.append((grey[:, 20:140].mean(), grey[:, 180:300].mean()))
    return halves


async def loudest_frequency(track, seconds):
    samples = []
    while sum(map(len, samples)) < seconds * RATE:
        frame = await track.recv()
        samples.append(frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)])
    # The beginning may be silence from before the first packet.
    heard = numpy.concatenate(samples)[-RATE:].astype(float)
    spectrum = numpy.abs(numpy.fft.rfft(heard * numpy.hanning(len(heard))))
    return int(spectrum.argmax()) * RATE / len(heard), heard.std()


def peer():
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def publisher_of(codec):
    """Sends a tone and pictures, in that codec alone."""
    publisher = peer()
    publisher.addTrack(Tone())
    publisher.addTrack(Picture())
    known = RTCRtpSender.getCapabilities("video").codecs
    wanted = [one for one in known if one.mimeType.lower() in (f"video/{codec}", "video/rtx")]
    publisher.getTransceivers()[1].setCodecPreferences(wanted)
    return publisher


async def publish_and_watch(server, ticket, codec, extensions):
    publisher, viewer = publisher_of(codec), peer()
    tracks = {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    viewer.addTransceiver("audio", direction="recvonly")
    viewer.addTransceiver("video", direction="recvonly")
    base = f"http://127.0.0.1:{server.http}"
    async with aiohttp.ClientSession() as http:
        published = await post(http, f"{base}/whip/2002", ticket("ann"), publisher, extensions)
        watched = await post(http, f"{base}/whep/2002/ann", ticket("bob"), viewer)
        halves, (frequency, loudness) = await asyncio.gather(
            brightness(tracks["video"], 70), loudest_frequency(tracks["audio"], 4)
        )
        for path in watched, published:
            async with http.delete(base + path) as response:
                assert response.status == 200
        async with http.get(f"{base}/metrics") as response:
            metrics = await response.text()
    await publisher.close()
    await viewer.close()
    return halves, frequency, loudness, metrics


def assert_both_halves_were_bright(halves):
    left = sum(1 for a, b in halves if a > 150 > 80 > b)
    right = sum(1 for a, b in halves if b > 150 > 80 > a)
    print(f"{left} pictures bright on the left, {right} on the right")
    assert left >= 15 and right >= 15 and left + right > 0.85 * len(halves), halves


# OBS sends H.264 and offers no header extensions, not even the mid.
@pytest.mark.parametrize(("codec", "extensions"), [("vp8", True), ("h264", False)])
def test_what_aiortc_publishes_is_decoded_by_aiortc(server, ticket, codec, extensions):
    job = publish_and_watch(server, ticket, codec, extensions)
    halves, frequency, loudness, metrics = asyncio.run(asyncio.wait_for(job, 60))
    assert_both_halves_were_bright(halves)
    print(f"{frequency} Hz at {loudness:.0f}")
    assert abs(frequency - TONE) < 10
    assert loudness > 1000
    assert "rotunda_signaling_members 0\n" in metrics


def mixed_halves(url, count):
    """Of the pictures of a live stream; the first second is the mix coming up."""
    with av.open(url, timeout=20) as film:
        pictures = (frame.to_ndarray(format="gray") for frame in film.decode(video=0))
        grey = [next(pictures) for _ in range(count + 30)][30:]
    middle = [(one.shape, one[one.shape[0] // 3 : 2 * one.shape[0] // 3]) for one in grey]
    return [(rows[:, w // 4 : w * 7 // 16].mean(), rows[:, w * 9 // 16 : w * 3 // 4].mean()) for (_, w), rows in middle]


async def publish_into_a_mix(server, ticket):
    publisher = publisher_of("vp8")
    base = f"http://127.0.0.1:{server.http}"
    async with aiohttp.ClientSession() as http:
        published = await post(http, f"{base}/whip/2003", ticket("ann"), publisher)
        mix = [str(server.binary), "mix", "start", "2003", "--stream-id", "whip-mix", "--size", "640x360"]
        started = await asyncio.create_subprocess_exec(*mix, env=server.env, cwd=server.folder)
        assert await started.wait() == 0
        for _ in range(100):
            async with http.get(f"{base}/live/whip-mix.m3u8") as response:
                if "#EXTINF" in await response.text():
                    break
            await asyncio.sleep(0.2)
        halves = await asyncio.to_thread(mixed_halves, f"{base}/live/whip-mix.flv", 60)
        async with http.delete(base + published) as response:
            assert response.status == 200
    await publisher.close()
    return halves


def test_a_mix_shows_what_aiortc_publishes(server, ticket):
    assert_both_halves_were_bright(asyncio.run(asyncio.wait_for(publish_into_a_mix(server, ticket), 60)))
