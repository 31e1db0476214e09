"""Session 0: pushed by RTMP and WHIP, and in a room where it hears and answers."""

import asyncio
import subprocess
import time

import aiohttp
import av
import numpy
from aiortc import RTCSessionDescription
from avatar_client import LOUD, RATE, Session, loudest_frequency, mouth, new_peer, ordered
from conftest import ROOMS, free_ports, running
from engines import TONE
from test_engines import CHAT, with_engines

NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""
VOICE = '{ engine = "openai", url = "ENGINES/v1/audio/speech" }'


def test_a_push_by_rtmp_plays_from_nginx(tmp_path):
    (port,) = free_ports(1)
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    nginx = subprocess.Popen(["nginx", "-c", tmp_path / "nginx.conf", "-p", tmp_path], stderr=subprocess.DEVNULL)

    def played():
        """Time and loudness of the audio, time and openness of the mouth, in 6 s of the stream."""
        loud, shares = [], []
        with av.open(f"rtmp://127.0.0.1:{port}/live/face", timeout=20) as film:
            for packet in film.demux():
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame):
                        shares.append((frame.time, mouth(frame.to_ndarray(format="gray"))))
                    else:
                        loud.append((frame.time, float(numpy.abs(frame.to_ndarray()).max())))
                    if shares and shares[-1][0] > shares[0][0] + 6:
                        return loud, shares
        return loud, shares

    async def job(server, engines, http):
        playing = asyncio.create_task(asyncio.to_thread(played))
        while not playing.done():
            await ordered(http, server, "human", sessionid=0, type="echo", text="Hello.")
            await asyncio.sleep(2)
        loud, shares = playing.result()
        spoken = sum(1 for _, level in loud if level > 0.1) / len(loud)
        openness = [share for _, share in shares]
        gaps = numpy.diff([at for at, _ in shares])
        print(f"{len(shares)} frames from {shares[0][0]:.2f} to {shares[-1][0]:.2f} s, audio from {loud[0][0]:.2f} to {loud[-1][0]:.2f} s")
        print(f"longest gap {max(gaps):.3f} s, the tone in {100 * spoken:.0f} % of the audio, mouth up to {max(openness):.2f}")
        assert len(shares) > 145 and max(gaps) < 0.2 and 0.2 < spoken < 0.8
        assert max(openness) > 0.2 and min(openness) < 0.02

    try:
        with_engines(tmp_path, job, speech=VOICE, push_url=f"rtmp://127.0.0.1:{port}/live/face")
    finally:
        nginx.terminate()
        nginx.wait(10)


async def watch_by_whep(http, server, room, publisher):
    """Everything of one publisher of a room."""
    session = Session(new_peer())
    for kind in "audio", "video":
        session.peer.addTransceiver(kind, direction="recvonly")
    await session.peer.setLocalDescription(await session.peer.createOffer())
    headers = {"Authorization": f"Bearer {server.ticket('viewer')}", "Content-Type": "application/sdp"}
    url = f"http://127.0.0.1:{server.http}/whep/{room}/{publisher}"
    deadline = time.monotonic() + 20
    while True:
        async with http.post(url, data=session.peer.localDescription.sdp, headers=headers) as response:
            answer = await response.text()
            if response.status == 201:
                break
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.3)
    await session.peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    return session


def test_an_avatar_in_a_room_hears_a_member_and_answers(tmp_path):
    async def job(server, engines, http):
        viewer = await watch_by_whep(http, server, 1001, "avatar")
        await viewer.until("the avatar's frames", lambda: len(viewer.frames) > 20, 30)
        member = await asyncio.create_subprocess_exec(
            server.binary, "join", "1001", "--user", "ann", "--seconds", "8", env=server.env, cwd=server.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        await viewer.until("what was said", lambda: engines.heard, 40)
        model, file = engines.heard[0]
        assert model == "whisper-1" and file.startswith(b"RIFF") and len(file) > 16000
        await viewer.until("the question", lambda: engines.chats)
        assert engines.chats[0][0]["messages"][-1]["content"] == "Who are you?"
        before = len(viewer.audio)
        await viewer.until("the answer in the room", lambda: len(viewer.loud()) > 40, 20)
        heard = [pcm for (_, level), pcm in zip(viewer.audio, viewer.pcm) if level > LOUD]
        assert abs(loudest_frequency(numpy.concatenate(heard[5:35])) - TONE) < 15
        assert max(share for _, share in viewer.frames) > 0.1 and before > 0
        await member.wait()
        await viewer.close()

    with_engines(
        tmp_path, job, 120, roles=f"{ROOMS},avatar", speech=VOICE, chat=CHAT,
        room='{ room = "1001" }', hearing='{ url = "ENGINES/v1/audio/transcriptions" }',
    )


def test_a_push_by_whip_is_a_publisher_of_the_room(tmp_path):
    # A server that has the room, and one whose avatar is published there.
    async def job(rooms, engines, http):
        async def pushed(server):
            await ordered(http, server, "human", sessionid=0, type="echo", text="Hello.")
            viewer = await watch_by_whep(http, rooms, 1002, "face")
            await viewer.until("frames", lambda: len(viewer.frames) > 20, 30)
            await ordered(http, server, "human", sessionid=0, type="echo", text="Hello.")
            await viewer.until("the tone", lambda: len(viewer.loud()) > 20)
            heard = [pcm for (_, level), pcm in zip(viewer.audio, viewer.pcm) if level > LOUD]
            assert abs(loudest_frequency(numpy.concatenate(heard[5:])) - TONE) < 60
            await viewer.close()

        (tmp_path / "pusher").mkdir()
        settings = {
            "speech": VOICE.replace("ENGINES", engines.url),
            "push_url": f"http://127.0.0.1:{rooms.http}/whip/1002",
            "push_token": rooms.ticket("face"),
        }
        manager = running(tmp_path / "pusher", **settings)
        server = await asyncio.to_thread(manager.__enter__)
        try:
            await pushed(server)
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)
        # It has left the room in order.
        assert rooms.metric("rotunda_signaling_whip_sessions") <= 1

    (tmp_path / "rooms").mkdir()
    with_engines(tmp_path / "rooms", job, 120, roles=ROOMS)
