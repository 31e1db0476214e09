"""A WHIP publisher and a WHEP player of GStreamer's webrtcbin, for the distribution's own Python: `--help`.

Prints its state as lines of JSON: `{"state": "connected"}`; a player prints, after enough media, `{"frames":
[[left, right], …], "frequency": …, "loudness": …}`: the mean brightness of each half, the tone in Hz and its standard
deviation. At the end of its input it sends DELETE and ends with 0.
"""

import argparse
import array
import hashlib
import json
import math
import re
import ssl
import sys
import threading
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstApp, GstSdp, GstWebRTC  # noqa: E402, F401

WIDTH, HEIGHT, FRAMES_A_SECOND = 320, 240, 25
RATE = 48000
WEB = "webrtcbin name=web bundle-policy=max-bundle"
# Without B frames and with a keyframe at least every 2 s. `profile-level-id` after rtph264pay would not be
# negotiated.
ENCODERS = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=50 target-bitrate=500000 ! rtpvp8pay picture-id-mode=15-bit",
    "h264": "openh264enc gop-size=50 bitrate=500000 ! h264parse ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
}
DECODERS = {
    "VP8": "rtpvp8depay ! vp8dec",
    "H264": "rtph264depay ! h264parse ! openh264dec",
    "OPUS": "rtpopusdepay ! opusdec",
}


def say(**what):
    # One write, because several threads print.
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Peer:
    """One webrtcbin and its session: POST of the offer, PATCH of each candidate, DELETE."""

    def __init__(self, url, ticket, certificate, pipeline):
        self.url, self.ticket, self.certificate = url, ticket, certificate
        self.session = self.etag = self.reply = None
        self.found = []
        self.loop = GLib.MainLoop()
        self.pipeline = pipeline
        self.web = pipeline.get_by_name("web")
        self.web.connect("deep-element-added", self.on_element)
        self.web.connect("on-ice-candidate", lambda _, line, text: GLib.idle_add(self.on_candidate, line, text))
        self.web.connect("on-negotiation-needed", lambda _: GLib.idle_add(self.offer))
        self.web.connect("notify::connection-state", self.on_state)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.loop.run()
        self.request("DELETE", self.session)
        self.pipeline.set_state(Gst.State.NULL)

    def on_element(self, _, __, element):
        """Its own certificate uses RSA, which the server does not accept."""
        if self.certificate and element.get_factory().get_name() == "dtlsdec":
            element.set_property("pem", self.certificate)

    def offer(self):
        if self.reply is not None:
            return
        promise = Gst.Promise.new()
        self.web.emit("create-offer", None, promise)
        promise.wait()
        # The offer is a part of the reply, and is freed with it.
        self.reply = promise.get_reply()
        offer = self.reply.get_value("offer")
        self.web.emit("set-local-description", offer, Gst.Promise.new())
        answer, headers = self.request("POST", self.url, "application/sdp", self.with_fingerprint(offer.sdp.as_text()))
        self.session = urllib.parse.urljoin(self.url, headers["Location"])
        self.etag = headers["ETag"]
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.web.emit("set-remote-description", answer, Gst.Promise.new())
        for line, text in self.found:
            self.trickle(line, text)

    def with_fingerprint(self, offer):
        """The elements are created after the offer, which would otherwise name a certificate that they made."""
        if not self.certificate:
            return offer
        der = ssl.PEM_cert_to_DER_cert(self.certificate[: self.certificate.index("-----BEGIN PRIVATE KEY")])
        return re.sub("a=fingerprint:.*", f"a=fingerprint:sha-256 {hashlib.sha256(der).digest().hex(':').upper()}\r", offer)

    def on_candidate(self, line, text):
        if self.session is None:
            self.found.append((line, text))
        else:
            self.trickle(line, text)

    def trickle(self, line, text):
        fragment = f"a=mid:{line}\r\na={text}\r\n" if text else "a=end-of-candidates\r\n"
        self.request("PATCH", self.session, "application/trickle-ice-sdpfrag", fragment)
        say(trickled=text)

    def request(self, method, url, kind=None, body=None):
        headers = {"Authorization": f"Bearer {self.ticket}"}
        if kind is not None:
            headers["Content-Type"] = kind
        if method == "PATCH":
            headers["If-Match"] = self.etag
        data = body.encode() if body is not None else None
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            say(method=method, status=response.status)
            return response.read().decode(), response.headers

    def on_state(self, web, _):
        say(state=web.get_property("connection-state").value_nick)

    def on_error(self, _, message):
        error, where = message.parse_error()
        sys.exit(f"{error.message}: {where}")

    def wait_for_end(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)


class Publisher(Peer):
    """A tone, and video with one bright half: the left one in one second, the right one in the next."""

    def __init__(self, url, ticket, certificate, codec, tone):
        raw = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FRAMES_A_SECOND}/1"
        pipeline = Gst.parse_launch(
            f"{WEB} "
            f"audiotestsrc is-live=true freq={tone} volume=0.4 ! audio/x-raw,rate={RATE},channels=2 ! opusenc ! rtpopuspay"
            f" ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! web. "
            f"appsrc name=frames is-live=true do-timestamp=true format=time caps={raw} ! {ENCODERS[codec]}"
            f" ! application/x-rtp,media=video,encoding-name={codec.upper()},payload=96 ! web."
        )
        super().__init__(url, ticket, certificate, pipeline)
        chroma = bytes([128]) * (WIDTH * HEIGHT // 2)
        half = [bytes([luma]) * (WIDTH // 2) for luma in (220, 30)]
        self.frames = [Gst.Buffer.new_wrapped(luma * HEIGHT + chroma) for luma in (half[0] + half[1], half[1] + half[0])]
        self.shown = 0
        source = self.pipeline.get_by_name("frames")
        GLib.timeout_add(1000 // FRAMES_A_SECOND, self.show, source)

    def show(self, source):
        frame = self.frames[self.shown // FRAMES_A_SECOND % 2]
        self.shown += 1
        source.emit("push-buffer", frame.copy_deep())
        return GLib.SOURCE_CONTINUE


class Player(Peer):
    """Watches until it has this many frames and seconds of audio."""

    def __init__(self, url, ticket, certificate, codec, frames, seconds):
        pipeline = Gst.Pipeline.new()
        pipeline.add(Gst.parse_launch(WEB))
        super().__init__(url, ticket, certificate, pipeline)
        self.wanted = frames, seconds * RATE
        self.frames, self.audio = [], array.array("h")
        self.told = False
        self.watched = threading.Lock()
        self.web.connect("pad-added", self.on_pad)
        for caps in (
            f"media=audio,encoding-name=OPUS,payload=97,clock-rate={RATE},encoding-params=(string)2",
            f"media=video,encoding-name={codec.upper()},payload=96,clock-rate=90000",
        ):
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.web.emit("add-transceiver", direction, Gst.Caps.from_string(f"application/x-rtp,{caps}"))

    def on_pad(self, _, pad):
        name = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        if name == "OPUS":
            raw = f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={RATE},channels=1"
            take = self.on_audio
        else:
            raw, take = "videoconvert ! video/x-raw,format=GRAY8", self.on_video
        sink = "appsink name=sink emit-signals=true sync=false"
        decoder = Gst.parse_bin_from_description(f"{DECODERS[name]} ! {raw} ! {sink}", True)
        decoder.get_by_name("sink").connect("new-sample", take)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def on_video(self, sink):
        sample = sink.emit("pull-sample")
        size = sample.get_caps().get_structure(0)
        width, height = size.get_int("width").value, size.get_int("height").value
        assert (width, height) == (WIDTH, HEIGHT), (width, height)
        buffer = sample.get_buffer()
        middle = buffer.extract_dup(height // 2 * width, width)
        halves = [sum(half) / len(half) for half in (middle[20 : width // 2 - 20], middle[width // 2 + 20 : -20])]
        with self.watched:
            self.frames.append(halves)
            self.tell()
        return Gst.FlowReturn.OK

    def on_audio(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        with self.watched:
            self.audio.frombytes(buffer.extract_dup(0, buffer.get_size()))
            self.tell()
        return Gst.FlowReturn.OK

    def tell(self):
        frames, samples = self.wanted
        if self.told or len(self.frames) < frames or len(self.audio) < samples:
            return
        self.told = True
        # The beginning may be silence from before the first packet.
        heard = self.audio[-RATE:]
        rises = sum(1 for before, after in zip(heard, heard[1:]) if before < 0 <= after)
        loudness = math.sqrt(sum(sample * sample for sample in heard) / len(heard))
        say(frames=self.frames, frequency=rises * RATE / len(heard), loudness=loudness)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("does", choices=["publish", "watch"])
    parser.add_argument("url")
    parser.add_argument("ticket")
    parser.add_argument("--codec", choices=["vp8", "h264"], default="vp8")
    parser.add_argument("--tone", type=int, default=1000, help="Hz")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=2, help="of audio")
    parser.add_argument("--certificate", type=argparse.FileType(), help="PEM file with an ECDSA key and its certificate")
    given = parser.parse_args()
    Gst.init(None)
    certificate = given.certificate.read() if given.certificate else None
    if given.does == "publish":
        peer = Publisher(given.url, given.ticket, certificate, given.codec, given.tone)
    else:
        peer = Player(given.url, given.ticket, certificate, given.codec, given.frames, given.seconds)
    peer.run()


if __name__ == "__main__":
    main()
