"""aiortc, an independent WebRTC implementation, publishes by WHIP and watches by WHEP."""

import asyncio
import itertools

import aiohttp
import av
import pytest
from aiortc import RTCRtpSender
from aiortc_peer import (
    TONE,
    Tone,
    assert_both_halves_were_bright,
    brightness,
    loudest_frequency,
    peer,
    post,
    publisher_of,
)

MIX_FRAMES_A_SECOND = 15
MIX_UP_WITHIN = 20  # seconds


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
    """Measures the frames of a live stream, beginning with the first one with a bright half: before it the mix starts."""
    with av.open(url, timeout=20) as film:
        # A live stream runs in real time: this many frames are this many seconds.
        frames = itertools.islice(film.decode(video=0), MIX_UP_WITHIN * MIX_FRAMES_A_SECOND)
        seen = map(middle_halves, frames)
        shown = itertools.dropwhile(lambda halves: max(halves) < 150, seen)
        halves = list(itertools.islice(shown, count))
    assert len(halves) == count, f"the mix does not show it within {MIX_UP_WITHIN} s"
    return halves


def middle_halves(frame):
    grey = frame.to_ndarray(format="gray")
    height, width = grey.shape
    rows = grey[height // 3 : 2 * height // 3]
    return rows[:, width // 4 : width * 7 // 16].mean(), rows[:, width * 9 // 16 : width * 3 // 4].mean()


async def on_air(http, url):
    """Waits for the stream, which begins a moment after its mix is started."""
    async with asyncio.timeout(10):
        while True:
            async with http.get(url) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.1)


async def publish_into_a_mix(server, ticket):
    publisher = publisher_of("vp8")
    base = f"http://127.0.0.1:{server.http}"
    async with aiohttp.ClientSession() as http:
        published = await post(http, f"{base}/whip/2003", ticket("ann"), publisher)
        mix = [str(server.binary), "mix", "start", "2003", "--stream-id", "whip-mix", "--size", "640x360"]
        started = await asyncio.create_subprocess_exec(*mix, env=server.env, cwd=server.folder)
        assert await started.wait() == 0
        await on_air(http, f"{base}/live/whip-mix.flv")
        halves = await asyncio.to_thread(mixed_halves, f"{base}/live/whip-mix.flv", 60)
        async with http.delete(base + published) as response:
            assert response.status == 200
    await publisher.close()
    return halves


def test_a_mix_shows_what_aiortc_publishes(server, ticket):
    assert_both_halves_were_bright(asyncio.run(asyncio.wait_for(publish_into_a_mix(server, ticket), 60)))


async def middle_of_frames(track, count):
    """Measures the frames of a watched mix, beginning with the first one with a bright half: before it the mix starts."""
    shown = []
    for _ in range(MIX_UP_WITHIN * MIX_FRAMES_A_SECOND):
        halves = middle_halves(await track.recv())
        if shown or max(halves) >= 150:
            shown.append(halves)
        if len(shown) == count:
            return shown
    raise AssertionError(f"the mix does not show it within {MIX_UP_WITHIN} s")


async def watch_a_mix(server, ticket):
    publisher, viewer = publisher_of("vp8"), peer()
    tracks = {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    viewer.addTransceiver("audio", direction="recvonly")
    viewer.addTransceiver("video", direction="recvonly")
    base = f"http://127.0.0.1:{server.http}"
    async with aiohttp.ClientSession() as http:
        published = await post(http, f"{base}/whip/2005", ticket("ann"), publisher)
        mix = [str(server.binary), "mix", "start", "2005", "--stream-id", "whep-mix", "--size", "640x360"]
        started = await asyncio.create_subprocess_exec(*mix, env=server.env, cwd=server.folder)
        assert await started.wait() == 0
        await on_air(http, f"{base}/live/whep-mix.flv")
        # The live origin needs no ticket.
        watched = await post(http, f"{base}/live/whep-mix.whep", "", viewer)
        halves, (frequency, loudness) = await asyncio.gather(
            middle_of_frames(tracks["video"], 60), loudest_frequency(tracks["audio"], 8)
        )
        for path in watched, published:
            async with http.delete(base + path) as response:
                assert response.status == 200
    await publisher.close()
    await viewer.close()
    return halves, frequency, loudness


def test_a_mix_is_seen_and_heard_by_whep_at_the_live_origin(server, ticket):
    halves, frequency, loudness = asyncio.run(asyncio.wait_for(watch_a_mix(server, ticket), 90))
    assert_both_halves_were_bright(halves)
    print(f"{frequency} Hz at {loudness:.0f}")
    assert abs(frequency - TONE) < 10
    assert loudness > 1000


async def refused_offer(server, ticket):
    """The offer of a microphone in PCMU only, as a telephone gateway sends it, posted as text/plain."""
    publisher = peer()
    publisher.addTrack(Tone())
    known = RTCRtpSender.getCapabilities("audio").codecs
    publisher.getTransceivers()[0].setCodecPreferences([one for one in known if one.mimeType == "audio/PCMU"])
    await publisher.setLocalDescription(await publisher.createOffer())
    headers = {"Authorization": f"Bearer {ticket('dan')}", "Content-Type": "text/plain"}
    url = f"http://127.0.0.1:{server.http}/whip/2004/"
    async with aiohttp.ClientSession() as http:
        async with http.post(url, data=publisher.localDescription.sdp, headers=headers) as response:
            answer = response.status, response.reason, await response.text()
    await publisher.close()
    return answer


def test_codecs_that_the_server_does_not_take_are_refused_by_name(server, ticket):
    status, reason, text = asyncio.run(asyncio.wait_for(refused_offer(server, ticket), 30))
    print(status, reason, text)
    assert status == 406
    for told in reason, text:
        assert told.startswith("codec_not_supported: ") and "PCMU" in told and "opus" in text
