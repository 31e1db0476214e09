"""WHIP publishers and WHEP viewers of aiortc, and measurements of the received media."""

import fractions
import math
import re

import aioice.ice
import av
import numpy
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

# aioice omits the loopback interface; tests may have no other.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


class BrightHalf(VideoStreamTrack):
    """Dark video with a bright half: the left one in one second, the right one in the next."""

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
    """Mean brightness of the left and the right half of this many decoded frames."""
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
    """Sends a tone and video, only in this codec."""
    publisher = peer()
    publisher.addTrack(Tone())
    publisher.addTrack(BrightHalf())
    known = RTCRtpSender.getCapabilities("video").codecs
    wanted = [one for one in known if one.mimeType.lower() in (f"video/{codec}", "video/rtx")]
    publisher.getTransceivers()[1].setCodecPreferences(wanted)
    return publisher


def assert_both_halves_were_bright(halves):
    left = sum(1 for a, b in halves if a > 150 > 80 > b)
    right = sum(1 for a, b in halves if b > 150 > 80 > a)
    print(f"{left} frames bright on the left, {right} on the right")
    assert left >= 15 and right >= 15 and left + right > 0.85 * len(halves), halves
