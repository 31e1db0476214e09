"""A client of the avatar's HTTP API with aiortc, and what it saw and heard."""

import asyncio
import subprocess
import time

import aioice.ice
import numpy
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

RATE = 48000
LOUD = 400  # of 32768, root mean square of 20 ms

# aioice leaves the loopback interface out; tests may have no other.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def new_peer():
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def call(http, server, path, body):
    async with http.post(f"{server.url}/{path}", json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def ordered(http, server, path, **body):
    answer = await call(http, server, path, body)
    assert answer == {"code": 0, "msg": "ok"}, answer


class Session:
    """One WebRTC session; what comes is kept with its time."""

    def __init__(self, peer):
        self.peer = peer
        self.audio = []  # (pts in samples, root mean square)
        self.pcm = []
        self.frames = []  # (seconds since the session began, share of dark pixels where the mouth is)
        self.tasks = []
        self.began = time.monotonic()
        peer.on("track", self.on_track)

    @classmethod
    async def open(cls, http, server, codec=None):
        session = cls(new_peer())
        peer = session.peer
        peer.addTransceiver("audio", direction="recvonly")
        video = peer.addTransceiver("video", direction="recvonly")
        if codec:
            known = RTCRtpReceiver.getCapabilities("video").codecs
            video.setCodecPreferences([one for one in known if one.mimeType.lower() in (f"video/{codec}", "video/rtx")])
        await peer.setLocalDescription(await peer.createOffer())
        offer = {"sdp": peer.localDescription.sdp, "type": peer.localDescription.type}
        answer = await call(http, server, "offer", offer)
        if "code" in answer:
            await peer.close()
            raise RuntimeError(answer["msg"])
        assert set(answer) == {"sdp", "type", "sessionid"} and answer["type"] == "answer"
        session.id, session.sdp = answer["sessionid"], answer["sdp"]
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        return session

    def on_track(self, track):
        self.tasks.append(asyncio.ensure_future(self.listen(track) if track.kind == "audio" else self.watch(track)))

    async def listen(self, track):
        try:
            while True:
                frame = await track.recv()
                samples = frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)].astype(float)
                self.audio.append((frame.pts, float(numpy.sqrt((samples**2).mean()))))
                self.pcm.append(samples)
        except MediaStreamError:
            pass

    async def watch(self, track):
        try:
            while True:
                frame = await track.recv()
                self.frames.append((time.monotonic() - self.began, mouth(frame.to_ndarray(format="gray"))))
        except MediaStreamError:
            pass

    def loud(self):
        return [pts for pts, level in self.audio if level > LOUD]

    async def until(self, what, check, seconds=15):
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            await asyncio.sleep(0.02)

    async def close(self):
        await self.peer.close()
        for task in self.tasks:
            task.cancel()


def mouth(grey):
    """Share of dark pixels where the drawn face has its mouth."""
    height, width = grey.shape
    unit, x, y = min(height, width), width / 2, height * 0.48
    region = grey[int(y + 0.16 * unit) : int(y + 0.32 * unit), int(x - 0.1 * unit) : int(x + 0.1 * unit)]
    return float((region < 60).mean())


def espeak(text):
    """What espeak-ng says, at 48 kHz."""
    raw = subprocess.run(["espeak-ng", "--stdin", "--stdout"], input=text.encode(), capture_output=True, check=True).stdout
    convert = ["ffmpeg", "-v", "quiet", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", str(RATE), "-"]
    pcm = subprocess.run(convert, input=raw, capture_output=True, check=True).stdout
    return numpy.frombuffer(pcm, dtype=numpy.int16).astype(float)


def spectrogram(pcm):
    """Log magnitudes of 100 Hz to 6 kHz, each 10 ms."""
    size, step = 1920, 480
    starts = range(0, len(pcm) - size, step)
    window = numpy.hanning(size)
    bins = numpy.array([numpy.abs(numpy.fft.rfft(pcm[at : at + size] * window))[4:240] for at in starts])
    return numpy.log10(bins + 1000)


def likeness(heard, said):
    """Correlation of the spectrogram of `said` with the best place in `heard`: 1 is the same."""
    heard, said = spectrogram(heard), spectrogram(said)
    wanted = said - said.mean()
    best = -1.0
    for at in range(0, len(heard) - len(said) + 1):
        part = heard[at : at + len(said)]
        part = part - part.mean()
        best = max(best, float((part * wanted).sum() / (numpy.linalg.norm(part) * numpy.linalg.norm(wanted) + 1e-9)))
    return best


def loudest_frequency(pcm):
    spectrum = numpy.abs(numpy.fft.rfft(pcm * numpy.hanning(len(pcm))))
    return int(spectrum.argmax()) * RATE / len(pcm)
